"""What a step of PQEq on the particle mesh costs: scaling with the number of atoms, and against a
dense solution of the same.

    python benchmarks/pme.py scaling [--largest 50000] [--largest-reference 8000]     results/pme_scaling.{json,md,png}
    python benchmarks/pme.py dense [--data FOLDER]                                    results/pme_dense.{json,md}

A step is energy and forces at positions that move on by 0.002 Å from step to step, warm-started
like dynamics; the first ones, which find the charges from nothing, are not counted. scaling: rock
salt with normal displacements of 0.08 Å, by the native operators and by the torch reference, every
size in a process of its own. dense: LiPON_Li2PO2N.cif of that folder (a rock salt of its elements
and density without one), 2,160 and 8,640 atoms; the dense program forms the matrix of erf(γr)/r
between nearest images and solves for charges by LU, once, with shells left out and without forces:
less than a step needs.
"""

import argparse
import json
import math
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

import ase.io
import torch
from ase import Atoms
from ase.build import bulk
from harness import machine, save
from systems import like_lipon, rattled

from openmm_pqeq.potential import Potential, build
from openmm_pqeq.pqeq import constants
from openmm_pqeq.pqeq.coulomb.kernels import gaussian_exponents, pair_exponents
from openmm_pqeq.structure import Structure, structure_of

RESULTS = Path(__file__).parent / "results"
WARMUP, ROUNDS = 6, 5
EDGES = (4, 5, 6, 8, 10, 13, 18)
"""Cells of eight atoms along each edge of the rock salt: 512 to 46,656 atoms."""
FIT_FROM = 2000
"""Atoms from which exponents are fitted on."""


def rock_salt(edge: int) -> Atoms:
    return rattled(bulk("NaCl", "rocksalt", a=5.64, cubic=True) * (edge, edge, edge), 0.08)


def lipon(n_atoms: int, data: Path | None) -> Atoms:
    """2,160 or 8,640 atoms."""
    whole = ase.io.read(data / "LiPON_Li2PO2N.cif") if data is not None else like_lipon((6, 9, 10))
    return rattled(whole * ((2, 2, 1) if n_atoms > len(whole) else (1, 1, 1)), 0.05)


def structure(atoms: Atoms) -> Structure:
    return structure_of(
        torch.tensor(atoms.positions), torch.tensor(atoms.numbers), torch.tensor(atoms.cell.array)
    )


