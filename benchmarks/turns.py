"""A contestant's side of benchmarks/harness.py: what it prints when it is ready and after every
turn."""

import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch


def peak_memory() -> float:
    """The largest resident memory of this process so far, MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


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
