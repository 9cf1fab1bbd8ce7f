"""One thread against two, part by part, in turns; and the same beside processes that want the
processors too.

    python benchmarks/threads.py [--data FOLDER] [--busy 2] [--ways 1 2 2:spin]

A way is a number of threads and, behind a colon, how a thread waits for the others: not given, as
the package leaves it; "sleep" (OMP_WAIT_POLICY=PASSIVE); "spin", as GNU's OpenMP does it by itself;
a number: so many turns, then sleep (GOMP_SPINCOUNT). Each way is a process with the potential of
scaling.py on LiPON of 432 atoms, and all take turns: a step at positions that move on, every part
timed by itself (timing/parts.py); a search for pairs from nothing; a half list for D3; the tables
of a small network. Medians of wall times in ms, and processor time of all of it.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import openmm_pqeq  # noqa: F401  before torch is loaded: it says how threads wait

# isort: split
import torch
from harness import save
from scaling import lipon, potential

from openmm_pqeq.gnn import InferenceNequIP, NequIP
from openmm_pqeq.neighbors.half_list import KeptSearch
from openmm_pqeq.neighbors.search import NeighborSearch
from openmm_pqeq.structure import structure_of
from openmm_pqeq.timing.parts import PartTimer, timed

N_ATOMS = 432
DISPERSION_CUTOFF = 20.0
"""Å"""

LIST = "a search from nothing"
HALF_LIST = "a half list for D3"
TABLES = "tables"

SPINS_BY_ITSELF = "300000"
"""GNU's OpenMP, where nothing is set and there are processors for all threads."""


def work(data: Path | None) -> None:
    """For every line that comes, a turn: name → wall and processor time, s, as JSON."""
    atoms = lipon(N_ATOMS, data)
    positions, cell = torch.tensor(atoms.positions), torch.tensor(atoms.cell.array)
    start = structure_of(positions, torch.tensor(atoms.numbers), cell)
    generator = torch.Generator().manual_seed(5)
    velocity = 0.002 * torch.randn(positions.shape, generator=generator, dtype=torch.float64)
    timer = PartTimer(potential())
    os.environ["OPENMM_PQEQ_START_CACHE"] = "0"  # from here on tables are made
    search = NeighborSearch(6.0)
    network = NequIP(["Li", "O"], "16x0e + 16x1o", layers=2, r_max=5.0, radial_hidden=(32, 32))
    made = network.eval().requires_grad_(False)
    for turn, _ in enumerate(sys.stdin):
        structure = start._replace(positions=positions + turn * velocity)
        parts = timer.measure(structure).parts
        found = {part.name: (part.energy.wall + part.forces.wall, part.processor) for part in parts}
        found[LIST] = timed(search, structure)[1]
        found[HALF_LIST] = timed(KeptSearch(DISPERSION_CUTOFF), structure)[1]
        found[TABLES] = timed(InferenceNequIP, made)[1]
        print(json.dumps(found), flush=True)


class Way:
    """A process with so many threads that wait so."""

    def __init__(self, name: str, data: Path | None):
        self.name = name
        threads, _, waiting = name.partition(":")
        environment = os.environ | {"OMP_NUM_THREADS": threads}
        for variable in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT"):
            environment.pop(variable, None)
        if waiting == "sleep":
            environment["OMP_WAIT_POLICY"] = "PASSIVE"
        elif waiting:
            environment["GOMP_SPINCOUNT"] = SPINS_BY_ITSELF if waiting == "spin" else waiting
        command = [sys.executable, str(Path(__file__)), "--worker"]
        command += [] if data is None else ["--data", str(data)]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )

    def turn(self) -> dict[str, tuple[float, float]]:
        """Times of a turn."""
        self.process.stdin.write("again\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self.name}: the process ended; its message is above")
        found = json.loads(line)
        network = [times for name, times in found.items() if name.startswith("network")]
        return found | {"network": tuple(map(sum, zip(*network)))}

    def end(self) -> None:
        """Wait for it."""
        self.process.stdin.close()
        self.process.wait()


@contextmanager
def busy(n: int) -> Iterator[None]:
    """Beside so many processes that do nothing but count."""
    others = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(n)]
    try:
        yield
    finally:
        for other in others:
            other.kill()
            other.wait()


def measured(names: list[str], options: argparse.Namespace) -> dict[str, dict[str, list[float]]]:
    """Medians of wall and processor time, s: way → part."""
    ways = [Way(name, options.data) for name in names]
    turns: dict[str, list] = {name: [] for name in names}
    try:
        for way in ways:
            for _ in range(options.warmup):
                way.turn()
        with busy(options.busy):
            for _ in range(options.rounds):
                for way in ways:
                    turns[way.name].append(way.turn())
                    print(way.name, json.dumps(turns[way.name][-1]), file=sys.stderr, flush=True)
    finally:
        for way in ways:
            way.end()
    parts = [part for part in turns[names[0]][0] if not part.startswith("network:")]
    return {
        name: {
            part: [statistics.median(turn[part][k] for turn in turns[name]) for k in (0, 1)]
            for part in parts
        }
        for name in names
    }


def table(found: dict[str, dict[str, list[float]]]) -> str:
    """A row a part: wall times, ms."""
    first = next(iter(found.values()))
    lines = [f"| | {' | '.join(found)} |", "|---" * (len(found) + 1) + "|"]
    for part in first:
        cells = [f"{1000 * way[part][0]:.1f}" for way in found.values()]
        lines.append(f"| {part} | {' | '.join(cells)} |")
    for k, name in enumerate(("all, wall", "all, processor")):
        cells = [f"{1000 * sum(times[k] for times in way.values()):.0f}" for way in found.values()]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, help="folder with LiPON_Li2PO2N.cif")
    parser.add_argument("--ways", nargs="+", default=["1", "2", "2:spin"])
    parser.add_argument("--busy", type=int, default=0, help="other processes beside")
    parser.add_argument("--warmup", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--save", help="name in benchmarks/results")
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        work(options.data)
        return
    found = measured(options.ways, options)
    print(table(found))
    if options.save:
        print(save(options.save, {"busy": options.busy, "rounds": options.rounds, "ways": found}))


if __name__ == "__main__":
    main()
