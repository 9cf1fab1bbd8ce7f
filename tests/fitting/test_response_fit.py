"""Fits of PQEq parameters to response: recovery of known parameters, guards, interruptions."""

import json
from typing import Any

import ase.build
import ase.io
import numpy as np
import pytest
import torch
from response_frames import batio3, frame_of
from structures import perovskite, tensor, water

from openmm_pqeq.fitting.fit import fit
from openmm_pqeq.fitting.parameters import free_parameters, with_values
from openmm_pqeq.fitting.residuals import FitSettings, Guard, Residuals, measure
from openmm_pqeq.fitting.run import RunSettings, run
from openmm_pqeq.fitting.targets import ResponseFrame
from openmm_pqeq.pqeq import resolve_parameters
from openmm_pqeq.structure import structure_of


def test_known_parameters_are_found_again():
    """Labels made with other radii and springs of oxygen and titanium: the fit finds those within 1
    %, and the labels to 1e-3."""
    start = batio3()
    free = free_parameters(
        start, ["O", "Ti", "Ba"], ["O:radius,spring_constant", "Ti:spring_constant"]
    )
    truth = with_values(start, free, [0.80, 42.0, 900.0])
    frame = frame_of(perovskite(), truth, ["born_charge", "dielectric"])
    settings = FitSettings(
        {"born_charge": 0.1, "dielectric": 0.1}, Guard(0.05, 0.05, 1.5), prior=1e-4, tolerance=1e-5
    )
    found = fit(Residuals(start, [frame], free, settings))
    assert found.finished
    for item in free:
        assert getattr(found.parameters[item.element], item.name) == pytest.approx(
            getattr(truth[item.element], item.name), rel=0.01
        )
    (after,) = measure(found.parameters, [frame], 1e-5)
    assert np.abs(after.values["born_charge"] - frame.labels["born_charge"]).max() < 1e-3
    assert found.parameters["Ba"] == start["Ba"]


def test_guard_holds_and_bounds_hold():
    """Labels that ask for a soft oxygen: the fit stops at the limit of the shell, and a narrow
    bound is kept."""
    start = resolve_parameters("reaxnet")
    asked = with_values(start, free_parameters(start, ["O"], ["O:spring_constant"]), [60.0])
    structure = water()
    labels = frame_of(structure, asked, ["polarizability"])
    longest = measure(asked, [labels])[0].longest
    guard = Guard(0.3, 0.3, 0.6 * longest)
    free = free_parameters(
        start, ["O", "H"], ["O:spring_constant", "H:radius"], ["H:radius=x0.99:x1.01"]
    )
    found = fit(Residuals(start, [labels], free, FitSettings({"polarizability": 0.01}, guard)))
    (after,) = measure(found.parameters, [labels])
    assert after.longest <= guard.shell * (1 + 1e-6)
    assert after.longest > 0.5 * guard.shell
    assert 0.99 * 0.371 <= found.parameters["H"].radius <= 1.01 * 0.371


def test_a_resumed_fit_is_the_unbroken_one(tmp_path):
    """To the last bit: what was computed before the end is told to SciPy again."""
    start = batio3()
    free = free_parameters(start, ["O", "Ti", "Ba"], ["O:radius,spring_constant"])
    frame = frame_of(perovskite(), with_values(start, free, [0.80, 42.0]), ["born_charge"])
    frame = frame._replace(
        labels={
            "born_charge": frame.labels["born_charge"]
            + 0.05 * np.cos(np.arange(45.0)).reshape(5, 3, 3)
        }
    )
    settings = FitSettings({"born_charge": 0.1}, Guard(0.05, 0.05, 1.5), tolerance=1e-5)
    whole = fit(Residuals(start, [frame], free, settings))
    state = tmp_path / "state.json"
    fit(Residuals(start, [frame], free, settings._replace(iterations=2)), state)
    kept = json.loads(state.read_text())
    assert kept["free"] == ["O radius", "O spring_constant"]
    lines: list[str] = []
    second = fit(Residuals(start, [frame], free, settings), state, lines.append)
    assert second == whole
    assert lines[0].startswith(f"step {kept['steps'] + 1:3d}")
    other = settings._replace(scales={"born_charge": 0.2})
    with pytest.raises(ValueError, match=r"evaluations\.npz is of a fit with another start, other"):
        fit(Residuals(start, [frame], free, other), state)
    with pytest.raises(ValueError, match=r"evaluations\.npz is of a fit with another start, other"):
        fit(Residuals(start, [frame], free[:1], settings), state)
    (tmp_path / "evaluations.npz").write_bytes(b"damaged")
    with pytest.raises(ValueError, match=r"evaluations\.npz is damaged .* remove it"):
        fit(Residuals(start, [frame], free, settings), state)
    (tmp_path / "evaluations.npz").unlink()  # as an earlier version left it
    fit(Residuals(start, [frame], free, settings._replace(iterations=1)), state, lines.append)
    assert any("an earlier version did not write" in line for line in lines)


def test_a_start_for_charges_by_bonds_is_said_to_lose_its_bonds(tmp_path):
    """Charges flow freely in a fit to frames, and its table has no softness."""
    atoms = ase.build.molecule("H2O")
    atoms.info["dipole"] = np.array([0.0, 0.0, -0.4])
    ase.io.write(tmp_path / "water.extxyz", atoms)
    for parameters in ("molecules", "reaxnet"):
        lines: list[Any] = []
        settings = RunSettings(
            data=(str(tmp_path / "water.extxyz"),),
            targets=("dipole=dipole:eA",),
            parameters=parameters,
            fit=("H:electronegativity",),
            held_out=0,
            iterations=1,
        )
        run(settings, tmp_path / parameters, say=lines.append)
        said = [line for line in lines if "charges flow freely" in str(line)]
        assert len(said) == (parameters == "molecules")
        header = (tmp_path / parameters / "parameters.csv").read_text()
        assert "softness" not in header


def test_interrupted_fits_keep_the_best(tmp_path):
    start = batio3()
    free = free_parameters(start, ["O", "Ti", "Ba"], ["O:spring_constant"])
    frame = frame_of(perovskite(), with_values(start, free, [42.0]), ["born_charge"])
    residuals = Residuals(
        start, [frame], free, FitSettings({"born_charge": 0.1}, Guard(0.05, 0.05, 1.5))
    )
    lines: list[str] = []

    def interrupt(line: str) -> None:
        lines.append(line)
        if line.startswith("step   1"):
            raise KeyboardInterrupt

    found = fit(residuals, tmp_path / "state.json", interrupt)
    assert not found.finished
    assert 37.773 < found.parameters["O"].spring_constant < 50.0
    assert "interrupted" in lines[-1]


def test_a_frame_without_a_stable_solution_is_named():
    structure = structure_of(tensor([[0, 0, 0], [0, 0, 0.4], [0, 0.4, 0]]), torch.tensor([8, 1, 1]))
    start = resolve_parameters("pqeq0")  # its H is softer than its own Gaussian
    frame = ResponseFrame(structure, {"isotropic": np.array(1.0)}, "close.xyz frame 7")
    free = free_parameters(start, ["H", "O"], ["O:hardness"])
    with pytest.raises(RuntimeError, match=r"close\.xyz frame 7: the Hessian"):
        fit(Residuals(start, [frame], free, FitSettings({"isotropic": 0.01})))
