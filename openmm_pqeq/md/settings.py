"""What can be set in a run: a line a setting, with its units, default, and what it may be."""

from dataclasses import dataclass
from typing import Any

from openmm_pqeq.jobs import quantities, values
from openmm_pqeq.jobs.settings import setting as _setting
from openmm_pqeq.md import groupings
from openmm_pqeq.md.schedule import component
from openmm_pqeq.potential import PRECISIONS
from openmm_pqeq.pqeq import COUPLINGS, PROTOCOLS
from openmm_pqeq.versions import BACKENDS
from openmm_pqeq.wanted import LARGEST_CHARGE, STRONGEST_FIELD

ENSEMBLES = ("NVE", "NVT", "NPT")
THERMOSTATS = ("langevin", "nose-hoover")
BAROSTATS = ("isotropic", "anisotropic", "flexible", "membrane")
FORMATS = ("dcd", "xtc")
VELOCITIES = ("maxwell", "file")


def field_components(name: str, value: Any) -> tuple[float | str, float | str, float | str]:
    """Three components, each a number (V/Å) or an expression of t (ps)."""
    components: list[float | str] = []
    for item in values.three(
        name, value, 'components in V/Å such as 0 0 0.01 or 0 0 "0.02*sin(2*pi*t/10)"'
    ):
        try:
            number = values.number(name, item)
        except ValueError:
            if not isinstance(item, str):
                raise
            component(item)(0.0)
            components.append(item)
        else:
            limits = (-STRONGEST_FIELD, STRONGEST_FIELD)
            components.append(values.within(values.number, *limits, "V/Å")(name, number))
    x, y, z = components
    return x, y, z


