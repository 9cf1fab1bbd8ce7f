"""The command line: what it prints, and that wrong input ends with one message, exit code 2, and
nothing written."""

import ast
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch

import openmm_pqeq
from openmm_pqeq import versions
from openmm_pqeq.calculator import PQEqCalculator
from openmm_pqeq.checkpoint import load, save
from openmm_pqeq.cli import COMMANDS, main
from openmm_pqeq.jobs.lock import locked
from openmm_pqeq.md.plot import read_table
from openmm_pqeq.potential import build

pytestmark = pytest.mark.python_route


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with a model without a network, a cell of MgO, and a number of files that are
    wrong."""
    from ase import Atoms
    from ase.build import bulk

    folder = tmp_path_factory.mktemp("cli")
    card = {
        "title": "Charges of MgO",
        "licence": "MIT",
        "errors": {"held out": {"force_rmse": 0.5}},
    }
    save(
        build({"pqeq": {"protocol": "ewald", "parameters": {"Mg": _MG, "O": _O}}}),
        folder / "model.pt",
        card,
    )
    crystal = bulk("MgO", "rocksalt", a=4.2)
    crystal.write(folder / "MgO.extxyz")
    wrong = {name: crystal.copy() for name in ("uranium", "same", "singular", "nan")}
    wrong["uranium"].symbols[0] = "U"
    wrong["same"].positions[1] = wrong["same"].positions[0]
    wrong["singular"].cell[2] = wrong["singular"].cell[1]
    wrong["nan"].positions[0, 0] = np.nan
    for name, atoms in wrong.items():
        atoms.write(folder / f"{name}.extxyz")
    Atoms("MgO", [[0, 0, 0], [0, 0, 1.8]]).write(folder / "molecule.xyz")
    (folder / "empty.extxyz").write_text("0\n\n")
    (folder / "junk.cif").write_text("hello")
    (folder / "bad.toml").write_text("structure = ")
    content = torch.load(folder / "model.pt", weights_only=True)
    torch.save(content | {"format": 99}, folder / "newer.pt")
    torch.save(Evil(folder / "executed"), folder / "evil.pt")
    (folder / "corrupt.pt").write_bytes(b"abcdef" * 100)
    (folder / "half.pt").write_bytes((folder / "model.pt").read_bytes()[:500])
    return folder


_MG = {
    "electronegativity": 3.9,
    "hardness": 8.0,
    "core_charge": 1.0,
    "radius": 1.4,
    "spring_constant": 100.0,
}
_O = {
    "electronegativity": 8.7,
    "hardness": 8.6,
    "core_charge": 1.0,
    "radius": 0.7,
    "spring_constant": 300.0,
}


class Evil:
    """A pickle that would run code."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.fixture
def here(folder, monkeypatch):
    monkeypatch.chdir(folder)
    return folder


RUN = (
    "run",
    "MgO.extxyz",
    "--model",
    "model.pt",
    "--steps",
    "2",
    "--output",
    "new",
    "--backend",
    "python",
)


def run_with(*arguments, **replaced):
    """Arguments of a short run with some of them replaced or added."""
    words = list(RUN)
    for flag, value in replaced.items():
        words[words.index(f"--{flag}") + 1 if flag != "structure" else 1] = value
    return [*words, *arguments]


# What is refused

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


@pytest.mark.parametrize("case", WRONG)
def test_wrong_input_is_said_in_one_message_and_nothing_is_written(here, capfd, case):
    arguments, message = WRONG[case]
    before = sorted(here.iterdir())
    assert main(arguments) == 2
    _, err = capfd.readouterr()
    assert re.search(message, err.replace("\n", " ")), err
    assert err.startswith("openmm-pqeq: error: ")
    assert "Traceback" not in err
    assert sorted(here.iterdir()) == before


def test_the_command_alone_shows_what_it_can_do(capsys):
    assert main([]) == 0
    out, err = capsys.readouterr()
    assert "openmm-pqeq models batio3" in out
    assert all(command in out for command in COMMANDS)
    assert err == ""


@pytest.mark.parametrize("arguments", [["fly"], ["run", "--speed", "3"], ["energy", "MgO.extxyz"]])
def test_wrong_flags_end_with_2(here, capsys, arguments):
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert "Traceback" not in capsys.readouterr().err


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


