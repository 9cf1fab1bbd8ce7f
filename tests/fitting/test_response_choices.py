"""Fits of PQEq parameters to response: what is free, labels in files, and the command."""

import json

import ase.io
import numpy as np
import pytest
import torch
from response_frames import frame_of
from structures import water

import openmm_pqeq as pq
from openmm_pqeq.cli import main
from openmm_pqeq.fitting.parameters import free_parameters, to_fit, with_values
from openmm_pqeq.fitting.run import choose
from openmm_pqeq.fitting.settings import RunSettings, fit_settings
from openmm_pqeq.fitting.targets import parse_target, read_response_frames
from openmm_pqeq.pqeq import resolve_parameters
from openmm_pqeq.pqeq.derivatives.adjoint import PARAMETERS
from openmm_pqeq.structure import Structure


def test_which_parameters_are_free():
    start = resolve_parameters("reaxnet")
    free = free_parameters(
        start, ["O", "Ti"], ["Ti:all", "radius"], ["radius=0.3:1.9", "Ti:radius=x0.5:x1.5"]
    )
    assert [str(item) for item in free] == ["O radius"] + [f"Ti {name}" for name in PARAMETERS]
    assert (free[0].low, free[0].high) == (0.3, 1.9)
    radius = next(item for item in free if str(item) == "Ti radius")
    assert (radius.low, radius.high) == (0.5 * radius.start, 1.5 * radius.start)
    assert to_fit(free, [item.start for item in free])[0] == pytest.approx(
        np.log(start["O"].radius)
    )


@pytest.mark.parametrize(
    ("fit_texts", "bounds", "message"),
    [
        (["Si:all"], [], "expected elements of the data"),
        (["O:width"], [], "expected 'all' or names among"),
        (["O:all"], ["O:radius"], r"bounds: expected \[ELEMENT:\]NAME=LOW:HIGH"),
        (["O:all"], ["O:radius=1:x2"], "expected LOW:HIGH or xLOW:xHIGH"),
        (["O:all"], ["O:radius=1.5:2"], "starts at 0.669, outside 1.5:2"),
        (["O:all"], ["O:radius=-1:2"], "expected LOW < HIGH, positive"),
    ],
)
def test_wrong_choices_are_refused(fit_texts, bounds, message):
    with pytest.raises(ValueError, match=message):
        free_parameters(resolve_parameters("reaxnet"), ["O"], fit_texts, bounds)


def test_an_element_without_a_shell_has_no_spring_to_fit():
    start = resolve_parameters(
        {"O": {"electronegativity": 8.3, "hardness": 14.7, "core_charge": 1.0, "radius": 0.67}}
    )
    assert [item.name for item in free_parameters(start, ["O"])] == [
        "electronegativity",
        "hardness",
        "radius",
    ]
    with pytest.raises(ValueError, match="O has no shell"):
        free_parameters(start, ["O"], ["O:spring_constant"])


def moved(structure: Structure, by: float) -> Structure:
    """Every atom moved at random, by the same random numbers whatever `by` (Å) is."""
    generator = torch.Generator().manual_seed(4)
    noise = torch.randn(structure.positions.shape, dtype=torch.float64, generator=generator)
    return structure._replace(positions=structure.positions + by * noise)


@pytest.fixture
def data(tmp_path):
    """Ten waters with polarizabilities in bohr³ in boxes that are none, made with a softer
    oxygen."""
    start = resolve_parameters("reaxnet")
    softer = with_values(start, free_parameters(start, ["O"], ["O:spring_constant"]), [300.0])
    images = []
    for k in range(10):
        structure = moved(water(), 0.02 * k)
        alpha = frame_of(structure, softer, ["polarizability"]).labels["polarizability"]
        atoms = ase.Atoms("OHH", structure.positions.numpy(), cell=[50.0] * 3, pbc=True)
        atoms.info["pol"] = alpha * 14.399645 / 0.529177210903**3
        images.append(atoms)
    ase.io.write(tmp_path / "water.extxyz", images)
    return tmp_path / "water.extxyz"


