"""What a structure file says beyond positions and cell is kept, or the file is refused; nothing is
dropped without a word."""

import ase
import ase.build
import ase.io
import pytest
from ase.constraints import FixAtoms, FixCartesian
from openmm import app

from openmm_pqeq.topology.facts import StructureFacts, charge_in, facts_of
from openmm_pqeq.topology.file import read_file
from openmm_pqeq.topology.read import read_structure

ION = """3
Lattice="12 0 0 0 12 0 0 0 12" Properties=species:S:1:pos:R:3 pbc="T T T" {info}
Na 6.0 6.0 6.0
O 8.3 6.0 6.0
H 8.9 6.7 6.0
"""

POSCAR = """barium titanate
1.0
3.9661 0 0
0 3.9661 0
0 0 4.3040
O Ti Ba
3 1 1
Selective dynamics
Direct
 0.497 0.018 0.447 T T T
 0.522 0.490 0.948 T T T
-0.004 0.495 0.484 T T T
 0.486 0.511 0.497 T T T
 0.020 0.992 0.994 {barium}
"""

CIF = """data_x
_cell_length_a 8
_cell_length_b 8
_cell_length_c 8
_cell_angle_alpha 90
_cell_angle_beta 90
_cell_angle_gamma 90
_symmetry_space_group_name_H-M '{group}'
loop_
_atom_site_label
_atom_site_type_symbol
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
{columns}
"""

WATER_PDB = """{cell}
HETATM    1  O   HOH A   1       0.000   0.000   0.119  1.00  0.00           O
{hydrogens}
HETATM    4  H2  HOH A   1       0.000  -0.763  -0.477  1.00  0.00           {second}
END
"""
CELL = "CRYST1   12.000   12.000   12.000  90.00  90.00  90.00 P 1           1"
ONE = "HETATM    2  H1  HOH A   1       0.000   0.763  -0.477  1.00  0.00           H"
TWO = """HETATM    2  H1 AHOH A   1       0.000   0.763  -0.477  {a}  0.00           H
HETATM    3  {name} BHOH A   1       0.763   0.000  -0.477  {b}  0.00           {element}"""


def written(tmp_path, name, text):
    (tmp_path / name).write_text(text)
    return tmp_path / name


def facts(path, **options):
    topology, _ = read_structure(path, **options)
    return facts_of(topology)


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


@pytest.mark.parametrize("flags", ["f f f", ".FALSE. .FALSE. .FALSE.", ".F. F f", "F F F Ba"])
def test_flags_are_read_as_fortran_reads_them(tmp_path, flags):
    """VASP takes the first letter; ASE takes anything but F for free."""
    text = POSCAR.format(barium=flags)
    assert facts(written(tmp_path, "POSCAR", text)).fixed == (4,)
    older = text.replace("barium titanate", "O Ti Ba").replace("O Ti Ba\n3 1 1", "3 1 1")
    assert facts(written(tmp_path, "POSCAR", older)).fixed == (4,)
    assert not facts(written(tmp_path, "POSCAR", POSCAR.format(barium="t .TRUE. .T."))).fixed


# POSCAR


def of_two(scale="1.0", mode="Direct", positions="0 0 0\n0.5 0.5 0.5\n", counts="1 1", rest=""):
    cell = "4 0 0\n0 4 0\n0 0 5"
    return f"two\n{scale}\n{cell}\nMg O\n{counts}\n{mode}\n{positions}{rest}"


