"""What a step costs with charges by bonds and with free flow, interleaved in one process.

    python benchmarks/charge_flow.py [--repeat 3 6 12] [--steps 30] [--precision mixed]
        [--output FILE.json]

Cubic BaTiO3 whose atoms swing by some 0.05 Å, as in 1 fs steps; PQEq alone (`pme`, energy and
forces, tolerance 1e-5, one thread), in mixed precision, as OpenMM runs it, or double. Processor
time and products of a step, medians after the first ten steps, and the median of the ratios.
"""

import argparse
import json
import platform
import time
from pathlib import Path

import ase
import numpy as np
import torch

import openmm_pqeq as pq
from openmm_pqeq.structure import structure_of

WARM_UP = 10
CHARGES = {56: 2.0, 22: 4.0, 8: -2.0}


def perovskite(repeat: int) -> ase.Atoms:
    places = [[0, 0, 0], [0.5, 0.5, 0.5], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]]
    cell = ase.Atoms("BaTiO3", scaled_positions=places, cell=[4.01] * 3, pbc=True)
    return cell.repeat(repeat)


def measure(repeat: int, steps: int, precision: str, seed: int = 0) -> dict:
    """Medians of one size."""
    elements = ["Ba", "Ti", "O"]
    contestants = {
        "bonds": {"parameters": "response", "charge_flow": "bonds"},
        "free": {"parameters": "response-free"},
    }
    potentials = {
        name: pq.build({"pqeq": {"protocol": "pme", **settings}})
        .configured(elements=elements, precision=precision)
        .compile_for_inference()
        for name, settings in contestants.items()
    }
    atoms, rng = perovskite(repeat), np.random.default_rng(seed)
    rest = torch.tensor(atoms.positions + rng.normal(0, 0.02, atoms.positions.shape))
    numbers, cell = torch.tensor(atoms.numbers), torch.tensor(atoms.cell.array)
    reference = torch.tensor([CHARGES[z] for z in atoms.numbers.tolist()], dtype=torch.float64)
    swing = torch.tensor(rng.normal(0, 0.04, atoms.positions.shape))
    frequency = torch.tensor(rng.uniform(0.01, 0.06, (len(atoms), 1)))
    times: dict[str, list[float]] = {name: [] for name in potentials}
    products: dict[str, list[int]] = {name: [] for name in potentials}
    for k in range(steps):
        at = structure_of(
            rest + swing * torch.sin(frequency * k), numbers, cell, reference_charges=reference
        )
        for name, potential in potentials.items():
            start = time.process_time()
            potential.evaluate(at)
            times[name].append(time.process_time() - start)
            products[name].append(potential.pqeq.products)
    late = {name: np.array(values[WARM_UP:]) for name, values in times.items()}
    row = {"atoms": len(atoms), "ratio": float(np.median(late["bonds"] / late["free"]))}
    for name in potentials:
        row[f"{name}_s"] = float(np.median(late[name]))
        row[f"{name}_products"] = float(np.mean(products[name][WARM_UP:]))
    return row


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeat", type=int, nargs="+", default=[3, 6, 12])
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--precision", choices=["mixed", "double"], default="mixed")
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    rows = []
    print("| atoms | bonds, s | products | free, s | products | ratio |\n|---|---|---|---|---|---|")
    for repeat in arguments.repeat:
        row = measure(repeat, arguments.steps, arguments.precision)
        rows.append(row)
        print(
            f"| {row['atoms']:,} | {row['bonds_s']:.4f} | {row['bonds_products']:.1f} "
            f"| {row['free_s']:.4f} | {row['free_products']:.1f} | {row['ratio']:.2f} |",
            flush=True,
        )
    if arguments.output:
        about = {"machine": platform.processor() or platform.machine(), "torch": torch.__version__}
        about["precision"] = arguments.precision
        arguments.output.write_text(json.dumps({**about, "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
