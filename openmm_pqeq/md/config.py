"""A whole run described in one place: the settings, their units and defaults, and what they may be.

`RunConfig` is the description. The flags of `openmm-pqeq run` and the keys of its TOML file are
made from it, so both always offer the same. A TOML file is flat; relative paths in it count from
the file's folder.
"""

import dataclasses
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from openmm_pqeq.md import groupings, values
from openmm_pqeq.potential import PRECISIONS
from openmm_pqeq.pqeq import COUPLINGS
from openmm_pqeq.versions import BACKENDS


def _setting(
    section: str,
    parse: Callable[[str, Any], Any],
    default: Any,
    help: str,
    metavar: str = "",
    nargs: int | str | None = None,
) -> Any:
    metadata = {
        "section": section,
        "parse": parse,
        "help": help,
        "metavar": metavar,
        "nargs": nargs,
    }
    return dataclasses.field(default=default, metadata=metadata)


ENSEMBLES = ("NVE", "NVT", "NPT")
THERMOSTATS = ("langevin", "nose-hoover")
BAROSTATS = ("isotropic", "anisotropic", "flexible", "membrane")
FORMATS = ("dcd", "xtc")


@dataclass(frozen=True)
class RunConfig:
    """Settings of a run; made by `run_config`, which checks them."""

    structure: str = _setting(
        "structure", values.text, "", "structure file, anything ASE reads", "FILE"
    )
    supercell: tuple[int, int, int] = _setting(
        "structure", values.counts, (1, 1, 1), "repeat the cell along its three vectors", "N", 3
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
        "structure", values.number, None, "total charge, e (default: the file's, or 0)", "Q"
    )

    model: str = _setting(
        "potential",
        values.text,
        "",
        "name of a model (see openmm-pqeq models) or path to a .pt file",
        "MODEL",
    )
    protocol: str | None = _setting(
        "potential", values.text, None, "protocol of the charges (default: the model's)", "NAME"
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
        "from distances)",
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
    tolerance: float | None = _setting(
        "potential",
        values.positive,
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
        "potential", values.positive_count, None, "CPU threads (default: all)", "N"
    )

    field: tuple[float | str, float | str, float | str] = _setting(
        "field", values.field, (0.0, 0.0, 0.0), 'electric field, V/Å: numbers or expressions of t '
                                                '(ps), say "0.02*sin(2*pi*t/10)"',
        "F", 3,
    )  # fmt: skip
    field_interval: int = _setting(
        "field", values.positive_count, 1, "steps between updates of a field that changes", "N"
    )

    ensemble: str = _setting("dynamics", values.choice(*ENSEMBLES), "NVT", "NVE, NVT or NPT")
    temperature: float = _setting("dynamics", values.not_negative, 300.0, "temperature, K", "T")
    timestep: float = _setting("dynamics", values.femtoseconds, 1.0, "time step, fs", "DT")
    steps: int | None = _setting(
        "dynamics", values.positive_count, None, "number of steps (or give --time)", "N"
    )
    time: float | None = _setting(
        "dynamics",
        values.picoseconds,
        None,
        "length of the run, such as 1ps (or give --steps)",
        "TIME",
    )
    minimize: bool = _setting("dynamics", values.boolean, False, "minimise the energy first")
    equilibrate: float = _setting(
        "dynamics", values.picoseconds_or_zero, 0.0, "length of an equilibration before the run, "
                                                     "such as 0.5ps; it writes nothing",
        "TIME",
    )  # fmt: skip
    thermostat: str = _setting(
        "dynamics", values.choice(*THERMOSTATS), "langevin", "thermostat of NVT and NPT"
    )
    friction: float = _setting(
        "dynamics",
        values.positive,
        1.0,
        "friction or collision rate of the thermostat, 1/ps",
        "RATE",
    )
    pressure: float = _setting(
        "dynamics", values.pressure, 1.0, "pressure of NPT, bar, or with a unit such as 1GPa", "P"
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
        "dynamics", values.number, 0.0, "surface tension of a membrane barostat, bar nm", "G"
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
        return round(self.equilibrate * 1000.0 / self.timestep)

    @property
    def field_changes(self) -> bool:
        """Whether the field is a function of time."""
        return any(isinstance(value, str) for value in self.field)


SETTINGS = {setting.name: setting for setting in dataclasses.fields(RunConfig)}


def run_config(settings: Mapping[str, Any]) -> RunConfig:
    """Settings as text (flags) or typed (TOML) as a description that has been checked; ValueError
    names what is wrong."""
    unknown = [name for name in settings if name not in SETTINGS]
    if unknown:
        raise ValueError(
            f"{unknown[0]}: not a setting of a run; the settings are {', '.join(SETTINGS)}"
        )
    parsed = {
        name: parsed_setting(name, value) for name, value in settings.items() if value is not None
    }
    config = RunConfig(**parsed)
    for name, example in (("structure", "BaTiO3.cif"), ("model", "batio3"), ("output", "out")):
        if not getattr(config, name):
            raise ValueError(
                f"{name}: missing; expected something like {example!r} as a flag or in the TOML "
                "file"
            )
    if config.steps is not None and config.time is not None:
        raise ValueError(
            f"time: give either steps or time, got steps = {config.steps} and time = "
            f"{config.time:g} ps"
        )
    if config.steps is None and config.time is None:
        raise ValueError(
            "time: missing; give the length of the run, such as time = '1ps' or steps = 1000"
        )
    if config.ensemble == "NPT" and config.barostat == "anisotropic" and not any(config.scale_axes):
        raise ValueError(
            "scale_axes: an anisotropic barostat needs at least one axis to scale, got none"
        )
    if config.ensemble != "NVE" and config.temperature == 0:
        raise ValueError(f"temperature: {config.ensemble} needs a positive temperature in K, got 0")
    return config


def parsed_setting(name: str, value: Any) -> Any:
    """One setting, from text or typed, as `RunConfig` has it."""
    if isinstance(value, str):
        value = value.strip()
    elif isinstance(value, (list, tuple)):
        value = [item.strip() if isinstance(item, str) else item for item in value]
    return SETTINGS[name].metadata["parse"](name, value)


def read_toml(path: Path) -> dict[str, Any]:
    """The settings of a TOML file, as written there, with paths relative to the file's folder."""
    if not path.is_file():
        raise FileNotFoundError(f"input: there is no file {path}")
    try:
        settings = tomllib.loads(path.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"{path}: not a TOML file ({error})") from None
    for name in ("structure", "output", "model"):
        value = settings.get(name)
        is_path = name != "model" or (isinstance(value, str) and value.endswith(".pt"))
        if isinstance(value, str) and value and is_path:
            settings[name] = str(path.parent / value)
    return settings


def write_toml(config: RunConfig) -> str:
    """The description as TOML, with the meaning of every key."""
    lines = [
        "# A run of openmm-pqeq; repeat it with: openmm-pqeq run THIS_FILE --output NEW_FOLDER"
    ]
    section = ""
    for name, setting in SETTINGS.items():
        value = getattr(config, name)
        if setting.metadata["section"] != section:
            section = setting.metadata["section"]
            lines += ["", f"# {section}"]
        help = setting.metadata["help"]
        lines.append(
            f"# {name} =    # {help}"
            if value is None
            else f"{name} = {_toml(name, value)}    # {help}"
        )
    return "\n".join(lines) + "\n"


def _toml(name: str, value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, tuple):
        return "[" + ", ".join(_toml(name, item) for item in value) + "]"
    if name in ("time", "equilibrate"):
        return f'"{value!r} ps"'
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return repr(value)