@pytest.mark.parametrize(
    ("scale", "edges", "cartesian"),
    [
        ("2.0", [8, 8, 10], "2 2 2.5"),
        ("-640.0", [8, 8, 10], "2 2 2.5"),  # a volume
        ("1.0 2.0 3.0", [4, 8, 15], "2 2 2.5"),
    ],
)
def test_scaling_factors_of_poscar(tmp_path, scale, edges, cartesian):
    for mode, second in (("Direct", "0.5 0.5 0.5"), ("cartesian", cartesian), ("K", cartesian)):
        text = of_two(scale, mode, f"0 0 0\n{second}\n")
        atoms, _ = read_file(written(tmp_path, "POSCAR", text))
        assert atoms.cell.lengths() == pytest.approx(edges)
        assert atoms.positions[1] == pytest.approx([0.5 * edge for edge in edges])


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"counts": "2"}, "expected as many numbers of atoms as elements, got 2 for Mg O"),
        ({"counts": "1 1 1"}, "as many numbers of atoms as elements, got 1 1 1 for Mg O"),
        ({"positions": "0 0 0\n"}, "ASE cannot read structure"),
        ({"positions": 3 * "0 0 .5\n"}, r"expected 2 positions, .* got more: 0 0 .5"),
        ({"scale": "1.0 2.0"}, "number of scaling factors must be 1 or 3"),
        ({"scale": "-1.0 2.0 3.0"}, "must be positive"),
        ({"scale": "0"}, "singular"),
        ({"scale": "nan"}, "finite"),
        ({"rest": "Direct\n.01 0 0\n0 0 0\n"}, r"velocities: expected Å/fs .* got Direct"),
        ({"rest": "\nnan 0 0\n0 0 0\n"}, "velocities: expected three finite numbers"),
        ({"rest": "\n.01 0 0\n"}, "ASE cannot read structure"),
    ],
)
def test_a_poscar_that_says_no_structure_is_refused(tmp_path, changed, message):
    with pytest.raises(ValueError, match=message):
        read_file(written(tmp_path, "POSCAR", of_two(**changed)))


@pytest.mark.parametrize("before", ["\n", "Cartesian\n", "  \n"])
@pytest.mark.parametrize("scale", ["1.0", "2.0"])
def test_velocities_of_poscar(tmp_path, before, scale):
    """Å/fs, whatever the scaling factor; Direct and zero are none."""
    text = of_two(scale, rest=f"{before}0.01 0 0\n0 -0.02 0\n")
    found = facts(written(tmp_path, "POSCAR", text)).velocities
    assert found.tolist() == [
        pytest.approx([1.0, 0, 0], abs=1e-12),  # nm/ps
        pytest.approx([0, -2.0, 0], abs=1e-12),
    ]
    still = of_two(scale, rest="Direct\n0 0 0\n0 0 0\n")
    assert facts(written(tmp_path, "POSCAR", still)).velocities is None


def test_velocities_after_those_of_the_lattice(tmp_path):
    block = "Lattice velocities and vectors\n1\n" + 3 * "0 0 0\n" + "4 0 0\n0 4 0\n0 0 5\n"
    text = of_two(rest=block + "\n0.01 0 0\n0 0 0\n")
    assert facts(written(tmp_path, "POSCAR", text)).velocities[0, 0] == pytest.approx(1.0)
    with pytest.raises(ValueError, match="got Direct"):
        read_file(written(tmp_path, "POSCAR", of_two(rest=block + "Direct\n0.01 0 0\n0 0 0\n")))


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


# Sites


def test_one_of_the_alternate_locations_is_kept(tmp_path):
    def kept(a, b, name="H1", element="H"):
        hydrogens = TWO.format(a=a, b=b, name=name, element=element)
        path = written(
            tmp_path, "w.pdb", WATER_PDB.format(cell=CELL, hydrogens=hydrogens, second="H")
        )
        topology, positions = read_structure(path)
        assert topology.getNumAtoms() == 3
        assert "alternate locations of less occupancy" in facts_of(topology).notes[0]
        return positions[1]._value[0] * 10, facts_of(topology).masses

    assert kept("0.50", "0.50")[0] == pytest.approx(0.0)
    assert kept("0.30", "0.70")[0] == pytest.approx(0.763)
    assert kept("0.30", "0.70", "D1", "D") == (pytest.approx(0.763), {1: 2.014102})


def test_an_atom_that_the_better_location_lacks_stays(tmp_path):
    more = TWO.format(a="0.80", b="0.20", name="H1", element="H") + (
        "\nHETATM    5  H9 BHOH A   1       1.763   0.000  -0.477  0.20  0.00           H"
    )
    path = written(tmp_path, "w.pdb", WATER_PDB.format(cell=CELL, hydrogens=more, second="H"))
    assert read_structure(path)[0].getNumAtoms() == 4


