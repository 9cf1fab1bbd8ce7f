"""`openmm-pqeq analyze` of a crystal with a model: equation of state, elastic tensor, phonons."""

import json
import sys

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk

from openmm_pqeq.checkpoint import save
from openmm_pqeq.cli import main
from openmm_pqeq.potential import build


def outcome(folder, name):
    assert (folder / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    return json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))["results"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A rocksalt crystal of charges that ZBL keeps apart, of the lattice constant that its equation
    of state says."""
    folder = tmp_path_factory.mktemp("models")
    light = {"core_charge": 1.0, "spring_constant": 300.0}
    parameters = {
        "Mg": light | {"electronegativity": 2.0, "hardness": 10.0, "radius": 1.0},
        "O": light | {"electronegativity": 22.0, "hardness": 12.0, "radius": 0.7},
    }
    charges = {"protocol": "ewald", "parameters": parameters}
    save(build({"pqeq": charges, "zbl": {"inner": 1.0, "outer": 2.8}}), folder / "model.pt")
    bulk("MgO", "rocksalt", a=5.0).write(folder / "near.extxyz")
    Atoms("MgO", [[0, 0, 0], [0, 0, 1.8]]).write(folder / "molecule.xyz")
    arguments = [str(folder / "near.extxyz"), "--model", str(folder / "model.pt")]
    assert main(["analyze", "eos", *arguments, "--strain", "0.03"]) == 0
    scale = outcome(folder, "eos")["lengths, by those of the file"]
    assert 0.98 < scale["value"] < 1.03
    bulk("MgO", "rocksalt", a=5.0 * scale["value"]).write(folder / "MgO.extxyz")
    return folder


@pytest.fixture
def here(folder, monkeypatch):
    monkeypatch.chdir(folder)
    return folder


def test_two_ways_to_a_bulk_modulus(here, capsys):
    pytest.importorskip("spglib", reason="the symmetry of crystals needs spglib")
    arguments = ["MgO.extxyz", "--model", "model.pt", "-o", "new"]
    assert main(["analyze", "eos", *arguments, "--strain", "0.01"]) == 0
    assert main(["analyze", "elastic", *arguments, "--strain", "0.002"]) == 0
    said = capsys.readouterr().out
    assert "strains xx, " in said
    assert "not relaxed" not in said
    compressed, strained = outcome(here / "new", "eos"), outcome(here / "new", "elastic")
    modulus = strained["bulk hill"]
    assert modulus["unit"] == "GPa"
    assert abs(modulus["value"] / compressed["bulk modulus"]["value"] - 1) < 0.02
    assert abs(compressed["lengths, by those of the file"]["value"] - 1) < 0.003
    assert main(["analyze", "elastic", "near.extxyz", *arguments[1:]]) == 0
    assert "the crystal is not relaxed" in capsys.readouterr().out


def test_phonons(here, capsys):
    pytest.importorskip("phonopy", reason="phonopy is not installed")
    arguments = ["MgO.extxyz", "--model", "model.pt", "--mesh", "6"]
    assert main(["analyze", "phonons", *arguments, "--supercell", "2", "2", "2"]) == 0
    assert "2 displaced supercells" in capsys.readouterr().out
    found = outcome(here, "phonons")
    assert found["acoustic frequencies at Γ, which should be zero"]["value"] < 0.1
    modes = np.sort([found[f"mode {k} at Γ"]["value"] for k in range(1, 7)])
    assert np.ptp(modes[3:]) < 0.1
    assert main(["analyze", "phonons", *arguments, "--born", "nowhere"]) == 2
    assert "born: nowhere does not exist" in capsys.readouterr().err


def test_phonons_without_phonopy_say_what_to_install(here, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "phonopy", None)
    assert main(["analyze", "phonons", "MgO.extxyz", "--model", "model.pt"]) == 2
    assert "pip install openmm-pqeq[analysis]" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["eos", "elastic", "phonons"])
def test_what_is_no_crystal_is_refused(here, capsys, name):
    assert main(["analyze", name, "molecule.xyz", "--model", "model.pt"]) == 2
    assert "structure: " in capsys.readouterr().err
