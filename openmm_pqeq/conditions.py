"""What a potential's atoms are under: total charge, field, coupling, fragments, electrodes and
periodic directions.

    Wanted (as somebody asked)  --settled with what is Known of the atoms-->  Conditions

Every door makes a `Wanted`: create_force and create_system, PQEqCalculator, openmm-ml, `run` and
`energy`. It converts units, says what it knows of the atoms, and leaves the laws to `checked` and
`settled`, so that each refusal has one reason and the same words everywhere. e, V, V/Å, Å; all
raise ValueError that names the argument.
"""

import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from typing import Any, NamedTuple

import numpy as np
import torch

from openmm_pqeq.formal_charges import reference_charges_of
from openmm_pqeq.jobs.values import is_finite
from openmm_pqeq.potential import Potential
from openmm_pqeq.pqeq import (
    BONDS,
    COUPLINGS,
    FieldEnergy,
    Groups,
    along_periodic,
    electrodes_of,
    fragments_of,
    groups_of,
    has_meaning_along_periods,
)
from openmm_pqeq.slabs import warn_of_free_flow

Vector = tuple[float, float, float]
Directions = tuple[bool, bool, bool]

MANY_FOR_EWALD = 300
"""Atoms. `pme` takes half as long as `ewald` at 135 atoms and a fiftieth at 1,080
(docs/performance.md)."""

FREE = "shell"
"""The coupling of charges that flow freely, where none is asked for."""


class Wanted(NamedTuple):
    """Conditions as somebody asked for them.

    total_charge : e; None: what the structure says, or 0
    field : (3,) V/Å; None: no field
    coupling : how charges that flow freely see the field, "shell", "full" or "fragment"; None:
        "shell", and the one that charges by bonds have
    fragments : for "fragment": lists of atoms whose charge stays what it is; None: the molecules
    fragment_charges : e, one for each fragment, or for molecules a mapping from their names, such
        as {"NA": 1, "CL": -1}, with zero for the others; None: neutral
    electrodes : (atoms, voltage in V) of each
    periodic : three booleans; None: as the structure has them
    reference_charges : e, of charges by bonds: by element or residue, one for each atom, or
        "oxidation" (formal_charges.py); None: the potential's own, or else oxidation states, where
        charges are solved for
    """

    total_charge: float | None = None
    field: Sequence[float] | None = None
    coupling: str | None = None
    fragments: Sequence[Sequence[int]] | None = None
    fragment_charges: Sequence[float] | Mapping[str, float] | None = None
    electrodes: Sequence[tuple[Sequence[int], float]] | None = None
    periodic: Sequence[bool] | None = None
    reference_charges: Mapping[str, float] | Sequence[float] | str | None = None


class Molecule(NamedTuple):
    """Its residue's name, and its atoms."""

    name: str
    atoms: list[int]


class Known(NamedTuple):
    """Facts about the potential's atoms, as a door has them.

    n_atoms : how many
    cell : (3, 3) Å, rows, or None where the structure has none
    periodic : which rows are periodic, unless somebody wants it otherwise
    total_charge : e, what the structure says of itself, or None
    molecules : the molecules that the given atoms make among themselves
    elements : symbols of the atoms
    residues : name and number of each atom's residue; none where there are no residues
    charges_wanted : whether charges are solved for even where the energy needs none
    """

    n_atoms: int
    cell: np.ndarray | None
    periodic: Directions
    total_charge: float | None
    molecules: Callable[[list[int]], list[Molecule]]
    elements: Sequence[str] = ()
    residues: Sequence[tuple[str, int]] = ()
    charges_wanted: bool = False


class Conditions(NamedTuple):
    """Conditions of one structure, checked.

    total_charge : e
    field : (3,) V/Å
    coupling : "shell", "full" or "fragment"
    groups : atoms that share their charge; None: all do
    periodic : which lattice vectors are periodic
    reference_charges : e, one for each atom, of charges by bonds; None: charges flow freely, or
        nothing is solved and none could be guessed
    """

    total_charge: float
    field: Vector
    coupling: str
    groups: Groups | None
    periodic: Directions
    reference_charges: tuple[float, ...] | None = None