# What is printed


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


@pytest.mark.parametrize("command", ["run", "train", "finetune", "fit-pqeq", "bench"])
def test_a_folder_in_use_is_refused_by_every_command(here, command, capsys, monkeypatch):
    monkeypatch.chdir(here)
    shutil.rmtree(here / "used", ignore_errors=True)
    (here / "used").mkdir()
    (here / "train.toml").write_text('[data]\nfiles = "MgO.extxyz"\n[potential.gnn]\n')
    arguments = {
        "run": run_with(output="used"),
        "train": ["train", "train.toml", "-o", "used"],
        "finetune": ["finetune", "batio3", "MgO.extxyz", "-o", "used.pt"],
        "fit-pqeq": ["fit-pqeq", "MgO.extxyz", "-o", "used"],
        "bench": ["bench", "MgO.extxyz", "--model", "model.pt", "-o", "used"],
    }[command]
    if command in ("train", "finetune"):
        pytest.importorskip("lightning")
    with locked(here / "used", "walk"):
        assert main(arguments) == 2
        assert "used is in use by a walk" in capsys.readouterr().err
        assert [path.name for path in (here / "used").iterdir()] == ["job.lock"]


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


def test_a_real_second_process_is_refused(here):
    """A run is going on; --resume and --overwrite from elsewhere leave every byte and the run."""
    root = str(Path(openmm_pqeq.__file__).parents[1])
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": root}
    command = [sys.executable, "-m", "openmm_pqeq", *run_with(output="live")]
    command[command.index("--steps") + 1] = "1000000"
    first = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 120
        while not (here / "live" / "restart.zip").is_file() and time.monotonic() < deadline:
            time.sleep(0.1)
        first.send_signal(signal.SIGSTOP)  # nothing changes by itself
        before = {path.name: path.read_bytes() for path in (here / "live").iterdir()}
        for more in (["run", "live", "--resume"], [*command[3:], "--overwrite"]):
            second = [sys.executable, "-m", "openmm_pqeq", *more]
            done = subprocess.run(second, env=environment, capture_output=True, text=True)
            assert done.returncode == 2, done.stderr
            assert f"in use by a run, process {first.pid}" in done.stderr
        assert {path.name: path.read_bytes() for path in (here / "live").iterdir()} == before
        first.send_signal(signal.SIGCONT)
        first.send_signal(signal.SIGTERM)
        assert first.wait(120) == 130
    finally:
        first.kill()
        first.wait()


# A run


def test_a_killed_run_resumes_with_the_same_files(here, capsys):
    """SIGKILL in the middle; flags and a TOML file say the same."""
    (here / "run.toml").write_text(
        'structure = "MgO.extxyz"\nmodel = "model.pt"\nsteps = 40\nseed = 3\nbackend = "python"\nplatform = "Reference"\n'
        'timestep = "0.1fs"\nfield = [0, "-0.01*t", 0]\nrestart_interval = 8\ntable_interval = 1\noutput = "killed"\n'
    )
    words = [sys.executable, "-m", "openmm_pqeq", "run", "run.toml"]
    environment = os.environ | {
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": str(Path(openmm_pqeq.__file__).parents[1]),
    }
    process = subprocess.Popen(
        words, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    table = here / "killed" / "table.csv"
    deadline = time.monotonic() + 120
    while process.poll() is None and time.monotonic() < deadline:
        if table.is_file() and table.read_text().count("\n") > 10:
            break
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    out, _ = process.communicate()
    assert process.returncode == -signal.SIGKILL, out.decode()
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        assert main(["run", "run.toml", "--resume"]) == 0
    assert f"taking over the lock of a run, process {process.pid}" in capsys.readouterr().err
    assert read_table(table)["step"].tolist() == list(range(1, 41))
    assert main(["run", "run.toml", "--output", "unbroken"]) == 0
    one, two = read_table(here / "unbroken" / "table.csv"), read_table(table)
    for name, values in one.items():
        assert np.abs(values - two[name]).max() < 1e-3, (
            name
        )  # K and the like: charges to 1e-5 eV/e, from other starts
