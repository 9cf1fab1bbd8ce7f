"""What a structure file says beyond elements, positions and cell, on its way to every door.

    file --ASE, file.py--> Atoms, StructureFacts --read.py--> topology.pq_facts --> doors

Total charge in e, masses in amu, velocities in nm/ps. Nothing here needs OpenMM.
"""

from collections import Counter
from collections.abc import Mapping
from typing import Any, NamedTuple

import ase
import numpy as np
from ase.constraints import FixAtoms
from ase.data import atomic_masses
from ase.units import fs

from openmm_pqeq.jobs.values import is_finite
from openmm_pqeq.reference_charges.like_bonds import LikeBonds

CHARGE_KEYS = ("charge", "total_charge")
"""Names under which files and ASE's `atoms.info` give the total charge."""

SAME_MASS = 1e-4
"""Relative; nearer to an element's standard mass than this is the standard mass, rounded. Of the
isotopes only those that are nearly all of their element are as near, such as V-51 and U-238."""


class StructureFacts(NamedTuple):
    """Facts of one structure, in the order and the orientation of its atoms.

    total_charge : e, or None where the file says nothing
    fixed : atoms that the file holds in place, ascending
    masses : amu by atom, where the file's isotopes differ from the element's standard mass
    velocities : (n_atoms, 3) nm/ps, or None where the file has none
    like_bonds : bonds of atoms to their own element (reference_charges/like_bonds.py), of a topology;
        None: not known
    notes : a sentence for each thing that was taken from the file, or left out of it
    """

    total_charge: float | None = None
    fixed: tuple[int, ...] = ()
    masses: Mapping[int, float] = {}
    velocities: np.ndarray | None = None
    notes: tuple[str, ...] = ()
    like_bonds: LikeBonds | None = None

    def arranged(self, order: np.ndarray, rotation: np.ndarray) -> "StructureFacts":
        """Facts of the atoms in another order (the old index of each) and orientation,
        v_new = rotation @ v."""
        place = {int(old): new for new, old in enumerate(order)}
        turned = None if self.velocities is None else self.velocities[order] @ rotation.T
        return self._replace(
            fixed=tuple(sorted(place[atom] for atom in self.fixed)),
            masses={place[atom]: mass for atom, mass in self.masses.items()},
            velocities=turned,
        )


def facts_of(topology: Any) -> StructureFacts:
    """The facts of a topology's file; none for a topology from elsewhere."""
    facts = getattr(topology, "pq_facts", None)
    return facts if isinstance(facts, StructureFacts) else StructureFacts()


def facts_in(atoms: ase.Atoms) -> StructureFacts:
    """Facts that ASE's atoms have: charge in `info`, constraints, masses and momenta.

    Raises ValueError for a charge, a mass or velocities that are none.
    """
    charge, fixed, masses = charge_in(atoms.info), fixed_atoms(atoms), _isotopes(atoms)
    velocities = _velocities(atoms)
    notes = []
    if charge is not None:
        notes.append(f"total charge {charge:g} e")
    if fixed:
        notes.append(f"{len(fixed)} of {len(atoms)} atoms fixed in place")
    if held := held_otherwise(atoms):
        notes.append(f"constraints that only ASE keeps: {held}")
    if masses:
        kinds = Counter(f"{atoms.symbols[atom]} of {mass:g} amu" for atom, mass in masses.items())
        listed = [f"{count} {kind}" for kind, count in kinds.most_common(5)]
        notes.append(f"masses: {', '.join(listed)}{', ...' if len(kinds) > 5 else ''}")
    if velocities.any():
        notes.append("velocities, with which a run begins where velocities = file")
    return StructureFacts(
        charge,
        fixed,
        masses,
        velocities * fs * 100.0 if velocities.any() else None,  # Å/fs are 100 nm/ps
        tuple(notes),
    )


def charge_in(info: Mapping[str, Any]) -> float | None:
    """Total charge (e) that ASE's `atoms.info` gives, None without one; ValueError for something
    else than one finite number."""
    given = {key: info[key] for key in CHARGE_KEYS if key in info}
    for key, value in given.items():
        if not is_finite(value):
            raise ValueError(
                f'atoms.info["{key}"]: expected the total charge in e, a finite number, got '
                f"{value!r}"
            )
    charges = {float(value) for value in given.values()}
    if len(charges) > 1:
        raise ValueError(f"atoms.info: expected one total charge, got {given}; remove one of them")
    return charges.pop() if charges else None


def fixed_atoms(atoms: ase.Atoms) -> tuple[int, ...]:
    """Atoms that constraints hold in all three directions, ascending."""
    held = np.zeros(len(atoms), dtype=bool)
    for constraint in atoms.constraints:
        if _holds_wholly(constraint):
            held[constraint.index] = True
    return tuple(int(atom) for atom in np.flatnonzero(held))


def held_otherwise(atoms: ase.Atoms) -> str:
    """Constraints that are not atoms fixed in all directions, in words; empty without any."""
    kinds = Counter(
        type(constraint).__name__
        for constraint in atoms.constraints
        if not _holds_wholly(constraint)
    )
    return ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items()))


def _holds_wholly(constraint: Any) -> bool:
    """Whether it is FixAtoms, or a FixScaled or FixCartesian of all three directions."""
    mask = getattr(constraint, "mask", None)
    return isinstance(constraint, FixAtoms) or (
        type(constraint).__name__ in ("FixScaled", "FixCartesian") and bool(np.all(mask))
    )


def _velocities(atoms: ase.Atoms) -> np.ndarray:
    """In ASE's units, (n_atoms, 3); empty without any. ValueError where they are none."""
    if not atoms.has("momenta"):
        return np.zeros(0)
    momenta = np.asarray(atoms.arrays["momenta"])
    if momenta.shape != (len(atoms), 3) or not np.isfinite(momenta).all():
        raise ValueError(
            f"velocities: expected three finite numbers for each of {len(atoms)} atoms, got "
            + ("NaN or infinity" if momenta.shape == (len(atoms), 3) else f"shape {momenta.shape}")
            + "; correct them, or leave momenta and velocities out of the file"
        )
    return atoms.get_velocities()


def _isotopes(atoms: ase.Atoms) -> dict[int, float]:
    """Masses (amu) that are not the elements' own."""
    if not atoms.has("masses"):
        return {}
    given, standard = atoms.get_masses(), atomic_masses[atoms.numbers]
    wrong = np.flatnonzero(~(np.isfinite(given) & (given > 0)))
    if len(wrong):
        raise ValueError(
            f"masses: expected positive numbers in amu, got {given[wrong[0]]} for atom {wrong[0]}; "
            "correct them, or leave masses out of the file"
        )
    differ = np.flatnonzero(np.abs(given - standard) > SAME_MASS * standard)
    return {int(atom): float(given[atom]) for atom in differ}
