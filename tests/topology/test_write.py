"""What is written for other programs has all atoms when they read it."""

import ase
import ase.build
import ase.io
import mdtraj
import numpy as np
import pytest
from openmm import app, unit

from openmm_pqeq.topology.read import read_structure
from openmm_pqeq.topology.residues import LONGEST_NAME
from openmm_pqeq.topology.write import write_topology

PEROVSKITE = ase.Atoms(
    "O3TiBa",
    scaled_positions=[[0.5, 0, 0.5], [0.5, 0.5, 0], [0, 0.5, 0.5], [0.5, 0.5, 0.5], [0, 0, 0]],
    cell=[4, 4, 4.1],
    pbc=True,
)


def written(tmp_path, atoms, **options):
    ase.io.write(tmp_path / "structure.traj", atoms)
    topology, positions = read_structure(tmp_path / "structure.traj", **options)
    write_topology(topology, positions, tmp_path / "topology.pdb")
    return topology, positions


def check_reread(tmp_path, topology, positions, names=("topology.pdb", "topology.cif")):
    """Atoms, elements, residues, bonds and positions are those that were written."""
    symbols = [atom.element.symbol for atom in topology.atoms()]
    for name in names:
        kind = app.PDBFile if name.endswith("pdb") else app.PDBxFile
        again = kind(str(tmp_path / name))
        assert [atom.element.symbol for atom in again.topology.atoms()] == symbols
        assert again.topology.getNumResidues() == topology.getNumResidues()
        assert again.topology.getNumBonds() == topology.getNumBonds()
        difference = again.getPositions(asNumpy=True) - positions
        assert np.abs(difference.value_in_unit(unit.angstrom)).max() < 1e-3
        other = mdtraj.load(str(tmp_path / name))
        assert [atom.element.symbol for atom in other.topology.atoms] == symbols
        assert other.topology.n_residues == topology.getNumResidues()


@pytest.mark.parametrize("supercell", [(1, 1, 1), (5, 5, 5)])
def test_crystals_are_read_again_whole(tmp_path, supercell):
    topology, positions = written(tmp_path, PEROVSKITE, supercell=supercell)
    cells = int(np.prod(supercell))
    assert topology.getNumResidues() == cells
    assert topology.getNumAtoms() == 5 * cells
    assert [atom.name for atom in topology.atoms()][:5] == ["O1", "O2", "O3", "Ti", "Ba"]
    check_reread(tmp_path, topology, positions)


def test_a_large_cell_is_several_residues(tmp_path):
    topology, positions = written(tmp_path, PEROVSKITE.repeat(5))
    names = [[atom.name for atom in residue.atoms()] for residue in topology.residues()]
    assert len(names) == 2  # Ti99 is the last with four characters
    for within in names:
        assert len(set(within)) == len(within)
        assert max(map(len, within)) <= LONGEST_NAME
    assert (topology.pq_order == np.arange(625)).all()
    check_reread(tmp_path, topology, positions)


def test_molecules_and_networks(tmp_path):
    water = ase.build.molecule("H2O", cell=[3.1, 3.1, 3.1], pbc=True).repeat(4)
    topology, positions = written(tmp_path, water, bonds=True)
    assert {residue.name for residue in topology.residues()} == {"HOH"}
    check_reread(tmp_path, topology, positions)
    topology, positions = written(tmp_path, ase.build.bulk("C", cubic=True).repeat(6), bonds=True)
    assert [residue.name for residue in topology.residues()] == ["NET", "NET"]
    check_reread(tmp_path, topology, positions)


def test_more_residues_and_atoms_than_the_columns_have_digits(tmp_path):
    salt = ase.build.bulk("NaCl", "rocksalt", a=5.64, cubic=True)
    topology, positions = written(tmp_path, salt, supercell=(24, 24, 22))
    assert (topology.getNumAtoms(), topology.getNumResidues()) == (101376, 12672)
    assert topology.getNumChains() == 2
    check_reread(tmp_path, topology, positions, names=["topology.pdb"])


def test_no_pdb_where_coordinates_outgrow_its_columns(tmp_path):
    written(tmp_path, ase.Atoms("H2", positions=[[0, 0, 0], [2e4, 0, 0]]))
    assert not (tmp_path / "topology.pdb").exists()
    again = app.PDBxFile(str(tmp_path / "topology.cif"))
    assert again.getPositions(asNumpy=True)[1, 0] == 2000.0 * unit.nanometer
