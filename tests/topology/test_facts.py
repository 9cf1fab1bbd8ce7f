"""What a structure file says beyond positions and cell is kept, or the file is refused; nothing is
dropped without a word."""

import ase
import ase.build
import ase.io
import pytest
from ase.constraints import FixAtoms, FixCartesian
from openmm import app
from structure_files import CELL, CIF, ION, ONE, POSCAR, WATER_PDB, facts, of_two, written

from openmm_pqeq.topology.facts import StructureFacts, charge_in, facts_of
from openmm_pqeq.topology.file import read_file
from openmm_pqeq.topology.read import read_structure

# Total charge


@pytest.mark.parametrize("key", ["charge", "total_charge"])
def test_total_charge_is_kept_and_multiplied_by_the_supercell(tmp_path, key):
    path = written(tmp_path, "ion.extxyz", ION.format(info=f"{key}=1"))
    assert facts(path).total_charge == 1.0
    found = facts(path, supercell=(2, 1, 3))
    assert found.total_charge == 6.0
    assert found.notes == ("total charge 6 e",)
    assert read_file(path, supercell=(2, 1, 3))[0].info["charge"] == 6.0


def test_a_charge_that_is_none_is_refused(tmp_path):
    for info in ("charge=T", "charge=nan", 'charge="1 2"', "charge=+one"):
        path = written(tmp_path, "ion.extxyz", ION.format(info=info))
        with pytest.raises(ValueError, match=r'ion\.extxyz: atoms\.info\["charge"\]: expected'):
            read_structure(path)
    with pytest.raises(ValueError, match="expected one total charge"):
        charge_in({"charge": 1, "total_charge": 2})
    assert charge_in({"charge": 1, "total_charge": 1.0}) == 1.0
    assert charge_in({}) is None


def test_bonds_are_wanted_or_not(tmp_path):
    path = written(tmp_path, "ion.extxyz", ION.format(info="charge=1"))
    for word in ("x", 3, None):
        with pytest.raises(ValueError, match="bonds: expected true or false"):
            read_structure(path, bonds=word)


def test_a_topology_from_elsewhere_has_no_facts():
    assert facts_of(app.Topology()) == StructureFacts()


# Fixed atoms


def test_fixed_atoms_of_selective_dynamics_in_a_supercell(tmp_path):
    path = written(tmp_path, "POSCAR", POSCAR.format(barium="F F F"))
    assert facts(path).fixed == (4,)
    assert facts(path, supercell=(1, 2, 1)).fixed == (4, 9)
    assert "1 of 5 atoms fixed in place" in facts(path).notes


def test_fixed_atoms_follow_the_order_of_molecules(tmp_path):
    water = ase.build.molecule("H2O", cell=[5.0, 5, 5], pbc=True).repeat((2, 1, 1))[
        [0, 3, 1, 4, 2, 5]
    ]
    water.set_constraint([FixAtoms([1]), FixCartesian([4])])
    ase.io.write(tmp_path / "water.traj", water)
    topology, _ = read_structure(tmp_path / "water.traj", bonds=True)
    assert sorted(topology.pq_order[list(facts_of(topology).fixed)]) == [1, 4]
    assert facts_of(topology).fixed != (1, 4)


@pytest.mark.parametrize("barium", ["T T F", "F T F"])
def test_atoms_fixed_in_some_directions_are_refused(tmp_path, barium):
    path = written(tmp_path, "POSCAR", POSCAR.format(barium=barium))
    with pytest.raises(
        ValueError, match="fixed in all three directions or in none, got 1 FixScaled"
    ):
        read_structure(path)
    assert read_file(path)[1].notes == ("constraints that only ASE keeps: 1 FixScaled",)


@pytest.mark.parametrize("name", ["w.xyz", "w.extxyz", "POSCAR", "w.pdb", "w.cif"])
def test_the_mark_with_which_editors_begin_a_file_is_no_text(tmp_path, name):
    texts = {
        "w.xyz": "1\n\nD 0 0 0\n",
        "w.extxyz": ION.format(info="charge=1"),
        "POSCAR": of_two(),
        "w.pdb": WATER_PDB.format(cell=CELL, hydrogens=ONE, second="H"),
        "w.cif": CIF.format(group="P 1", columns="Na1 Na 0 0 0\nCl1 Cl 0.5 0.5 0.5"),
    }
    plain = read_file(written(tmp_path, name, texts[name]))
    marked = read_file(written(tmp_path, name, "\ufeff" + texts[name]))
    assert marked[0] == plain[0]
    assert marked[1].notes == plain[1].notes


