"""Jobs that are killed at any moment and go on: do they end as the unbroken ones?

    python validation/kills.py --kills 100 [--seed 0] [--only NVT train] [--keep FOLDER]

Each job of JOBS is done once unbroken. Then it is begun again, killed (SIGKILL) at a moment drawn
from the processor time the unbroken one took, whatever else the machine does, resumed, killed
again, up to three times, and resumed to its end; all through the functions of the command line, in
processes forked from this one, so that a kill costs no imports. A job killed before it had anything
to go on from has to say so, and is begun anew with --overwrite. What is left is compared:

run         step by step, bit by bit: table.csv, charges.h5, the trajectory's frames
NPT         with a run that ended at the steps where the killed one went on, and was resumed there:
            a barostat begins anew with a seed made from the run's, the stage and the step
train, finetune      every weight of model.pt, and metrics.csv but for the seconds
fit-pqeq    parameters.csv

A difference is the largest of any number, relative to 1 + its size; charges that are solved to a
tolerance (protocol ewald) start from nothing after a resume, and differ by as much as that
tolerance allows. Everything is made here: no data are needed (--data none).
"""

import argparse
import contextlib
import csv
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
import traceback
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import ase.io
import h5py
import mdtraj
import numpy as np
import torch
from ase.build import bulk

import openmm_pqeq as pq
import openmm_pqeq.fitting.crystals.run
import openmm_pqeq.fitting.run
import openmm_pqeq.md.run
import openmm_pqeq.training.finetuning  # all of them once, before any process is forked
from openmm_pqeq.cli import main as command_line
from openmm_pqeq.response import response
from openmm_pqeq.structure import structure_of

STEPS, MOST_KILLS = 42, 3
LATE = 0.5
"""Power of the random number: later moments more often, as half of a short job is its start."""
NETWORK = {"species": ["Mg", "O"], "hidden_irreps": "4x0e + 2x1o", "sh_irreps": "1x0e + 1x1o"}
NETWORK |= {"layers": 1, "r_max": 3.0, "n_basis": 4, "radial_hidden": [4]}
NPT = "--ensemble NPT --barostat-interval 3 --pressure 1GPa"
TOML = """
[data]
files = ["frames.extxyz"]
validation = 2
held_out = { seed = 0, n = 2 }
[potential.pqeq]
protocol = "reaxnet"
[potential.gnn]
species = ["Mg", "O"]
hidden_irreps = "4x0e + 2x1o"
sh_irreps = "1x0e + 1x1o"
layers = 1
r_max = 3.0
n_basis = 4
radial_hidden = [4]
[training]
epochs = 8
batch_size = 2
seed = 3
"""


class Job(NamedTuple):
    """A job of the command line.

    command : without its output
    kind : of the comparison: "run", "NPT", "training" or "fit"
    output : the folder or file that it writes
    folder : where it keeps what it goes on from
    """

    command: str
    kind: str = "run"
    output: str = "out"
    folder: str = "out"

    @property
    def arguments(self) -> list[str]:
        return self.command.split()


def dynamics(more: str = "", model: str = "bare.pt", kind: str = "run") -> Job:
    """A short run of eight atoms."""
    settings = "run MgO.extxyz --timestep 0.2 --temperature 600 --seed 5 --table-interval 1 "
    settings += "--trajectory-interval 2 --charges-interval 3 --restart-interval 7 --threads 1 "
    settings += f"--steps {STEPS} --precision double --model {model} "
    return Job(settings + more, kind)


