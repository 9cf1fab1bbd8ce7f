"""Timing several programs against each other on a machine that others use too.

Every contestant is a process of its own, so that its peak memory is its own, and all take turns,
one evaluation each, so that a busy moment hits them alike. Reported are medians of wall and of
processor time; ratios are those of one run.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
from importlib.metadata import distributions
from pathlib import Path
from typing import NamedTuple, Self

from openmm_pqeq.timing import run as profile

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
    """A process of one of the contestants' files."""

    def __init__(
        self,
        name: str,
        arguments: list[str],
        threads: int,
        peers: Path | None = None,
        file: str = "contestants.py",
    ):
        self.name, self.rounds = name, []
        # PASSIVE: a thread that waits for another does not take the processor from it, where there
        # are fewer than threads
        environment = os.environ | {"OMP_NUM_THREADS": str(threads), "OMP_WAIT_POLICY": "PASSIVE"}
        if (folder := folder_of(name, peers)) is not None:
            environment["PYTHONPATH"] = os.pathsep.join(
                [str(folder), *filter(None, [os.environ.get("PYTHONPATH")])]
            )
        if (
            name == "mace"
        ):  # the constants of e3nn 0.4.4 are a pickle, which torch reads only when told to
            environment["TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"] = "1"
        command = [sys.executable, str(FOLDER / file), name, *arguments, "--threads", str(threads)]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.stdin is not None:
            self.process.stdin.close()
        self.process.wait()

    def wait_until_ready(self) -> None:
        """Until the model is made."""
        words = self._line()
        while words[0] != "ready":  # what imports have to say
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


def folder_of(name: str, peers: Path | None) -> Path | None:
    """Where a contestant's package is, if not where this one is: what it needs may not fit."""
    folder = None if peers is None else (peers / name.partition("-")[0]).resolve()
    return folder if folder is not None and folder.is_dir() else None


def compare(
    names: list[str],
    arguments: list[str],
    threads: int,
    warmup: int,
    rounds: int,
    peers: Path | None = None,
    file: str = "contestants.py",
) -> list[Timing]:
    """Timings of contestants, programs in `file`, that take turns; `warmup` rounds are not counted.
    `peers`: see `folder_of`."""
    contestants = [Contestant(name, arguments, threads, peers, file) for name in names]
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


def compare_on_systems(
    names: list[str], file: str, cutoff: float, asked: argparse.Namespace
) -> None:
    """Let contestants of `file` take turns on each of `asked.systems`; print, and write the JSON
    `asked.save`.

    cutoff : Å, within which `n_pairs` are counted
    asked : has systems, data, threads, warmup, rounds and save
    """
    results = {}
    for system in asked.systems:
        given = [system, *(["--data", str(asked.data)] if asked.data else [])]
        timings = compare(names, given, asked.threads, asked.warmup, asked.rounds, file=file)
        first = timings[0]
        print(
            f"{system}: {first.n_atoms} atoms, {first.n_pairs} pairs within {cutoff} Å, "
            f"{asked.threads} threads"
        )
        print(table(timings, [first] * len(timings)), flush=True)
        results[system] = [timing._asdict() for timing in timings]
    content = {"threads": asked.threads, "rounds": asked.rounds, "cutoff": cutoff}
    print(f"written to {save(asked.save, {**content, 'systems': results})}")


def table(timings: list[Timing], yardsticks: list[Timing]) -> str:
    """The timings, each with ratios to its yardstick."""
    names = (
        "wall s",
        "cpu s",
        "fastest",
        "ratio wall",
        "ratio cpu",
        "peak MiB",
        "own MiB",
        "ratio peak",
    )
    width = max(14, *(len(t.name) + 1 for t in timings))
    lines = [" " * width + "".join(f"{name:>11}" for name in names)]
    for t, yardstick in zip(timings, yardsticks, strict=True):
        ratios = f"{t.wall / yardstick.wall:11.1f}{t.processor / yardstick.processor:11.1f}"
        memory = f"{t.peak:11.0f}{t.peak - t.before:11.0f}{t.peak / yardstick.peak:11.1f}"
        lines.append(
            f"{t.name:{width}}{t.wall:11.3f}{t.processor:11.3f}{t.fastest:11.3f}{ratios}{memory}"
        )
    return "\n".join(lines)


def machine() -> dict[str, object]:
    """What the numbers were measured on; the threads are those of each contestant."""
    return {name: value for name, value in profile.machine().items() if name != "threads"}


def versions_of_peers(peers: Path | None) -> dict[str, str]:
    """Of the packages in folders of their own, and of those they bring along."""
    folders = (
        []
        if peers is None
        else [str(folder) for folder in sorted(peers.iterdir()) if folder.is_dir()]
    )
    return {
        f"{Path(folder).name}/{found.name}": found.version
        for folder in folders
        for found in distributions(path=[folder])
    }


def save(name: str, content: dict[str, object]) -> Path:
    """Write results as JSON beside the others."""
    path = FOLDER / "results" / f"{name}.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps({"machine": machine(), **content}, indent=1) + "\n")
    return path
