"""The parts of an OpenMM System that are not the potential: masses, molecules and constraints.

Atoms that the structure file fixes have no mass: OpenMM's integrators and its minimiser then leave
them where they are.

Molecules. OpenMM's barostats move whole molecules, and two atoms belong to one molecule if some
force or constraint binds them. A learned potential binds nothing in that sense, so the topology's
bonds are listed in a bonded force of zero energy. Without bonds every atom is moved by itself:
right for a crystal, while for stiff molecules nearly every volume change is refused.

Constraint lengths for `app.HBonds` are sums of covalent radii: Cordero et al., Dalton Trans. 2008,
2832, doi:10.1039/b801115j (C-H 1.07, N-H 1.02, O-H 0.97 Å).
"""

from collections.abc import Iterable
from typing import Any

import openmm
from ase.data import covalent_radii
from openmm import app, unit

from openmm_pqeq.topology.facts import facts_of
from openmm_pqeq.units import ANGSTROM_PER_NM


def masses(topology: app.Topology, hydrogen_mass: Any) -> list[float]:
    """Masses in amu, (n_particles,): those of the file's isotopes, else the elements'. Particles
    without an element and atoms that the file fixes have none and do not move.

    With `hydrogen_mass` (amu or a Quantity), hydrogens have that mass, taken from the heavy atoms
    they are bonded to. H2 keeps its mass.
    """
    facts = facts_of(topology)
    result = [
        0.0
        if atom.element is None
        else facts.masses.get(atom.index, atom.element.mass.value_in_unit(unit.dalton))
        for atom in topology.atoms()
    ]
    if hydrogen_mass is not None:
        _move_mass(result, topology, hydrogen_mass)
    for atom in facts.fixed:
        result[atom] = 0.0
    return result


def _move_mass(result: list[float], topology: app.Topology, hydrogen_mass: Any) -> None:
    """Give hydrogens the mass that the atoms bonded to them lose."""
    target = _in_unit("hydrogenMass", hydrogen_mass, unit.dalton)
    hydrogens = {atom.index for atom in topology.atoms() if atom.element is app.element.hydrogen}
    free = hydrogens - {atom.index for bond in topology.bonds() for atom in bond}
    if free:
        raise ValueError(
            f"hydrogenMass: expected bonds for every hydrogen, got {len(free)} without (atom "
            f"{min(free)} is the first). "
            "Give the topology its bonds (read_structure(..., bonds=True), or topology.addBond), "
            "or leave hydrogenMass=None"
        )
    for bond in topology.bonds():
        hydrogen, heavy = (bond[0], bond[1]) if bond[0].index in hydrogens else (bond[1], bond[0])
        if hydrogen.index not in hydrogens or heavy.element in (None, app.element.hydrogen):
            continue
        result[heavy.index] -= target - result[hydrogen.index]
        result[hydrogen.index] = target
        if result[heavy.index] <= 0:
            raise ValueError(
                f"hydrogenMass: {target} amu leaves nothing for {heavy.name} (atom {heavy.index}); "
                "use less"
            )


def keep_facts(system: openmm.System, topology: app.Topology) -> None:
    """Masses of the file's isotopes and fixed atoms in a System that somebody else has made; masses
    that are not the elements' own stay."""
    facts, atoms = facts_of(topology), list(topology.atoms())
    for atom, mass in facts.masses.items():
        if atoms[atom].element.mass == system.getParticleMass(atom):
            system.setParticleMass(atom, mass)
    for atom in facts.fixed:
        system.setParticleMass(atom, 0.0)


def molecules_force(topology: app.Topology) -> openmm.HarmonicBondForce:
    """The topology's bonds with zero energy, so that OpenMM knows the molecules."""
    force = openmm.HarmonicBondForce()
    force.setName("molecules (zero energy)")
    for bond in topology.bonds():
        force.addBond(bond[0].index, bond[1].index, 0.0, 0.0)
    return force


def constraint_list(topology: app.Topology, constraints: Any) -> list[tuple[int, int, float]]:
    """Constraints as (i, j, nm), from None, `app.HBonds`, or a list of (i, j, distance); distances
    are Quantities or nm.

    `app.AllBonds` and `app.HAngles` are refused: sums of covalent radii are not good enough for
    them. Between two atoms that the file fixes there is nothing to constrain, and one between a
    fixed atom and another is refused: OpenMM has none.
    """
    fixed, result = set(facts_of(topology).fixed), []
    for i, j, length in _constraints(topology, constraints):
        if (i in fixed) != (j in fixed):
            raise ValueError(
                f"constraints: the structure file fixes one of the atoms {i} and {j} and not the "
                "other, and OpenMM has no constraint between them; free or fix both in the file, "
                "or leave this constraint away"
            )
        if i not in fixed:
            result.append((i, j, length))
    return result


def _constraints(topology: app.Topology, constraints: Any) -> list[tuple[int, int, float]]:
    """Constraints as (i, j, nm), whatever the file says of their atoms."""
    if constraints is None:
        return []
    if constraints is app.HBonds:
        return _bonds_to_hydrogen(topology)
    if (
        constraints in (app.AllBonds, app.HAngles)
        or isinstance(constraints, str)
        or not isinstance(constraints, Iterable)
    ):
        raise ValueError(
            "constraints: expected None, app.HBonds or a list of (i, j, distance), got "
            f"{constraints}; this potential has no table "
            "of bond lengths, so other constraints need their distances"
        )
    n_atoms = topology.getNumAtoms()
    result = []
    for constraint in constraints:
        if not isinstance(constraint, Iterable) or len(constraint := tuple(constraint)) != 3:
            raise ValueError(f"constraints: expected (i, j, distance), got {constraint!r}")
        i, j, length = (
            int(constraint[0]),
            int(constraint[1]),
            _in_unit("constraints", constraint[2], unit.nanometer),
        )
        if i == j or not (0 <= i < n_atoms and 0 <= j < n_atoms):
            raise ValueError(
                f"constraints: expected two different indices from 0 to {n_atoms - 1}, got {i} and "
                f"{j}"
            )
        result.append((i, j, length))
    return result


def _bonds_to_hydrogen(topology: app.Topology) -> list[tuple[int, int, float]]:
    hydrogen = app.element.hydrogen
    if topology.getNumBonds() == 0 and any(atom.element is hydrogen for atom in topology.atoms()):
        raise ValueError(
            "constraints: app.HBonds needs bonds, got a topology without any; read_structure(..., "
            "bonds=True), or topology.addBond"
        )
    result = []
    for one, two in topology.bonds():
        if hydrogen in (one.element, two.element) and None not in (one.element, two.element):
            radii = (
                covalent_radii[one.element.atomic_number]
                + covalent_radii[two.element.atomic_number]
            )
            result.append((one.index, two.index, float(radii) / ANGSTROM_PER_NM))
    return result


def _in_unit(name: str, value: Any, expected: unit.Unit) -> float:
    """A positive number in the unit, from a number or a Quantity."""
    try:
        number = float(value.value_in_unit(expected) if unit.is_quantity(value) else value)
    except (TypeError, ValueError, OverflowError):
        raise ValueError(
            f"{name}: expected a number in {expected.get_name()} or a Quantity, got {value!r}"
        ) from None
    if not 0 < number < float("inf"):
        raise ValueError(
            f"{name}: expected a positive number in {expected.get_name()}, got {value!r}"
        )
    return number
