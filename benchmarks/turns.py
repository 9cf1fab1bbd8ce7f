"""A contestant's side of benchmarks/harness.py: what it prints when it is ready and after every
turn."""

import argparse
import math
import resource
import sys
import time
from collections.abc import Callable, Collection
from pathlib import Path
from typing import NamedTuple

import ase
import torch
from systems import SYSTEMS, system


def peak_memory() -> float:
    """The largest resident memory of this process so far, MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


class Asked(NamedTuple):
    """name of the contestant; its atoms; file for the forces of the last evaluation"""

    name: str
    atoms: ase.Atoms
    forces: Path | None


def asked(explanation: str | None, contestants: Collection[str]) -> Asked:
    """What a contestant's command line says, `NAME SYSTEM [--data FOLDER] [--threads N] [--forces
    FILE]`, with the threads set."""
    parser = argparse.ArgumentParser(
        description=explanation, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("name", choices=contestants)
    parser.add_argument("system", choices=SYSTEMS)
    parser.add_argument("--data", type=Path, help="folder with LiPON_Li2PO2N.cif")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--forces", type=Path, help="file for the forces of the last evaluation")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    return Asked(options.name, system(options.system, options.data), options.forces)


def pairs_within(cutoff: float, atoms: ase.Atoms) -> int:
    """Counted once, from the density."""
    return round(2 / 3 * math.pi * cutoff**3 * len(atoms) ** 2 / atoms.get_volume())


def answer(
    evaluate: Callable[[], torch.Tensor],
    n_atoms: int,
    n_pairs: int,
    before: float,
    forces: Path | None = None,
) -> None:
    """For every line that comes, evaluate, and print wall time, processor time (s) and peak memory
    (MiB).

    before : MiB, of the process before there was a model
    forces : file for the forces of the last evaluation
    """
    print(f"ready {n_atoms} {n_pairs} {before:.0f}", flush=True)
    for _ in sys.stdin:
        wall, processor = time.perf_counter(), time.process_time()
        found = evaluate()
        spent = time.perf_counter() - wall, time.process_time() - processor
        print(*spent, peak_memory(), flush=True)
        if forces is not None:
            torch.save(found.detach(), forces)
