"""One network in one process, evaluated on request: what the speed benchmarks time.

    python benchmarks/contestants.py fused lipon --threads 2 --forces forces.pt

prints a line when it is ready, then, for every line it reads, does one evaluation of energy and
forces and prints its wall time, its processor time (s) and the largest resident memory of the
process so far (MiB). The first evaluations are slower: TorchScript optimizes during them.
"""

import argparse
import tempfile
from collections.abc import Callable
from pathlib import Path

import e3nn.util.jit
import torch
from systems import SYSTEMS, system
from turns import answer, peak_memory

from openmm_pqeq import ops
from openmm_pqeq.gnn import InferenceNequIP, NequIP
from openmm_pqeq.gnn import network as network_module
from openmm_pqeq.neighbors.pairs import Pairs, pairs_from_indices
from openmm_pqeq.neighbors.search import NeighborSearch
from openmm_pqeq.structure import Structure, structure_of

R_MAX, LAYERS, RADIAL_HIDDEN, N_BASIS = 5.0, 5, (64, 64), 8
IRREPS = {
    "": ("128x0e + 64x1e + 4x2e", "1x0e + 1x1e + 1x2e"),
    "-1o": ("128x0e + 64x1o + 4x2e", "1x0e + 1x1o + 1x2e"),
}
"""Those of the published foundation model; and with vectors labelled odd, as nequip has them (11
paths instead of 15)."""

Evaluate = Callable[[], torch.Tensor]


def contestants() -> list[str]:
    """Names; each is a way to evaluate and, after it, the irreps."""
    own = [
        kind + label
        for kind in ("fused", "reference", "e3nn", "nequip")
        for label in IRREPS
        if kind + label != "nequip"
    ]
    return [*own, "mace"]


def network(species: list[str], label: str, dtype: torch.dtype) -> NequIP:
    """The foundation-size model with random weights."""
    hidden, sh = IRREPS[label]
    sizes = {
        "layers": LAYERS,
        "r_max": R_MAX,
        "n_basis": N_BASIS,
        "radial_hidden": RADIAL_HIDDEN,
        "avg_neighbors": 49.0,
    }
    return NequIP(species, hidden, sh, **sizes).eval().requires_grad_(False).to(dtype)


def of_package(module: torch.nn.Module, structure: Structure) -> Evaluate:
    """Energy and forces from the pairs, which are searched once: the network alone is timed."""
    script = torch.jit.freeze(
        e3nn.util.jit.script(module.eval())
    )  # torch.jit.script, for modules of e3nn as well
    found = NeighborSearch(R_MAX)(structure)

    def evaluate() -> torch.Tensor:
        positions = structure.positions.clone().requires_grad_(True)
        pairs: Pairs = pairs_from_indices(
            structure._replace(positions=positions), found.centers, found.neighbors, found.shifts
        )
        return -torch.autograd.grad(script(structure.numbers, pairs).sum(), positions)[0]

    return evaluate


def of_nequip(species: list[str], structure: Structure, dtype: torch.dtype) -> Evaluate:
    """The package of that name, through its own TorchScript route (nequip-compile --mode
    torchscript)."""
    from nequip.data import AtomicDataDict
    from nequip.model import NequIPGNNModel
    from nequip.model.inference_models.torchscript import save_torchscript_model
    from nequip.utils.global_state import set_global_state

    set_global_state(allow_tf32=False)
    model = NequIPGNNModel(
        seed=0, model_dtype=str(dtype).split(".")[1], type_names=species, r_max=R_MAX, num_layers=LAYERS, l_max=2, parity=False,
        num_features=[128, 64, 4], radial_mlp_depth=len(RADIAL_HIDDEN), radial_mlp_width=RADIAL_HIDDEN[0], num_bessels=N_BASIS,
        avg_num_neighbors=49.0, per_type_energy_scales=1.0, per_type_energy_shifts=0.0,
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "model.nequip.pth")
        save_torchscript_model(model, {k: str(v) for k, v in model.metadata.items()}, path, "cpu")
        script = torch.jit.freeze(torch.jit.load(path))
    pairs = NeighborSearch(R_MAX)(structure)
    numbers = {z: k for k, z in enumerate(sorted(set(structure.numbers.tolist())))}
    data = {
        AtomicDataDict.POSITIONS_KEY: structure.positions.double(),
        AtomicDataDict.CELL_KEY: structure.cell.double(),
        AtomicDataDict.EDGE_INDEX_KEY: torch.stack([pairs.centers, pairs.neighbors]),
        AtomicDataDict.EDGE_CELL_SHIFT_KEY: pairs.shifts.double(),
        AtomicDataDict.ATOM_TYPE_KEY: torch.tensor(
            [numbers[z] for z in structure.numbers.tolist()]
        ),
    }
    return lambda: script({k: v.clone() for k, v in data.items()})[AtomicDataDict.FORCE_KEY]


def evaluation(name: str, structure: Structure, species: list[str], dtype: torch.dtype) -> Evaluate:
    """What the contestant of this name does."""
    kind, _, label = name.partition("-")
    if kind == "mace":
        from mace_network import of_mace

        return of_mace(structure, dtype, R_MAX, N_BASIS, 49.0)
    if kind == "nequip":
        return of_nequip(species, structure, dtype)
    ours = network(species, f"-{label}" if label else "", dtype)
    if kind == "e3nn":
        from e3nn_network import E3nnNetwork

        # the products of e3nn have constants of the default dtype at the time they are made
        torch.set_default_dtype(dtype)
        return of_package(E3nnNetwork(ours).requires_grad_(False), structure)
    if kind == "fused" and not ops.available("equivariant_convolution"):
        raise RuntimeError(f"fused: needs the native operators: {ops.status()}")
    if kind == "reference":  # in plain torch
        network_module.native_on = ops.native_on("no operator")
    return of_package(InferenceNequIP(ours) if kind == "fused" else ours, structure)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("name", choices=contestants())
    parser.add_argument("system", choices=SYSTEMS)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--double", action="store_true")
    parser.add_argument("--forces", type=Path, help="file for the forces of the last evaluation")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    atoms = system(arguments.system, arguments.data)
    dtype = torch.float64 if arguments.double else torch.float32
    numbers = torch.tensor(atoms.numbers)
    structure = structure_of(torch.tensor(atoms.positions), numbers, torch.tensor(atoms.cell.array))
    structure = structure._replace(
        positions=structure.positions.to(dtype), cell=structure.cell.to(dtype)
    )
    symbols = dict(zip(atoms.numbers.tolist(), atoms.get_chemical_symbols()))
    before = peak_memory()
    evaluate = evaluation(arguments.name, structure, [symbols[z] for z in sorted(symbols)], dtype)
    n_pairs = len(NeighborSearch(R_MAX)(structure).centers)
    answer(evaluate, len(atoms), n_pairs, before, arguments.forces)


if __name__ == "__main__":
    main()
