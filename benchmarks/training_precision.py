"""A training step in float32, in float64, and with matrix products in bfloat16.

    python benchmarks/training_precision.py [--size default] [--rounds 7]

One batch, rattled BaTiO3 of 135 atoms with random labels; steps as in training.py, of the same weights
at the start, in turns in one process. bfloat16 is torch's autocast of the forward pass, which takes
matrix products and leaves the native operators and all else in float32. Processor time, and by how
much forces differ from those of float64 at the start, relative to their root mean square.
"""

import argparse
import contextlib
import statistics
import time

import torch
from training_contestants import SIZES, of_package
from training_sizes import SPECIES, samples_of

from openmm_pqeq.gnn import NequIP
from openmm_pqeq.training.loss import predict
from openmm_pqeq.training.samples import Samples

WAYS = {
    "float32": (torch.float32, False),
    "float64": (torch.float64, False),
    "bfloat16": (torch.float32, True),
}


OPERATORS = [
    f"{name}{derivative}"
    for name, derivatives in {
        "interpolation": ("", "_coefficient_gradients", "_table_gradients"),
        "weighted_convolution": ("", "_backward", "_double_backward"),
    }.items()
    for derivative in derivatives
]
"""Of training; autocast gives them float32."""


def in_dtype(samples: Samples, dtype: torch.dtype) -> Samples:
    """What a step reads, in a dtype."""
    changed = {
        name: value.to(dtype)
        for name, value in samples._asdict().items()
        if value.dtype == torch.float32
    }
    return samples._replace(**changed)


def products(bfloat16: bool) -> contextlib.AbstractContextManager:
    """Matrix products in bfloat16, or as they are."""
    if bfloat16:
        return torch.autocast("cpu", torch.bfloat16)
    return contextlib.nullcontext()


def forces_of(samples: Samples, size: str, bfloat16: bool) -> torch.Tensor:
    """Of the first weights."""
    channels, layers = SIZES[size]
    parities = "eo"
    hidden = " + ".join(f"{n}x{k}{parities[k % 2]}" for k, n in enumerate(channels))
    harmonics = " + ".join(f"1x{k}{parities[k % 2]}" for k in range(len(channels)))
    model = NequIP(SPECIES, hidden, harmonics, layers=layers, r_max=5.0, avg_neighbors=46.0)
    model.to(samples.vectors.dtype).train()
    with products(bfloat16):
        found = predict(model, samples, create_graph=False).forces
    return found.detach().double()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size", choices=SIZES, default="default")
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    torch.set_num_threads(1)
    for operator in OPERATORS:
        torch.library.register_autocast(f"openmm_pqeq::{operator}", "cpu", torch.float32)
    sample = samples_of((3, 3, 3), 1)
    given = {name: in_dtype(sample, dtype) for name, (dtype, _) in WAYS.items()}
    steps = {name: of_package("now", options.size, SPECIES, given[name]) for name in WAYS}
    times: dict[str, list[float]] = {name: [] for name in WAYS}
    for _ in range(options.rounds + 2):
        for name, (_, bfloat16) in WAYS.items():
            start = time.process_time()
            with products(bfloat16):
                steps[name]()
            times[name].append(time.process_time() - start)
    forces = {name: forces_of(given[name], options.size, WAYS[name][1]) for name in WAYS}
    exact = forces["float64"]
    print("| | s | ratio | error of forces |\n|---|---|---|---|")
    for name in WAYS:
        spent = statistics.median(times[name][2:])
        ratio = statistics.median(
            a / b for a, b in zip(times[name][2:], times["float32"][2:], strict=True)
        )
        error = float((forces[name] - exact).square().mean().sqrt() / exact.square().mean().sqrt())
        print(f"| {name} | {spent:.4f} | {ratio:.2f} | {error:.0e} |")


if __name__ == "__main__":
    main()