def checked(wanted: Wanted, potential: Potential) -> Wanted:
    """`Wanted` in plain numbers and tuples, field and coupling filled in; refused is what cannot be
    whatever the atoms are."""
    wanted = wanted._replace(
        fragments=_plain(wanted.fragments),
        fragment_charges=_plain(wanted.fragment_charges),
        electrodes=_plain(wanted.electrodes),
        reference_charges=_plain(wanted.reference_charges),
    )
    charge = None if wanted.total_charge is None else _charge(wanted.total_charge)
    field = _field((0.0, 0.0, 0.0) if wanted.field is None else wanted.field)
    if by_bonds(potential):
        _refuse_with_bonds(wanted)
        return wanted._replace(total_charge=charge, field=field)
    coupling = one_of("coupling", FREE if wanted.coupling is None else wanted.coupling, COUPLINGS)
    if potential.pqeq is None:
        _refuse_without_charges(wanted._replace(total_charge=charge, field=field))
    elif wanted.reference_charges is not None:
        raise ValueError(
            "reference_charges: the charges of this potential flow freely and start from none, got "
            f"{wanted.reference_charges!r}; leave them out, or build it with charge_flow='bonds'"
        )
    if coupling != "fragment":
        for name in ("fragments", "fragment_charges"):
            if (value := getattr(wanted, name)) is not None:
                raise ValueError(
                    f'{name}: expected None with coupling="{coupling}", got {value!r}; '
                    'coupling="fragment" takes them'
                )
    return wanted._replace(total_charge=charge, field=field, coupling=coupling)


def settled(wanted: Wanted, potential: Potential, known: Known) -> Conditions:
    """The conditions of the atoms at hand."""
    wanted = checked(wanted, potential)
    periodic, field = directions_of(wanted.periodic, known), _field(wanted.field)
    coupling = BONDS if wanted.coupling is None else wanted.coupling
    if potential.pqeq is None:
        return Conditions(0.0, field, coupling, None, periodic)
    potential.pqeq.check_periodicity(torch.tensor(periodic))
    if not has_meaning_along_periods(coupling):
        _refuse_field_along_periodic(coupling, field, known.cell, periodic)
    warn_of_free_flow(coupling, field, known.cell, periodic)
    _warn_of_quadratic_sums(potential, periodic, known.n_atoms)
    said = known.total_charge if wanted.total_charge is None else wanted.total_charge
    charge = 0.0 if said is None else float(said)
    reference: tuple[float, ...] | None = None
    if coupling == BONDS:
        reference = _reference_charges(wanted, potential, known, charge)
        _refuse_field_along_metal(wanted, field, known.cell, periodic)
    if charge and potential.gnn is not None and isinstance(potential.pqeq, FieldEnergy):
        warnings.warn(
            f"total_charge: the network of this potential knows none; {charge:g} e changes the "
            "charges and the answer to a field, and not the energy without one",
            stacklevel=2,
        )
    groups = _groups(wanted, known, charge)
    return Conditions(charge, field, coupling, groups, periodic, reference)


def by_bonds(potential: Potential) -> bool:
    """Whether a potential has charges that flow along bonds, from reference charges."""
    return potential.pqeq is not None and potential.pqeq.charge_flow == "bonds"


def needs_reference_charges(potential: Potential) -> bool:
    """Whether its energy without a field and voltages needs them."""
    return by_bonds(potential) and not isinstance(potential.pqeq, FieldEnergy)


def own_reference_charges(potential: Potential) -> dict[str, float]:
    """Those that a potential with charges by bonds was made with, e by element; empty where it
    leaves them to each structure."""
    return dict(potential.config.get("pqeq", {}).get("reference_charges") or {})


def _refuse_with_bonds(wanted: Wanted) -> None:
    if wanted.coupling is not None:
        raise ValueError(
            "coupling: charges by bonds see the field in one way of their own, got "
            f"{wanted.coupling!r}; leave it out"
        )
    for name in ("fragments", "fragment_charges"):
        if (value := getattr(wanted, name)) is not None:
            raise ValueError(
                f"{name}: charges by bonds keep the charge of what is not bonded by themselves, got "
                f"{value!r}; leave it out, and give reference_charges"
            )


