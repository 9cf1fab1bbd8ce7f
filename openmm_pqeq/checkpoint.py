"""Potentials in files: one format, read without running anything that the file says.

A `.pt` file holds {"format": version, "config": what `build` takes, "weights": tensors of the
network, "card": the model card}. It is read with torch's `weights_only=True`, so a pickle that
would import or call anything is refused.
"""

import importlib
import os
import pickle
import re
import warnings
from importlib import resources
from pathlib import Path
from typing import Any, Mapping

import torch

from openmm_pqeq.jobs import values
from openmm_pqeq.jobs.values import shown
from openmm_pqeq.potential import Potential, build

FORMAT = 1
"""Version of the file format; files of a newer one are refused."""


PUBLISHED = dict.fromkeys(("sevennet-0", "sevennet-l3i5"), "openmm_pqeq.published.sevennet.models")
"""Models of others by name, and the module that fetches and converts them the first time; named and
not imported, as it stands above this one."""


def available_models(published: bool = False) -> list[str]:
    """Names of the models that ship with the package.

    published : also the names of published models, which `load` fetches the first time

    >>> "batio3" in available_models(), "sevennet-0" in available_models(published=True)
    (True, True)
    """
    folder = resources.files("openmm_pqeq.models")
    shipped = [
        item.name.removesuffix(".pt") for item in folder.iterdir() if item.name.endswith(".pt")
    ]
    return sorted(shipped) + (list(PUBLISHED) if published else [])


def at_hand(name: str) -> bool:
    """Whether a model by this name needs no network: it ships, or has been fetched."""
    if name in PUBLISHED:
        return bool(importlib.import_module(PUBLISHED[name]).cached_file(name).is_file())
    return name in available_models()


def load(name: str | os.PathLike[str], protocol: str | None = None) -> Potential:
    """A potential by the name of a model or the path of a file.

    A published model is fetched and converted the first time, and from then on read from the cache.

    protocol : "ewald", "pme" or "direct", to evaluate a model made for one of them with another
    Raises FileNotFoundError where there is no such model, ValueError where the file is not one,
    ConnectionError where a published one cannot be fetched.
    """
    content = _read(name)
    potential = build(content["config"])
    if potential.gnn is not None:
        try:
            potential.gnn.load_state_dict(content["weights"])
        except RuntimeError as error:
            raise ValueError(
                f"model file {os.fspath(name)}: its weights do not fit its own config; the file is "
                "damaged"
            ) from error
    return potential if protocol is None else potential.configured(protocol=protocol)


def card(name: str | os.PathLike[str]) -> dict[str, Any]:
    """The model card: data, licence, level of theory, errors, and what the model must not be used
    for."""
    return dict(_read(name)["card"])


def save(
    potential: Potential, path: str | os.PathLike[str], card: Mapping[str, Any] | None = None
) -> None:
    """Write a potential to a file that `load` reads. The file is whole or not there at all."""
    if not isinstance(potential, Potential):
        raise ValueError(f"potential: expected a Potential, got {type(potential).__name__}")
    if not isinstance(card, Mapping | None):
        raise ValueError(f"card: expected a mapping or None, got {shown(card)}")
    path = values.path("path", path)
    weights = (
        {}
        if potential.gnn is None
        else {k: _short(v.detach().cpu()) for k, v in potential.gnn.state_dict().items()}
    )
    if potential.gnn is not None and not weights:
        raise ValueError(
            "potential: expected one that can be trained, got one from compile_for_inference(); "
            "save the original"
        )
    if not path.absolute().parent.is_dir():
        raise FileNotFoundError(f"path: there is no folder {path.parent}")
    content = {
        "format": FORMAT,
        "config": potential.config,
        "weights": weights,
        "card": dict(card or {}),
    }
    part = Path(f"{os.fspath(path)}.part")
    torch.save(content, part)
    part.replace(path)


def loaded(potential: Potential | str | os.PathLike[str]) -> Potential:
    """The potential itself, or the one of that name or path."""
    if isinstance(potential, str | os.PathLike):
        return load(os.fspath(potential))
    if not isinstance(potential, Potential):
        raise ValueError(
            "potential: expected a Potential (see load and build), a name or a path, got "
            f"{type(potential).__name__}"
        )
    return potential


def file_of(name: str | os.PathLike[str]) -> Path:
    """The file of a model by its name, fetched where it is a published one, or by its path;
    FileNotFoundError where there is none."""
    name = str(values.path("model", name))
    if name in PUBLISHED:
        fetched: Path = importlib.import_module(PUBLISHED[name]).model_file(name)
        return fetched
    with resources.as_file(resources.files("openmm_pqeq.models")) as folder:
        shipped = Path(folder) / f"{name}.pt"
        path = shipped if os.sep not in name and shipped.is_file() else Path(name)
    if not path.is_file():
        raise FileNotFoundError(
            f"model {name!r}: neither a model that ships or can be fetched "
            f"({', '.join(available_models(published=True))}) nor the path of a file"
        )
    return path


def _short(values: torch.Tensor) -> torch.Tensor:
    """In float32, half the file, where that holds every number exactly."""
    single = values.to(torch.float32)
    return single if torch.equal(single.to(values.dtype), values) else values


def _read(name: str | os.PathLike[str]) -> dict[str, Any]:
    path = file_of(name)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter(
                "ignore"
            )  # of pickles that torch did not write; what they are is said below
            content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        called = re.search(r"GLOBAL ([\w.]+)", str(error))
        what = (
            f"it would call {called[1]}"
            if called
            else "it is damaged or not a model of this package"
        )
        raise ValueError(
            f"model file {path}: refused, because {what}; load only files that this package saved"
        ) from error
    except Exception as error:  # torch's reader raises anything at all on bytes that mean nothing
        reason = str(error).strip() or type(error).__name__
        raise ValueError(
            f"model file {path}: cannot be read ({reason}); it is damaged or not a model file"
        ) from error
    if not isinstance(content, dict) or not {"format", "config", "weights", "card"} <= set(content):
        raise ValueError(
            f"model file {path}: not a model of this package (it has no format, config, weights "
            "and card)"
        )
    if content["format"] > FORMAT:
        raise ValueError(
            f"model file {path}: format {content['format']}, and this version of openmm-pqeq reads "
            f"up to {FORMAT}; upgrade"
            f" openmm-pqeq"
        )
    return content
