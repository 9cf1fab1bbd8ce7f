"""`openmm-pqeq analyze` on folders of known motion: what is printed, written and refused."""

import json

import numpy as np
import pytest
from run_folders import write_run

from openmm_pqeq.cli import main

INTERVAL, CELL = 0.1, np.diag([12.0, 13.0, 14.0])  # ps, Å


def outcome(folder, name):
    assert (folder / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    return json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))


def walk(n_frames, n_atoms, coefficient, seed=0):
    steps = np.random.default_rng(seed).normal(size=(n_frames, n_atoms, 3))
    return np.cumsum(steps * np.sqrt(2 * coefficient * INTERVAL), axis=0)


@pytest.fixture(scope="module")
def ions(tmp_path_factory):
    """40 lithium ions that walk with D = 0.5 Å²/ps among oxygen atoms that rattle; wrapped."""
    rng = np.random.default_rng(1)
    start = rng.random((60, 3)) @ CELL
    path = start + np.concatenate(
        [walk(2000, 40, 0.5), 0.1 * rng.normal(size=(2000, 20, 3))], axis=1
    )
    wrapped = (path @ np.linalg.inv(CELL) % 1.0) @ CELL
    return write_run(
        tmp_path_factory.mktemp("ions") / "out",
        ["Li"] * 40 + ["O"] * 20,
        wrapped,
        CELL,
        INTERVAL,
        temperature=900.0,
    )


def test_diffusion_of_a_walk(ions, capsys):
    assert main(["analyze", "diffusion", str(ions), "--element", "Li", "--hop-length", "1"]) == 0
    said = capsys.readouterr().out
    assert "40 Li, 2000 frames of 60 atoms" in said
    assert "cm²/s" in said
    found = outcome(ions, "diffusion")
    result = found["results"]["D"]
    assert result["unit"] == "cm²/s"
    # the centre of mass stands still: lithium in it, 40 of 60 atoms and 46 % of the mass
    assert abs(result["value"] / 5e-5 - 1) < 0.1
    assert 0 < result["error"] < 5e-6
    assert found["settings"]["temperature (K)"] == 900.0
    skipped = main(
        [
            "analyze",
            "diffusion",
            str(ions),
            "--element",
            "Li",
            "--skip",
            "100ps",
            "--stride",
            "2",
            "-o",
            str(ions / "x"),
        ]
    )
    assert skipped == 0
    assert "1001 frames" not in capsys.readouterr().out
    assert abs(outcome(ions / "x", "diffusion")["columns"]["lag (ps)"][1] - 0.2) < 1e-9


def test_what_rattles_has_no_coefficient(ions, capsys):
    assert main(["analyze", "diffusion", str(ions), "--element", "O", "--drift", "others"]) == 1
    said = capsys.readouterr().out
    assert "no diffusive window" in said
    assert "D" not in outcome(ions, "diffusion")["results"]
    assert main(["analyze", "arrhenius", str(ions), str(ions), str(ions)]) == 2
    assert "no diffusive window" in capsys.readouterr().err


