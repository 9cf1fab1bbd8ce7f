"""A structure that is read is the same crystal: same lattice, same distances, turned by a proper
rotation."""

import ase
import ase.build
import ase.io
import mdtraj
import numpy as np
import openmm
import pytest
from openmm import app, unit

from openmm_pqeq.ase_atoms import check_atoms
from openmm_pqeq.topology.box import reduced_box
from openmm_pqeq.topology.read import read_structure

LENGTH = 1e-6  # Å; extxyz keeps 8 digits


def read(tmp_path, atoms, **options):
    """Topology, positions (Å) and box (Å) of a structure that goes through a file."""
    atoms = atoms.copy()
    atoms.info = {}
    ase.io.write(tmp_path / "structure.extxyz", atoms)
    topology, positions = read_structure(tmp_path / "structure.extxyz", **options)
    vectors = topology.getPeriodicBoxVectors()
    box = None if vectors is None else np.array(vectors.value_in_unit(unit.angstrom))
    return topology, positions.value_in_unit(unit.angstrom), box


def random_cell(seed):
    return np.random.default_rng(seed).normal(size=(3, 3)) * 5


# Laws


@pytest.mark.parametrize("seed", range(12))
def test_any_cell_becomes_a_box_of_the_same_lattice(tmp_path, seed):
    cell = random_cell(seed)  # half of them are left-handed
    fractions = np.random.default_rng(seed).random((3, 3))
    atoms = ase.Atoms("NaClO", scaled_positions=fractions, cell=cell, pbc=True)
    topology, positions, box = read(tmp_path, atoms)
    rotation = topology.pq_rotation
    assert np.abs(rotation @ rotation.T - np.eye(3)).max() < 1e-12
    assert np.linalg.det(rotation) > 0
    assert np.abs(positions - atoms.positions @ rotation.T).max() < LENGTH
    combination = box @ np.linalg.inv(cell @ rotation.T)
    assert np.abs(combination - np.round(combination)).max() < LENGTH
    assert abs(abs(np.linalg.det(combination)) - 1) < LENGTH
    openmm.System().setDefaultPeriodicBoxVectors(
        *topology.getPeriodicBoxVectors()
    )  # raises for a box that is not reduced


def test_a_reduced_box_stays_as_it_is():
    cell = np.array([[5.0, 0, 0], [1.2, 6, 0], [-2.0, 2.9, 7]])
    box, rotation = reduced_box(cell, np.array([True, True, True]))
    assert np.abs(box - cell).max() < 1e-14
    assert np.abs(rotation - np.eye(3)).max() < 1e-14


def test_a_vector_reversed_by_handedness_leaves_the_axes_alone():
    box, rotation = reduced_box(np.diag([4.0, 5.0, -6.0]), np.array([True, True, True]))
    assert np.abs(box - np.diag([4.0, 5.0, 6.0])).max() < 1e-14
    assert np.abs(rotation - np.eye(3)).max() < 1e-14


def test_a_hexagonal_cell_is_exactly_within_openmms_bounds(tmp_path):
    topology, _, box = read(tmp_path, ase.build.bulk("Mg"))
    assert 2 * abs(box[1, 0]) <= box[0, 0]
    openmm.System().setDefaultPeriodicBoxVectors(*topology.getPeriodicBoxVectors())


def test_a_cell_that_rounding_would_push_out_of_bounds():
    # the quotient 2.5 + ε is rounded to 2.5 and the remainder is more than half the edge; OpenMM
    # compares without a tolerance
    for edge in np.linspace(2, 9, 50):
        cell = np.array([[edge, 0, 0], [np.nextafter(2.5 * edge, 99), 5, 0], [0, 0, 5]])
        box, _ = reduced_box(cell, np.array([True, True, True]))
        assert 2 * abs(box[1, 0]) <= box[0, 0]


# Periodicity


def test_a_molecule_has_no_box(tmp_path):
    topology, positions, box = read(tmp_path, ase.build.molecule("C6H6"))
    assert box is None
    assert topology.pq_pbc == (False, False, False)
    assert [atom.element.symbol for atom in topology.atoms()] == ["C"] * 6 + ["H"] * 6
    assert np.abs(positions - ase.build.molecule("C6H6").positions).max() < LENGTH


def test_a_slab_gets_a_box_and_remembers_its_directions(tmp_path):
    slab = ase.build.fcc111("Al", (2, 2, 3))
    assert np.abs(slab.cell[2]).max() == 0
    topology, positions, box = read(tmp_path, slab)
    assert topology.pq_pbc == (True, True, False)
    assert box[2, 2] > np.ptp(positions[:, 2]) + 10  # Å


