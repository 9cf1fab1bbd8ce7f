"""`openmm-pqeq build`: what is written is what was asked for, and can be read again."""

import ase.io
import pytest
from ase.build import bulk

from openmm_pqeq.cli import main


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    bulk("MgO", "rocksalt", a=4.2, cubic=True).write("MgO.cif")
    bulk("Ag", "fcc", a=4.09, cubic=True).write("Ag.extxyz")
    return tmp_path


def test_supercell(here, capsys):
    assert main(["build", "supercell", "MgO.cif", "--atoms", "64", "-o", "cell.extxyz"]) == 0
    assert "64 atoms, Mg32O32" in capsys.readouterr().out
    assert len(ase.io.read("cell.extxyz")) == 64
    assert main(["build", "supercell", "MgO.cif", "--atoms", "64", "-o", "cell.extxyz"]) == 2
    assert "output: cell.extxyz exists" in capsys.readouterr().err
    again = ["supercell", "MgO.cif", "--atoms", "216", "-o", "cell.extxyz", "--overwrite"]
    assert main(["build", *again]) == 0
    assert len(ase.io.read("cell.extxyz")) == 216


def test_slabs_and_their_interface(here, capsys):
    slabs = (["MgO.cif", "-o", "lower.extxyz"], ["Ag.extxyz", "-o", "upper.extxyz"])
    for arguments in slabs:
        assert (
            main(["build", "slab", *arguments, "--miller", "0", "0", "1", "--thickness", "8"]) == 0
        )
    arguments = ["lower.extxyz", "upper.extxyz", "--strain", "0.04", "--gap", "2.4"]
    assert main(["build", "interface", *arguments, "-o", "both.extxyz"]) == 0
    assert "upper strained by 2.69%" in capsys.readouterr().out
    both = ase.io.read("both.extxyz")
    assert set(both.symbols) == {"Mg", "O", "Ag"}
    silver = both.positions[both.numbers == 47, 2]
    assert silver.min() - both.positions[both.numbers != 47, 2].max() == pytest.approx(2.4)


def test_solution(here):
    arguments = [
        "--molecule",
        "H2O",
        "30",
        "--ion",
        "Na",
        "2",
        "--ion",
        "Cl",
        "2",
        "--density",
        "1",
    ]
    assert main(["build", "solution", *arguments, "-o", "brine.extxyz"]) == 0
    brine = ase.io.read("brine.extxyz")
    assert brine.get_chemical_formula() == "H60Cl2Na2O30"
    assert brine.get_masses().sum() * 1.66053907 / brine.get_volume() == pytest.approx(1)


def test_order(here, capsys):
    pytest.importorskip("pymatgen", reason="partial occupation needs pymatgen")
    lines = (here / "MgO.cif").read_text().splitlines()
    mixed = [
        line.replace("1.0000", "0.5000") if line.split()[:1] == ["Mg"] else line for line in lines
    ]
    rows = [line for line in mixed if "0.5000" in line]
    twins = [row.replace("Mg", "Ca") for row in rows]
    (here / "mixed.cif").write_text("\n".join([*mixed, *twins]) + "\n")
    assert main(["energy", "mixed.cif", "--model", "batio3"]) == 2
    assert "openmm-pqeq build order" in capsys.readouterr().err
    arguments = ["mixed.cif", "--charges", "Mg=2", "Ca=2", "O=-2", "--tries", "1", "-o", "one.cif"]
    assert main(["build", "order", *arguments]) == 0
    assert ase.io.read("one.cif").get_chemical_formula() == "Ca2Mg2O4"


WRONG = {
    "no such file": (["supercell", "nowhere.cif", "--atoms", "8", "-o", "x.cif"], "nowhere.cif"),
    "no number": (["supercell", "MgO.cif", "--atoms", "many", "-o", "x.cif"], "atoms"),
    "no ending": (["supercell", "MgO.cif", "--atoms", "8", "-o", "x"], "output: expected a name"),
    "no face": (
        ["slab", "MgO.cif", "--miller", "0", "0", "0", "--thickness", "8", "-o", "x.cif"],
        "miller",
    ),
    "no thickness": (
        ["slab", "MgO.cif", "--miller", "0", "0", "1", "--thickness", "nan", "-o", "x.cif"],
        "thickness",
    ),
    "no slab": (["interface", "MgO.cif", "Ag.extxyz", "--strain", "2", "-o", "x.cif"], "strain"),
    "no molecule": (
        ["solution", "--molecule", "H2Oo", "3", "--density", "1", "-o", "x.cif"],
        "molecule: expected a name",
    ),
    "nothing": (["solution", "--density", "1", "-o", "x.cif"], "molecule, ion"),
    "no ion": (["solution", "--ion", "Qq", "3", "--density", "1", "-o", "x.cif"], "ion"),
    "no element": (["solution", "--ion", "X", "3", "--density", "1", "-o", "x.cif"], "ion"),
    "more than a computer holds": (
        ["solution", "--molecule", "H2O", "1e9", "--density", "1", "-o", "x.cif"],
        "molecule: expected a value from 1 to 1e+06",
    ),
    "more atoms than that": (
        ["supercell", "MgO.cif", "--atoms", "1e8", "-o", "x.cif"],
        "atoms: expected a value from 1 to 1e+07",
    ),
    "half a face": (
        ["slab", "MgO.cif", "--miller", "1.5", "0", "0", "--thickness", "8", "-o", "x.cif"],
        "miller: expected a whole number, got '1.5'",
    ),
    "no folder": (["supercell", "MgO.cif", "--atoms", "8", "-o", "no/x.cif"], "output"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_input_is_named(here, capsys, case):
    arguments, message = WRONG[case]
    assert main(["build", *arguments]) == 2
    assert message in capsys.readouterr().err
    assert not (here / "x.cif").exists()
