"""Each study as `--short`: it ends, with a table of numbers and a picture, with what is
installed. Every study has its page, and its row in the list of all."""

import csv
import importlib.util
import math
import runpy
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent / "studies"
NAMES = sorted(path.parent.name for path in ROOT.glob("*/run.py"))
NEEDS = {"llzo": "pymatgen", "bulk_moduli": "spglib"}
"""Of the extra analysis, without which a study says what to install."""


def run(name, monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["run.py", *map(str, arguments)])
    monkeypatch.setattr(sys, "path", [str(ROOT), *sys.path])
    runpy.run_path(str(ROOT / name / "run.py"), run_name="__main__")


@pytest.mark.parametrize("name", NAMES)
def test_short(name, tmp_path, monkeypatch):
    if name in NEEDS:
        reason = f"{NEEDS[name]} is not installed: pip install openmm-pqeq[analysis]"
        pytest.importorskip(NEEDS[name], reason=reason)
    run(name, monkeypatch, "--short", "--output", tmp_path)
    with (tmp_path / "table.csv").open(encoding="utf-8", newline="") as file:
        header, *rows = csv.reader(file)
    assert rows
    assert {len(row) for row in rows} == {len(header)}
    assert any(is_number(cell) for row in rows for cell in row)
    assert (tmp_path / "picture.png").stat().st_size > 5000
    assert (tmp_path / "facts.json").is_file()


@pytest.mark.parametrize("name", NAMES)
def test_full_says_what_it_costs(name, tmp_path, monkeypatch, capsys):
    with pytest.raises(SystemExit):
        run(name, monkeypatch, "--full", "--dry-run", "--output", tmp_path)
    said = capsys.readouterr().out
    assert f"{name} --full" in said
    assert "core" in said
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", NAMES)
def test_is_described(name):
    page = (ROOT / name / "README.md").read_text(encoding="utf-8")
    assert f"python studies/{name}/run.py" in page
    assert f"({name}/README.md)" in (ROOT / "README.md").read_text(encoding="utf-8")
    picture = ROOT / name / "picture.png"
    assert ("(picture.png)" in page) == picture.is_file()
    if picture.is_file():
        assert picture.stat().st_size < 200_000


def test_files_of_studies_have_names_of_their_own():
    """`runpy` and pytest share a process: a study's file must not be named as one of the tests."""
    tests = {path.stem for path in Path(__file__).parent.rglob("*.py")}
    of_studies = [path.stem for path in ROOT.rglob("*.py") if path.stem != "run"]
    assert len(of_studies) == len(set(of_studies))
    assert not tests & set(of_studies)


def test_the_page_of_heating_says_how_far_polarization_falls():
    """|P| of its table, in the words of the page."""
    with (ROOT / "batio3_heating" / "table.csv").open(encoding="utf-8", newline="") as file:
        up = [row for row in csv.DictReader(file) if row["way"] == "up"]
    names = ("smallest |P|, µC/cm²", "middle |P|", "largest |P|")
    of = {row["T, K"]: math.hypot(*(float(row[name]) for name in names)) for row in up}
    page = (ROOT / "batio3_heating" / "README.md").read_text(encoding="utf-8")
    values = f"{of['50']:.0f} µC/cm² at 50 K, {of['100']:.0f} at 100 K and {of['400']:.0f} at 400 K"
    assert f"|P| is {values}" in page
    assert f"{100 * of['400'] / of['50']:.0f} % of what it was at 50 K" in page


def test_pbe_of_an_atom_in_a_field(monkeypatch):
    """A field along x lowers the energy of helium by half its polarizability times F² (PBE: 1.6 bohr³
    in a complete basis; this one has less), and the dipole is α F."""
    if importlib.util.find_spec("pyscf") is None:
        pytest.skip("PySCF is not installed: pip install openmm-pqeq[references]")
    monkeypatch.setattr(sys, "path", [str(ROOT), *sys.path])
    import ase
    from references import pbe

    from openmm_pqeq.units import COULOMB

    atom, field = ase.Atoms("He"), 0.5
    alone, inside = pbe(atom), pbe(atom, field=(field, 0, 0))
    alpha = inside.dipole[0] / field
    assert 0.5 < alpha * COULOMB / 0.529177**3 < 1.8
    assert abs(inside.energy - alone.energy + 0.5 * alpha * field**2) < 1e-4


def is_number(text):
    try:
        float(text)
    except ValueError:
        return False
    return True
