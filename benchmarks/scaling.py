"""What a step of the full potential costs as structures and numbers of threads grow, part by part,
and its memory.

    python benchmarks/scaling.py [--data FOLDER] [--largest 8640]       results/scaling.{json,md,png}

The network of network.py with random weights, charges by pme and D3, compiled for inference, mixed
precision, on LiPON of 432 to 8,640 atoms (LiPON_Li2PO2N.cif of the folder; a rock salt of its
elements and density without one). A step is energy and forces at positions that move on by 0.002 Å
from step to step; the first ones, in which TorchScript compiles and the charges are found from
nothing, do not count. Every size, and every number of threads, in a process of its own; medians.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

import torch
from ase import Atoms
from contestants import IRREPS, LAYERS, N_BASIS, R_MAX, RADIAL_HIDDEN
from harness import machine, save
from systems import rattled, system

from openmm_pqeq.potential import Potential, build
from openmm_pqeq.structure import structure_of
from openmm_pqeq.timing.parts import PartTimer, timed

RESULTS = Path(__file__).parent / "results"
WARMUP, ROUNDS = 4, 3
REPEATS = {432: ("lipon", (1, 1, 1)), 864: ("lipon", (2, 1, 1)), 2160: ("lipon2160", (1, 1, 1)),
           4320: ("lipon2160", (2, 1, 1)), 8640: ("lipon2160", (2, 2, 1))}  # fmt: skip
FIT_FROM = 800
"""Atoms from which exponents are fitted on: the smaller ones cost what a step costs anyway."""


def lipon(n_atoms: int, data: Path | None) -> Atoms:
    """The smaller crystal repeated, and every atom displaced by itself."""
    name, repeats = REPEATS[n_atoms]
    return rattled(system(name, data) * repeats, 0.02)


def potential() -> Potential:
    """The foundation-size network, charges and dispersion."""
    hidden, sh = IRREPS[""]
    network = {
        "species": ["Li", "N", "O", "P"],
        "hidden_irreps": hidden,
        "sh_irreps": sh,
        "layers": LAYERS,
        "r_max": R_MAX,
    }
    network |= {"n_basis": N_BASIS, "radial_hidden": RADIAL_HIDDEN, "avg_neighbors": 49.0}
    terms = {"gnn": network, "pqeq": {"protocol": "pme"}, "d3": {"functional": "pbe"}}
    return build(terms).configured(precision="mixed").compile_for_inference()


def peak() -> float:
    """Largest resident memory of this process so far, MiB; not getrusage's, which begins with that
    of the parent."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024


def steps(atoms: Atoms) -> dict[str, object]:
    """Medians over steps, s: of the whole, wall and processor time, and of its parts, processor
    time; memory, MiB."""
    before = peak()
    start = structure_of(
        torch.tensor(atoms.positions), torch.tensor(atoms.numbers), torch.tensor(atoms.cell.array)
    )
    velocity = 0.002 * torch.randn(
        start.positions.shape, generator=torch.Generator().manual_seed(5), dtype=torch.float64
    )
    moving = [
        start._replace(positions=start.positions + step * velocity)
        for step in range(WARMUP + ROUNDS)
    ]
    made = potential()
    script = torch.jit.freeze(torch.jit.script(made))

    def step(positions: torch.Tensor) -> torch.Tensor:
        leaf = positions.clone().requires_grad_(True)
        return -torch.autograd.grad(script(start._replace(positions=leaf)).energy.sum(), leaf)[0]

    costs = [timed(step, structure.positions)[1] for structure in moving][WARMUP:]
    found = {
        "n_atoms": len(atoms),
        "threads": torch.get_num_threads(),
        "before": before,
        "peak": peak(),
    }
    found |= {
        name: statistics.median(getattr(cost, name) for cost in costs)
        for name in ("wall", "processor")
    }
    found["fastest"] = min(cost.wall for cost in costs)
    timer = PartTimer(made)
    measured = [timer.measure(structure) for structure in moving][WARMUP:]
    names = [part.name for part in measured[0].parts]
    parts = {
        name: statistics.median(one.parts[k].processor for one in measured)
        for k, name in enumerate(names)
    }
    return found | {"products": statistics.median(one.products for one in measured), "parts": parts}


def in_its_own_process(n_atoms: int, threads: int, data: Path | None) -> dict[str, object]:
    """What a worker prints last."""
    environment = os.environ | {"OMP_NUM_THREADS": str(threads), "OMP_WAIT_POLICY": "PASSIVE"}
    command = [
        sys.executable,
        str(Path(__file__)),
        "--worker",
        str(n_atoms),
        *([] if data is None else ["--data", str(data)]),
    ]
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    found = json.loads(done.stdout.splitlines()[-1])
    print(found, flush=True)
    return found


def groups(row: dict) -> dict[str, float]:
    """Parts by term, s."""
    found: dict[str, float] = {}
    for name, spent in row["parts"].items():
        term = name.partition(":")[0] if name.startswith("network") else name
        found[term] = found.get(term, 0.0) + spent
    return found


