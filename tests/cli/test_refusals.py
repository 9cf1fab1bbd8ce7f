"""The command line refuses what is wrong with one message and exit code 2, and writes nothing."""

import json
import re

import pytest
from short_run import RUN, run_with

from openmm_pqeq import versions
from openmm_pqeq.cli import main

pytestmark = pytest.mark.python_route

WRONG = {
    "unknown element": (run_with(structure="uranium.extxyz"), r"does not know U.*knows O, Mg"),
    "same place": (run_with(structure="same.extxyz"), r"atoms 0 and 1 .* apart"),
    "singular cell": (run_with(structure="singular.extxyz"), r"singular"),
    "NaN positions": (run_with(structure="nan.extxyz"), r"expected finite positions"),
    "NaN positions, energy": (
        ["energy", "nan.extxyz", "--model", "model.pt"],
        r"expected finite positions",
    ),
    "charge not a number": (
        run_with("--total-charge", "one"),
        r"total_charge: expected a number, got 'one'",
    ),
    "unknown model": (run_with(model="batio33"), r"model 'batio33'.*ships"),
    "unknown protocol": (
        run_with("--protocol", "magic"),
        r"protocol: expected one of .*got 'magic'",
    ),
    "another protocol": (
        run_with("--protocol", "reaxnet"),
        r"protocol: this model was made for 'ewald'",
    ),
    "unknown coupling": (
        run_with("--coupling", "strong"),
        r"coupling: expected one of shell, full, fragment, got 'strong'",
    ),
    "full along a lattice vector": (
        run_with("--coupling", "full", "--field", "0", "0", "1"),
        r"field: .*coupling=\"shell\"",
    ),
    "corrupt model": (run_with(model="corrupt.pt"), r"model file corrupt.pt: .*damaged"),
    "half a model": (run_with(model="half.pt"), r"model file half.pt: .*damaged"),
    "newer model": (run_with(model="newer.pt"), r"format 99.*upgrade"),
    "model that would run code": (
        run_with(model="evil.pt"),
        r"refused, because it would call posix.mkdir",
    ),
    "output exists": (run_with(output="MgO.extxyz"), r"output: MgO.extxyz is a file"),
    "no atoms": (run_with(structure="empty.extxyz"), r"expected a structure with atoms, got none"),
    "structure unreadable": (run_with(structure="junk.cif"), r"junk.cif: ASE cannot read"),
    "structure missing": (run_with(structure="missing.cif"), r"missing.cif: there is no such"),
    "negative time step": (
        run_with("--timestep", "-1"),
        r"timestep: expected a positive time, got '-1'",
    ),
    "negative temperature": (run_with("--temperature", "-300"), r"temperature: .*got '-300'"),
    "unknown ensemble": (
        run_with("--ensemble", "NVX"),
        r"ensemble: expected one of NVE, NVT, NPT, got 'NVX'",
    ),
    "unknown platform": (
        run_with("--platform", "Abacus"),
        r"platform: expected one of Reference.*got 'Abacus'",
    ),
    "NPT without a cell": (
        run_with("--ensemble", "NPT", structure="molecule.xyz"),
        r"ensemble: NPT needs a periodic cell",
    ),
    "supercell without a cell": (
        run_with("--supercell", "2", "1", "1", structure="molecule.xyz"),
        r"supercell: .*no cell vector",
    ),
    "expression with a name": (
        run_with("--field", "0", "0", "2*x"),
        r"field: 'x' is not understood in '2\*x'",
    ),
    "expression without a value": (
        run_with("--field", "0", "0", "1/t"),
        r"field: .*no value at t = 0",
    ),
    "steps and time": (run_with("--time", "1ps"), r"time: give either steps or time"),
    "no length": (
        ["run", "MgO.extxyz", "--model", "model.pt", "--output", "new"],
        r"time: missing",
    ),
    "no model": (["run", "MgO.extxyz", "--steps", "1", "--output", "new"], r"model: missing"),
    "not TOML": (["run", "bad.toml"], r"bad.toml: not a TOML file"),
    "TOML missing": (["run", "missing.toml"], r"there is no file missing.toml"),
    "nothing to resume": (["run", "new", "--resume"], r"resume: there is no run in new"),
    "folder without --resume": (["run", ".", "--output", "new"], r"--resume"),
    "tolerance": (
        ["energy", "MgO.extxyz", "--model", "model.pt", "--tolerance", "x"],
        r"tolerance: expected a number, got 'x'",
    ),
    "training file missing": (
        ["train", "missing.toml"],
        r"missing.toml|lightning is not installed.*\[train\]",
    ),
    "card of no model": (["models", "missing"], r"model 'missing'"),
}


COMPILING = "openmm-pqeq: compiling the potential, once for all structures of this kind\n"
"""What the first process of a machine says."""


@pytest.mark.parametrize("case", WRONG)
def test_wrong_input_is_said_in_one_message_and_nothing_is_written(here, capfd, case):
    arguments, message = WRONG[case]
    before = sorted(here.iterdir())
    assert main(arguments) == 2
    _, err = capfd.readouterr()
    assert re.search(message, err.replace("\n", " ")), err
    assert err.removeprefix(COMPILING).startswith("openmm-pqeq: error: ")
    assert "Traceback" not in err
    assert sorted(here.iterdir()) == before


@pytest.mark.parametrize("arguments", [["fly"], ["run", "--speed", "3"]])
def test_wrong_flags_end_with_2(here, capsys, arguments):
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert "Traceback" not in capsys.readouterr().err


def test_a_structure_without_a_model_is_said(here, capsys):
    assert main(["energy", "MgO.extxyz"]) == 2
    assert "model: missing; expected name of a model" in capsys.readouterr().err


def test_a_route_whose_versions_are_wrong_is_refused_with_its_remedy(here, capsys, monkeypatch):
    monkeypatch.setattr(
        versions,
        "installed_versions",
        lambda: {"torch": "2.10.0", "openmm": "8.5.2", "openmmtorch": "1.5"},
    )
    monkeypatch.setattr(versions, "from_conda", lambda package: False)
    assert main(run_with("--backend", "torchscript")) == 2
    err = capsys.readouterr().err
    assert "torch 2.10.0 is installed" in err
    assert "pip install" in err
    assert not (here / "new").exists()


def test_debug_shows_the_traceback(here, capsys):
    assert main(["--debug", "models", "missing"]) == 2
    assert "Traceback" in capsys.readouterr().err


ODD = {
    "field": ["0", "0", "min()"],
    "time": "1e400ps",
    "supercell": ["100000", "100000", "100000"],
    "timestep": "1e300",
    "barostat-interval": "1e18",
    "steps": "1e30",
    "pressure": "1e400GPa",
    "seed": "-1",
    "temperature": "1e30",
    "friction": "inf",
}


@pytest.mark.parametrize("name", ODD)
def test_numbers_beyond_all_bounds_are_refused_by_flag_and_by_file(here, capsys, name):
    value = ODD[name]
    words = value if isinstance(value, list) else [value]
    length = [] if name in ("time", "steps") else ["--steps", "2"]
    arguments = [word for word in RUN if word not in ("--steps", "2")] + length
    key = name.replace("-", "_")
    (here / "odd.toml").write_text(f"{key} = {json.dumps(value)}\n")
    for more in (
        [*arguments, f"--{name}", *words],
        ["run", "odd.toml", "--model", "model.pt", *length],
    ):
        assert main(more) == 2
        err = capsys.readouterr().err
        assert err.startswith(f"openmm-pqeq: error: {key}: ")
        assert "Traceback" not in err
    assert not (here / "new").exists()
