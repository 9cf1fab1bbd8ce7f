"""Training on frames of very different sizes, and on small ones: processor time and memory.

    python benchmarks/training_sizes.py [--rounds 5] [--size default]

Frames are rattled BaTiO3 of 5, 40, 135 and 200 atoms with random labels (what they are does not
change the time). A step is that of training.py: energies, forces, stress, the gradient of their loss
in all weights, AdamW, float32, one thread.

An epoch of 32 frames, 8 of each size, in batches of 4 that are drawn at random or sorted by size,
each in a process of its own, in turns: µs of processor time per atom, and the largest memory above
what there was before. Then frames of 5, 10 and 20 atoms in batches of 1, 4, 16 and 64, in turns in
one process: ms per frame, and what a step costs that has no atoms to speak of.
"""

import argparse
import json
import random
import statistics
import subprocess
import sys
import time
from pathlib import Path

import ase.build
import numpy as np
import torch
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from training_contestants import SIZES, of_package
from turns import peak_memory

from openmm_pqeq.neighbors.search import NeighborSearch
from openmm_pqeq.training.frames import frame_of
from openmm_pqeq.training.samples import Samples, join, sample_of
from openmm_pqeq.training.settings import DataSettings

SPECIES = ["Ba", "Ti", "O"]
REPEATS = [(1, 1, 1), (2, 2, 2), (3, 3, 3), (2, 4, 5)]
SMALL = [(1, 1, 1), (1, 1, 2), (1, 2, 2)]
PER_SIZE, BATCH = 8, 4
BATCHES = (1, 4, 16, 64)


def samples_of(repeat: tuple[int, int, int], seed: int) -> Samples:
    """A frame of so many cells."""
    a = 4.0
    places = [(0, 0, 0), (0.5, 0.5, 0.5), (0.5, 0.5, 0), (0.5, 0, 0.5), (0, 0.5, 0.5)]
    cell = Atoms("BaTiO3", scaled_positions=places, cell=[a, a, a], pbc=True)
    atoms = ase.build.make_supercell(cell, np.diag(repeat))
    random_numbers = np.random.default_rng(seed)
    atoms.positions += 0.05 * random_numbers.normal(size=atoms.positions.shape)
    labels = {
        "energy": -float(len(atoms)),
        "forces": random_numbers.normal(size=atoms.positions.shape),
        "stress": 0.01 * random_numbers.normal(size=6),
    }
    atoms.calc = SinglePointCalculator(atoms, **labels)
    frame = frame_of(atoms, DataSettings(files=("none",)), f"frame {seed}")
    return sample_of(frame, NeighborSearch(5.0), {56: -1.0, 22: -1.0, 8: -1.0}, torch.float32)


def epoch_of(order: str) -> list[Samples]:
    """Batches of the mixed set."""
    frames = [
        samples_of(repeat, 100 * kind + k)
        for kind, repeat in enumerate(REPEATS)
        for k in range(PER_SIZE)
    ]
    if order == "random":
        random.Random(1).shuffle(frames)
    return [join(frames[begin : begin + BATCH]) for begin in range(0, len(frames), BATCH)]


def work(order: str, size: str) -> None:
    """For every line that comes, an epoch: µs per atom; at the end of each the memory, MiB."""
    batches = epoch_of(order)
    before = peak_memory()
    steps = [of_package("now", size, SPECIES, batch) for batch in batches]
    n_atoms = sum(len(batch.numbers) for batch in batches)
    for _ in sys.stdin:
        start = time.process_time()
        for step in steps:
            step()
        spent = time.process_time() - start
        print(json.dumps((1e6 * spent / n_atoms, peak_memory() - before)), flush=True)


def mixed(rounds: int, size: str) -> None:
    """The first table."""
    workers = {
        order: subprocess.Popen(
            [sys.executable, str(Path(__file__)), "--worker", order, "--size", size],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for order in ("random", "sorted")
    }
    turns: dict[str, list[tuple[float, float]]] = {order: [] for order in workers}
    for _ in range(rounds + 1):
        for order, worker in workers.items():
            worker.stdin.write("again\n")
            worker.stdin.flush()
            turns[order].append(json.loads(worker.stdout.readline()))
    for worker in workers.values():
        worker.stdin.close()
        worker.wait()
    print("| batches | µs per atom | own memory, MiB |\n|---|---|---|")
    for order, found in turns.items():
        print(
            f"| {order} | {statistics.median(t for t, _ in found[1:]):.0f} | {found[-1][1]:.0f} |"
        )


def small(rounds: int, size: str) -> None:
    """The second table."""
    frames = {repeat: [samples_of(repeat, k) for k in range(max(BATCHES))] for repeat in SMALL}
    steps = {
        (repeat, n): of_package("now", size, SPECIES, join(frames[repeat][:n]))
        for repeat in SMALL
        for n in BATCHES
    }
    times: dict = {key: [] for key in steps}
    for _ in range(rounds + 2):
        for key, step in steps.items():
            start = time.process_time()
            step()
            times[key].append(time.process_time() - start)
    print(
        "| atoms |", " | ".join(f"batches of {n}" for n in BATCHES), "| a step, ms | an atom, ms |"
    )
    print("|---" * (len(BATCHES) + 3) + "|")
    for repeat in SMALL:
        n_atoms = 5 * int(np.prod(repeat))
        spent = [1000 * statistics.median(times[repeat, n][2:]) for n in BATCHES]
        slope, start = np.polyfit([n * n_atoms for n in BATCHES], spent, 1)
        cells = [f"{t / n:.2f}" for t, n in zip(spent, BATCHES)]
        print(f"| {n_atoms} | {' | '.join(cells)} | {start:.1f} | {slope:.3f} |")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--size", choices=SIZES, default="default")
    parser.add_argument("--worker", choices=("random", "sorted"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.worker:
        work(options.worker, options.size)
        return
    mixed(options.rounds, options.size)
    small(options.rounds, options.size)


if __name__ == "__main__":
    main()