def _reference_charges(
    wanted: Wanted, potential: Potential, known: Known, total_charge: float
) -> tuple[float, ...] | None:
    """Of every atom, zero in electrodes, which take what is left of the total charge."""
    held = {atom for atoms, _ in electrodes_of(wanted.electrodes, known.n_atoms) for atom in atoms}
    rest = [atom for atom in range(known.n_atoms) if atom not in held]
    given, own = wanted.reference_charges, own_reference_charges(potential)
    if held and given is not None and not isinstance(given, Mapping | str):
        given = [charge for atom, charge in enumerate(given) if atom not in held]
    elements = [known.elements[atom] for atom in rest]
    residues = [known.residues[atom] for atom in rest] if known.residues else []
    at_rest = isinstance(potential.pqeq, FieldEnergy) and not (any(wanted.field or ()) or held)
    try:
        found = reference_charges_of(given, elements, residues, None if held else total_charge, own)
    except ValueError:
        if given is None and at_rest and not known.charges_wanted:
            return None
        raise
    charges = dict(zip(rest, found))
    return tuple(charges.get(atom, 0.0) for atom in range(known.n_atoms))


def _refuse_field_along_metal(
    wanted: Wanted, field: Vector, cell: np.ndarray | None, periodic: Directions
) -> None:
    """Where electrons of the electrodes would flow along the field for ever."""
    if not wanted.electrodes or cell is None or not any(periodic):
        return
    vectors = torch.tensor(cell, dtype=torch.float64)
    if along_periodic(torch.tensor(field, dtype=torch.float64), vectors, torch.tensor(periodic)):
        raise ValueError(
            "field: electrodes share their charge through the source that holds their voltages, and a "
            f"field along a periodic direction would drive it round for ever; got field={field} with "
            f"periodic={periodic}. Set that component to zero, or say which directions are periodic"
        )


def _warn_of_quadratic_sums(potential: Potential, periodic: Directions, n_atoms: int) -> None:
    """Where charges of many atoms would be solved by a sum over all waves for every atom."""
    quadratic = potential.pqeq is not None and potential.pqeq.protocol == "ewald" and any(periodic)
    if quadratic and n_atoms > MANY_FOR_EWALD:
        warnings.warn(
            f"protocol 'ewald' takes time with the square of the number of atoms, here {n_atoms}; "
            "'pme' gives the same charges and forces to the tolerance and is faster from a "
            "hundred atoms on: load(..., protocol='pme'), or --protocol pme",
            stacklevel=2,
        )


def _plain(value: Any) -> Any:
    """Tuples for whatever holds several things, so that two of them can be compared."""
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, str) or not isinstance(value, Sequence | Set | Iterator | np.ndarray):
        return value
    return tuple(_plain(item) for item in value)


def one_of(name: str, value: str, choices: Sequence[str]) -> str:
    """`value`, if it is one of `choices`."""
    if not isinstance(value, str) or value not in choices:
        raise ValueError(f"{name}: expected one of {', '.join(map(repr, choices))}, got {value!r}")
    return value


def tolerance_of(tolerance: Any) -> float | None:
    """A positive number, or None for the potential's own tolerance."""
    if tolerance is None:
        return None
    if not is_finite(tolerance) or tolerance <= 0:
        raise ValueError(
            f"tolerance: expected a positive number (eV/e and eV/Å) or None, got {tolerance!r}"
        )
    return float(tolerance)


def _charge(total_charge: Any) -> float:
    if not is_finite(total_charge):
        raise ValueError(f"total_charge: expected a finite number in e, got {total_charge!r}")
    return float(total_charge)


def _field(field: Any) -> Vector:
    if isinstance(field, str) or not isinstance(field, Iterable):
        raise ValueError(f"field: expected three components (x, y, z) in V/Å, got {field!r}")
    components = list(field)
    if len(components) != 3 or not all(map(is_finite, components)):
        raise ValueError(f"field: expected three finite numbers (x, y, z) in V/Å, got {field!r}")
    return float(components[0]), float(components[1]), float(components[2])