@dataclass(frozen=True)
class RunConfig:
    """Settings of a run; made by `run_config`, which checks them."""

    structure: str = _setting(
        "structure", values.text, "", "structure file, anything ASE reads", "FILE"
    )
    supercell: tuple[int, int, int] = _setting(
        "structure", values.cells, (1, 1, 1), "repeat the cell along its three vectors", "N", 3
    )
    periodic: tuple[bool, bool, bool] | None = _setting(
        "structure",
        values.booleans,
        None,
        "which cell vectors are periodic (default: as the file says)",
        "BOOL",
        3,
    )
    bonds: bool = _setting(
        "structure",
        values.boolean,
        False,
        "find the bonds of molecules, for barostats and molecular crystals",
    )
    total_charge: float | None = _setting(
        "structure",
        values.within(values.number, -LARGEST_CHARGE, LARGEST_CHARGE, "e"),
        None,
        "total charge, e (default: the file's, or 0)",
        "Q",
    )

    model: str = _setting(
        "potential",
        values.text,
        "",
        "name of a model (see openmm-pqeq models) or path to a .pt file",
        "MODEL",
    )
    protocol: str | None = _setting(
        "potential",
        values.choice(*PROTOCOLS),
        None,
        "protocol of the charges (default: the model's)",
        "NAME",
    )
    coupling: str | None = _setting(
        "potential",
        values.choice(*COUPLINGS),
        None,
        "how the field couples to the charges (default: shell)",
    )
    fragments: tuple[str, ...] | None = _setting(
        "potential",
        groupings.fragments,
        None,
        "atoms of each fragment, as in 0-2 3-5, for coupling fragment (default: the molecules, "
        "from distances), or of each metal that floats beside charges by bonds",
        "ATOMS",
        "+",
    )
    fragment_charges: tuple[str, ...] | None = _setting(
        "potential",
        groupings.fragment_charges,
        None,
        "charge of each fragment, e, or by the names of molecules, as in NA=1 CL=-1",
        "CHARGE",
        "*",
    )
    electrodes: tuple[str, ...] | None = _setting(
        "potential",
        groupings.electrodes,
        None,
        "atoms of each electrode and its voltage, V, as in 0-39:0 40-79:1.5",
        "ATOMS:VOLTAGE",
        "+",
    )
    reference_charges: tuple[str, ...] | None = _setting(
        "potential",
        groupings.reference_charges,
        None,
        "e, where charges by bonds flow from, by element or residue, as in Na=1 Cl=-1, or one for "
        "each atom (default: oxidation, the states of the composition)",
        "CHARGE",
        "+",
    )
    tolerance: float | None = _setting(
        "potential",
        values.within(values.positive, 1e-14, 1.0),
        None,
        "convergence of the charges, eV/e and eV/Å (default: the model's)",
        "TOL",
    )
    precision: str = _setting(
        "potential", values.choice(*PRECISIONS), "mixed", "floating-point precision"
    )
    backend: str = _setting(
        "potential",
        values.choice(*BACKENDS),
        "torchscript",
        "route to OpenMM: TorchForce or PythonForce",
    )
    platform: str | None = _setting(
        "potential", values.text, None, "OpenMM platform (default: OpenMM's choice)", "NAME"
    )
    threads: int | None = _setting(
        "potential",
        values.within(values.positive_count, 1, 4096),
        None,
        "CPU threads (default: all)",
        "N",
    )

    field: tuple[float | str, float | str, float | str] = _setting(
        "field", field_components, (0.0, 0.0, 0.0), 'electric field, V/Å: numbers or expressions of t '
                                                '(ps), say "0.02*sin(2*pi*t/10)"',
        "F", 3,
    )  # fmt: skip
    field_interval: int = _setting(
        "field", values.positive_count, 1, "steps between updates of a field that changes", "N"
    )

    ensemble: str = _setting("dynamics", values.choice(*ENSEMBLES), "NVT", "NVE, NVT or NPT")
    temperature: float = _setting(
        "dynamics", values.within(values.not_negative, 0, 1e6, "K"), 300.0, "temperature, K", "T"
    )
    velocities: str = _setting(
        "dynamics",
        values.choice(*VELOCITIES),
        "maxwell",
        "first velocities: maxwell (drawn at the temperature) or file (the structure file's)",
    )
    timestep: float = _setting(
        "dynamics",
        values.within(quantities.femtoseconds, 1e-6, 1e3, "fs"),
        1.0,
        "time step, fs",
        "DT",
    )
    inner_model: str | None = _setting(
        "dynamics",
        values.text,
        None,
        "a fast model of the same energy, for multiple time steps: it moves the atoms inner-steps "
        "times a time step, and the model corrects once",
        "MODEL",
    )
    inner_steps: int = _setting(
        "dynamics",
        values.within(values.positive_count, 1, 100),
        4,
        "inner steps in a time step, where there is an inner model",
        "N",
    )
    steps: int | None = _setting(
        "dynamics", values.positive_count, None, "number of steps (or give --time)", "N"
    )
    time: float | None = _setting(
        "dynamics",
        values.within(quantities.picoseconds, 1e-9, 1e9, "ps"),
        None,
        "length of the run, such as 1ps (or give --steps)",
        "TIME",
        unit="ps",
    )
    minimize: bool = _setting("dynamics", values.boolean, False, "minimise the energy first")
    minimize_steps: int = _setting(
        "dynamics", values.positive_count, 10_000, "most steps of that", "N"
    )
    equilibrate: float = _setting(
        "dynamics",
        values.within(quantities.picoseconds_or_zero, 0, 1e9, "ps"),
        0.0,
        "length of an equilibration before the run, such as 0.5ps; it writes nothing",
        "TIME",
        unit="ps",
    )
    thermostat: str = _setting(
        "dynamics", values.choice(*THERMOSTATS), "langevin", "thermostat of NVT and NPT"
    )
    friction: float = _setting(
        "dynamics",
        values.within(values.positive, 1e-9, 1e6, "1/ps"),
        1.0,
        "friction or collision rate of the thermostat, 1/ps",
        "RATE",
    )
    pressure: float = _setting(
        "dynamics",
        values.within(quantities.pressure, -1e8, 1e8, "bar"),
        1.0,
        "pressure of NPT, bar (not GPa, as in relax), or with a unit such as 1GPa",
        "P",
    )
    barostat: str = _setting(
        "dynamics", values.choice(*BAROSTATS), "isotropic", "how the cell of NPT may change"
    )
    barostat_interval: int = _setting(
        "dynamics", values.positive_count, 25, "steps between changes of the cell", "N"
    )
    scale_axes: tuple[bool, bool, bool] = _setting(
        "dynamics",
        values.booleans,
        (True, True, True),
        "axes that an anisotropic barostat scales",
        "BOOL",
        3,
    )
    surface_tension: float = _setting(
        "dynamics",
        values.within(values.number, -1e9, 1e9, "bar nm"),
        0.0,
        "surface tension of a membrane barostat, bar nm",
        "G",
    )
    stop_if_unstable: bool = _setting(
        "dynamics",
        values.boolean,
        True,
        "stop where temperature, energy or distances have become absurd, see md/watch.py",
    )
    committee: tuple[str, ...] = _setting(
        "committee",
        values.texts,
        (),
        "other models, trained alike from other seeds: how far their forces and the model's agree "
        "is written to committee.csv",
        "MODEL",
        "+",
    )
    committee_interval: int = _setting(
        "committee", values.positive_count, 50, "steps between comparisons of all models", "N"
    )
    committee_save_above: float | None = _setting(
        "committee",
        values.within(values.positive, 1e-9, 1e9, "eV/Å"),
        None,
        "frames where the largest spread of an atom's force is above it go to uncertain.extxyz, to "
        "be labelled and trained on, eV/Å",
        "F",
    )
    committee_stop_above: float | None = _setting(
        "committee",
        values.within(values.positive, 1e-9, 1e9, "eV/Å"),
        None,
        "the run ends where that spread is above it, eV/Å",
        "F",
    )
    seed: int | None = _setting(
        "dynamics",
        values.seed,
        None,
        "seed of all random numbers (default: drawn, and written down)",
        "N",
    )

    output: str = _setting(
        "output", values.text, "", "folder for everything that is written", "FOLDER"
    )
    table_interval: int = _setting(
        "output", values.positive_count, 10, "steps between rows of table.csv", "N"
    )
    trajectory_interval: int = _setting(
        "output", values.positive_count, 10, "steps between frames of the trajectory", "N"
    )
    trajectory_format: str = _setting(
        "output", values.choice(*FORMATS), "dcd", "dcd (float32) or xtc (0.01 Å, smaller)"
    )
    charges_interval: int = _setting(
        "output", values.count, 10, "steps between frames of charges.h5; 0: none", "N"
    )
    restart_interval: int = _setting(
        "output", values.positive_count, 100, "steps between restart files", "N"
    )

    @property
    def n_steps(self) -> int:
        """Steps of the run."""
        if self.steps is not None:
            return self.steps
        return max(1, round((self.time or 0.0) * 1000.0 / self.timestep))

    @property
    def equilibration_steps(self) -> int:
        """Steps of the equilibration."""
        steps = round(self.equilibrate * 1000.0 / self.timestep)
        return max(1, steps) if self.equilibrate > 0 else 0

    @property
    def field_changes(self) -> bool:
        """Whether the field is a function of time."""
        return any(isinstance(value, str) for value in self.field)
