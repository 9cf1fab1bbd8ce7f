"""A structure file as an OpenMM topology and positions.

    file --ASE--> positions, cell (Å) --rotated and reduced, see box.py--> topology, positions (nm)

Vectors of the file (a field, a dipole, directions of the crystal) become vectors of the topology by
v_topology = pq_rotation @ v_file.
"""

import os
from collections.abc import Sequence

import ase
import numpy as np
from openmm import Vec3, app, unit

from openmm_pqeq.jobs import values
from openmm_pqeq.reference_charges.like_bonds import find_like_bonds
from openmm_pqeq.topology.box import reduced_box
from openmm_pqeq.topology.facts import held_otherwise
from openmm_pqeq.topology.file import read_file
from openmm_pqeq.topology.molecules import find_molecules
from openmm_pqeq.topology.residues import repeated_cells, topology_of
from openmm_pqeq.units import ANGSTROM_PER_NM

VACUUM = 20.0
"""Å beyond the atoms: length of a box vector that the file leaves out because its direction is not
periodic."""


def read_structure(
    path: str | os.PathLike[str],
    index: int = -1,
    bonds: bool = False,
    supercell: Sequence[int] = (1, 1, 1),
) -> tuple[app.Topology, unit.Quantity]:
    """Read a structure with ASE and hand it to OpenMM.

    Parameters
    ----------
    path : anything ASE reads (CIF, POSCAR, extxyz, xyz, PDB, ...)
    index : which structure, of a file with several; default: the last
    bonds : find the molecules from the distances between non-metals (see molecules.py). Each
        molecule is then a residue, is made whole across the box, and the atoms are sorted by
        molecules. Barostats, hydrogen masses and constraints need bonds where there are molecules.
        Covalent networks that run through the whole crystal get none: a barostat has to move their
        atoms.
    supercell : how often to repeat the file's cell along each of its three vectors

    Returns
    -------
    topology : it has a box if any direction is periodic. Without `bonds` every
        repetition of the file's cell is a residue; what needs names of more than four characters,
        which no PDB file holds, is several. What OpenMM has no place for is kept in attributes:

        - `pq_rotation` : (3, 3), a proper rotation, v_topology = pq_rotation @ v_file
        - `pq_pbc` : three booleans, which box vectors are periodic; `create_force` follows them
        - `pq_order` : (n_atoms,), the index of each atom in the file (in its supercell)
        - `pq_facts` : what else the file says, see `StructureFacts`: total charge, fixed atoms,
          isotopes' masses, velocities; `create_force` and `create_system` follow the first three
    positions : Quantity, (n_atoms, 3) nm

    Raises
    ------
    FileNotFoundError
        if there is no such file
    ValueError
        if the file cannot be read, or has no atoms, sites that several elements share, atoms
        without an element, positions that are not finite, a singular cell, a volume that no matter
        has, or constraints other than atoms fixed in place
    """
    name = str(values.path("path", path))
    atoms, facts = read_file(path, index, supercell)
    if held := held_otherwise(atoms):
        raise ValueError(
            f"{name}: expected atoms that are fixed in all three directions or in none, got "
            f"{held}; OpenMM holds particles wholly or not at all. Fix these atoms, or free them, "
            "in the file"
        )
    pbc = np.array(atoms.pbc, dtype=bool)
    rotation, box = np.eye(3), np.zeros((3, 3))
    if pbc.any():
        try:
            box, rotation = reduced_box(_completed(atoms), pbc)
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from None
    positions = atoms.positions @ rotation.T
    if values.boolean("bonds", bonds):
        molecules, positions = find_molecules(positions, atoms.numbers, box, pbc)
    else:
        molecules = repeated_cells(len(atoms), int(np.prod(supercell)))
    order = np.concatenate(molecules.members)
    topology = topology_of(atoms.get_chemical_symbols(), molecules)
    if pbc.any():
        topology.setPeriodicBoxVectors(
            [Vec3(*row) for row in (box / ANGSTROM_PER_NM).tolist()] * unit.nanometer
        )
    topology.pq_rotation = rotation
    topology.pq_pbc = tuple(pbc.tolist())
    topology.pq_order = order
    places, anywhere = positions[order], [bool(pbc.any())] * 3  # who asks says what is periodic
    bonds_to_like = find_like_bonds(atoms.numbers[order], places, box, anywhere)
    topology.pq_facts = facts.arranged(order, rotation)._replace(like_bonds=bonds_to_like)
    return topology, unit.Quantity(places / ANGSTROM_PER_NM, unit.nanometer)


def _completed(atoms: ase.Atoms) -> np.ndarray:
    """Cell (3, 3) Å; a direction that is not periodic and has no vector gets one, perpendicular and
    longer than the structure."""
    cell = atoms.cell.array.copy()
    missing = ~atoms.pbc & (np.linalg.norm(cell, axis=1) < 1e-8)
    full = atoms.cell.complete().array
    for row in np.flatnonzero(missing):
        direction = full[row] / np.linalg.norm(full[row])
        cell[row] = direction * (np.ptp(atoms.positions @ direction) + VACUUM)
    return cell
