"""Small networks of every kind, and the crystal and the molecule that they are tried on."""

from collections.abc import Callable

import laws
import torch
from torch import Tensor

from openmm_pqeq.gnn import NequIP
from openmm_pqeq.neighbors.pairs import Pairs
from openmm_pqeq.neighbors.search import NeighborSearch
from openmm_pqeq.structure import Structure, structure_of

R_MAX = 3.2  # Å; a few neighbours each, several images in the small cell
SMALL = {
    "species": ["O", "Ti", "Ba"],
    "r_max": R_MAX,
    "n_basis": 5,
    "radial_hidden": (12,),
    "avg_neighbors": 6.0,
    "shift": -1.3,
}
MODELS = {
    "true parities": {
        "hidden_irreps": "6x0e + 4x1o + 2x2e",
        "sh_irreps": "1x0e + 1x1o + 1x2e",
        "layers": 3,
    },
    "odd irreps": {
        "hidden_irreps": "4x0e + 2x0o + 3x1o + 3x1e + 2x2e + 2x2o",
        "sh_irreps": "1x0e + 1x1o + 1x2e",
        "layers": 3,
        "radial_hidden": (8, 8, 8),
    },
    "without self-connection, up to l = 3": {
        "hidden_irreps": "2x0o + 4x0e + 2x1o + 2x2e + 2x0e + 2x3o + 1x2o",
        "sh_irreps": "1x0e + 1x1o + 1x2e + 1x3o",
        "layers": 2,
        "self_connection": False,
        "radial_nonlinearity": "tanh",
        "nonlinearities": {"e": "tanh", "o": "tanh"},
        "envelope": "xplor",
    },
    "vectors labelled even": {
        "hidden_irreps": "4x0e + 3x1e + 2x2e",
        "sh_irreps": "1x0e + 1x1e + 1x2e",
        "layers": 3,
        "edge_sign": "notebook",
        "envelope": "xplor",
    },
    "constants of other codes": {
        "hidden_irreps": "6x0e + 4x1e + 2x2e",
        "sh_irreps": "1x0e + 1x1e + 1x2e",
        "layers": 3,
        "self_connection": "shared",
        "solid_harmonics": True,
        "scalar_bias": True,
        "activation_norms": {"silu": 0.6},
    },
}


def network(name: str, **changes: object) -> NequIP:
    made = NequIP(**{**SMALL, **MODELS[name], **changes})
    for parameter, values in made.named_parameters():
        if parameter.endswith("bias"):  # they start at zero
            values.data = torch.linspace(-1.0, 1.0, len(values), dtype=torch.float64)
    return made


def energy_of(model: Callable[[Tensor, Pairs], Tensor]) -> laws.Energy:
    search = NeighborSearch(R_MAX + 0.7)  # more pairs than the network wants: it takes its own
    return lambda structure: laws.per_structure(
        model(structure.numbers, search(structure)), structure
    )


def perovskite() -> Structure:
    """A distorted perovskite in a skewed cell, shorter than twice the cutoff."""
    cell = torch.tensor([[3.9, 0.0, 0.0], [0.3, 4.1, 0.0], [-0.2, 0.4, 4.0]], dtype=torch.float64)
    fractions = torch.tensor(
        [[0, 0, 0], [0.52, 0.49, 0.53], [0.5, 0.47, 0], [0.5, 0.02, 0.5], [0.03, 0.5, 0.5]],
        dtype=torch.float64,
    )
    return structure_of(fractions @ cell, torch.tensor([56, 22, 8, 8, 8]), cell)


def cluster() -> Structure:
    positions = torch.tensor(
        [[0, 0, 0], [1.9, 0.2, 0.1], [-0.7, 1.6, 0.4], [0.3, -0.9, 1.7], [1.2, 1.5, -1.4]],
        dtype=torch.float64,
    )
    return structure_of(positions, torch.tensor([22, 8, 8, 8, 56]))
