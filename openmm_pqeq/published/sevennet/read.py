"""A SevenNet checkpoint: read without running anything in it, and what it says of its network.

`torch.load` with `weights_only=True` builds tensors and plain containers and refuses all else; the
checkpoints hold numpy arrays as well (shifts and scales), so the three names that a pickled array
is made with, and the dtype float32, are allowed on top.

A setting that asks for another architecture is refused by its name, and so is a tensor that the
architecture has no place for: what cannot be reproduced is never left out silently.
"""

import os
import pickle
import re
import warnings
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from openmm_pqeq.gnn.paths import EVEN, Blocks, merge
from openmm_pqeq.gnn.radial import XPLOR_WIDTH
from openmm_pqeq.structure import SYMBOLS

ALLOWED: list[Any] = [
    (np.empty(0).__reduce__()[0], "numpy.core.multiarray._reconstruct"),
    (np.empty(0).__reduce__()[0], "numpy._core.multiarray._reconstruct"),
    (np.ndarray, "numpy.ndarray"),
    (np.dtype, "numpy.dtype"),
    (np.dtypes.Float32DType, "numpy.dtypes.Float32DType"),
]
"""What a pickle may name: numpy's makers of arrays, under the names of numpy 1 and 2."""

ARCHITECTURE: dict[str, Any] = {
    "_model_type": "E3_equivariant_model",
    "interaction_type": "nequip",
    "self_connection_type": "linear",
    "is_parity": False,
    "act_radial": "silu",
    "lmax_edge": -1,
    "lmax_node": -1,
    "use_bias_in_linear": False,
    "readout_as_fcn": False,
    "use_modal_node_embedding": False,
}
"""Settings of the config, and the one value each that can be imported; those of old checkpoints
lack some."""

OLD_NAMES = {
    "EdgeEmbedding": "edge_embedding",
    "reducing_nn_input_to_hidden": "reduce_input_to_hidden",
    "reducing_nn_hidden_to_energy": "reduce_hidden_to_energy",
    "denumerator": "denominator",
}
"""Of tensors in checkpoints of May 2024, which have spaces where later ones have underscores."""


class Settings(NamedTuple):
    """Settings of the network, from the checkpoint's config.

    version : of `sevenn` that wrote the checkpoint
    species : element symbols, in the order of the weights
    hidden : multiplicity of each irrep of the features, all labelled even
    l_max : of the harmonics
    cutoff : Å
    radial_hidden : widths of the hidden layers of the radial networks
    envelope, solid_harmonics : as of `gnn.NequIP`
    modalities : name → place in the one-hot; empty where the model has no modalities
    modal_up, modal_down, modal_readout : whether the one-hot is among the inputs of the linear maps
        before and after the convolution, and of the first one of the readout
    """

    version: str
    species: list[str]
    hidden: Blocks
    l_max: int
    layers: int
    cutoff: float
    n_basis: int
    radial_hidden: list[int]
    envelope: str
    solid_harmonics: bool
    modalities: dict[str, int]
    modal_up: bool
    modal_down: bool
    modal_readout: bool


