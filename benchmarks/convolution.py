"""The operator equivariant_convolution alone: times, operations, bytes, and the ceilings of this
machine.

    python benchmarks/convolution.py                     # a middle layer of the foundation-size network, LiPON-like, one thread
    python benchmarks/convolution.py --data FOLDER --threads 2

Operations are multiply–adds in lanes that hold a channel, counted from the paths: `of_path`. Bytes
are those that each pair asks the caches for: its polynomials, its neighbour's features, its
gradients. The ceilings are a product of matrices (arithmetic) and a sum over an array that fits
into half the second-level cache, and one that fits into none (bandwidth).
"""

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import torch
from contestants import R_MAX, network
from harness import save
from systems import system

from openmm_pqeq.gnn import InferenceNequIP
from openmm_pqeq.gnn.edges import Edges, edges_of
from openmm_pqeq.gnn.equivariant_convolution import (
    LANES,
    EquivariantConvolution,
    equivariant_convolution_reference,
    planned_paths,
)
from openmm_pqeq.gnn.inference import InferenceInteraction
from openmm_pqeq.neighbors.search import NeighborSearch
from openmm_pqeq.structure import structure_of


class Work(NamedTuple):
    """Of one pair: multiply–adds, and bytes asked of the caches (float32)."""

    forward: float
    backward: float
    forward_bytes: float
    backward_bytes: float


def of_path(rows_in: int, rows_out: int, channels: int, diagonal: bool) -> Work:
    """Of one path; polynomials of degree 5, and 4 bytes a number."""
    entries = rows_out if diagonal else rows_in * rows_out
    forward = channels * (5 + rows_in + entries)
    backward = channels * (9 + 2 * entries + 3 * rows_in + 1)
    return Work(forward, backward, 4 * channels * (6 + rows_in), 4 * channels * (6 + rows_out))


def work_of(convolution: EquivariantConvolution) -> Work:
    """Of one pair, over all paths."""
    parts = [
        of_path(path.rows_in, path.rows_out, path.chunks * LANES, path.n_harmonics == 1)
        for path in planned_paths(convolution.paths)
    ]
    couplings = convolution.couplings.numel()
    total = [sum(values) for values in zip(*parts)]
    return Work(total[0] + couplings, total[1] + couplings, total[2], total[3])


def seconds(run: Callable[[], object], rounds: int) -> float:
    """Median processor time of all threads divided by their number: what others do on this machine
    does not count."""
    times = []
    for _ in range(rounds + 1):
        start = time.process_time()
        run()
        times.append((time.process_time() - start) / torch.get_num_threads())
    return statistics.median(times[1:])


def ceilings(rounds: int) -> dict[str, float]:
    """GFLOP/s of a product of matrices, GB/s of a sum out of the second-level cache and out of
    memory."""
    a, b = torch.randn(1024, 1024), torch.randn(1024, 1024)
    small, large = torch.randn(2**17), torch.randn(2**27)
    found = {"matrix product GFLOP/s": 2 * 1024**3 / seconds(lambda: a @ b, rounds) / 1e9}

    def many() -> None:
        for _ in range(200):
            small.sum()

    found["cache GB/s"] = 200 * 4 * small.numel() / seconds(many, rounds) / 1e9
    found["memory GB/s"] = 4 * large.numel() / seconds(large.sum, rounds) / 1e9
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, help="folder with LiPON_Li2PO2N.cif")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=9)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    atoms = system("lipon", arguments.data)
    structure = structure_of(
        torch.tensor(atoms.positions), torch.tensor(atoms.numbers), torch.tensor(atoms.cell.array)
    )
    pairs = NeighborSearch(R_MAX)(structure)
    model = InferenceNequIP(network(["Li", "N", "O", "P"], "", torch.float32))
    layer = model.interactions[1]
    if not isinstance(layer, InferenceInteraction):
        raise TypeError("network: expected a second layer")
    convolution, work = layer.convolution, work_of(layer.convolution)
    harmonics = model.harmonics((pairs.vectors / pairs.distances.unsqueeze(1)).float())
    edges = edges_of(len(atoms), pairs.centers, pairs.neighbors, pairs.distances.float(), harmonics)
    paths = planned_paths(convolution.paths)
    shapes = {path.input: (path.rows_in, path.chunks * LANES) for path in paths}
    features = [
        torch.randn(len(atoms), *shapes[k]).requires_grad_(True) for k in range(len(shapes))
    ]

    def both(run: Callable[[list[torch.Tensor], Edges], list[torch.Tensor]]) -> tuple[float, float]:
        traced = edges._replace(distances=edges.distances.clone().requires_grad_(True))
        forward = seconds(lambda: run(features, traced), arguments.rounds)
        messages = run(features, traced)
        gradients = [torch.randn_like(m) for m in messages]
        inputs = [*features, traced.distances]
        return forward, seconds(
            lambda: torch.autograd.grad(messages, inputs, gradients, retain_graph=True),
            arguments.rounds,
        )

    constants = (
        convolution.table,
        convolution.couplings,
        convolution.paths,
        convolution.outputs,
        convolution.grid,
    )
    n = len(pairs.centers)
    limits = ceilings(arguments.rounds)
    print(
        f"{len(atoms)} atoms, {n} pairs, {len(paths)} paths, {arguments.threads} threads; "
        "ceilings:",
        limits,
    )
    results = {
        "operator": both(convolution),
        "reference": both(lambda f, e: equivariant_convolution_reference(f, e, *constants)),
    }
    print(
        f"{'':12}{'forward ms':>12}{'GFLOP/s':>9}{'GB/s':>7}{'backward ms':>13}{'GFLOP/s':>9}{'GB/s':>7}"
    )
    for name, (forward, backward) in results.items():
        print(
            f"{name:12}{1e3 * forward:12.2f}{2e-9 * n * work.forward / forward:9.1f}{1e-9 * n * work.forward_bytes / forward:7.1f}"
            f"{1e3 * backward:13.2f}{2e-9 * n * work.backward / backward:9.1f}{1e-9 * n * work.backward_bytes / backward:7.1f}"
        )
    content = {
        "pairs": n,
        "threads": arguments.threads,
        "per_pair": work._asdict(),
        "ceilings": limits,
        "seconds": results,
    }
    print(f"written to {save(f'convolution_{arguments.threads}_threads', content)}")


if __name__ == "__main__":
    main()
