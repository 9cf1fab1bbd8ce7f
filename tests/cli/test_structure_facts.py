"""What a structure file says reaches the commands: fixed atoms, charge, and a word about each."""

import json
import re
from pathlib import Path

import h5py  # noqa: F401 (its first import under a Simulation warns)
import mdtraj
import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.constraints import FixAtoms
from openmm import app

from openmm_pqeq.calculator import PQEqCalculator
from openmm_pqeq.checkpoint import save
from openmm_pqeq.cli import main
from openmm_pqeq.potential import build


@pytest.fixture
def crystal(tmp_path, monkeypatch):
    """MgO with atom 1 fixed and a charge, in a folder with a model."""
    monkeypatch.chdir(tmp_path)
    save(build({"pqeq": {"protocol": "reaxnet", "cutoff": 4.0}}), "model.pt")
    atoms = bulk("MgO", "rocksalt", a=4.2, cubic=True)
    atoms.rattle(0.1, seed=2)
    atoms.set_constraint(FixAtoms([1]))
    atoms.info["charge"] = 1
    atoms.write("MgO.extxyz", columns=["symbols", "positions", "move_mask"])
    return atoms


def test_energy_shows_forces_on_fixed_atoms_and_says_what_it_took(crystal, capsys):
    assert main(["energy", "MgO.extxyz", "--model", "model.pt", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    crystal.calc = PQEqCalculator("model.pt", tolerance=1e-8)
    expected = crystal.get_forces(apply_constraint=False)
    assert np.abs(found["forces"] - expected).max() < 1e-6
    assert np.abs(found["forces"][1]).max() > 0.01
    assert found["file"] == ["total charge 1 e", "1 of 8 atoms fixed in place"]
    assert sum(found["charges"]) == pytest.approx(1)
    assert main(["energy", "MgO.extxyz", "--model", "model.pt", "--supercell", "2", "1", "1"]) == 0
    assert "total charge 2 e" in capsys.readouterr().out


def test_a_run_keeps_fixed_atoms_and_says_so(crystal, capsys):
    settings = ["--steps", "4", "--timestep", "0.5", "--trajectory-interval", "2", "--minimize"]
    route = ["--backend", "python", "--platform", "Reference", "--total-charge", "1"]
    command = ["run", "MgO.extxyz", "--model", "model.pt", "--output", "out", *settings, *route]
    assert main(command) == 0
    frames = mdtraj.load("out/trajectory.dcd", top="out/topology.pdb")
    start = mdtraj.load("out/topology.pdb")
    moved = np.abs(frames.xyz - start.xyz).max(axis=(0, 2))
    assert moved[1] < 1e-4  # nm; three digits in the PDB file
    assert np.delete(moved, 1).min() > 1e-3
    assert "from the structure file: 1 of 8 atoms fixed in place" in Path("out/run.log").read_text()
    assert app.PDBxFile("out/topology.cif").topology.getNumAtoms() == 8


def test_npt_of_a_slab_is_told_its_barostat(crystal, capsys):
    crystal.info, crystal.pbc = {}, (True, True, False)
    crystal.set_constraint()
    crystal.cell[2, 2] = 20
    crystal.write("slab.extxyz")
    command = ["run", "slab.extxyz", "--model", "model.pt", "--output", "out", "--steps", "1"]
    npt = ["--ensemble", "NPT", "--backend", "python", "--platform", "Reference"]
    assert main([*command, *npt]) == 2
    assert "barostat = anisotropic with scale_axes = true true false" in capsys.readouterr().err
    anisotropic = ["--barostat", "anisotropic", "--scale-axes", "true", "true", "false"]
    assert main([*command, *npt, *anisotropic]) == 0


def test_atoms_a_tenth_of_a_millimetre_apart(crystal):
    pair = Atoms("MgO", [[0, 0, 0], [0, 0, 2.0]])
    far = Atoms("MgO2", [[0, 0, 0], [0, 0, 2.0], [1e6, 3, 5e5]])
    for atoms in (pair, far):
        atoms.calc = PQEqCalculator("model.pt")
        assert np.isfinite(atoms.get_forces()).all()


def test_both_names_of_the_charge_are_the_calculators(crystal):
    crystal.calc = PQEqCalculator("model.pt")
    energy = crystal.get_potential_energy()
    crystal.info = {"total_charge": 1}
    assert crystal.get_potential_energy() == pytest.approx(energy, abs=1e-9)
    crystal.info = {"charge": 0, "total_charge": 1}
    with pytest.raises(ValueError, match="expected one total charge"):
        crystal.get_potential_energy()


@pytest.mark.parametrize(
    ("momenta", "message"),
    [
        (np.full((8, 3), np.nan), "got NaN or infinity"),
        (np.full((8, 3), np.inf), "got NaN or infinity"),
        (np.ones((8, 2)), r"got shape \(8, 2\)"),
        (np.ones(8), r"got shape \(8,\)"),
    ],
    ids=["nan", "inf", "two", "one"],
)
def test_velocities_that_are_none_are_refused_before_anything_is_made(
    tmp_path, monkeypatch, capsys, momenta, message
):
    monkeypatch.chdir(tmp_path)
    save(build({"zbl": {"species": ["Mg", "O"]}}), "model.pt")
    atoms = bulk("MgO", "rocksalt", a=4.2, cubic=True)
    atoms.arrays["momenta"] = momenta
    atoms.write("MgO.extxyz")
    command = ["run", "MgO.extxyz", "--model", "model.pt", "--output", "out", "--steps", "1"]
    assert main([*command, "--velocities", "file", "--backend", "python"]) == 2
    said = capsys.readouterr().err
    assert re.search(
        f"velocities: expected three finite numbers for each of 8 atoms, {message}", said
    )
    assert not Path("out").exists()