def read_checkpoint(path: str | os.PathLike[str]) -> tuple[Settings, dict[str, Tensor]]:
    """Settings and tensors, the names of the latter as checkpoints of today have them.

    Raises FileNotFoundError where there is no such file; ValueError for one that is not a SevenNet
    checkpoint, that would run something when read, or that is of another architecture.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"checkpoint: there is no file {os.fspath(path)}")
    content = _load(path)
    if not isinstance(content, dict) or not {"config", "model_state_dict"} <= set(content):
        raise ValueError(
            f"checkpoint {path}: not one of SevenNet (it has no config and model_state_dict)"
        )
    config, tensors = content["config"], content["model_state_dict"]
    if not isinstance(config, dict) or not isinstance(tensors, dict):
        raise ValueError(f"checkpoint {path}: its config or its weights are not a table of names")
    try:
        return _settings(config), {_name_of_today(name): value for name, value in tensors.items()}
    except (ValueError, TypeError) as error:
        raise ValueError(f"checkpoint {path}: {error}") from error


def _load(path: str | os.PathLike[str]) -> Any:
    try:
        with warnings.catch_warnings(), torch.serialization.safe_globals(ALLOWED):
            warnings.simplefilter("ignore")  # of pickles that torch did not write
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        called = re.search(r"GLOBAL ([\w.]+)", str(error))
        what = f"it would call {called[1]}" if called else "it is damaged or not a checkpoint"
        raise ValueError(f"checkpoint {path}: refused, because {what}") from error
    except Exception as error:  # torch's reader raises anything at all on bytes that mean nothing
        reason = str(error).strip().split("\n")[0] or type(error).__name__
        raise ValueError(
            f"checkpoint {path}: cannot be read ({reason}); it is damaged or not a checkpoint"
        ) from error


def _name_of_today(name: str) -> str:
    name = str(name).replace(" ", "_")
    for old, new in OLD_NAMES.items():
        name = name.replace(old, new)
    return name


def _settings(config: dict[str, Any]) -> Settings:
    for key, value in ARCHITECTURE.items():
        found = config.get(key, value)
        if any(one != value for one in (found if isinstance(found, list) else [found])):
            raise ValueError(
                f"{key} is {found!r}, and only a network with {value!r} can be imported"
            )
    for key in ("act_scalar", "act_gate"):
        if _get(config, key, dict).get("e") != "silu":
            raise ValueError(f"{key} is {config[key]!r}, and only 'silu' can be imported")
    cutoff = float(_get(config, "cutoff", (int, float)))
    layers, l_max = _whole(config, "num_convolution_layer"), _whole(config, "lmax")
    basis = _get(config, "radial_basis", dict)
    if basis.get("radial_basis_name") != "bessel":
        raise ValueError(f"radial_basis is {basis!r}, and only 'bessel' can be imported")
    hidden, modalities = _hidden(config, layers), _modalities(config)
    if layers > 1 and [ir.l for ir in hidden] != list(range(l_max + 1)):
        raise ValueError(f"irreps_manual has the irreps {list(hidden)}, and lmax is {l_max}")
    return Settings(
        version=str(config.get("version", "unknown")),
        species=_species(config),
        hidden=hidden,
        l_max=l_max,
        layers=layers,
        cutoff=cutoff,
        n_basis=_whole(basis, "bessel_basis_num"),
        radial_hidden=[int(width) for width in _get(config, "weight_nn_hidden_neurons", list)],
        envelope=_envelope(_get(config, "cutoff_function", dict), cutoff),
        solid_harmonics=not config.get("_normalize_sph", False),
        modalities=modalities,
        modal_up=bool(modalities and config.get("use_modal_self_inter_intro")),
        modal_down=bool(modalities and config.get("use_modal_self_inter_outro")),
        modal_readout=bool(modalities and config.get("use_modal_output_block")),
    )


def _hidden(config: dict[str, Any], layers: int) -> Blocks:
    """The features between the first and the last layer; before and after, their even scalars."""
    irreps = [merge(str(item)) for item in _get(config, "irreps_manual", list)]
    if len(irreps) != layers + 1 or not irreps[-1]:
        raise ValueError(
            f"irreps_manual has {len(irreps)} items, and a network of {layers} layers needs "
            f"{layers + 1}"
        )
    hidden = irreps[1] if layers > 1 else irreps[0]
    scalars = {EVEN: hidden.get(EVEN, 0)}
    if irreps != [scalars, *[hidden] * (layers - 1), scalars]:
        raise ValueError(
            f"irreps_manual is {config['irreps_manual']}, and only networks of the same features "
            "in every layer, scalars at both ends, can be imported"
        )
    return hidden


def _modalities(config: dict[str, Any]) -> dict[str, int]:
    if not config.get("use_modality"):
        return {}
    places: dict[str, int] = _get(config, "_modal_map", dict)
    if not places or sorted(places.values()) != list(range(len(places))):
        raise ValueError(f"_modal_map must number the modalities, got {places!r}")
    return dict(places)


def _species(config: dict[str, Any]) -> list[str]:
    type_map = _get(config, "_type_map", dict)
    order = sorted(type_map, key=lambda number: type_map[number])
    known = all(type(number) is int and 0 < number < len(SYMBOLS) for number in order)
    if not known or [type_map[number] for number in order] != list(range(len(order))):
        raise ValueError(f"_type_map must number the elements of the model, got {type_map!r}")
    return [SYMBOLS[number] for number in order]


def _envelope(function: dict[str, Any], cutoff: float) -> str:
    name = function.get("cutoff_function_name")
    if name == "XPLOR" and function.get("cutoff_on") == cutoff - XPLOR_WIDTH:
        return "xplor"
    if name == "poly_cut" and function.get("poly_cut_p_value") == 6:
        return "polynomial"
    raise ValueError(
        f"cutoff_function is {function!r}, and only 'XPLOR' from {XPLOR_WIDTH} Å below the cutoff "
        "on, or 'poly_cut' with p = 6, can be imported"
    )


def _get(config: dict[str, Any], key: str, kind: type | tuple[type, ...]) -> Any:
    if not isinstance(config.get(key), kind):
        raise ValueError(
            f"{key} is {config[key]!r}, which cannot be imported"
            if key in config
            else f"{key} is missing in its config"
        )
    return config[key]


def _whole(config: dict[str, Any], key: str) -> int:
    value: int = _get(config, key, int)
    if value < 1:
        raise ValueError(f"{key} must be positive, got {value}")
    return value