def test_arrhenius_of_runs(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for kelvin in (600, 800, 1000):
        folder = tmp_path / f"run{kelvin}"
        d = 40 * np.exp(-0.3 / (8.617333e-5 * kelvin))
        write_run(
            folder,
            ["Li"] * 40,
            6 + walk(1000, 40, d, kelvin),
            CELL,
            INTERVAL,
            temperature=float(kelvin),
        )
        arguments = ["--element", "Li", "--hop-length", "1", "--drift", "none"]
        assert main(["analyze", "diffusion", str(folder), *arguments]) == 0
    assert main(["analyze", "arrhenius", "run600", "run800", "run1000", "--at", "300"]) == 0
    assert "at 300 K" in capsys.readouterr().out
    found = outcome(tmp_path, "arrhenius")["results"]
    energy = found["activation energy"]
    assert abs(energy["value"] - 0.3) < 3 * energy["error"]
    assert energy["error"] < 0.05
    table = "temperature_K,value\n950,0.804e-5\n1000,0.967e-5\n1100,1.293e-5\n1200,1.655e-5\n"
    (tmp_path / "table.csv").write_text(table)
    assert main(["analyze", "arrhenius", "table.csv", "-o", "llzo"]) == 0
    energy = outcome(tmp_path / "llzo", "arrhenius")["results"]["activation energy"]
    assert abs(energy["value"] - 0.283) < 0.002


def test_conductivity_and_drift(ions, tmp_path, capsys):
    arguments = ["--ions", "Li=1", "--hop-length", "1", "--drift", "others"]
    assert main(["analyze", "conductivity", str(ions), *arguments]) == 0
    found = outcome(ions, "conductivity")["results"]
    volume = 12 * 13 * 14
    expected = 40 * 0.5 / (volume * 8.617333262e-5 * 900) * 16.02176634
    assert abs(found["σ, Nernst–Einstein"]["value"] / expected - 1) < 0.1
    collective = found["σ, collective"]
    assert abs(collective["value"] - expected) < 4 * collective["error"]
    field = [0.0, 0.0, 0.01]
    times = INTERVAL * np.arange(1000)
    drifting = walk(1000, 40, 0.05, 5)
    drifting[:, :20, 2] += 0.3 * times[:, None]
    drifting[:, 20:, 2] -= 0.1 * times[:, None]
    run = write_run(
        tmp_path / "f", ["Na"] * 20 + ["Cl"] * 20, drifting, CELL, INTERVAL, field=field
    )
    ions_ = ["--ions", "Na=1", "Cl=-1", "--drift", "none"]
    assert main(["analyze", "conductivity", str(run), *ions_]) == 0
    found = outcome(run, "conductivity")["results"]
    assert abs(found["drift velocity of Na"]["value"] - 0.3) < 0.03
    assert abs(found["mobility of Cl"]["value"] / (-0.1 / 0.01 * 1e-4) - 1) < 0.3
    expected = 20 * 0.4 / (volume * 0.01) * 16.02176634
    assert abs(found["σ, drift"]["value"] / expected - 1) < 0.1


def test_radial_distribution_of_a_gas(tmp_path, capsys):
    positions = np.random.default_rng(0).random((50, 60, 3)) @ CELL
    run = write_run(tmp_path / "gas", ["Na"] * 30 + ["Cl"] * 30, positions, CELL)
    assert main(["analyze", "rdf", str(run), "--pair", "Na", "Cl", "--cutoff", "5"]) == 0
    found = outcome(run, "rdf")
    number = found["results"]["Cl about Na"]
    assert abs(number["value"] - 30 / (12 * 13 * 14) * 4 / 3 * np.pi * 125) < 4 * number["error"]
    alone = ["rdf", str(run / "trajectory.dcd"), "--topology", str(run / "topology.pdb")]
    alone += ["--interval", "0.1", "--pair", "Na", "Cl", "-o", str(tmp_path / "alone")]
    assert main(["analyze", *alone]) == 0
    assert outcome(tmp_path / "alone", "rdf")["columns"] == found["columns"]


WRONG = {
    "no folder": (["rdf", "nowhere", "--pair", "Li", "O"], "run: nowhere does not exist"),
    "an empty folder": (["rdf", "empty", "--pair", "Li", "O"], "has no run.toml"),
    "no such element": (["rdf", "out", "--pair", "Li", "Xx"], "pair: expected one of Li, O"),
    "a trajectory alone": (["rdf", "out/trajectory.dcd", "--pair", "Li", "O"], "give --topology"),
    "no interval": (
        ["rdf", "out/trajectory.dcd", "--topology", "out/topology.pdb", "--pair", "Li", "O"],
        "give --interval",
    ),
    "all skipped": (["rdf", "out", "--pair", "Li", "O", "--skip", "1ns"], "skip: "),
    "too far": (["rdf", "out", "--pair", "Li", "O", "--longest", "9"], "longest: expected"),
    "a window outside": (
        ["diffusion", "out", "--element", "Li", "--window", "1ps", "1us"],
        "window: expected two lags",
    ),
    "a drift that is none": (["diffusion", "out", "--element", "Li", "--drift", "x"], "drift"),
    "no charge": (["conductivity", "out", "--ions", "Li"], "ions: expected ELEMENT=Z"),
    "a field that changes": (
        ["conductivity", "out", "--ions", "Li=1", "--field", "0", "0", "t"],
        "field: expected a constant field",
    ),
    "another topology": (["rdf", "out", "--topology", "other.pdb", "--pair", "Li", "O"], "run: "),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_input_is_named(ions, monkeypatch, capsys, case):
    here = ions.parent
    monkeypatch.chdir(here)
    (here / "empty").mkdir(exist_ok=True)
    lines = (ions / "topology.pdb").read_text().splitlines(keepends=True)
    (here / "other.pdb").write_text("".join([*lines[:20], "END\n"]))
    arguments, message = WRONG[case]
    assert main(["analyze", *arguments]) == 2
    assert message in capsys.readouterr().err


RDF, DIFFUSION = ["rdf", "out", "--pair", "Li", "O"], ["diffusion", "out", "--element", "Li"]
VALUES = [
    (RDF, "--bin-width", ("nan", "0", "-1", "1e300", "x")),
    (RDF, "--longest", ("inf", "0", "1e5")),
    (RDF, "--cutoff", ("nan", "100", "0")),
    (RDF, "--blocks", ("0", "1", "1e30", "nan")),
    (RDF, "--skip", ("nan", "-1", "1e300", "soon")),
    (RDF, "--stride", ("0", "1e30", "1.5")),
    (RDF, "--interval", ("0", "nan", "x")),
    (DIFFUSION, "--hop-length", ("0", "nan", "1e9")),
    (DIFFUSION, "--blocks", ("0", "1", "nan")),
    (DIFFUSION, "--temperature", ("nan", "0", "hot")),
    (["profile", "out"], "--slabs", ("0", "1", "1e9", "nan")),
    (["profile", "out"], "--times", ("0", "nan")),
    (["profile", "out"], "--axis", ("w", "")),
    (["lattice", "out"], "--skip", ("nan", "1s")),
]
CASES = {
    f"{command[0]} {flag} {value}": ([*command, flag, value], flag[2:])
    for command, flag, given in VALUES
    for value in given
}


@pytest.mark.parametrize("case", CASES)
def test_a_wrong_value_is_named(ions, monkeypatch, capsys, case):
    monkeypatch.chdir(ions.parent)
    arguments, name = CASES[case]
    assert main(["analyze", *arguments]) == 2
    said = capsys.readouterr().err
    assert said.startswith("openmm-pqeq: error: ")
    assert name.replace("-", "_") in said.replace("-", "_")
