"""One training step in one process, made on request: what benchmarks/training.py times.

    python benchmarks/training_contestants.py now large --threads 1 frames.xyz

prints a line when it is ready, then, for every line it reads, makes one step (energies, forces and
stress of a batch, the gradient of their loss in all weights, AdamW) and prints its wall time, its
processor time (s) and the largest resident memory of the process so far (MiB).
"""

import argparse
from collections.abc import Callable
from pathlib import Path

import torch
from ase.data import atomic_numbers
from torch import Tensor
from turns import answer, peak_memory

from openmm_pqeq import ops
from openmm_pqeq.gnn import NequIP
from openmm_pqeq.gnn import network as network_module
from openmm_pqeq.neighbors.search import NeighborSearch
from openmm_pqeq.structure import Structure, collate
from openmm_pqeq.training.formats import read_images
from openmm_pqeq.training.frames import Frame, frame_of
from openmm_pqeq.training.loss import Weights, loss_of, predict
from openmm_pqeq.training.prediction import Prediction
from openmm_pqeq.training.samples import Samples, join, sample_of, species_of
from openmm_pqeq.training.settings import DataSettings

R_MAX, N_BASIS, RADIAL_HIDDEN = 5.0, 8, (64, 64)
SIZES = {
    "small": ([32, 32], 2),
    "default": ([32, 16, 8], 3),
    "large": ([64, 64, 64], 3),
    "wide": ([128, 128], 4),
    "up to l = 3": ([32, 32, 32, 32], 2),
}
"""Channels of l = 0, 1, …, and layers."""
CONTESTANTS = ("now", "pairs", "plain", "nequip", "mace")
WEIGHTS = Weights(energy=1.0, force=1.0, stress=1.0, scale=1.0)

Step = Callable[[], Tensor]


def stepper(
    weights: list[torch.nn.Parameter], loss: Callable[[], Tensor], all_leaves: bool
) -> Step:
    """A step of AdamW; `all_leaves` takes gradients in the pair vectors too."""
    optimizer = torch.optim.AdamW(weights, lr=1e-4, amsgrad=True)

    def step() -> Tensor:
        optimizer.zero_grad()
        value = loss()
        value.backward(inputs=None if all_leaves else weights)
        optimizer.step()
        return value.detach()

    return step


def of_package(name: str, size: str, species: list[str], samples: Samples) -> Step:
    """Ours: "now", with the radial network at every pair ("pairs"), or in plain torch ("plain")."""
    channels, layers = SIZES[size]
    parities = "eo"
    hidden = " + ".join(f"{n}x{degree}{parities[degree % 2]}" for degree, n in enumerate(channels))
    harmonics = " + ".join(f"1x{degree}{parities[degree % 2]}" for degree in range(len(channels)))
    sizes = {"layers": layers, "r_max": R_MAX, "n_basis": N_BASIS, "radial_hidden": RADIAL_HIDDEN}
    model = NequIP(species, hidden, harmonics, avg_neighbors=46.0, **sizes)
    model.to(samples.vectors.dtype).train(name != "pairs")
    if name == "plain":
        network_module.native_on = ops.native_on("no operator")

    def loss() -> Tensor:
        return loss_of(predict(model, samples, create_graph=True), samples, WEIGHTS)

    return stepper(list(model.parameters()), loss, all_leaves=name == "plain")


def of_nequip(size: str, species: list[str], structure: Structure, samples: Samples) -> Step:
    """The package of that name, in eager torch, as it trains without compilation."""
    from nequip.data import AtomicDataDict as Keys
    from nequip.model import NequIPGNNModel
    from nequip.utils.global_state import set_global_state

    set_global_state(allow_tf32=False)
    channels, layers = SIZES[size]
    dtype = str(samples.vectors.dtype).split(".")[1]
    model = NequIPGNNModel(
        seed=0, model_dtype=dtype, type_names=species, r_max=R_MAX, num_layers=layers, l_max=len(channels) - 1,
        parity=False, num_features=channels, radial_mlp_depth=len(RADIAL_HIDDEN), radial_mlp_width=RADIAL_HIDDEN[0],
        num_bessels=N_BASIS, avg_num_neighbors=46.0, per_type_energy_scales=1.0, per_type_energy_shifts=0.0,
    ).train()  # fmt: skip
    pairs = NeighborSearch(R_MAX)(structure)
    kinds = {atomic_numbers[symbol]: k for k, symbol in enumerate(species)}
    n_frames = len(samples.counts)
    data = {
        Keys.POSITIONS_KEY: structure.positions,
        Keys.CELL_KEY: structure.cell,
        Keys.EDGE_INDEX_KEY: torch.stack([pairs.centers, pairs.neighbors]),
        Keys.EDGE_CELL_SHIFT_KEY: pairs.shifts.double(),
        Keys.ATOM_TYPE_KEY: torch.tensor([kinds[z] for z in structure.numbers.tolist()]),
        Keys.BATCH_KEY: structure.batch,
        Keys.NUM_NODES_KEY: samples.counts,
    }

    def loss() -> Tensor:
        found = model({name: value.clone() for name, value in data.items()})
        predicted = Prediction(
            found[Keys.TOTAL_ENERGY_KEY].reshape(n_frames),
            found[Keys.FORCE_KEY],
            found[Keys.STRESS_KEY].reshape(n_frames, 3, 3),
        )
        return loss_of(predicted, samples, WEIGHTS)

    return stepper(list(model.parameters()), loss, all_leaves=True)