def test_models_of_which_each_has_its_own_locations(tmp_path):
    other = TWO.format(a="0.30", b="0.70", name="D1", element="D")
    text = "".join(
        WATER_PDB.format(cell=CELL, hydrogens=hydrogens, second="H").replace("END", "ENDMDL")
        for hydrogens in (other, ONE)
    )
    path = written(tmp_path, "w.pdb", f"{text}END\n")
    assert facts(path, index=0).masses == {1: 2.014102}
    assert facts(path, index=-1).masses == {}
    assert read_structure(path)[0].getNumAtoms() == 3


def test_a_part_of_an_atom_is_taken_as_whole_with_a_word(tmp_path):
    half = ONE.replace("1.00", "0.50")
    path = written(tmp_path, "w.pdb", WATER_PDB.format(cell=CELL, hydrogens=half, second="H"))
    assert facts(path).notes == ("1 atoms of an occupancy below 1 are taken as whole",)


def test_cryst1_of_one_angstrom_is_no_cell(tmp_path):
    for edge in ("1.000", "0.000"):
        cell = CELL.replace("12.000", f" {edge}")
        path = written(tmp_path, "w.pdb", WATER_PDB.format(cell=cell, hydrogens=ONE, second="H"))
        topology, _ = read_structure(path)
        assert topology.getPeriodicBoxVectors() is None
        assert "means no cell" in facts_of(topology).notes[0]


def test_two_elements_on_a_site_are_refused_without_a_column_of_occupancies(tmp_path):
    columns = "Na1 Na 0 0 0\nK1 K 0 0 0\nCl1 Cl 0.5 0.5 0.5"
    path = written(tmp_path, "m.cif", CIF.format(group="P 1", columns=columns))
    with pytest.raises(ValueError, match="one element on every site, got K and Na on one"):
        read_structure(path)
    moved = columns.replace("K1 K 0 0 0", "K1 K 0.5 0.5 0")  # the same site, by the centring
    path = written(tmp_path, "m.cif", CIF.format(group="F m -3 m", columns=moved))
    with pytest.raises(ValueError, match="one element on every site, got K and Na on one"):
        read_structure(path)
    full = "\n".join(f"{line} 1.0" for line in moved.split("\n"))
    text = CIF.format(group="F m -3 m", columns=f"_atom_site_occupancy\n{full}")
    with pytest.raises(ValueError, match="one element on every site, got K and Na on one"):
        read_structure(written(tmp_path, "m.cif", text))


def test_a_site_listed_twice_is_one_and_ases_warning_is_passed_on(tmp_path):
    columns = "Na1 Na 0 0 0\nNa2 Na 0.5 0.5 0\nCl1 Cl 0.5 0.5 0.5"
    path = written(tmp_path, "m.cif", CIF.format(group="F m -3 m", columns=columns))
    with pytest.warns(
        UserWarning, match=r"m\.cif: ASE says: scaled_positions 0 and 1 are equivalent"
    ):
        topology, _ = read_structure(path)
    assert topology.getNumAtoms() == 8
    assert "ASE says: scaled_positions 0 and 1 are equivalent" in facts_of(topology).notes


def test_an_occupancy_that_is_not_given_is_one(tmp_path):
    columns = "_atom_site_occupancy\nNa1 Na 0 0 0 ?\nCl1 Cl 0.5 0.5 0.5 ."
    path = written(tmp_path, "m.cif", CIF.format(group="P 1", columns=columns))
    assert read_structure(path)[0].getNumAtoms() == 2
    part = written(tmp_path, "p.cif", path.read_text().replace("?", "0.5"))
    with pytest.raises(ValueError, match=r"fully occupied by one element, got 0\.5 Na"):
        read_structure(part)


@pytest.mark.parametrize("value", ["1", "0.5", "full", '"1 2 3"'])
def test_an_occupancy_that_is_no_table_says_nothing(tmp_path, value):
    path = written(tmp_path, "ion.extxyz", ION.format(info=f"occupancy={value}"))
    assert read_structure(path)[0].getNumAtoms() == 3


def test_a_volume_that_no_matter_has_is_refused(tmp_path):
    path = written(tmp_path, "ion.extxyz", ION.format(info="").replace("12", "1.6"))
    with pytest.raises(ValueError, match=r"at least 1\.5 Å³ for an atom, got 1\.37 .* in Å\?"):
        read_structure(path)
    slab = path.read_text().replace("T T T", "T T F")
    assert read_structure(written(tmp_path, "slab.extxyz", slab))[0].getNumAtoms() == 3