def test_labels_and_their_units(data):
    frames = read_response_frames([data], ["polarizability=pol:bohr3"], cluster=True)
    assert len(frames) == 10
    assert not frames[0].structure.pbc.any()
    # water, all of its polarizability from shells: between 1 and 30 bohr³
    assert (
        1.0
        < np.trace(frames[0].labels["polarizability"]) / 3 * 14.399645 / 0.529177210903**3
        < 30.0
    )
    isotropic = read_response_frames([data], ["isotropic=pol:bohr3"], cluster=True)[0].labels[
        "isotropic"
    ]
    assert float(isotropic) == pytest.approx(
        np.trace(frames[0].labels["polarizability"]) / 3, abs=1e-12
    )
    periodic = read_response_frames([data], ["polarizability=pol:bohr3"])[0]
    volume = 50.0**3
    expected = np.eye(3) + 4 * np.pi * 14.399645 / volume * frames[0].labels["polarizability"]
    assert np.allclose(periodic.labels["dielectric"], expected, rtol=0, atol=1e-12)
    with pytest.raises(ValueError, match="no frame has a target"):
        read_response_frames([data])
    with pytest.raises(ValueError, match="dipoles need their key and unit"):
        parse_target("dipole")
    with pytest.raises(ValueError, match="expected a unit among"):
        parse_target("polarizability=pol:cm3")
    with pytest.raises(FileNotFoundError, match="no file"):
        read_response_frames([data.parent / "none.xyz"])


def test_choice_of_frames_is_that_of_the_seed():
    held_out, fitted = choose(59, RunSettings(("x",), held_out=12, frames=4))
    assert held_out == sorted(np.random.default_rng(0).permutation(59)[:12].tolist())
    assert len(fitted) == 4
    assert not set(held_out) & set(fitted)
    with pytest.raises(ValueError, match="of 10 frames, got 4 and 8"):
        choose(10, RunSettings(("x",), held_out=4, frames=8))
    with pytest.raises(ValueError, match="seed: expected a whole number that is not negative"):
        fit_settings({"data": "x", "seed": -1})


def test_the_command_writes_what_build_reads(data, capsys):
    """From file to folder: a spring found again to 1 %, held-out frames measured, a second run
    refused, resumed, replaced."""
    folder = data.parent / "fitted[a]"  # which is no markup
    arguments = [
        "fit-pqeq",
        str(data),
        "--cluster",
        "--target",
        "isotropic=pol:bohr3",
        "--fit",
        "O:spring_constant",
    ]
    arguments += ["--held-out", "3", "--frames", "4", "--prior", "1e-4", "--output", str(folder)]
    assert main([*arguments, "--scale", "isotropic=0"]) == 2
    assert not folder.exists()
    assert main(arguments) == 0
    assert "fitted[a]" in capsys.readouterr().out
    card = json.loads((folder / "card.json").read_text())
    assert card["parameters"]["O"]["spring_constant"] == pytest.approx(300.0, rel=0.01)
    assert card["errors"]["held out (3), after"]["isotropic"]["mae"] < 0.01
    assert card["errors"]["held out (3), before"]["isotropic"]["mae"] > 0.1
    assert len(card["held_out_frames"]) == 3
    assert (folder / "parity.png").stat().st_size > 1000
    assert "isotropic polarizability" in (folder / "errors.txt").read_text()
    potential = pq.build(
        {"pqeq": {"protocol": "direct", "parameters": str(folder / "parameters.csv")}}
    )
    assert float(potential.pqeq.spring_constant[8]) == pytest.approx(300.0 / 23.060549, rel=0.01)
    capsys.readouterr()
    assert main(arguments) == 2
    assert "continue that fit with --resume, or replace it" in capsys.readouterr().err
    assert main([*arguments, "--resume"]) == 0
    assert main([*arguments, "--seed", "5", "--resume"]) == 2
    assert "other settings (seed)" in capsys.readouterr().err
