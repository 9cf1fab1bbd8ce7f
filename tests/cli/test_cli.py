"""What the command line prints, on every console."""

import ast
import io
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from short_run import run_with

import openmm_pqeq
from openmm_pqeq.calculator import PQEqCalculator
from openmm_pqeq.checkpoint import load
from openmm_pqeq.cli import COMMANDS, main

pytestmark = pytest.mark.python_route


@pytest.mark.filterwarnings(
    "ignore:the temperature is .* was set:UserWarning"
)  # no repulsion: it heats
def test_names_with_brackets_are_printed_as_they_are(here, tmp_path, capsys):
    shutil.copyfile("model.pt", tmp_path / "model[a].pt")
    monoxide, model = str(here / "MgO.extxyz"), "model[a].pt"
    os.chdir(tmp_path)
    commands = {
        model: ["energy", monoxide, "--model", model],
        "file:model[a].pt": ["models", model],
        "out[b]/restart.zip": run_with(structure=monoxide, model=model, output="out[b]"),
    }
    for words, arguments in commands.items():
        assert main(arguments) == 0
        assert words.removeprefix("file:") in capsys.readouterr().out


def test_the_command_alone_shows_what_it_can_do(capsys):
    assert main([]) == 0
    out, err = capsys.readouterr()
    assert "openmm-pqeq models batio3" in out
    assert all(command in out for command in COMMANDS)
    assert err == ""


@pytest.mark.parametrize("command", COMMANDS)
def test_every_help_has_an_example_of_its_command(capsys, command):
    with pytest.raises(SystemExit) as ended:
        main([command, "--help"])
    assert ended.value.code == 0
    assert re.search(rf"examples:\s+openmm-pqeq {command}\b", capsys.readouterr().out)


def test_energy_as_json_is_the_calculators(here, capsys):
    from ase.io import read

    assert (
        main(
            [
                "energy",
                "MgO.extxyz",
                "--model",
                "model.pt",
                "--json",
                "--field",
                "0",
                "-1e-2",
                "0.02",
                "--tolerance",
                "1e-10",
            ]
        )
        == 0
    )
    found = json.loads(capsys.readouterr().out)
    atoms = read("MgO.extxyz")
    atoms.calc = PQEqCalculator(load("model.pt"), field=(0, -0.01, 0.02), tolerance=1e-10)
    assert (
        abs(found["energy"] - atoms.get_potential_energy()) < 1e-9
    )  # eV; the same solver on the same numbers
    assert np.abs(np.array(found["forces"]) - atoms.get_forces()).max() < 1e-8
    assert np.abs(np.array(found["stress"]) - atoms.get_stress()).max() < 1e-8
    for name in ("charges", "shells", "dipole"):
        assert np.abs(np.array(found[name]) - atoms.calc.results[name]).max() < 1e-8
    assert found["energy_terms"].keys() == {"pqeq"}


def test_energy_as_a_table_names_every_quantity(here, capsys):
    assert main(["energy", "MgO.extxyz", "--model", "model.pt", "--supercell", "1", "1", "2"]) == 0
    text = capsys.readouterr().out
    for word in (
        "Mg2O2",
        "per atom",
        "pqeq",
        "largest force",
        "pressure",
        "dipole",
        "charge of Mg",
        "charge of O",
    ):
        assert word in text


def test_the_card_of_a_model_is_shown(here, capsys):
    assert main(["models", "model.pt"]) == 0
    text = capsys.readouterr().out
    for word in ("Charges of MgO", "MIT", "force RMSE, meV/Å: 0.5", "O, Mg"):
        assert word in text


def test_models_lists_what_ships(capsys):
    assert main(["models"]) == 0
    assert "batio3" in capsys.readouterr().out


def test_doctor_names_versions_and_routes(capsys):
    assert main(["doctor", "--quick"]) == 0
    text = capsys.readouterr().out
    for word in ("torch", "openmm", "TorchForce", "PythonForce", "Native operators"):
        assert word in text


LIGHTLESS = """
import sys
sys.modules["lightning"] = None
from openmm_pqeq.cli import main
sys.exit(main(sys.argv[1:]))
"""


def test_no_command_waits_for_what_others_need():
    """Plots, readers of structures and training are imported by commands at their work."""
    script = """
import sys
import openmm_pqeq.cli
late = {"matplotlib", "ase.io", "lightning", "e3nn", "dask", "pymatgen", "sympy"}
print(sorted(late & set(sys.modules)))
"""
    command = [sys.executable, "-c", script]
    root = str(Path(openmm_pqeq.__file__).parents[1])
    environment = os.environ | {"PYTHONPATH": root}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
def test_no_result_is_lost_to_the_encoding_of_a_console(here, encoding):
    """Help and an energy, in a process whose console knows no Greek letters."""
    root = str(Path(openmm_pqeq.__file__).parents[1])
    environment = os.environ | {"PYTHONIOENCODING": encoding, "PYTHONPATH": root}
    for arguments in (["run", "--help"], ["energy", "MgO.extxyz", "--model", "model.pt"]):
        command = [sys.executable, "-m", "openmm_pqeq", *arguments]
        done = subprocess.run(command, env=environment, capture_output=True)
        assert done.returncode == 0, done.stderr.decode()
        assert b"odec can't" not in done.stderr
        assert done.stdout.decode(encoding)


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
def test_help_of_every_command_is_shown_by_every_console(monkeypatch, command, encoding):
    console = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    monkeypatch.setattr(sys, "stdout", console)
    with pytest.raises(SystemExit) as ended:
        main([command, "--help"])
    assert ended.value.code == 0
    console.flush()
    assert f"openmm-pqeq {command}" in console.buffer.getvalue().decode(encoding)


def test_text_files_are_read_and_written_as_utf_8():
    """No call in the package leaves the encoding to the machine."""
    others = {"os", "tarfile", "zipped", "self"}  # whose `open` has no encoding

    def in_text_mode(call):
        if isinstance(call.func, ast.Attribute):
            name, of = call.func.attr, ast.unparse(call.func.value).split(".")[0]
            if name not in ("read_text", "write_text", "open") or of in {*others, "metadata"}:
                return False
        elif not isinstance(call.func, ast.Name) or call.func.id != "open":
            return False
        inside = [one for arg in call.args for one in ast.walk(arg)]
        modes = [one.value for one in inside if isinstance(one, ast.Constant)]
        return not set(modes) & {"rb", "wb", "ab", "r+b"}

    bare = [
        f"{file.name}:{call.lineno}"
        for file in sorted(Path(openmm_pqeq.__file__).parent.rglob("*.py"))
        for call in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(call, ast.Call) and in_text_mode(call)
        if "encoding" not in [keyword.arg for keyword in call.keywords]
    ]
    assert bare == []


def test_fits_and_help_need_no_lightning(here):
    """fit-pqeq gets to its data, and train says what it lacks."""
    root = str(Path(openmm_pqeq.__file__).parents[1])
    environment = os.environ | {"PYTHONPATH": root}
    (here / "train.toml").write_text('[data]\nfiles = "MgO.extxyz"\n[potential.gnn]\n')
    for arguments, code, said in (
        (["fit-pqeq", "MgO.extxyz"], 2, b"data: no frame has a target"),
        (["train", "--help"], 0, b"--learning-rate"),
        (["train", "train.toml"], 2, b"train: lightning is not installed"),
    ):
        command = [sys.executable, "-c", LIGHTLESS, *arguments]
        done = subprocess.run(command, env=environment, capture_output=True)
        assert (done.returncode, said in done.stdout + done.stderr) == (code, True), done.stderr
    assert not (here / "pqeq_fit").exists()
