"""Energy, forces and stress of the published SevenNets: this package's ASE calculator against
sevenn's own.

    pip install --no-deps --target peer sevenn==0.13.0 torch_geometric==2.8.1
    python benchmarks/sevennet.py --peer peer --data FOLDER --threads 1

FOLDER has LLZO_tetragonal.cif (192 atoms) and LiPON_Li2PO2N.cif (of which 432 atoms are kept). Both
calculators are in one process and in float32, and take turns on the same atoms, moved a little
before every turn; lists of neighbours are part of it. Reported are medians; ratios are those of
processor times.
"""

import argparse
import json
import statistics
import sys
import time
from pathlib import Path

import ase.io
import numpy as np
import torch
from ase import Atoms
from ase.build import bulk
from harness import save
from systems import rattled, system

import openmm_pqeq as pq

CASES = (
    ("sevennet-0", "LLZO"),
    ("sevennet-0", "NaCl"),
    ("sevennet-0", "LiPON"),
    ("sevennet-l3i5", "NaCl"),
)
THEIRS = {"sevennet-0": "7net-0", "sevennet-l3i5": "7net-l3i5"}
MOVE = 0.002
"""Å, of every coordinate before a turn: neither calculator answers from memory."""


def atoms_of(name: str, data: Path) -> Atoms:
    """A structure by name."""
    if name == "LLZO":
        atoms = ase.io.read(data / "LLZO_tetragonal.cif")
        return rattled(Atoms(atoms.symbols, atoms.positions, cell=atoms.cell, pbc=True), 0.05)
    if name == "NaCl":
        return rattled(bulk("NaCl", "rocksalt", a=5.64, cubic=True) * (3, 3, 3), 0.1)
    return system("lipon", data)


def turn(atoms: Atoms) -> tuple[float, float]:
    """Wall and processor time, s, of energy, forces and stress, asked for at once."""
    wall, processor = time.perf_counter(), time.process_time()
    atoms.calc.calculate(atoms, ["energy", "forces", "stress"], ["positions"])
    return time.perf_counter() - wall, time.process_time() - processor


def measured(model: str, name: str, data: Path, warmup: int, rounds: int) -> dict[str, object]:
    """One case: medians of both, and how far the forces are apart."""
    from sevenn.calculator import SevenNetCalculator

    ours, theirs = (atoms_of(name, data) for _ in range(2))
    ours.calc = pq.PQEqCalculator(pq.load(model), dtype="float32")
    theirs.calc = SevenNetCalculator(THEIRS[model], device="cpu")
    random, times = np.random.default_rng(0), []
    for _ in range(warmup + rounds):
        moves = random.uniform(-MOVE, MOVE, (len(ours), 3))
        for atoms in (ours, theirs):
            atoms.positions += moves
        times.append((*turn(ours), *turn(theirs)))
    wall, processor, their_wall, their_processor = (
        statistics.median(column) for column in zip(*times[warmup:])
    )
    apart = float(np.abs(ours.get_forces() - theirs.get_forces()).max())
    return {
        "model": model,
        "structure": name,
        "atoms": len(ours),
        "wall": wall,
        "processor": processor,
        "sevenn_wall": their_wall,
        "sevenn_processor": their_processor,
        "ratio_wall": their_wall / wall,
        "ratio_processor": their_processor / processor,
        "largest_difference_of_forces": apart,
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", required=True, type=Path, help="folder with the two CIF files")
    parser.add_argument("--peer", type=Path, help="folder with sevenn, where it is not installed")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--warmup", type=int, default=2)
    parser.add_argument("--save", default="sevennet", help="name in benchmarks/results")
    options = parser.parse_args()
    if options.peer is not None:
        sys.path.append(str(options.peer.resolve()))
    torch.set_num_threads(options.threads)
    cases = []
    for model, name in CASES:
        case = measured(model, name, options.data, options.warmup, options.rounds)
        cases.append(case)
        print(json.dumps(case), flush=True)
    settings = {key: getattr(options, key) for key in ("threads", "rounds", "warmup")}
    name = f"{options.save}_{options.threads}_thread{'s' if options.threads > 1 else ''}"
    print(save(name, {**settings, "cases": cases}))


if __name__ == "__main__":
    main()