# Masses and velocities


def test_deuterium_and_tritium_are_hydrogen_with_a_mass(tmp_path):
    xyz = "3\n\nD 0 0 0.7\nO 0 0 0\nT 0.7 0 0\n"
    extended = (
        '3\nProperties=tag:I:1:species:S:1:pos:R:3 pbc="F F F"\n'
        "7 D 0 0 0.7\n7 O 0 0 0\n7 T 0.7 0 0\n"
    )
    hydrogens = POSCAR.format(barium="T T T").replace("O Ti Ba", "D O T")
    for name, text, masses in (
        ("w.xyz", xyz, {0: 2.014102, 2: 3.016049}),
        ("w.extxyz", extended, {0: 2.014102, 2: 3.016049}),
        ("POSCAR", hydrogens, {0: 2.014102, 1: 2.014102, 2: 2.014102, 4: 3.016049}),
    ):
        topology, _ = read_structure(written(tmp_path, name, text))
        assert facts_of(topology).masses == pytest.approx(masses)
        for atom in facts_of(topology).masses:
            assert list(topology.atoms())[atom].element is app.element.hydrogen


def test_isotopes_are_those_of_the_frame_that_is_read(tmp_path):
    path = written(tmp_path, "two.xyz", "1\n\nD 0 0 0\n2\n\nH 0 0 0\nT 0 0 1\n")
    assert facts(path, index=0).masses == {0: 2.014102}
    assert facts(path, index=1).masses == facts(path).masses == {1: 3.016049}


def test_deuterium_in_cif_and_pdb(tmp_path):
    columns = "O1 O 0.5 0.5 0.515\nD1 D 0.5 0.595 0.44\nD2 D 0.5 0.405 0.44"
    cif = written(tmp_path, "d.cif", CIF.format(group="P 1", columns=columns))
    assert facts(cif, supercell=(1, 1, 2)).masses == dict.fromkeys((1, 2, 4, 5), 2.014102)
    pdb = written(tmp_path, "d.pdb", WATER_PDB.format(cell=CELL, hydrogens=ONE, second="D"))
    assert facts(pdb).masses == {2: 2.014102}


def test_masses_of_a_file_and_standard_masses(tmp_path):
    atoms = ase.Atoms(
        "OH2", positions=[[0, 0, 0], [0, 0, 1], [0, 1, 0]], masses=[17.999, 1.008, 2.014]
    )
    atoms.set_velocities([[0, 0, 0], [1, 0, 0], [0, 2, 0]])
    ase.io.write(tmp_path / "w.traj", atoms)
    found = facts(tmp_path / "w.traj")
    assert found.masses == {0: 17.999, 2: 2.014}
    assert found.notes[0] == "masses: 1 O of 17.999 amu, 1 H of 2.014 amu"
    atoms.set_masses([16, -1, 1])
    ase.io.write(tmp_path / "w.traj", atoms)
    with pytest.raises(ValueError, match=r"masses: expected positive numbers in amu, got -1\.0"):
        read_structure(tmp_path / "w.traj")


def test_velocities_turn_with_the_crystal(tmp_path):
    atoms = ase.Atoms(
        "NaCl", positions=[[0, 0, 0], [0, 0, 3]], cell=[[0, 6, 0], [6, 0, 0], [0, 0, 6]], pbc=True
    )
    atoms.set_velocities([[0, 0.1, 0], [0, 0, 0.2]])
    ase.io.write(tmp_path / "salt.traj", atoms)
    topology, _ = read_structure(tmp_path / "salt.traj")
    expected = atoms.get_velocities() @ topology.pq_rotation.T * ase.units.fs * 100
    assert facts_of(topology).velocities == pytest.approx(expected)
    assert facts_of(topology).velocities[0, 0] == pytest.approx(
        0.1 * 0.09822695 * 100, rel=1e-6
    )  # nm/ps
    assert any("velocities = file" in note for note in facts_of(topology).notes)
