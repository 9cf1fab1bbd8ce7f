"""Timing several programs against each other on a machine that others use too.

Every contestant is a process of its own, so that its peak memory is its own, and all take turns, one evaluation each, so that a
busy moment hits them alike. Reported are medians of wall and of processor time; ratios are those of one run.
"""

import datetime
import json
import os
import platform
import statistics
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple, Self

import torch

FOLDER = Path(__file__).parent


class Timing(NamedTuple):
    """wall, processor : s per evaluation, median
    fastest : s, wall
    before, peak : MiB resident, before there was a model and at most
    """

    name: str
    n_atoms: int
    n_pairs: int
    wall: float
    processor: float
    fastest: float
    before: float
    peak: float


class Contestant:
    """A process of contestants.py."""

    def __init__(self, name: str, arguments: list[str], threads: int):
        self.name, self.rounds = name, []
        # PASSIVE: a thread that waits for another does not take the processor from it, where there are fewer than threads
        environment = os.environ | {"OMP_NUM_THREADS": str(threads), "OMP_WAIT_POLICY": "PASSIVE"}
        command = [sys.executable, str(FOLDER / "contestants.py"), name, *arguments, "--threads", str(threads)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.stdin is not None:
            self.process.stdin.close()
        self.process.wait()

    def wait_until_ready(self) -> None:
        """Until the model is made."""
        words = self._line()
        self.n_atoms, self.n_pairs, self.before = int(words[1]), int(words[2]), float(words[3])

    def turn(self) -> list[float]:
        """One evaluation: wall, processor, peak."""
        self.process.stdin.write("again\n")
        self.process.stdin.flush()
        return [float(word) for word in self._line()]

    def timing(self, rounds: list[list[float]]) -> Timing:
        """The median of rounds."""
        wall, processor, peak = zip(*rounds)
        times = statistics.median(wall), statistics.median(processor), min(wall)
        return Timing(self.name, self.n_atoms, self.n_pairs, *times, self.before, max(peak))

    def _line(self) -> list[str]:
        line = self.process.stdout.readline().split()
        if not line:
            raise RuntimeError(f"{self.name}: the process ended; its message is above")
        return line


def compare(names: list[str], arguments: list[str], threads: int, warmup: int, rounds: int) -> list[Timing]:
    """Timings of contestants that take turns; `warmup` rounds are not counted."""
    contestants = [Contestant(name, arguments, threads) for name in names]
    try:
        for contestant in contestants:
            contestant.wait_until_ready()
        measured: dict[str, list[list[float]]] = {name: [] for name in names}
        for round_number in range(warmup + rounds):
            for contestant in contestants:
                found = contestant.turn()
                if round_number >= warmup:
                    measured[contestant.name].append(found)
        return [contestant.timing(measured[contestant.name]) for contestant in contestants]
    finally:
        for contestant in contestants:
            contestant.__exit__()


def machine() -> dict[str, object]:
    """What the numbers were measured on."""
    names = ["openmm-pqeq", "torch", "e3nn", "nequip"]
    found = {}
    for name in names:
        try:
            found[name] = version(name)
        except ModuleNotFoundError:
            continue
    model = next((line.split(":")[1].strip() for line in cpu_info() if line.startswith("model name")), platform.processor())
    return {
        "date": datetime.date.today().isoformat(),
        "processor": model,
        "cores": os.cpu_count(),
        "load": [round(load, 1) for load in os.getloadavg()],
        "vector_instructions": torch.backends.cpu.get_cpu_capability(),
        "python": platform.python_version(),
        "versions": found,
    }


def cpu_info() -> list[str]:
    """Lines of /proc/cpuinfo, where there is one."""
    path = Path("/proc/cpuinfo")
    return path.read_text().splitlines() if path.exists() else []


def save(name: str, content: dict[str, object]) -> Path:
    """Write results as JSON beside the others."""
    path = FOLDER / "results" / f"{name}.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps({"machine": machine(), **content}, indent=1) + "\n")
    return path