def test_a_periodic_vector_after_one_that_is_not_is_refused_where_they_would_mix(tmp_path):
    slanted = np.array([[4.0, 0, 0], [3.0, 5, 0], [0, 0, 6]])
    with pytest.raises(ValueError, match="list the periodic vectors first"):
        read(tmp_path, ase.Atoms("Na", cell=slanted, pbc=(False, True, True)))
    assert read(tmp_path, ase.Atoms("Na", cell=slanted, pbc=(True, True, False)))[2] is not None


# Molecules


def scrambled_ice(seed=0):
    """27 water molecules of a made-up crystal, atoms in no order and wrapped into the cell."""
    water = ase.build.molecule("H2O", cell=[3.1, 3.1, 3.1], pbc=True).repeat(3)
    water = water[np.random.default_rng(seed).permutation(len(water))]
    water.wrap()
    return water


def test_molecules_are_residues_and_whole(tmp_path):
    water = scrambled_ice()
    topology, positions, box = read(tmp_path, water, bonds=True)
    assert [residue.name for residue in topology.residues()] == ["HOH"] * 27
    assert topology.getNumBonds() == 54
    lengths = [np.linalg.norm(positions[i.index] - positions[j.index]) for i, j in topology.bonds()]
    assert max(lengths) < 1.0  # Å: no bond runs across the box
    images = (positions - water.positions[topology.pq_order]) @ np.linalg.inv(box)
    assert np.abs(images - np.round(images)).max() < LENGTH
    symbols = [water.symbols[i] for i in topology.pq_order]
    assert [atom.element.symbol for atom in topology.atoms()] == symbols
    assert [atom.index for atom in topology.atoms()] == list(range(81))


def test_without_bonds_the_order_is_the_files(tmp_path):
    topology, _, _ = read(tmp_path, scrambled_ice())
    assert topology.getNumResidues() == 1
    assert topology.getNumBonds() == 0
    assert (topology.pq_order == np.arange(81)).all()


def test_covalent_networks_and_salts_have_no_bonds(tmp_path):
    assert read(tmp_path, ase.build.bulk("C", cubic=True), bonds=True)[0].getNumBonds() == 0
    salt = read(tmp_path, ase.build.bulk("NaCl", "rocksalt", a=5.64), bonds=True)[0]
    assert salt.getNumBonds() == 0
    assert sorted(residue.name for residue in salt.residues()) == ["CL", "NA"]


def test_hydrogen_molecules_are_bonded_and_hydrogen_bonds_are_not(tmp_path):
    assert read(tmp_path, ase.build.molecule("H2"), bonds=True)[0].getNumBonds() == 1
    dimer = ase.build.molecule("H2O") + ase.Atoms(
        "OH2", positions=[[0, 0, 2.97], [0, 0.76, 3.56], [0, -0.76, 3.56]]
    )
    assert read(tmp_path, dimer, bonds=True)[0].getNumResidues() == 2


def test_pdb_and_mdtraj_take_the_topology(tmp_path):
    topology, positions, _ = read(tmp_path, scrambled_ice(), bonds=True)
    with open(tmp_path / "water.pdb", "w") as file:
        app.PDBFile.writeFile(topology, positions * unit.angstrom, file)
    assert app.PDBFile(str(tmp_path / "water.pdb")).topology.getNumBonds() == 54
    assert mdtraj.Topology.from_openmm(topology).n_bonds == 54
    assert mdtraj.load(str(tmp_path / "water.pdb")).topology.select("water").size == 81


# Doors


def test_the_last_structure_is_the_default(tmp_path):
    frames = [ase.Atoms("Na", positions=[[0, 0, z]]) for z in (1.0, 2.0, 3.0)]
    ase.io.write(tmp_path / "frames.xyz", frames)
    assert read_structure(tmp_path / "frames.xyz")[1][0, 2] == 0.3 * unit.nanometer
    assert read_structure(tmp_path / "frames.xyz", index=0)[1][0, 2] == 0.1 * unit.nanometer
    with pytest.raises(ValueError, match=r"has no structure 7"):
        read_structure(tmp_path / "frames.xyz", index=7)
    with pytest.raises(ValueError, match="index: expected an integer"):
        read_structure(tmp_path / "frames.xyz", index=":")


