"""Random models in the published file format of ReaxNet: params.pickle, model_config.yaml,
mapping.yaml.

Weights are drawn array by array, in the order of their names, by numpy's RandomState, whose stream
is fixed for good.
"""

import pickle
from pathlib import Path

import numpy as np
import yaml

BASE = {
    "graph_net_steps": 2,
    "hidden_irreps": "8x0e + 4x1e + 2x2e",
    "sh_irreps": "1x0e + 1x1e + 1x2e",
    "n_neighbors": 12.0,
    "nonlinearities": {"e": "raw_swish", "o": "tanh"},
    "num_basis": 8,
    "r_max": 5.0,
    "radial_net_n_hidden": 8,
    "radial_net_n_layers": 2,
    "radial_net_nonlinearity": "raw_swish",
    "scalar_mlp_std": 4.0,
    "scale": 1.25,
    "shift": -0.75,
    "use_sc": True,
}
ELEMENTS = (1, 3, 7, 8, 15, 57)

MODELS = {
    "published irreps": {},
    "odd irreps": {
        "hidden_irreps": "8x0e + 4x0o + 4x1e + 4x1o",
        "sh_irreps": "1x0e + 1x1o + 1x2e",
        "radial_net_n_layers": 3,
        "graph_net_steps": 3,
    },
    "no self-connection": {
        "hidden_irreps": "4x0o + 8x0e + 4x1o + 2x1e + 2x2e + 2x2o",
        "sh_irreps": "1x0e + 1x1o + 1x2e + 1x3o",
        "use_sc": False,
        "radial_net_nonlinearity": "tanh",
        "graph_net_steps": 3,
    },
    "one layer": {"graph_net_steps": 1},
    "six layers": {"graph_net_steps": 6, "hidden_irreps": "6x0e + 3x1e + 2x2e"},
    "irreps in pieces": {
        "hidden_irreps": "5x0e + 3x1o + 4x0e + 2x1o + 3x0o + 2x1e",
        "sh_irreps": "1x0e + 1x1o + 1x2e",
        "graph_net_steps": 3,
    },
    "harmonics in another order": {
        "hidden_irreps": "2x2e + 3x1o + 6x0e + 2x1e",
        "sh_irreps": "1x2e + 1x1o + 1x0e",
        "r_max": 4.0,
    },
    "linear radial networks": {
        "radial_net_n_layers": 0,
        "nonlinearities": {"e": "tanh", "o": "tanh"},
    },
}
"""What each differs in from `BASE`."""

NUMBERS = np.array([3, 8, 15, 7, 57])
CELL = np.array([[6.0, 0.0, 0.0], [1.0, 5.5, 0.0], [-0.8, 0.9, 6.2]])
POSITIONS = np.random.RandomState(36).uniform(size=(5, 3)) @ CELL
"""A small cell, which images fill, with a shortest distance of 2.7 Å."""


def config_of(name: str) -> dict:
    return {**BASE, **MODELS[name], "n_elements": len(ELEMENTS) + 1}


def draw(shapes: dict[str, tuple[int, ...]], config: dict, seed: int = 1) -> dict[str, np.ndarray]:
    """float32 arrays, scaled so that every one of them matters in the energy."""
    stream, arrays = np.random.RandomState(seed), {}
    for name in sorted(shapes):
        values = stream.standard_normal(shapes[name])
        if name.endswith("frequencies"):
            values = np.arange(1, len(values) + 1) * np.pi * (1 + 0.02 * values)
        elif name.endswith("kernel"):
            last = f"Dense_{config['radial_net_n_layers']}" in name
            values = values * np.sqrt((36.0 if last else 4.0) / shapes[name][0])
        elif name.startswith("Linear_0/") or "FullyConnected" in name:
            values = values * np.sqrt(config["n_elements"])
        arrays[name] = values.astype(np.float32)
    return arrays


def tree_of(arrays: dict[str, np.ndarray]) -> dict:
    """{"params": nested dictionaries} from names with "/"."""
    tree: dict = {}
    for name, array in arrays.items():
        branch = tree.setdefault("params", {})
        *parents, leaf = name.split("/")
        for parent in parents:
            branch = branch.setdefault(parent, {})
        branch[leaf] = array
    return tree


def write_model(
    folder: Path, config: dict, arrays: dict[str, np.ndarray], elements=ELEMENTS
) -> tuple[Path, Path, Path]:
    """The three files."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = folder / "params.pickle", folder / "model_config.yaml", folder / "mapping.yaml"
    paths[0].write_bytes(pickle.dumps(tree_of(arrays)))
    paths[1].write_text(yaml.safe_dump(config))
    paths[2].write_text(yaml.safe_dump({number: rank for rank, number in enumerate(elements, 1)}))
    return paths