def directions_of(wanted: Any, known: Known) -> Directions:
    """Periodic directions: three booleans that somebody wants, else the structure's own."""
    if wanted is None:
        return known.periodic
    given = tuple(wanted) if isinstance(wanted, Iterable) else ()
    if len(given) != 3 or not all(isinstance(value, bool | np.bool_) for value in given):
        raise ValueError(
            f"periodic: expected three booleans, one for each box vector, got {wanted!r}"
        )
    if any(given) and known.cell is None:
        raise ValueError(
            "periodic: the structure has no box, so no direction can be periodic, got "
            f"{wanted!r}; give it its box vectors, or leave periodic=None"
        )
    return bool(given[0]), bool(given[1]), bool(given[2])


def _refuse_without_charges(wanted: Wanted) -> None:
    """Without PQEq nothing answers to what is about charges."""
    names = ("total_charge", "field", "fragments", "fragment_charges", "electrodes")
    for name in (*names, "reference_charges"):
        value = getattr(wanted, name)
        unasked = value is None or (name in ("total_charge", "field") and not np.any(value))
        if not unasked:
            raise ValueError(
                f"{name}: this potential has no charges (no PQEq term) that could answer to "
                f"{value!r}; leave it out"
            )


def _refuse_field_along_periodic(
    coupling: str, field: Vector, cell: np.ndarray | None, periodic: Directions
) -> None:
    """Charge would flow along a periodic direction for ever."""
    if cell is None or not any(periodic):
        return
    vectors = torch.tensor(cell, dtype=torch.float64)
    if along_periodic(torch.tensor(field, dtype=torch.float64), vectors, torch.tensor(periodic)):
        raise ValueError(
            f'field: coupling="{coupling}" moves charge along the field, which has no meaning along '
            f"a periodic direction; got field={field} with periodic={periodic}. Use "
            'coupling="shell", a field along a direction that is not periodic, or say which '
            "directions are periodic"
        )


def _groups(wanted: Wanted, known: Known, total_charge: float) -> Groups | None:
    """Fragments and electrodes; molecules are those of the atoms that no electrode holds."""
    if wanted.coupling != "fragment" and not wanted.electrodes:
        return None
    plates = electrodes_of(wanted.electrodes, known.n_atoms)
    if wanted.coupling is None:  # charges by bonds
        held = {atom for atoms, _ in plates for atom in atoms}
        others = [atom for atom in range(known.n_atoms) if atom not in held]
        return groups_of(known.n_atoms, [others] if others else None, None, plates, total_charge)
    fragments, charges = fragments_of(wanted.fragments), wanted.fragment_charges
    if wanted.coupling == "fragment" and wanted.fragments is None:
        held = {atom for atoms, _ in plates for atom in atoms}
        molecules = known.molecules([atom for atom in range(known.n_atoms) if atom not in held])
        fragments = [molecule.atoms for molecule in molecules]
        charges = _charges_of_molecules(molecules, charges)
    elif isinstance(charges, Mapping):
        raise ValueError(
            "fragment_charges: with explicit fragments, expected a list with one charge for each, "
            "got a mapping"
        )
    return groups_of(known.n_atoms, fragments, charges, plates or None, total_charge)


def _charges_of_molecules(molecules: list[Molecule], charges: Any) -> Any:
    """One charge for each molecule: a list as it is, or by names. A lone atom is an ion whose
    charge nobody has said, unless somebody has."""
    if charges is not None and not isinstance(charges, Mapping):
        return charges
    if charges is None:
        lone = Counter(molecule.name for molecule in molecules if len(molecule.atoms) == 1)
        if lone:
            raise ValueError(
                f"fragment_charges: {sum(lone.values())} atoms are bonded to nothing and would be "
                "neutral fragments of their own: "
                f"{', '.join(f'{count} of {name}' for name, count in lone.items())}. Give their "
                "charges by residue, such as {'NA': 1, 'CL': -1} (--fragment-charges NA=1 CL=-1), "
                "or {} for zero; a molecule needs bonds, or atoms that are close enough"
            )
        return None
    names = [molecule.name for molecule in molecules]
    if unknown := sorted(set(charges) - set(names)):
        raise ValueError(
            f"fragment_charges: no fragment is of a residue {unknown[0]!r}; there are "
            f"{', '.join(sorted(set(names)))}"
        )
    return [charges.get(name, 0.0) for name in names]
