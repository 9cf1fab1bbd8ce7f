"""Processes that meet at one folder, and one that is killed."""

import os
import shutil
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import pytest
from short_run import run_with

import openmm_pqeq
from openmm_pqeq.cli import main
from openmm_pqeq.jobs.lock import locked, locked_file
from openmm_pqeq.md.plot import read_table


@pytest.mark.parametrize(
    "command", ["run", "relax", "train", "finetune", "fit-pqeq", "distill", "campaign", "bench"]
)
def test_a_folder_in_use_is_refused_by_every_command(here, command, capsys, monkeypatch):
    monkeypatch.chdir(here)
    shutil.rmtree(here / "used", ignore_errors=True)
    (here / "used").mkdir()
    (here / "train.toml").write_text('[data]\nfiles = "MgO.extxyz"\n[potential.gnn]\n')
    (here / "distilled.toml").write_text(
        '[teacher]\nmodel = "model.pt"\n[structures]\nfiles = ["MgO.extxyz"]\n[student]\n'
    )
    (here / "used.toml").write_text(
        '[run]\nmodel = "model.pt"\nstructure = "MgO.extxyz"\nsteps = 2\n[vary]\nseed = [1, 2]\n'
    )
    arguments = {
        "run": run_with(output="used"),
        "train": ["train", "train.toml", "-o", "used"],
        "finetune": ["finetune", "batio3", "MgO.extxyz", "-o", "used.pt"],
        "fit-pqeq": ["fit-pqeq", "MgO.extxyz", "-o", "used"],
        "relax": ["relax", "MgO.extxyz", "--model", "model.pt", "-o", "used"],
        "distill": ["distill", "distilled.toml", "-o", "used"],
        "campaign": ["campaign", "used.toml"],
        "bench": ["bench", "MgO.extxyz", "--model", "model.pt", "-o", "used"],
    }[command]
    for needed in {
        "train": ["lightning"],
        "distill": ["lightning"],
        "campaign": ["distributed"],
    }.get(command.replace("finetune", "train"), []):
        pytest.importorskip(needed)
    with locked(here / "used", "walk"):
        assert main(arguments) == 2
        assert "used is in use by a walk" in capsys.readouterr().err
        assert [path.name for path in (here / "used").iterdir()] == ["job.lock"]


FILES = {
    "build": ("build supercell MgO.extxyz --atoms 16 -o used.cif", "used.cif"),
    "energy": ("energy MgO.extxyz --model model.pt --born-file BORN", "BORN"),
    "evaluate": ("evaluate labelled.extxyz --model model.pt --json errors.json", "errors.json"),
    "evaluate, plot": (
        "evaluate labelled.extxyz --model model.pt --json errors.json --plot parity.png",
        "parity.png",
    ),
    "import-sevennet": ("import-sevennet some.pth -o new.pt", "new.pt"),
    "import-reaxnet": ("import-reaxnet a.pickle b.yaml c.yaml -o new.pt", "new.pt"),
    "models": ("models download sevennet-0 -o new.pt", "new.pt"),
    "models, reaxnet": ("models download reaxnet-mp -o new.pt", "new.pt"),
    "report": ("report ran -o page.html", "page.html"),
    "analyze": ("analyze eos MgO.extxyz --model model.pt -o studied", "studied/eos"),
}
"""Commands that write files, and what they name."""


@pytest.mark.parametrize("command", FILES)
def test_a_file_in_use_is_refused_by_every_command(here, command, capsys, monkeypatch):
    """Before any work; nothing is left, and what is there stays."""
    monkeypatch.chdir(here)
    words, name = FILES[command]
    (here / "ran").mkdir(exist_ok=True)
    (here / "ran" / "run.toml").touch()
    (here / "studied").mkdir(exist_ok=True)
    before = sorted(path.name for path in here.rglob("*"))
    with locked_file(here / name, "walk"):
        assert main(words.split()) == 2
        said = capsys.readouterr().err
        assert f"{name} is in use by a walk, process {os.getpid()}" in said
        assert "choose another name" in said
    assert sorted(path.name for path in here.rglob("*")) == before


def test_nothing_but_the_file_is_left(here, capsys):
    """No lock, and no part of a process that was killed while it wrote."""
    (here / "mine").mkdir()
    (here / "mine" / "cell.cif.12345.part").write_text("half")
    assert main(["build", "supercell", "MgO.extxyz", "--atoms", "16", "-o", "mine/cell.cif"]) == 0
    assert [path.name for path in (here / "mine").iterdir()] == ["cell.cif"]


def test_what_a_command_reads_is_not_replaced(here, capsys):
    shutil.copyfile(here / "MgO.extxyz", here / "relaxed.extxyz")
    before = (here / "relaxed.extxyz").read_bytes()
    for words in (
        "build supercell relaxed.extxyz --atoms 16 -o relaxed.extxyz --overwrite",
        "relax relaxed.extxyz --model model.pt -o . --overwrite",
    ):
        assert main(words.split()) == 2
        assert "is what the command reads" in capsys.readouterr().err
    assert (here / "relaxed.extxyz").read_bytes() == before


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
