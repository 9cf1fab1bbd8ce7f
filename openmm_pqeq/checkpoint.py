"""Potentials in files, by name or path; model_file.py has what is in a file."""

import importlib
import os
import warnings
from importlib import resources
from pathlib import Path
from types import ModuleType
from typing import Any, Mapping

import torch

from openmm_pqeq import model_file, ops
from openmm_pqeq.gradients import recorded
from openmm_pqeq.jobs import values
from openmm_pqeq.jobs.values import shown
from openmm_pqeq.limits import limits_of
from openmm_pqeq.potential import Potential, build
from openmm_pqeq.pqeq import PROTOCOLS

PUBLISHED = {
    "sevennet-0": "openmm_pqeq.published.sevennet.models",
    "sevennet-l3i5": "openmm_pqeq.published.sevennet.models",
    "universal": "openmm_pqeq.published.universal",
    "universal-l3i5": "openmm_pqeq.published.universal",
}
"""Models of others by name, and the module that fetches and converts them the first time; named and
not imported, as it stands above this one."""

REPLACED = {"batio3_response": "batio3_bonds"}
"""Names of models that no longer ship, and the better ones that are loaded in their place."""


def maker(name: str) -> ModuleType:
    """The module of a published model, with MODELS (each with a title), `at_hand`, `cached_file`
    and `model_file`."""
    return importlib.import_module(PUBLISHED[name])


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
        return bool(maker(name).at_hand(name))
    return REPLACED.get(name, name) in available_models()


@recorded()
def load(name: str | os.PathLike[str], protocol: str | None = None) -> Potential:
    """A potential by the name of a model or the path of a file.

    A published model is fetched and converted the first time, and from then on read from the cache.
    A name of `REPLACED` loads the model that took its place, with a FutureWarning.

    protocol : "ewald", "pme" or "direct", to evaluate a model made for one of them with another
    Raises FileNotFoundError where there is no such model, ValueError where the file is not one,
    ConnectionError where a published one cannot be fetched.
    """
    if protocol is not None:
        values.one_of("protocol", protocol, PROTOCOLS)
    content = _read(name)
    potential = _built(content["config"], name)
    if potential.gnn is not None:
        try:
            potential.gnn.load_state_dict(content["weights"])
        except (RuntimeError, TypeError, AttributeError) as error:
            raise ValueError(
                f"model file {os.fspath(name)}: its weights do not fit its own config; the file is "
                "damaged"
            ) from error
    potential.limits = limits_of(content["card"], os.fspath(name))
    return potential if protocol is None else potential.configured(protocol=protocol)


def card(name: str | os.PathLike[str]) -> dict[str, Any]:
    """The model card: data, licence, level of theory, errors, and what the model must not be used
    for."""
    return dict(_read(name)["card"])


def save(
    potential: Potential, path: str | os.PathLike[str], card: Mapping[str, Any] | None = None
) -> None:
    """Write a potential to a file that `load` reads. The file is whole or not there at all.

    card : text, numbers, lists and tables; those of NumPy become Python's, dates and paths text
    Raises ValueError for weights and settings that are not finite, for a card of anything else, and
    for a compiled potential; FileNotFoundError where there is no such folder.
    """
    if not isinstance(potential, Potential):
        raise ValueError(f"potential: expected a Potential, got {type(potential).__name__}")
    if not isinstance(card, Mapping | None):
        raise ValueError(f"card: expected a mapping or None, got {shown(card)}")
    path = values.new_file("path", path)
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
    limits_of(card or {}, str(path))
    if not path.absolute().parent.is_dir():
        raise FileNotFoundError(f"path: there is no folder {path.parent}")
    model_file.write(path, potential.config, weights, card or {})


def loaded(potential: Potential | str | os.PathLike[str]) -> Potential:
    """The potential itself, or the one of that name or path, about to be evaluated."""
    ops.warn_of_missing()
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
        fetched: Path = maker(name).model_file(name)
        return fetched
    return _file_here(name)


def refuse_unknown(models: Mapping[str, str | os.PathLike[str]]) -> None:
    """FileNotFoundError for what is neither the name of a model nor the path of a file, by the setting
    that names it; nothing is fetched, so that it comes before what is."""
    for setting, name in models.items():
        if str(name) in PUBLISHED:
            continue
        try:
            _file_here(str(values.path(setting, name)))
        except FileNotFoundError as error:
            raise FileNotFoundError(f"{setting}: {error}") from None


def _file_here(name: str) -> Path:
    """The file of a model that ships, or is a file."""
    if name in REPLACED:
        warnings.warn(
            f"model {name!r} is another name of {REPLACED[name]!r} now, which is better in what it "
            f"was made for; write {REPLACED[name]!r}",
            FutureWarning,
            stacklevel=3,
        )
        name = REPLACED[name]
    with resources.as_file(resources.files("openmm_pqeq.models")) as folder:
        shipped = Path(folder) / f"{name}.pt"
        path = shipped if os.sep not in name and shipped.is_file() else Path(name)
    if not path.is_file():
        raise FileNotFoundError(
            f"model {name!r}: neither a model that ships or can be fetched "
            f"({', '.join(available_models(published=True))}) nor the path of a file; 'openmm-pqeq "
            "models' lists them, and 'openmm-pqeq models download NAME' fetches a published one"
        )
    return path


def _built(config: dict[str, Any], name: str | os.PathLike[str]) -> Potential:
    """The potential of a file's config, which may hold anything."""
    try:
        return build(config)
    except Exception as error:
        reason = str(error).strip() or type(error).__name__
        raise ValueError(f"model file {os.fspath(name)}: {reason}") from error


def _short(values: torch.Tensor) -> torch.Tensor:
    """In float32, half the file, where that holds every number exactly."""
    single = values.to(torch.float32)
    return single if torch.equal(single.to(values.dtype), values) else values


def _read(name: str | os.PathLike[str]) -> dict[str, Any]:
    return model_file.read(file_of(name))
