"""Errors of a model on labels that are known to be wrong by known amounts."""

import json

import ase.io
import numpy as np
import pytest
import torch
from ase import Atoms

from openmm_pqeq import evaluation
from openmm_pqeq.checkpoint import save
from openmm_pqeq.cli import main
from openmm_pqeq.potential import build


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(2)
    network = {"hidden_irreps": "4x0e + 2x1o", "layers": 1, "r_max": 4.0}
    return build({"gnn": {"species": ["Na", "Cl"], **network}})


def crystals(n=4):
    """Rattled rock salt, a formula unit more in every second one."""
    rng = np.random.default_rng(1)
    one = Atoms("Na4Cl4", cell=[5.6, 5.7, 5.5], pbc=True)
    one.set_scaled_positions(
        [
            [0, 0, 0],
            [0, 0.5, 0.5],
            [0.5, 0, 0.5],
            [0.5, 0.5, 0],
            [0.5, 0.5, 0.5],
            [0.5, 0, 0],
            [0, 0.5, 0],
            [0, 0, 0.5],
        ]
    )
    found = []
    for k in range(n):
        atoms = one.copy()
        if k % 2:
            del atoms[0]
        atoms.positions += rng.normal(0.0, 0.1, atoms.positions.shape)
        found.append(atoms)
    return found


@pytest.fixture(scope="module")
def labelled(model, tmp_path_factory):
    """Labels: forces 0.8 of the model's, +10 meV/Å on Cl along x; energies off by sums over the
    elements and, on the last frame, by 16 meV more."""
    from openmm_pqeq.calculator import PQEqCalculator

    frames = crystals()
    for k, atoms in enumerate(frames):
        atoms.calc = PQEqCalculator(model)
        energy, forces, stress = (
            atoms.get_potential_energy(),
            atoms.get_forces(),
            atoms.get_stress(voigt=False),
        )
        chlorine = atoms.numbers == 17
        atoms.calc = None
        atoms.info["energy"] = energy - 1.5 * (~chlorine).sum() + 0.3 * chlorine.sum()
        atoms.info["energy"] += 0.016 if k == len(frames) - 1 else 0.0
        atoms.info["stress"] = (stress + 1e-3).ravel()
        atoms.arrays["forces"] = 0.8 * forces + 0.01 * np.outer(chlorine, [1.0, 0.0, 0.0])
    path = tmp_path_factory.mktemp("labels") / "frames.extxyz"
    ase.io.write(path, frames)
    return path


@pytest.fixture(scope="module")
def written(model, labelled):
    save(model, labelled.parent / "model.pt")
    path = labelled.parent / "errors.json"
    command = ["evaluate", str(labelled), "--model", str(labelled.parent / "model.pt")]
    command += ["--json", str(path), "--plot", str(labelled.parent / "parity.png")]
    assert main(command) == 0
    assert (labelled.parent / "parity.png").read_bytes().startswith(b"\x89PNG")
    content = json.loads(path.read_text(encoding="utf-8"))
    (errors,) = content["errors"].values()
    assert main(command) == 2  # the files are there
    return errors


def test_the_slope_is_that_of_the_forces(model, labelled):
    forces = np.random.default_rng(0).normal(size=(1, 9, 3))
    found = evaluation.force_error(np.concatenate([forces, 0.75 * forces]))
    assert found.slope == pytest.approx(0.75)
    assert found.rmse == pytest.approx(250.0 * np.sqrt((forces**2).mean()))


def test_errors_are_those_that_were_put_in(written):
    assert written["stress_mae"] == pytest.approx(1e-3, rel=1e-5)
    assert written["n_frames"] == 4
    sodium = written["by_element"]["Na"]
    assert sodium["slope"] == pytest.approx(1.25, rel=1e-6)
    assert sodium["rmse"] == pytest.approx(0.25 * sodium["rms"], rel=1e-6)
    assert written["by_element"]["Cl"]["slope"] != pytest.approx(1.25, rel=1e-4)
    assert sum(one["n_atoms"] for one in written["by_level"].values()) == 30


def test_shifts_of_elements_are_no_error(written):
    """Na −1.5 and Cl +0.3 eV are; what the last frame has beyond them is left."""
    assert written["energy_rmse"] > 500.0
    assert 0.3 < written["shifted_rmse"] < 2.0


def test_an_unknown_element_is_named_with_its_structure(model, tmp_path, capsys):
    atoms = crystals(1)[0]
    atoms.symbols[0] = "Li"
    atoms.info["energy"], atoms.arrays["forces"] = 0.0, np.zeros((8, 3))
    ase.io.write(tmp_path / "li.extxyz", [atoms])
    save(model, tmp_path / "model.pt")
    code = main(["evaluate", str(tmp_path / "li.extxyz"), "--model", str(tmp_path / "model.pt")])
    assert code == 2
    assert "li.extxyz frame 0: elements: this potential does not know Li" in capsys.readouterr().err
