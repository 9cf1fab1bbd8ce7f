"""A structure at rest with a model: the settings that `energy`, `relax` and analyses of crystals
share, those of a run that mean something without motion."""

import dataclasses
from typing import Any

from openmm_pqeq.jobs import values
from openmm_pqeq.jobs.settings import setting
from openmm_pqeq.md import groupings
from openmm_pqeq.md.config import SETTINGS
from openmm_pqeq.wanted import STRONGEST_FIELD


def of_run(name: str, default: Any = dataclasses.MISSING) -> Any:
    """A setting as a run has it, with another default where one is given."""
    one = SETTINGS[name]
    default = one.default if default is dataclasses.MISSING else default
    return dataclasses.field(default=default, metadata=one.metadata)


def constant_field(name: str, value: Any) -> tuple[float, float, float]:
    """Three numbers, V/Å."""
    limits = (-STRONGEST_FIELD, STRONGEST_FIELD, "V/Å")
    parts = values.three(name, value, "components in V/Å such as 0 0 0.01")
    x, y, z = (values.within(values.number, *limits)(name, part) for part in parts)
    return x, y, z


@dataclasses.dataclass(frozen=True)
class AtRest:
    """Model and conditions."""

    model: str = dataclasses.field(metadata=SETTINGS["model"].metadata)
    protocol: str | None = of_run("protocol")
    supercell: tuple[int, int, int] = of_run("supercell")
    total_charge: float | None = of_run("total_charge")
    field: tuple[float, float, float] = setting(
        "potential", constant_field, (0.0, 0.0, 0.0), "electric field, V/Å", "F", 3
    )
    coupling: str | None = of_run("coupling")
    fragments: tuple[str, ...] | None = of_run("fragments")
    fragment_charges: tuple[str, ...] | None = of_run("fragment_charges")
    electrodes: tuple[str, ...] | None = of_run("electrodes")
    reference_charges: tuple[str, ...] | None = of_run("reference_charges")
    tolerance: float = of_run("tolerance", 1e-8)


def atoms_at_rest(structure: str, settings: AtRest, index: int = -1) -> tuple[Any, tuple[str, ...]]:
    """ASE's atoms with the model as their calculator, and notes on what else the file says.

    index : which structure of a file with several
    """
    from openmm_pqeq import checkpoint
    from openmm_pqeq.calculator import PQEqCalculator
    from openmm_pqeq.topology.file import read_file

    checkpoint.refuse_unknown({"model": settings.model})
    atoms, facts = read_file(structure, index, settings.supercell)
    groups = groupings.meaning(
        settings.fragments,
        settings.fragment_charges,
        settings.electrodes,
        settings.reference_charges,
    )
    atoms.calc = PQEqCalculator(
        checkpoint.load(settings.model, protocol=settings.protocol),
        total_charge=settings.total_charge,
        field=settings.field,
        coupling=settings.coupling,
        tolerance=settings.tolerance,
        **groups._asdict(),
    )
    return atoms, facts.notes
