"""Sites and cells: alternate locations, occupancies, two elements on a site, cells that are none."""

import pytest
from ase import Atoms
from structure_files import CELL, CIF, ION, ONE, TWO, WATER_PDB, facts, written

from openmm_pqeq.topology.facts import facts_of
from openmm_pqeq.topology.read import read_structure


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


@pytest.mark.parametrize("pbc", [True, False])
def test_two_atoms_in_one_place_are_refused(tmp_path, pbc):
    """The upper one is the lower one's image in a crystal."""
    places = [[0, 0, 0], [2, 2, 2], [0.01, 0, 5.0 if pbc else 0]]
    Atoms("NaClNa", places, cell=[5, 5, 5], pbc=pbc).write(tmp_path / "twice.extxyz")
    with pytest.raises(ValueError, match=r"twice\.extxyz: positions: atoms 0 and 2 .* Å apart"):
        read_structure(tmp_path / "twice.extxyz")