JOBS = {
    "NVT, DCD": dynamics(),
    "NVT, network": dynamics(model="network.pt"),
    "NVT, XTC": dynamics("--trajectory-format xtc"),
    "NVT, Nosé-Hoover": dynamics("--thermostat nose-hoover"),
    "NVT, PythonForce, Reference": dynamics("--backend python --platform Reference"),
    "NVT, equilibrated": dynamics("--equilibrate 4fs --minimize"),
    "NVT, charges solved": dynamics(model="solved.pt"),
    "NVE, by bonds, field": dynamics(
        "--ensemble NVE --field 0 0 0.02*sin(2*pi*t/0.01)", model="bonds.pt"
    ),
    "NPT isotropic, DCD": dynamics(NPT, kind="NPT"),
    "NPT anisotropic, XTC": dynamics(
        f"{NPT} --barostat anisotropic --trajectory-format xtc", kind="NPT"
    ),
    "NPT flexible": dynamics(f"{NPT} --barostat flexible", kind="NPT"),
    "NPT membrane": dynamics(f"{NPT} --barostat membrane", kind="NPT"),
    "train": Job("train train.toml", "training"),
    "finetune": Job(
        "finetune network.pt frames.extxyz --train all --epochs 8 --seed 2 --batch-size 2 "
        "--loss energy+force",
        "training",
        "out.pt",
    ),
    "fit-pqeq": Job("fit-pqeq response.extxyz --held-out 1 --iterations 12", "fit"),
    "fit-pqeq, crystals": Job("fit-pqeq crystals.toml", "fit"),
}


# --- what the jobs read ---


def prepare(data: str) -> None:
    """Structure, models and labelled frames, in the working folder."""
    crystal = bulk("MgO", "rocksalt", a=4.2, cubic=True)
    ase.io.write("MgO.extxyz", crystal)
    by_bonds = {"protocol": "ewald", "charge_flow": "bonds", "parameters": "response"}
    for name, terms in {
        "network.pt": {"pqeq": {"protocol": "reaxnet"}, "gnn": NETWORK | {"seed": 1}},
        "bare.pt": {"pqeq": {"protocol": "reaxnet"}, "zbl": {}},
        "solved.pt": {"pqeq": {"protocol": "ewald"}, "zbl": {}},
        "bonds.pt": {"pqeq": by_bonds, "zbl": {}},
        "teacher.pt": {"pqeq": {"protocol": "reaxnet"}, "gnn": NETWORK | {"seed": 9}},
    }.items():
        pq.save(pq.build(terms), name)
    Path("train.toml").write_text(TOML, encoding="utf-8")
    Path("crystals.toml").write_text(
        'crystals = ["dielectric.extxyz"]\nleast = 1\niterations = 8\nheld_out = 0.0\n'
    )
    frames = []
    for seed in range(10):
        moved = crystal.copy()
        moved.rattle(0.05, seed=seed)
        moved.calc = pq.PQEqCalculator("teacher.pt")
        moved.get_forces()
        frames.append(moved)
    if data == "none":
        ase.io.write("frames.extxyz", frames)
    else:
        shutil.copyfile(data, "frames.extxyz")
    label_responses(frames[:4])


def label_responses(frames: list[ase.Atoms]) -> None:
    """Frames with Born charges of another set of parameters, and crystals with ε∞ too."""
    published = pq.build({"pqeq": {"protocol": "ewald", "parameters": "response-free"}})
    unit, labelled = np.eye(3), []
    for atoms in frames:
        places, numbers = torch.as_tensor(atoms.positions), torch.as_tensor(atoms.numbers)
        structure = structure_of(places, numbers, torch.as_tensor(atoms.cell.array.copy()))
        _, born = response(published, structure)
        bare = ase.Atoms(atoms.numbers, atoms.positions, cell=atoms.cell, pbc=True)
        bare.arrays["born_charge"] = born.reshape(len(atoms), 9).numpy()
        labelled.append(bare)
    ase.io.write("response.extxyz", labelled)
    crystals = []
    for edge in (4.1, 4.2, 4.3):
        cell = bulk("MgO", "rocksalt", a=edge)
        signs = np.where(cell.numbers == 12, 1.0, -1.0)
        cell.arrays["born_charge"] = (2.0 * signs[:, None, None] * unit).reshape(2, 9)
        cell.info["dielectric"] = 3.0 * unit
        crystals.append(cell)
    ase.io.write("dielectric.extxyz", crystals)


# --- processes ---


def forked(do: Callable[[], object], log: Path) -> int:
    """Run in a process forked from this one, its words in a file; the process's number."""
    sys.stdout.flush()
    pid = os.fork()
    if pid:
        return pid
    code = 70
    try:
        with open(log, "a", encoding="utf-8") as file:
            os.dup2(file.fileno(), 1)
            os.dup2(file.fileno(), 2)
            try:
                code = int(do() or 0)  # type: ignore[call-overload]
            except BaseException:
                traceback.print_exc()
            sys.stdout.flush()
            sys.stderr.flush()
    finally:
        os._exit(code)


