"""What a door hands over: the conditions that somebody wants, and what is known of the atoms; and the
reading of single ones. e, V, V/Å, Å; all raise ValueError that names the argument.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from typing import Any, NamedTuple

import numpy as np

from openmm_pqeq.jobs.values import is_finite

Vector = tuple[float, float, float]
Directions = tuple[bool, bool, bool]

STRONGEST_FIELD = 1e3
"""V/Å, of a component; atoms are torn apart long before."""
LARGEST_CHARGE = 1e6
"""e, in all."""


class Wanted(NamedTuple):
    """Conditions as somebody asked for them.

    total_charge : e; None: what the structure says, or 0
    field : (3,) V/Å; None: no field
    coupling : how charges that flow freely see the field, "shell", "full" or "fragment"; None:
        "shell", and the one that charges by bonds have
    fragments : for "fragment": lists of atoms whose charge stays what it is; None: the molecules. Of
        charges by bonds: metals that float; None: there are none
    fragment_charges : e, one for each fragment, or for molecules a mapping from their names, such
        as {"NA": 1, "CL": -1}, with zero for the others; None: neutral
    electrodes : (atoms, voltage in V) of each
    periodic : three booleans; None: as the structure has them
    reference_charges : e, of charges by bonds: by element or residue, one for each atom, or
        "oxidation" (reference_charges/given.py); None: the potential's own, or else oxidation states, where
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
    like_bonds : for each atom the orders of its bonds to its own element, added up, where somebody asks
        and says which directions are periodic (reference_charges/like_bonds.py); None where no
        positions are known
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
    like_bonds: Callable[[Directions], Sequence[float]] | None = None


def plain(value: Any) -> Any:
    """Tuples for whatever holds several things, so that two of them can be compared."""
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, str) or not isinstance(value, Sequence | Set | Iterator | np.ndarray):
        return value
    return tuple(plain(item) for item in value)


def tolerance_of(tolerance: Any) -> float | None:
    """A positive number, or None for the potential's own tolerance."""
    if tolerance is None:
        return None
    if not is_finite(tolerance) or tolerance <= 0:
        raise ValueError(
            f"tolerance: expected a positive number (eV/e and eV/Å) or None, got {tolerance!r}"
        )
    return float(tolerance)


def charge_of(total_charge: Any) -> float:
    """A finite total charge, e."""
    if not is_finite(total_charge) or abs(total_charge) > LARGEST_CHARGE:
        raise ValueError(
            f"total_charge: expected a finite number in e, up to {LARGEST_CHARGE:g}, got "
            f"{total_charge!r}"
        )
    return float(total_charge)


def field_of(field: Any) -> Vector:
    """Three finite components, V/Å."""
    if isinstance(field, str) or not isinstance(field, Iterable):
        raise ValueError(f"field: expected three components (x, y, z) in V/Å, got {field!r}")
    components = list(field)
    if len(components) != 3 or not all(map(is_finite, components)):
        raise ValueError(f"field: expected three finite numbers (x, y, z) in V/Å, got {field!r}")
    if any(abs(component) > STRONGEST_FIELD for component in components):
        raise ValueError(f"field: expected components up to {STRONGEST_FIELD:g} V/Å, got {field!r}")
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
