"""ASE's atoms for a potential: what they say of themselves, and what is wrong with them.

Å and e. Molecules are found in the positions at hand, whatever came before; bonds that say reference
charges, in the first structure of a course.
"""

from typing import Any, NamedTuple

import numpy as np
import torch
from ase import Atoms
from ase.geometry import find_mic

from openmm_pqeq.conditions import Conditions
from openmm_pqeq.reference_charges.like_bonds import like_bonds
from openmm_pqeq.structure import FARTHEST, Structure, structure_of
from openmm_pqeq.topology.molecules import find_molecules
from openmm_pqeq.topology.sites import refuse_singular
from openmm_pqeq.wanted import Known, Molecule

STEP = 0.5
"""Å that an atom may go at most, along each axis, from one structure of a course to the next."""


class Course(NamedTuple):
    """Structures of the same atoms, each near the one before, as dynamics and relaxations make them;
    the first and the last."""

    first: Atoms
    last: Atoms


def followed(course: Course | None, atoms: Atoms) -> Course:
    """The course with these atoms as its last, or one that they begin; the atoms must stay as they
    are."""
    if course is None or not _follows(course.last, atoms):
        return Course(atoms, atoms)
    return Course(course.first, atoms)


def _follows(before: Atoms, atoms: Atoms) -> bool:
    """Whether no atom, or its nearest image, has gone far, in a cell that may have changed with the
    atoms in it."""
    if not np.array_equal(before.numbers, atoms.numbers) or (before.pbc != atoms.pbc).any():
        return False
    carried = before.copy()
    carried.set_cell(atoms.cell, scale_atoms=bool(atoms.pbc.any()))
    moved, _ = find_mic(atoms.positions - carried.positions, atoms.cell, atoms.pbc)
    return bool((np.abs(moved) < STEP).all())


def known_of(
    atoms: Atoms,
    total_charge: float | None,
    charges_wanted: bool = True,
    first: Atoms | None = None,
) -> Known:
    """What is known of these atoms; `total_charge` (e) is what they say, where that is asked; `first`
    of their course, if they are not."""
    bonded = atoms if first is None else first

    def molecules(free: list[int]) -> list[Molecule]:
        cell, pbc = atoms.cell.array, atoms.pbc
        found, _ = find_molecules(atoms.positions[free], atoms.numbers[free], cell, pbc)
        return [
            Molecule(name, [free[int(k)] for k in members])
            for name, members in zip(found.names, found.members)
        ]

    x, y, z = atoms.pbc.tolist()
    return Known(
        len(atoms),
        atoms.cell.array,
        (x, y, z),
        total_charge,
        molecules,
        elements=atoms.get_chemical_symbols(),
        charges_wanted=charges_wanted,
        like_bonds=lambda periodic: like_bonds(
            bonded.numbers, bonded.positions, bonded.cell.array, periodic
        ),
    )


def structure_under(
    atoms: Atoms, conditions: Conditions, dtype: torch.dtype, device: torch.device
) -> Structure:
    """The atoms as the potential takes them."""
    options: dict[str, Any] = {"dtype": dtype, "device": device}
    periodic, reference = any(conditions.periodic), conditions.reference_charges
    return structure_of(
        torch.tensor(atoms.positions, **options),
        torch.tensor(atoms.numbers),
        torch.tensor(atoms.cell.array, **options) if periodic else None,
        torch.tensor(conditions.periodic) if periodic else None,
        total_charge=conditions.total_charge,
        field=torch.tensor(conditions.field, **options),
        reference_charges=None if reference is None else torch.tensor(reference, **options),
    )


def check_atoms(atoms: Atoms) -> None:
    """ValueError for no atoms, positions or cell that are no numbers, and cell vectors that span
    nothing."""
    if len(atoms) == 0:
        raise ValueError("atoms: expected at least one atom, got none")
    if bad := np.flatnonzero(~np.isfinite(atoms.positions).all(axis=1)).tolist():
        raise ValueError(
            f"atoms.positions: expected finite numbers (Å), got NaN or infinity for atoms {bad[:5]}"
        )
    if bad := np.flatnonzero((np.abs(atoms.positions) > FARTHEST).any(axis=1)).tolist():
        raise ValueError(
            f"atoms.positions: expected coordinates up to {FARTHEST:g} Å, beyond which digits are "
            f"missing, got larger ones for atoms {bad[:5]}; wrap them into the cell before they grow"
        )
    periodic = atoms.cell.array[atoms.pbc]
    if not np.isfinite(periodic).all():
        raise ValueError(
            f"atoms.cell: expected finite numbers (Å), got {atoms.cell.array.tolist()}"
        )
    refuse_singular(atoms)
