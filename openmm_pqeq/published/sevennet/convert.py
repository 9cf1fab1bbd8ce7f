"""From a SevenNet checkpoint to a model file, with a card that says what was imported."""

import hashlib
import os
from pathlib import Path
from typing import Any

import torch

from openmm_pqeq import checkpoint
from openmm_pqeq.gnn.paths import EVEN
from openmm_pqeq.jobs import values
from openmm_pqeq.potential import Potential, build
from openmm_pqeq.published.sevennet.read import Settings, read_checkpoint
from openmm_pqeq.published.sevennet.weights import (
    SILU_NORM,
    Tensors,
    check_tensors,
    scale_and_shift,
    shapes_of,
    transfer,
)

METHOD = (
    "SevenNet: Park, Kim, Hwang, Han, J. Chem. Theory Comput. 20, 4857 (2024), "
    "https://doi.org/10.1021/acs.jctc.4c00190; l3i5 and the 11 July 2024 weights: the package sevenn"
)
MPTRJ = "PBE, with +U for some oxides, as in MPtrj (Materials Project trajectories of crystals)"

PUBLISHED = {
    "7052cb42b7b3be42b40b97fa0d21077a48c54b5548948fc4dcf346629f813c36": (
        "SevenNet-0 (11 July 2024)",
        MPTRJ,
    ),
    "5d389fafd512e6ae2830d74d0b66ffc49a55d3832653ff8e7bf7f1343013c1d1": (
        "SevenNet-0 (22 May 2024)",
        MPTRJ,
    ),
    "a7ff190d41efe5b8317a03d20a468e4036a1a3e64e0b14fdbab64ac3f4bfc09d": ("SevenNet-l3i5", MPTRJ),
    "81791329b37d445f46b531578c182c41792d98c7814222c9e5dde276402225fd": ("SevenNet-MF-0", ""),
}
"""Title and level of theory of the checkpoints in sevenn 0.13.0, by their SHA-256."""

SOURCE = "https://pypi.org/project/sevenn/0.13.0/"
LICENCE = "MIT, Copyright (c) 2024 Yutack Park"

LIMITS = [
    "charges, fields, total charge: the network knows none of them",
    "dispersion: only what PBE has of it",
    "forces far from equilibrium are too weak (SevenNet-0 and l3i5: by 4 to 9 % on DFT data)",
    "trained on crystals: compare with DFT before using it for molecules, surfaces or liquids",
]


def convert_sevennet(
    checkpoint_file: str | os.PathLike[str],
    output: str | os.PathLike[str],
    modality: str | None = None,
) -> Potential:
    """Write a published SevenNet as a file that `load` reads, and return it.

    Parameters
    ----------
    checkpoint_file : checkpoint_*.pth of SevenNet
    output : the file to write; replaced where it exists, as by `save`
    modality : of a model with several, such as "PBE" or "R2SCAN" of SevenNet-MF-0

    Raises FileNotFoundError where there is no such checkpoint; ValueError for a file that is not
    one, for an architecture that cannot be imported, and for a modality that the model does not
    have. Nothing is written then.
    """
    checkpoint_file = values.existing_file("checkpoint_file", checkpoint_file)
    output = values.new_file("output", output)
    settings, tensors = read_checkpoint(checkpoint_file)
    mode = _mode(settings, modality)
    try:
        tensors = check_tensors(tensors, settings)
        potential = build(configuration(settings, tensors, mode))
        assert potential.gnn is not None
        transfer(tensors, settings, mode, potential.gnn)
    except ValueError as error:
        raise ValueError(f"checkpoint {os.fspath(checkpoint_file)}: {error}") from error
    checkpoint.save(potential, output, _card(settings, tensors, checkpoint_file, modality))
    return potential


def _mode(settings: Settings, modality: str | None) -> int:
    """Place of the modality in the one-hot."""
    known = ", ".join(settings.modalities)
    if modality is None and not settings.modalities:
        return 0
    if not settings.modalities:
        raise ValueError(f"modality: this model has none, got {modality!r}; leave it away")
    if modality is None:
        raise ValueError(f"modality: which one? This model has {known}")
    if modality not in settings.modalities:
        raise ValueError(f"modality: expected one of {known}, got {modality!r}")
    return settings.modalities[modality]


def configuration(settings: Settings, tensors: Tensors, mode: int) -> dict[str, dict[str, Any]]:
    """The config from which `build` makes the potential, before it gets the weights."""
    scale, shift = scale_and_shift(tensors, settings, mode)
    return {
        "gnn": {
            "species": settings.species,
            "hidden_irreps": " + ".join(f"{mul}x{ir}" for ir, mul in settings.hidden.items()),
            "sh_irreps": " + ".join(f"1x{degree}e" for degree in range(settings.l_max + 1)),
            "layers": settings.layers,
            "r_max": settings.cutoff,
            "n_basis": settings.n_basis,
            "radial_hidden": settings.radial_hidden,
            "avg_neighbors": float(tensors["0_convolution.denominator"]),
            "edge_sign": "training",
            "self_connection": "shared",
            "nonlinearities": {"e": "silu", "o": "tanh"},
            "radial_nonlinearity": "silu",
            "activation_norms": {"silu": SILU_NORM},
            "solid_harmonics": settings.solid_harmonics,
            "scalar_bias": settings.modal_up or settings.modal_down,
            "envelope": settings.envelope,
            "readout_hidden": settings.hidden[EVEN] // 2,
            "scale": _short(scale),
            "shift": _short(shift),
        }
    }


def _short(values: torch.Tensor) -> float | list[float]:
    """One number where all species have the same."""
    numbers: list[float] = values.tolist()
    return numbers[0] if len(set(numbers)) == 1 else numbers


def _card(
    settings: Settings, tensors: Tensors, file: str | os.PathLike[str], modality: str | None
) -> dict[str, Any]:
    with open(file, "rb") as opened:
        sha256 = hashlib.file_digest(opened, "sha256").hexdigest()
    known = sha256 in PUBLISHED
    title, level = PUBLISHED.get(sha256, ("An imported SevenNet", ""))
    return {
        "title": title if modality is None else f"{title}, {modality}",
        "level_of_theory": level or modality or "that of the imported checkpoint",
        "method": METHOD,
        "source": f"sevenn 0.13.0, {SOURCE}" if known else "a checkpoint in the format of SevenNet",
        "licence": LICENCE if known else "that of the imported checkpoint",
        "imported": f"{Path(file).name}, sha256 {sha256}, written by sevenn {settings.version}",
        "weights": sum(tensors[name].numel() for name in shapes_of(settings)),
        "elements": settings.species,
        "limits": LIMITS,
    }