def exponent(rows: list[dict], key: str) -> float:
    """Slope of the logarithms from `FIT_FROM` atoms on, by least squares."""
    chosen = [row for row in rows if row["n_atoms"] >= FIT_FROM]
    if len(chosen) < 2:
        return float("nan")
    x, y = (torch.tensor([float(row[name]) for row in chosen]).log() for name in ("n_atoms", key))
    return float(((x - x.mean()) * (y - y.mean())).sum() / ((x - x.mean()) ** 2).sum())


def report(rows: list[dict], threads: list[dict], exponents: dict[str, float]) -> str:
    """The tables."""
    found = machine()
    names = list(groups(rows[0]))
    where = f"{found['processor']}, torch {found['versions']['torch']}, load {found['load'][0]}, {found['date'][:10]}"
    columns = [
        "atoms",
        "step, processor (s)",
        "wall (s)",
        "per atom (µs)",
        *(f"{name} (s)" for name in names),
        "products",
        "MiB",
    ]
    lines = [
        "A step (energy and forces) of network, charges and D3 on LiPON, one thread, mixed "
        f"precision; {where}.",
        "",
        f"| {' | '.join(columns)} |",
        "|" + "---|" * len(columns),
    ]
    for row in rows:
        each = 1e6 * row["processor"] / row["n_atoms"]
        cells = " | ".join(f"{spent:.3f}" for spent in groups(row).values())
        whole = f"{row['processor']:.3f} | {row['wall']:.3f} | {each:.0f}"
        lines.append(
            f"| {row['n_atoms']:,} | {whole} | {cells} | {row['products']:.0f} | {row['peak']:.0f} "
            "|"
        )
    slope = f"{exponents['processor']:.2f}"
    lines += [
        "",
        f"Exponent from {FIT_FROM} atoms on: {slope}. {rows[0]['before']:.0f} MiB are there before "
        "a model.",
        "",
    ]
    lines += [
        "| threads | atoms | wall (s) | fastest | processor, all threads (s) |",
        "|---|---|---|---|---|",
    ]
    for row in threads:
        times = f"{row['wall']:.3f} | {row['fastest']:.3f} | {row['processor']:.3f}"
        lines.append(f"| {row['threads']} | {row['n_atoms']:,} | {times} |")
    return "\n".join(lines) + "\n"


def plot(rows: list[dict]) -> None:
    import matplotlib.pyplot as plt

    figure, (left, right) = plt.subplots(
        1, 2, figsize=(9.5, 4.0), layout="constrained", width_ratios=(1.5, 1)
    )
    atoms = [row["n_atoms"] for row in rows]
    left.loglog(
        atoms, [row["processor"] for row in rows], color="black", marker="o", lw=2, label="step"
    )
    for name, marker in zip(groups(rows[0]), "sv^Dx*"):
        left.loglog(atoms, [groups(row)[name] for row in rows], marker=marker, lw=1.2, label=name)
    ideal = [rows[-1]["processor"] * n / atoms[-1] for n in atoms]
    left.loglog(atoms, ideal, color="gray", lw=0.8, ls="--", label="∝ atoms")
    left.set(
        xlabel="atoms",
        ylabel="processor time of energy and forces (s)",
        title="A step of LiPON, one thread",
        ylim=(1e-4, None),
    )
    left.legend(fontsize=8, frameon=False, ncols=2, loc="lower right")
    right.plot(
        atoms, [row["peak"] / 1024 for row in rows], color="black", marker="o", label="at most"
    )
    right.axhline(
        rows[0]["before"] / 1024, color="gray", ls="--", lw=0.8, label="before there is a model"
    )
    right.set(xlabel="atoms", ylabel="memory (GiB)", ylim=(0, None), title="Memory")
    right.legend(fontsize=8, frameon=False)
    for ax in (left, right):
        ax.spines[["top", "right"]].set_visible(False)
    figure.savefig(RESULTS / "scaling.png", dpi=130)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, help="folder with LiPON_Li2PO2N.cif")
    parser.add_argument("--largest", type=int, default=8640)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--threads-atoms", type=int, default=864, choices=REPEATS)
    parser.add_argument("--worker", type=int, choices=REPEATS, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker is not None:
        print(json.dumps(steps(lipon(arguments.worker, arguments.data))))
        return
    rows = [in_its_own_process(n, 1, arguments.data) for n in REPEATS if n <= arguments.largest]
    threads = [
        in_its_own_process(arguments.threads_atoms, n, arguments.data) for n in arguments.threads
    ]
    exponents = {key: exponent(rows, key) for key in ("wall", "processor")}
    save(
        "scaling",
        {
            "generated_crystal": arguments.data is None,
            "exponents": exponents,
            "atoms": rows,
            "threads": threads,
        },
    )
    (RESULTS / "scaling.md").write_text(report(rows, threads, exponents))
    plot(rows)


if __name__ == "__main__":
    main()
