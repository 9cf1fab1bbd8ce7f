"""A structure file as an OpenMM topology and positions.

    file --ASE--> positions, cell (Å) --rotated and reduced, see box.py--> topology, positions (nm)

Vectors of the file (a field, a dipole, directions of the crystal) become vectors of the topology by
v_topology = pq_rotation @ v_file.
"""

import os
from collections import Counter
from collections.abc import Sequence
from numbers import Integral

import ase
import ase.io
import numpy as np
from openmm import Vec3, app, unit

from openmm_pqeq.topology.box import reduced_box
from openmm_pqeq.topology.molecules import Molecules, find_molecules
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
    topology : one chain; it has a box if any direction is periodic. What OpenMM has no place for is
        kept in attributes:

        - `pq_rotation` : (3, 3), a proper rotation, v_topology = pq_rotation @ v_file
        - `pq_pbc` : three booleans, which box vectors are periodic; `create_force` follows them
        - `pq_order` : (n_atoms,), the index of each atom in the file (in its supercell)
    positions : Quantity, (n_atoms, 3) nm

    Raises
    ------
    FileNotFoundError
        if there is no such file
    ValueError
        if the file cannot be read, or has no atoms, sites that several elements share, atoms
        without an element, positions that are not finite, or a singular cell
    """
    name = os.fspath(path)
    atoms = read_atoms(path, index, supercell)
    pbc = np.array(atoms.pbc, dtype=bool)
    rotation, box = np.eye(3), np.zeros((3, 3))
    if pbc.any():
        try:
            box, rotation = reduced_box(_completed(atoms), pbc)
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from None
    positions = atoms.positions @ rotation.T
    molecules = Molecules([np.arange(len(atoms))], ["STR"], [])
    if bonds:
        molecules, positions = find_molecules(positions, atoms.numbers, box, pbc)
    order = np.concatenate(molecules.members)
    topology = _topology(atoms.get_chemical_symbols(), molecules)
    if pbc.any():
        topology.setPeriodicBoxVectors(
            [Vec3(*row) for row in (box / ANGSTROM_PER_NM).tolist()] * unit.nanometer
        )
    topology.pq_rotation = rotation
    topology.pq_pbc = tuple(pbc.tolist())
    topology.pq_order = order
    return topology, unit.Quantity(positions[order] / ANGSTROM_PER_NM, unit.nanometer)


def read_atoms(
    path: str | os.PathLike[str], index: int = -1, supercell: Sequence[int] = (1, 1, 1)
) -> ase.Atoms:
    """The structure as ASE has it, with the checks of `read_structure` and its errors."""
    name = os.fspath(path)
    atoms = _read(name, index)
    _check(atoms, name)
    return _repeated(atoms, supercell)


def _read(name: str, index: int) -> ase.Atoms:
    if isinstance(index, bool) or not isinstance(index, Integral):
        raise ValueError(
            f"index: expected an integer, the number of one structure in the file, got {index!r}"
        )
    if not os.path.exists(name):
        raise FileNotFoundError(f"{name}: there is no such structure file")
    if os.path.isdir(name):
        raise ValueError(f"{name}: expected a structure file, got a directory")
    try:
        return ase.io.read(name, index=int(index), do_not_split_by_at_sign=True)
    except Exception as error:  # ASE's readers raise anything at all
        reason = str(error).strip() or type(error).__name__
        raise ValueError(
            f"{name}: ASE cannot read structure {index} of this file ({reason}). Expected a format "
            "that ASE knows "
            "(https://ase-lib.org/ase/io/io.html) with an ending that tells which, such as .cif, "
            ".extxyz, .vasp or .pdb"
        ) from error


def _check(atoms: ase.Atoms, name: str) -> None:
    if len(atoms) == 0:
        raise ValueError(f"{name}: expected a structure with atoms, got none")
    shared = {
        site: species
        for site, species in atoms.info.get("occupancy", {}).items()
        if list(species.values()) != [1.0]
    }
    if shared:
        sites = [
            " + ".join(f"{part:g} {symbol}" for symbol, part in species.items())
            for species in shared.values()
        ]
        raise ValueError(
            f"{name}: expected every site fully occupied by one element, got "
            f"{'; '.join(sites[:5])}. "
            "Choose one ordered arrangement, in a supercell if need be, and write that to a file"
        )
    unknown = np.flatnonzero(atoms.numbers == 0)
    if len(unknown):
        raise ValueError(
            f"{name}: expected an element for every atom, got {len(unknown)} without (atom "
            f"{unknown[0]} is the first)"
        )
    if not np.isfinite(atoms.positions).all() or not np.isfinite(atoms.cell.array).all():
        raise ValueError(f"{name}: expected finite positions and cell vectors, got NaN or infinity")


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


def _topology(symbols: list[str], molecules: Molecules) -> app.Topology:
    """One chain, a residue for each molecule; atoms are named O1, O2, ... within a residue, or O
    where there is only one."""
    topology = app.Topology()
    chain = topology.addChain()
    atoms: dict[int, app.topology.Atom] = {}
    for members, name in zip(molecules.members, molecules.names):
        residue = topology.addResidue(name, chain)
        total, count = Counter(symbols[i] for i in members), Counter[str]()
        for i in members:
            symbol = symbols[i]
            count[symbol] += 1
            label = symbol if total[symbol] == 1 else f"{symbol}{count[symbol]}"
            atoms[int(i)] = topology.addAtom(label, app.Element.getBySymbol(symbol), residue)
    for i, j in molecules.bonds:
        topology.addBond(atoms[i], atoms[j])
    return topology


def _repeated(atoms: ase.Atoms, supercell: Sequence[int]) -> ase.Atoms:
    """The structure repeated along its cell vectors."""
    n = tuple(int(value) for value in supercell)
    if len(n) != 3 or min(n) < 1:
        raise ValueError(
            f"supercell: expected three whole numbers above zero, got {tuple(supercell)}"
        )
    missing = [axis for axis in range(3) if n[axis] > 1 and not atoms.cell[axis].any()]
    if missing:
        raise ValueError(
            f"supercell: the file has no cell vector along direction {missing[0] + 1}, so it "
            f"cannot be repeated, got {n}"
        )
    return atoms.repeat(n)