def peak() -> float:
    """Largest resident memory of this process so far, MiB; not getrusage's, which begins with that
    of the parent."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024


def steps(atoms: Atoms) -> dict[str, float]:
    """Medians over steps: wall and processor time (s), products of the solver; memory (MiB) before
    and at most."""
    before = peak()
    start = structure(atoms)
    potential: Potential = build({"pqeq": {"protocol": "pme"}}).compile_for_inference()
    velocity = 0.002 * torch.randn(
        start.positions.shape, generator=torch.Generator().manual_seed(5), dtype=torch.float64
    )
    wall, processor, products = [], [], []
    for step in range(WARMUP + ROUNDS):
        begun = time.perf_counter(), time.process_time()
        potential.evaluate(start._replace(positions=start.positions + step * velocity))
        wall.append(time.perf_counter() - begun[0])
        processor.append(time.process_time() - begun[1])
        products.append(potential.pqeq.products)
    counted = [statistics.median(values[WARMUP:]) for values in (wall, processor, products)]
    return (
        {"n_atoms": len(atoms)}
        | dict(zip(("wall", "processor", "products"), counted))
        | {"before": before, "peak": peak()}
    )


def dense_solution(atoms: Atoms, dtype: torch.dtype) -> dict[str, float]:
    """Times (s) of the matrix and of its solution."""
    one = structure(atoms)
    pqeq = build({"pqeq": {"protocol": "pme"}}).pqeq
    positions, cell = one.positions.to(dtype), one.cell[0].to(dtype)
    exponent = gaussian_exponents(pqeq.radius)[one.numbers].to(dtype)
    hardness, chi = (
        pqeq.hardness[one.numbers].to(dtype),
        pqeq.electronegativity[one.numbers].to(dtype),
    )
    n = len(atoms)
    begun = time.perf_counter(), time.process_time()
    matrix = torch.empty(n, n, dtype=dtype)
    fractional = positions @ torch.linalg.inv(cell)
    for first in range(0, n, 512):  # rows at a time, so that no other array is as large
        rows = slice(first, min(first + 512, n))
        apart = fractional[rows, None] - fractional[None]
        distance = ((apart - apart.round()) @ cell).norm(2, dim=2)
        gamma = pair_exponents(exponent[rows, None], exponent[None])
        matrix[rows] = constants.COULOMB * torch.erf(gamma * distance) / distance
    matrix.fill_diagonal_(0.0)
    matrix += torch.diag(hardness)
    formed = time.perf_counter(), time.process_time()
    factors = torch.linalg.lu_factor(matrix)
    answers = torch.linalg.lu_solve(*factors, torch.stack([-chi, torch.ones_like(chi)], dim=1))
    charges = answers[:, 0] - answers[:, 0].sum() / answers[:, 1].sum() * answers[:, 1]
    done = time.perf_counter(), time.process_time()
    made = {"n_atoms": n, "wall": done[0] - begun[0], "processor": done[1] - begun[1]}
    return made | {
        "matrix_processor": formed[1] - begun[1],
        "largest_charge": float(charges.abs().max()),
        "peak": peak(),
    }


def in_its_own_process(arguments: list[str], native: bool, threads: int) -> dict[str, float]:
    """What a worker prints last."""
    environment = (
        os.environ
        | {"OMP_NUM_THREADS": str(threads)}
        | ({} if native else {"OPENMM_PQEQ_NATIVE": "0"})
    )
    command = [sys.executable, str(Path(__file__)), *arguments]
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    found = json.loads(done.stdout.splitlines()[-1])
    print(" ".join(arguments), "native" if native else "reference", found, flush=True)
    return found


def exponent(rows: list[dict[str, float]], key: str) -> float:
    """Slope of the logarithms from `FIT_FROM` atoms on, by least squares."""
    points = [
        (math.log(row["n_atoms"]), math.log(row[key])) for row in rows if row["n_atoms"] >= FIT_FROM
    ]
    if len(points) < 2:
        return float("nan")
    x, y = (statistics.fmean(values) for values in zip(*points))
    return sum((a - x) * (b - y) for a, b in points) / sum((a - x) ** 2 for a, _ in points)


def scaling(arguments: argparse.Namespace) -> None:
    table: dict[str, list[dict[str, float]]] = {"native": [], "reference": []}
    for edge in EDGES:
        for kind, largest in (
            ("native", arguments.largest),
            ("reference", arguments.largest_reference),
        ):
            if 8 * edge**3 <= largest:
                row = in_its_own_process(
                    ["step-of-rock-salt", str(edge)], kind == "native", arguments.threads
                )
                row["per_product"] = row["processor"] / (
                    row["products"] + 3
                )  # forces cost about three products more
                row["kib_per_atom"] = 1024 * (row["peak"] - row["before"]) / row["n_atoms"]
                table[kind].append(row)
    exponents = {
        kind: {key: exponent(rows, key) for key in ("wall", "processor", "per_product")}
        for kind, rows in table.items()
    }
    save("pme_scaling", {"threads": arguments.threads, "exponents": exponents, **table})
    lines = [
        f"PQEq on the particle mesh: energy and forces of rock salt, warm, {arguments.threads} "
        f"thread(s); {where()}.",
        "",
        "| atoms | operators | wall (s) | processor (s) | products | processor per atom (µs) | kiB "
        "per atom |",
        "|---|---|---|---|---|---|---|",
    ]
    for kind, rows in table.items():
        for row in rows:
            each = 1e6 * row["processor"] / row["n_atoms"]
            cells = f"{row['wall']:.3f} | {row['processor']:.3f} | {row['products']:.0f} | {each:.0f} | {row['kib_per_atom']:.1f}"
            lines.append(f"| {row['n_atoms']:,} | {kind} | {cells} |")
    for kind, found in exponents.items():
        slopes = f"wall {found['wall']:.2f}, processor {found['processor']:.2f}, a product {found['per_product']:.2f}"
        lines += ["", f"Exponents from {FIT_FROM:,} atoms on, {kind}: {slopes}."]
    (RESULTS / "pme_scaling.md").write_text("\n".join(lines) + "\n")
    plot(table)


def plot(table: dict[str, list[dict[str, float]]]) -> None:
    import matplotlib.pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(9.5, 4.0), layout="constrained")
    for (kind, rows), marker in zip(table.items(), "os"):
        atoms = [row["n_atoms"] for row in rows]
        left.loglog(
            atoms, [row["processor"] for row in rows], marker=marker, label=f"{kind}, processor"
        )
        left.loglog(
            atoms,
            [row["wall"] for row in rows],
            marker=marker,
            ls=":",
            alpha=0.5,
            label=f"{kind}, wall",
        )
        right.semilogx(atoms, [row["kib_per_atom"] for row in rows], marker=marker, label=kind)
    native = table["native"]
    ideal = [native[-1]["processor"] * row["n_atoms"] / native[-1]["n_atoms"] for row in native]
    left.loglog([row["n_atoms"] for row in native], ideal, color="gray", lw=0.8, label="∝ atoms")
    left.set(xlabel="atoms", ylabel="energy and forces (s)")
    right.set(xlabel="atoms", ylabel="peak memory above the start (kiB per atom)", ylim=(0, None))
    left.legend(fontsize=8)
    right.legend(fontsize=8)
    figure.savefig(RESULTS / "pme_scaling.png", dpi=150)


def where() -> str:
    found = machine()
    return f"{found['processor']}, torch {found['versions']['torch']}, load {found['load'][0]}, {found['date']}"


def dense(arguments: argparse.Namespace) -> None:
    data = [] if arguments.data is None else ["--data", str(arguments.data)]
    lines = [
        "PQEq of LiPON on the particle mesh (energy, forces, warm) against one dense solution for "
        "charges alone;"
        f" {arguments.threads} thread(s), {where()}.",
        "",
        "| atoms | program | wall (s) | processor (s) | of it, matrix | peak (MiB) | processor "
        "time against `pme` |",
        "|---|---|---|---|---|---|---|",
    ]
    rows = []
    for n_atoms in arguments.atoms:
        ours = in_its_own_process(
            ["step-of-lipon", str(n_atoms), *data], True, arguments.threads
        ) | {"program": "pme"}
        rows.append(ours)
        lines.append(
            f"| {n_atoms:,} | `pme` | {ours['wall']:.2f} | {ours['processor']:.2f} | | "
            f"{ours['peak']:.0f} | 1 |"
        )
        for dtype in ("float32", "float64"):
            found = in_its_own_process(
                ["dense-of-lipon", str(n_atoms), "--dtype", dtype, *data], True, arguments.threads
            )
            rows.append(found | {"program": f"dense {dtype}"})
            spent = f"{found['wall']:.2f} | {found['processor']:.2f} | {found['matrix_processor']:.2f} | {found['peak']:.0f}"
            lines.append(
                f"| {n_atoms:,} | dense, {dtype} | {spent} | "
                f"{found['processor'] / ours['processor']:.1f} |"
            )
    save(
        "pme_dense",
        {"threads": arguments.threads, "generated_crystal": arguments.data is None, "rows": rows},
    )
    (RESULTS / "pme_dense.md").write_text("\n".join(lines) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "what", choices=["scaling", "dense", "step-of-rock-salt", "step-of-lipon", "dense-of-lipon"]
    )
    parser.add_argument("size", nargs="?", type=int, help="of a worker: edge or atoms")
    parser.add_argument("--largest", type=int, default=50000)
    parser.add_argument("--largest-reference", type=int, default=8000)
    parser.add_argument("--atoms", type=int, nargs="+", default=[2160, 8640])
    parser.add_argument("--data", type=Path)
    parser.add_argument("--dtype", default="float64", choices=["float32", "float64"])
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    RESULTS.mkdir(exist_ok=True)
    if arguments.what == "scaling":
        scaling(arguments)
    elif arguments.what == "dense":
        dense(arguments)
    elif arguments.what == "step-of-rock-salt":
        print(json.dumps(steps(rock_salt(arguments.size))))
    elif arguments.what == "step-of-lipon":
        print(json.dumps(steps(lipon(arguments.size, arguments.data))))
    else:
        print(
            json.dumps(
                dense_solution(
                    lipon(arguments.size, arguments.data), getattr(torch, arguments.dtype)
                )
            )
        )


if __name__ == "__main__":
    main()
