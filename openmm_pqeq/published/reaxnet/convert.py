"""From the three published files to a model file, with a card that says what was imported and
how."""

import os
from pathlib import Path
from typing import Any

import numpy as np

from openmm_pqeq import checkpoint
from openmm_pqeq.jobs import values
from openmm_pqeq.jobs.files import sha256
from openmm_pqeq.potential import Potential, build
from openmm_pqeq.published.reaxnet.settings import Settings, read_settings
from openmm_pqeq.published.reaxnet.unpickler import read_arrays
from openmm_pqeq.published.reaxnet.weights import check_arrays, transfer

METHOD = "Gao, Yam, Mao, Chen, Chen, Hu, Nat. Commun. 16, 10484 (2025)"
DOI = "10.6084/m9.figshare.28407524"
"""Of the published checkpoint ReaxNet-MP."""

LONG_RANGE_CUTOFF = 12.5
"""Å: range of the published taper and of the published D3 sums."""


def convert_reaxnet(
    parameters: str | os.PathLike[str],
    model_config: str | os.PathLike[str],
    mapping: str | os.PathLike[str],
    output: str | os.PathLike[str],
    edge_sign: str = "training",
    stop_gradient: bool = True,
    d3: bool = False,
) -> Potential:
    """Write a published ReaxNet model as a file that `load` reads, and return it.

    Parameters
    ----------
    parameters : params.pickle, the tree of weights
    model_config : model_config.yaml, the size of the network
    mapping : mapping.yaml, its elements
    output : the file to write; replaced where it exists, as by `save`
    edge_sign : "training" (edges as in the authors' training: sender − receiver) or "notebook" (as
        in their molecular dynamics); the energies differ where vectors are labelled '1e', as in the
        published config
    stop_gradient : forces with charges and shells held fixed, as published; False: the gradient of
        the energy, which conserves it
    d3 : add D3 with zero damping (PBE) within 12.5 Å, as their example can

    Raises FileNotFoundError for files that are not there, ValueError for those that are not what
    they should be or do not belong together; nothing is written then.
    """
    given = {"parameters": parameters, "model_config": model_config, "mapping": mapping}
    files = {name: values.existing_file(name, file) for name, file in given.items()}
    output = values.new_file("output", output)
    settings = read_settings(files["model_config"], files["mapping"])
    potential = build(configuration(settings, edge_sign, stop_gradient, d3))
    assert potential.gnn is not None
    arrays = check_arrays(read_arrays(files["parameters"]), settings)
    transfer(arrays, settings, potential.gnn)
    checkpoint.save(potential, output, _card(settings, arrays, files, edge_sign, stop_gradient, d3))
    return potential


def configuration(
    settings: Settings, edge_sign: str, stop_gradient: bool, d3: bool
) -> dict[str, dict[str, Any]]:
    """The config from which `build` makes the potential, before it gets the weights."""
    config: dict[str, dict[str, Any]] = {
        "gnn": {
            "species": settings.species,
            "hidden_irreps": " + ".join(map(str, settings.hidden)),
            "sh_irreps": " + ".join(f"1x{ir}" for ir in settings.harmonics),
            "layers": settings.layers,
            "r_max": float(np.float32(settings.r_max)),  # as their code rounds it
            "n_basis": settings.num_basis,
            "radial_hidden": settings.radial_hidden,
            "avg_neighbors": settings.n_neighbors,
            "edge_sign": edge_sign,
            "self_connection": settings.self_connection,
            "nonlinearities": {"e": settings.even, "o": settings.odd},
            "radial_nonlinearity": settings.radial,
            "envelope": "xplor",
            "readout_hidden": settings.readout_width,
            "scale": settings.scale,
            "shift": settings.shift,
        },
        "pqeq": {
            "protocol": "reaxnet",
            "parameters": "reaxnet",
            "cutoff": LONG_RANGE_CUTOFF,
            "sweeps": 2,
            "stop_gradient": stop_gradient,
        },
    }
    if d3:
        config["d3"] = {
            "damping": "zero",
            "functional": "pbe",
            "cutoff": LONG_RANGE_CUTOFF,
            "cn_cutoff": LONG_RANGE_CUTOFF,
            "smoothing_width": 0.0,
            "constants": "reaxnet",
        }
    return config


def _card(
    settings: Settings,
    arrays: dict[str, np.ndarray],
    files: dict[str, Path],
    edge_sign: str,
    stop_gradient: bool,
    d3: bool,
) -> dict[str, Any]:
    forces = (
        "charges and shells held fixed, as published"
        if stop_gradient
        else "minus the gradient of the energy"
    )
    return {
        "title": "An imported ReaxNet model",
        "method": METHOD,
        "source": f"files in the published format of ReaxNet; ReaxNet-MP is https://doi.org/{DOI}",
        "licence": "that of the imported files",
        "imported": {
            name.replace("_", " "): f"{path.name}, sha256 {sha256(path)}"
            for name, path in files.items()
        },
        "weights": sum(array.size for array in arrays.values()),
        "edge_sign": edge_sign,
        "stop_gradient": stop_gradient,
        "forces": forces,
        "long_range": "PQEq, protocol reaxnet, parameters reaxnet, taper 12.5 Å, two sweeps",
        "dispersion": "D3, zero damping, PBE, cut at 12.5 Å" if d3 else "none",
    }