def ended(pid: int, seconds: float | None = None) -> int | None:
    """The exit code of a process; None where it was killed after some seconds of processor time."""
    while seconds is None or processor_time(pid) < seconds:
        found, status = os.waitpid(pid, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.001)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return None


def processor_time(pid: int) -> float:
    """Seconds that a process which nobody has waited for yet has had of a processor (Linux)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def do(arguments: list[str], log: Path, seconds: float | None = None) -> int | None:
    """A command, killed after some seconds."""
    return ended(forked(lambda: command_line(arguments), log), seconds)


def done(arguments: list[str], log: Path) -> None:
    """A command that has to succeed."""
    code = do(arguments, log)
    if code != 0:
        raise RuntimeError(f"exit code {code} of {' '.join(arguments)}\n{log.read_text()[-2000:]}")


# --- what is left ---


def left_by(job: Job, folder: Path) -> dict[str, np.ndarray]:
    """All numbers that a job has left."""
    if job.kind == "training":
        potential = pq.load(folder / "model.pt")
        found = {name: value.numpy() for name, value in potential.state_dict().items()}
        return found | numbers_in(folder / "metrics.csv", without=("seconds", "time"))
    if job.kind == "fit":
        return numbers_in(folder / "parameters.csv")
    found = numbers_in(folder / "table.csv")
    with h5py.File(folder / "charges.h5") as file:
        file.visititems(
            lambda name, item: (
                found.update({name: item[()]}) if isinstance(item, h5py.Dataset) else None
            )
        )
    (path,) = folder.glob("trajectory.*")
    trajectory = mdtraj.load(path, top=folder / "topology.pdb")
    return found | {"positions": trajectory.xyz, "cells": trajectory.unitcell_vectors}


def numbers_in(table: Path, without: tuple[str, ...] = ()) -> dict[str, np.ndarray]:
    """The columns of a CSV file that are numbers."""
    lines = [line for line in table.read_text().splitlines() if not line.startswith("#")]
    rows = list(csv.DictReader(lines))
    found = {}
    for name in rows[0]:
        with contextlib.suppress(ValueError):
            if not any(part in name for part in without):
                found[name] = np.array([float(row[name] or "nan") for row in rows])
    return found


def difference(one: dict[str, np.ndarray], two: dict[str, np.ndarray]) -> tuple[float, str]:
    """The largest, relative to 1 + size, and what it is in; infinite where something is missing."""
    if one.keys() != two.keys():
        return float("inf"), ", ".join(one.keys() ^ two.keys())
    largest = (0.0, "")
    for name, expected in one.items():
        if expected.shape != two[name].shape:
            return float("inf"), name
        if expected.dtype.kind not in "fiub" or np.array_equal(expected, two[name], equal_nan=True):
            continue
        apart = np.abs(np.asarray(expected, float) - np.asarray(two[name], float))
        relative = float(np.nanmax(apart) / (1 + np.nanmax(np.abs(expected))))
        largest = max(largest, (relative, name))
    return largest


def restart_step(folder: Path) -> int:
    """The step from which a run would go on."""
    with zipfile.ZipFile(folder / "restart.zip") as archive:
        return int(json.loads(archive.read("run.json"))["step"])


def clear(job: Job) -> None:
    """Remove all that a job has left."""
    shutil.rmtree(job.folder, ignore_errors=True)
    Path(job.output).unlink(missing_ok=True) if job.output != job.folder else None


# --- a job that is killed ---


class Life(NamedTuple):
    """What became of one: kills, how often it was begun anew, the largest difference and where."""

    kills: int
    anew: int
    difference: float
    where: str


def life(job: Job, unbroken: Path, seconds: float, most: int, draw: random.Random) -> Life:
    """Begin, kill, resume, up to `most` kills, to the end; compare."""
    clear(job)
    begin = [*job.arguments, "--output", job.output]
    resume = ["run", job.folder] if job.arguments[0] == "run" else begin
    log, place = Path("job.log"), Path(job.folder)
    kills, anew, steps, arguments = 0, 0, [], begin
    log.unlink(missing_ok=True)
    while True:
        last = kills == most
        code = do(arguments, log, None if last else seconds * draw.random() ** LATE)
        if code == 0:
            break
        kills += code is None
        if code == 2 and arguments[-1] == "--resume":  # killed before there was anything
            anew, steps, arguments = anew + 1, [], [*begin, "--overwrite"]
        elif code is None:
            arguments = [*resume, "--resume"]
            if job.kind == "NPT" and (place / "restart.zip").is_file():
                steps.append(restart_step(place))
                if len(steps) == 1 and steps[0] == 0:
                    shutil.copytree(place, "beginning", dirs_exist_ok=True)
        else:
            raise RuntimeError(
                f"exit code {code} of {' '.join(arguments)}\n{log.read_text()[-3000:]}"
            )
    expected = interrupted(job, steps) if steps else unbroken
    return Life(kills, anew, *difference(left_by(job, expected), left_by(job, place)))


def interrupted(job: Job, steps: list[int]) -> Path:
    """The folder of a run that ended at some steps and was resumed there."""
    place, log = Path("interrupted"), Path("interrupted.log")
    shutil.rmtree(place, ignore_errors=True)
    steps = [step for step in dict.fromkeys(steps) if step < STEPS]
    if steps and steps[0] == 0:
        shutil.copytree("beginning", place, ignore=shutil.ignore_patterns("job.lock"))
        shutil.rmtree("beginning")
        steps = steps[1:]
    for end in (*steps, STEPS):
        length = ["--steps", str(end)]
        if place.is_dir():
            done(["run", str(place), "--resume", *length], log)
        else:
            done([*job.arguments, *length, "--output", str(place)], log)
    return place


def main() -> None:
    """Kill, and print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=100, help="in all (default: 100)")
    parser.add_argument("--seed", type=int, default=0, help="of the moments (default: 0)")
    parser.add_argument(
        "--only", nargs="+", default=[""], help="jobs whose names have one of these"
    )
    parser.add_argument("--data", default="none", help="frames to train on (default: made here)")
    parser.add_argument("--keep", type=Path, help="work in this folder, and leave it")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    data = options.data if options.data == "none" else str(Path(options.data).absolute())
    with contextlib.ExitStack() as stack:
        place = options.keep or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        place.mkdir(exist_ok=True)
        os.chdir(place)
        stack.callback(os.chdir, "/")
        print(
            f"| job | lives | kills | begun anew | largest difference |\n|{'---|' * 5}", flush=True
        )
        kill(options.kills, options.seed, options.only, data)