def of_mace(size: str, species: list[str], structure: Structure, samples: Samples) -> Step:
    """A MACE of the same channels up to l = 1 and two layers, harmonics up to l = 3, correlation 3:
    a peer for scale, not the same function."""
    dtype = samples.vectors.dtype
    torch.set_default_dtype(dtype)
    import numpy as np
    from e3nn import o3
    from mace.modules import (
        MACE,
        RealAgnosticInteractionBlock,
        RealAgnosticResidualInteractionBlock,
        ScaleShiftMACE,
    )

    n = SIZES[size][0][0]
    model: MACE = ScaleShiftMACE(
        r_max=R_MAX, num_bessel=N_BASIS, num_polynomial_cutoff=5, max_ell=3, interaction_cls=RealAgnosticResidualInteractionBlock,
        interaction_cls_first=RealAgnosticInteractionBlock, num_interactions=2, num_elements=len(species),
        hidden_irreps=o3.Irreps(f"{n}x0e + {n}x1o"), MLP_irreps=o3.Irreps("16x0e"), atomic_energies=np.zeros(len(species)),
        avg_num_neighbors=46.0, atomic_numbers=[atomic_numbers[s] for s in species], correlation=3, gate=torch.nn.functional.silu,
        atomic_inter_scale=1.0, atomic_inter_shift=0.0,
    )  # fmt: skip
    pairs = NeighborSearch(R_MAX)(structure)
    kinds = {atomic_numbers[symbol]: k for k, symbol in enumerate(species)}
    kind = torch.tensor([kinds[z] for z in structure.numbers.tolist()])
    cell = structure.cell.to(dtype)
    shifts = -pairs.shifts.to(dtype)
    data = {
        "positions": structure.positions.to(dtype),
        "node_attrs": torch.nn.functional.one_hot(kind, len(species)).to(dtype),
        "edge_index": torch.stack([pairs.neighbors, pairs.centers]),
        "shifts": torch.einsum("ei,eij->ej", shifts, cell[structure.batch[pairs.centers]]),
        "unit_shifts": shifts,
        "cell": cell.reshape(-1, 3),
        "batch": structure.batch,
        "ptr": torch.cat([torch.zeros(1, dtype=torch.int64), samples.counts.cumsum(0)]),
        "head": torch.zeros(len(samples.counts), dtype=torch.int64),
    }

    def loss() -> Tensor:
        given = {name: value.clone() for name, value in data.items()}
        found = model(given, training=True, compute_force=True, compute_stress=True)
        predicted = Prediction(found["energy"], found["forces"], found["stress"])
        return loss_of(predicted, samples, WEIGHTS)

    return stepper([w for w in model.parameters() if w.requires_grad], loss, all_leaves=True)


def batch_of(
    files: list[Path], n_frames: int, type_map: list[str]
) -> tuple[list[Frame], list[str], Samples]:
    """Frames spread over the files, their elements, and the batch, float32."""
    images = [image for file in files for image in read_images(file, type_map)]
    settings = DataSettings(files=tuple(str(file) for file in files))
    chosen = images[:: max(1, len(images) // n_frames)][:n_frames]
    frames = [frame_of(atoms, settings, f"frame {k}") for k, atoms in enumerate(chosen)]
    species = species_of(frames)
    means = sum(float(frame.labels.energy) for frame in frames) / sum(
        len(frame.structure.numbers) for frame in frames
    )
    shifts = {atomic_numbers[symbol]: means for symbol in species}
    search = NeighborSearch(R_MAX)
    samples = join([sample_of(frame, search, shifts, torch.float32) for frame in frames])
    return frames, species, samples


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("name", choices=CONTESTANTS)
    parser.add_argument("size", choices=SIZES)
    parser.add_argument("files", type=Path, nargs="+")
    parser.add_argument("--frames", type=int, default=1, help="of a batch")
    parser.add_argument("--type-map", nargs="*", default=[])
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    frames, species, samples = batch_of(arguments.files, arguments.frames, arguments.type_map)
    structure = collate([frame.structure for frame in frames])
    before = peak_memory()
    if arguments.name == "nequip":
        step = of_nequip(arguments.size, species, structure, samples)
    elif arguments.name == "mace":
        step = of_mace(arguments.size, species, structure, samples)
    else:
        step = of_package(arguments.name, arguments.size, species, samples)
    answer(step, len(samples.numbers), len(samples.centers), before)


if __name__ == "__main__":
    main()