def test_files_that_are_not_structures(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"missing\.cif: there is no such structure file"):
        read_structure(tmp_path / "missing.cif")
    with pytest.raises(ValueError, match="got a directory"):
        read_structure(tmp_path)
    (tmp_path / "notes.cif").write_text("not a crystal")
    with pytest.raises(ValueError, match=r"notes\.cif: ASE cannot read"):
        read_structure(tmp_path / "notes.cif")
    (tmp_path / "data.unknown").write_text("1 2 3")
    with pytest.raises(ValueError, match=r"data\.unknown: ASE cannot read"):
        read_structure(tmp_path / "data.unknown")


def test_structures_that_cannot_be_simulated(tmp_path):
    (tmp_path / "empty.xyz").write_text("0\n\n")
    with pytest.raises(ValueError, match="atoms"):
        read_structure(tmp_path / "empty.xyz")
    (tmp_path / "nan.xyz").write_text("1\n\nNa nan 0 0\n")
    with pytest.raises(ValueError, match="finite"):
        read_structure(tmp_path / "nan.xyz")
    with pytest.raises(ValueError, match="element for every atom"):
        read(tmp_path, ase.Atoms("NaX", positions=[[0, 0, 0], [2, 0, 0]]))
    with pytest.raises(ValueError, match="singular"):
        read(tmp_path, ase.Atoms("Na", cell=[[4, 0, 0], [0, 4, 0], [4, 4, 0]], pbc=True))


CIF = """data_shared
_cell_length_a 5.64
_cell_length_b 5.64
_cell_length_c 5.64
_cell_angle_alpha 90
_cell_angle_beta 90
_cell_angle_gamma 90
_symmetry_space_group_name_H-M 'F m -3 m'
_symmetry_Int_Tables_number 225
loop_
_atom_site_label
_atom_site_type_symbol
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
_atom_site_occupancy
Na1 Na 0 0 0 {sodium}
{second}
Cl1 Cl 0.5 0.5 0.5 1.0
"""


def test_shared_and_partly_empty_sites_are_refused(tmp_path):
    (tmp_path / "shared.cif").write_text(CIF.format(sodium=0.7, second="K1 K 0 0 0 0.3"))
    with pytest.raises(ValueError, match=r"0\.7 Na \+ 0\.3 K"):
        read_structure(tmp_path / "shared.cif")
    (tmp_path / "vacant.cif").write_text(CIF.format(sodium=0.7, second="").replace("\n\n", "\n"))
    with pytest.raises(ValueError, match=r"0\.7 Na"):
        read_structure(tmp_path / "vacant.cif")
    (tmp_path / "whole.cif").write_text(CIF.format(sodium=1.0, second="").replace("\n\n", "\n"))
    assert read_structure(tmp_path / "whole.cif")[0].getNumAtoms() == 8


@pytest.mark.parametrize(
    ("molecule", "name"),
    [
        ("H2O", "HOH"),
        ("OH", "OH"),
        ("NH3", "NH3"),
        ("CO2", "CO2"),
        ("CH4", "CH4"),
        ("HCl", "HCL"),
        ("NO", "NO"),
        ("CO", "M01"),  # reads as cobalt
        ("HF", "M01"),  # as hafnium
        ("C2H6", "M01"),  # longer than a PDB file's column
    ],
)
def test_molecules_have_the_names_of_their_formulae(tmp_path, molecule, name):
    ase.build.molecule(molecule).write(tmp_path / "molecule.xyz")
    topology, _ = read_structure(tmp_path / "molecule.xyz", bonds=True)
    assert [residue.name for residue in topology.residues()] == [name]


def test_molecules_without_a_short_formula_are_numbered(tmp_path):
    atoms = ase.build.molecule("C2H6")
    for number, other in enumerate(("CH4", "C2H4", "C2H6"), 1):
        moved = ase.build.molecule(other)
        moved.translate([0, 0, 8 * number])
        atoms += moved
    atoms.write(tmp_path / "four.xyz")
    topology, _ = read_structure(tmp_path / "four.xyz", bonds=True)
    assert [residue.name for residue in topology.residues()] == ["M01", "CH4", "M02", "M01"]


def test_coordinates_without_digits_are_refused(tmp_path):
    """At 1e12 Å a coordinate is known to 1e-4 Å, and an atom there does not move as it should."""
    atoms = ase.Atoms("NaCl", [[0, 0, 0], [0, 0, 1e12]], cell=[5, 5, 5], pbc=True)
    with pytest.raises(ValueError, match=r"coordinates up to 1e\+08 Å.*got 1e\+12 Å; wrap"):
        read(tmp_path, atoms)
    with pytest.raises(ValueError, match=r"coordinates up to 1e\+08 Å.*for atoms \[1\]"):
        check_atoms(atoms)