def kill(kills: int, seed: int, only: list[str], data: str) -> None:
    """So many kills, spread over the jobs; prints a row for each job."""
    if ended(forked(lambda: prepare(data), Path("prepare.log"))):
        raise RuntimeError(Path("prepare.log").read_text())
    jobs = {name: job for name, job in JOBS.items() if any(part in name for part in only)}
    total, different = 0, []
    for number, (name, job) in enumerate(jobs.items()):
        share = round(kills * (number + 1) / len(jobs)) - total
        clear(job)
        before = os.times()
        done([*job.arguments, "--output", job.output], Path("unbroken.log"))
        after = os.times()
        seconds = sum(after[2:4]) - sum(before[2:4])  # of children
        shutil.rmtree("unbroken", ignore_errors=True)
        shutil.copytree(job.folder, "unbroken")
        draw, lives = random.Random(f"{seed} {name}"), []
        while (left := share - sum(one.kills for one in lives)) > 0:
            lives.append(life(job, Path("unbroken"), seconds, min(left, MOST_KILLS), draw))
            if lives[-1].difference > 1e-6:
                different.append(name)
                shutil.copytree(job.folder, f"different-{len(different)}")
        total += sum(one.kills for one in lives)
        worst = max(lives, key=lambda one: one.difference)
        print(
            f"| {name} | {len(lives)} | {sum(one.kills for one in lives)} | "
            f"{sum(one.anew for one in lives)} | {worst.difference:.1e} {worst.where} |",
            flush=True,
        )
    print(f"\n{total} kills; different: {', '.join(different) or 'none'}")
    if different:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
