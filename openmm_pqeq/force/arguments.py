"""From OpenMM's arguments to what the package wants: plain numbers in e and V/Å, atomic numbers,
and what a topology says of its atoms.

The laws are those of all doors, see conditions.py; ValueError for what is no topology, field or
index.
"""

from collections.abc import Iterable, Sequence
from numbers import Integral
from typing import Any

import numpy as np
from openmm import app, unit

from openmm_pqeq.force.groups import molecules_among
from openmm_pqeq.potential import Potential
from openmm_pqeq.topology.facts import facts_of
from openmm_pqeq.units import KJ_PER_MOL_NM_PER_EV_PER_ANGSTROM
from openmm_pqeq.wanted import Directions, Known

_FIELD = unit.volt / unit.angstrom
_MOLAR_FIELD = unit.kilojoule_per_mole / unit.nanometer / unit.elementary_charge


def in_e(total_charge: Any) -> Any:
    """A Quantity of charge as a number in e, anything else as it is."""
    if unit.is_quantity(total_charge) and total_charge.unit.is_compatible(unit.elementary_charge):
        return total_charge.value_in_unit(unit.elementary_charge)
    return total_charge


def in_volt_per_angstrom(field: Any) -> Any:
    """A Quantity of three, or three Quantities, as numbers in V/Å; anything else as it is."""
    values = _field_value(field) if unit.is_quantity(field) else field
    if isinstance(values, str) or not isinstance(values, Iterable):
        return values
    return [_field_value(value) if unit.is_quantity(value) else value for value in values]


def _field_value(quantity: unit.Quantity) -> Any:
    """Value in V/Å; per particle or per mole of particles."""
    if quantity.unit.is_compatible(_FIELD):
        return quantity.value_in_unit(_FIELD)
    if quantity.unit.is_compatible(_MOLAR_FIELD):
        molar = np.asarray(quantity.value_in_unit(_MOLAR_FIELD), dtype=float)
        return (molar / KJ_PER_MOL_NM_PER_EV_PER_ANGSTROM).tolist()
    raise ValueError(
        f"field: expected an electric field, got units of {quantity.unit.get_name()}; give numbers "
        "in V/Å, or a Quantity "
        "with units such as unit.volt/unit.nanometer or "
        "unit.kilojoule_per_mole/unit.nanometer/unit.elementary_charge"
    )


def known_of(topology: app.Topology, indices: list[int] | None) -> Known:
    """Facts about the potential's atoms that the topology has (`indices` as from `model_atoms`):
    the box, the file's periodic directions and charge, see `read_structure`, and the molecules."""
    box = topology.getPeriodicBoxVectors()
    cell, pbc = None, (False, False, False)
    if box is not None:
        cell = np.array(box.value_in_unit(unit.angstrom))
        pbc = getattr(topology, "pq_pbc", (True, True, True))
    chosen = list(range(topology.getNumAtoms())) if indices is None else indices
    particles = list(topology.atoms())
    atoms_here = [particles[index] for index in chosen]
    facts = facts_of(topology)
    bonds = facts.like_bonds
    if bonds is not None and max(chosen, default=0) >= bonds.n_atoms:
        bonds = None  # an atom that was added to the topology has no place in the file

    def counted(periodic: Directions) -> list[float]:
        of_all = [] if bonds is None else bonds.counted(periodic)
        return [of_all[index] for index in chosen]

    return Known(
        len(chosen),
        cell,
        pbc,
        facts.total_charge if indices is None else None,
        lambda atoms: molecules_among(topology, chosen, atoms),
        elements=[atom.element.symbol for atom in atoms_here],
        residues=[(atom.residue.name, atom.residue.index) for atom in atoms_here],
        like_bonds=None if bonds is None else counted,
    )


def model_atoms(
    topology: app.Topology, atoms: Sequence[int] | None, potential: Potential
) -> tuple[list[int], list[int] | None]:
    """Atomic numbers of the potential's atoms, and their indices in the topology (None: all
    atoms)."""
    if not isinstance(topology, app.Topology):
        raise ValueError(
            "topology: expected an openmm.app.Topology, such as read_structure(file) returns, got "
            f"{type(topology).__name__}"
        )
    particles = list(topology.atoms())
    if not particles:
        raise ValueError("topology: expected at least one atom, got none")
    indices = None if atoms is None else _indices(atoms, len(particles))
    chosen = particles if indices is None else [particles[index] for index in indices]
    nameless = [atom for atom in chosen if atom.element is None]
    if nameless:
        raise ValueError(
            f"topology: {len(nameless)} particles have no element (virtual sites, for example): "
            f"{names_of(nameless)}. The "
            "potential needs elements: pass atoms=[indices of the atoms it is for], or remove the "
            "particles"
        )
    numbers = [atom.element.atomic_number for atom in chosen]
    potential.check_elements(numbers)
    return numbers, indices


def _indices(atoms: Sequence[int], n_particles: int) -> list[int]:
    if not isinstance(atoms, Iterable) or isinstance(atoms, str):
        raise ValueError(f"atoms: expected indices of atoms in the topology, got {atoms!r}")
    indices = list(atoms)
    wrong = [
        index
        for index in indices
        if isinstance(index, bool | np.bool_) or not isinstance(index, Integral)
    ]
    if wrong:
        raise ValueError(
            f"atoms: expected integer indices, got {wrong[0]!r} (for a mask: "
            "numpy.flatnonzero(mask))"
        )
    if not indices:
        raise ValueError(
            "atoms: expected at least one index, got none (atoms=None means all atoms)"
        )
    outside = [index for index in indices if not 0 <= index < n_particles]
    if outside:
        raise ValueError(f"atoms: expected indices from 0 to {n_particles - 1}, got {outside[:5]}")
    values, counts = np.unique(indices, return_counts=True)
    if counts.max() > 1:
        raise ValueError(
            "atoms: expected each index once, got more than once: "
            f"{values[counts > 1][:5].tolist()}"
        )
    return [int(index) for index in indices]


def names_of(atoms: list[app.topology.Atom]) -> str:
    """The first few atoms, as a message names them."""
    shown = ", ".join(
        f"{atom.index} ({atom.name} of {atom.residue.name} {atom.residue.id})" for atom in atoms[:5]
    )
    return shown + (", ..." if len(atoms) > 5 else "")
