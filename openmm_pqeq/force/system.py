"""The parts of an OpenMM System that are not the potential: masses, molecules, constraints, and a
word about barostats.

Molecules. OpenMM's barostats move whole molecules, and two atoms belong to one molecule if some
force or constraint binds them. A learned potential binds nothing in that sense, so the topology's
bonds are listed in a bonded force of zero energy. Without bonds every atom is moved by itself:
right for a crystal, while for stiff molecules nearly every volume change is refused.

Constraint lengths for `app.HBonds` are sums of covalent radii: Cordero et al., Dalton Trans. 2008,
2832, doi:10.1039/b801115j (C-H 1.07, N-H 1.02, O-H 0.97 Å).
"""

import warnings
from collections.abc import Iterable
from typing import Any

import openmm
from ase.data import covalent_radii
from openmm import app, unit

from openmm_pqeq.units import ANGSTROM_PER_NM

BAROSTATS = (openmm.MonteCarloBarostat, openmm.MonteCarloAnisotropicBarostat, openmm.MonteCarloFlexibleBarostat,
             openmm.MonteCarloMembraneBarostat)  # fmt: skip
NONMETALS = frozenset({"H", "C", "N", "O", "F", "P", "S", "Cl", "Br", "I"})


class PQEqSystem(openmm.System):
    """An openmm.System that knows its topology and warns when a barostat is added to molecules
    without bonds.

    Copies, and systems read from XML, are plain openmm.System objects.
    """

    topology: app.Topology | None = None

    def addForce(self, force: openmm.Force) -> int:
        """Add a force, see openmm.System.addForce."""
        index = super().addForce(force)
        if self.topology is not None and isinstance(force, BAROSTATS):
            warn_about_barostat(self, self.topology)
        return index

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle as a plain System."""
        return openmm.XmlSerializer.deserialize, (openmm.XmlSerializer.serialize(self),)


def warn_about_barostat(system: openmm.System, topology: app.Topology) -> None:
    """Warn if a barostat of the system will move atoms where it should move molecules.

    That is if the topology has no bonds and its elements are those of molecules: H beside C, N or
    O, or non-metals alone.
    """
    if not any(isinstance(force, BAROSTATS) for force in system.getForces()):
        return
    if topology.getNumBonds() == 0 and looks_molecular(topology):
        warnings.warn(
            "The topology has no bonds, so the barostat moves every atom by itself. That is right "
            "for a crystal of atoms or ions; "
            "with molecules it would refuse nearly every volume change. Give the topology its "
            "bonds before create_system: "
            "read_structure(..., bonds=True), or topology.addBond.",
            stacklevel=3,
        )


def looks_molecular(topology: app.Topology) -> bool:
    """Whether the elements are those of molecules: H beside C, N or O, or non-metals alone, pure
    carbon and phosphorus excepted."""
    elements = {atom.element.symbol for atom in topology.atoms() if atom.element is not None}
    return ("H" in elements and bool(elements & {"C", "N", "O"})) or (
        elements <= NONMETALS and not elements <= {"C", "P"}
    )


def masses(topology: app.Topology, hydrogen_mass: Any) -> list[float]:
    """Masses in amu, (n_particles,); particles without an element have none and do not move.

    With `hydrogen_mass` (amu or a Quantity), hydrogens have that mass, taken from the heavy atoms
    they are bonded to. H2 keeps its mass.
    """
    result = [
        0.0 if atom.element is None else atom.element.mass.value_in_unit(unit.dalton)
        for atom in topology.atoms()
    ]
    if hydrogen_mass is None:
        return result
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
    return result


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
    them.
    """
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
    except TypeError:
        raise ValueError(
            f"{name}: expected a number in {expected.get_name()} or a Quantity, got {value!r}"
        ) from None
    if not 0 < number < float("inf"):
        raise ValueError(
            f"{name}: expected a positive number in {expected.get_name()}, got {value!r}"
        )
    return number
