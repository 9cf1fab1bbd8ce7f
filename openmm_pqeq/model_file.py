"""The file of a model: what is in it, whole and unchanged, or a ValueError that names the file.

    {"format": version, "config": what `build` takes, "weights": tensors of the network,
     "card": the model card, "checksums": SHA-256 of each tensor, of the config and of the card}

It is read with torch's `weights_only=True`, so a pickle that would import or call anything is
refused. torch itself looks at no checksum: a disk that changes a number changes every energy.
"""

import datetime
import hashlib
import io
import math
import pickle
import re
import warnings
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path, PurePath
from typing import Any

import numpy as np
import torch
from torch import Tensor

from openmm_pqeq.jobs.files import whole
from openmm_pqeq.jobs.values import shown

FORMAT = 2
"""Version of the file format; files of a newer one are refused. 1 had no checksums."""
KINDS = {"format": int, "config": dict, "weights": dict, "card": dict}
"""What every file has."""


def write(path: Path, config: Any, weights: Mapping[str, Tensor], card: Mapping[str, Any]) -> None:
    """Write a model. The file is whole or not there at all.

    Raises ValueError for numbers that are not finite, and for what `read` would refuse, naming them.
    """
    content = {"config": as_data("config", config), "card": as_data("card", card)}
    content["weights"] = dict(weights)
    _refuse_infinite(content, "potential")
    content |= {"format": FORMAT, "checksums": checksums(content)}
    written = io.BytesIO()  # torch says of a full disk that a writer of its own failed
    torch.save(content, written)
    with whole(path) as part:
        part.write_bytes(written.getbuffer())


def as_data(name: str, value: Any) -> Any:
    """What a file of data alone may hold: text, numbers, truths, lists and tables. Those of NumPy and
    torch become Python's, dates and paths text; ValueError names anything else."""
    if value is None or type(value) in (bool, int, float, str):
        return value
    if isinstance(value, Mapping):
        return {as_data(name, key): as_data(f"{name}.{key}", item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        items = [as_data(f"{name}.{index}", item) for index, item in enumerate(value)]
        return tuple(items) if isinstance(value, tuple) else items
    if isinstance(value, np.generic | np.ndarray | Tensor):
        return as_data(name, value.tolist())
    if isinstance(value, datetime.date | datetime.time):
        return value.isoformat()
    if isinstance(value, PurePath):
        return str(value)
    raise ValueError(
        f"{name}: expected text, numbers, lists and tables of them, got {shown(value)}, which no "
        "model file may hold"
    )


def read(path: Path) -> dict[str, Any]:
    """What a file holds, by the names above, checked."""
    content, of = _content(path), f"model file {path}"
    if not isinstance(content, dict) or not set(KINDS) <= set(content):
        raise ValueError(
            f"{of}: not a model of this package (it has no format, config, weights and card)"
        )
    for name, kind in KINDS.items():
        if not isinstance(content[name], kind) or isinstance(content[name], bool):
            raise ValueError(f"{of}: {name}: not of this package, got {shown(content[name])}")
    if content["format"] < 1:
        raise ValueError(f"{of}: format: expected 1 to {FORMAT}, got {content['format']}")
    if content["format"] > FORMAT:
        raise ValueError(
            f"{of}: format {content['format']}, and this version of openmm-pqeq reads up to "
            f"{FORMAT}; upgrade openmm-pqeq"
        )
    for name, values in content["weights"].items():
        if not isinstance(values, Tensor) or not _plain(values):
            raise ValueError(f"{of}: weights: {name!r} is not a tensor of numbers")
    _refuse_infinite(content, of)
    if content["format"] != 1:
        _compare(checksums(content), content.get("checksums"), of)
    return content


def checksums(content: Mapping[str, Any]) -> dict[str, str]:
    """SHA-256 of each tensor by its name, and of config and card."""
    sums = {name: _sha256(repr(content[name]).encode()) for name in ("config", "card")}
    for name, values in content["weights"].items():
        about = f"{values.dtype} {tuple(values.shape)} ".encode()
        dense = values.clone(memory_format=torch.contiguous_format)  # a lone number has any stride
        content_of = dense.flatten().view(torch.uint8).numpy().tobytes()
        sums[f"weights.{name}"] = _sha256(about + content_of)
    return sums


def fingerprint(path: Path) -> str:
    """SHA-256 of what makes the energy: weights and config. Two files with the same are one model,
    whatever their cards say."""
    sums = checksums(read(path))
    del sums["card"]
    return _sha256(repr(sorted(sums.items())).encode())


def _plain(values: Tensor) -> bool:
    """Whether it is a dense tensor of real numbers."""
    dense = values.layout == torch.strided and values.device.type == "cpu"
    return dense and not (values.is_quantized or values.is_complex())


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _compare(found: dict[str, str], written: Any, of: str) -> None:
    if not isinstance(written, dict):
        raise ValueError(f"{of}: it has no checksums; the file is damaged")
    for name in sorted({*found, *written}, key=str):
        if found.get(name) != written.get(name):
            raise ValueError(
                f"{of}: {name} is not what was saved (its checksum differs); the file is damaged, "
                "fetch or copy it again"
            )


def _refuse_infinite(content: Mapping[str, Any], of: str) -> None:
    """ValueError for weights, and numbers of the config, that are not finite."""
    for name, values in content["weights"].items():
        if not bool(torch.isfinite(values).all()):
            raise ValueError(
                f"{of}: weights: {name} has numbers that are not finite; a training that went wrong?"
            )
    for name, value in _numbers("config", content["config"]):
        if not math.isfinite(value):
            raise ValueError(f"{of}: {name}: expected a finite number, got {value!r}")


def _numbers(name: str, value: Any) -> Iterator[tuple[str, float]]:
    """All floats in a config, with the keys that lead to them."""
    if isinstance(value, float):
        yield name, value
    items: Iterable[tuple[Any, Any]] = value.items() if isinstance(value, Mapping) else ()
    if isinstance(value, list | tuple):
        items = enumerate(value)
    for key, item in items:
        yield from _numbers(f"{name}.{key}", item)


def _content(path: Path) -> Any:
    """What torch reads, without running anything."""
    try:
        _check_archive(path)
        with warnings.catch_warnings():
            # of pickles that torch did not write; what they are is said below
            warnings.simplefilter("ignore")
            return torch.load(path, map_location="cpu", weights_only=True)
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


def _check_archive(path: Path) -> None:
    """zlib.error where a record of torch's zip archive does not have its CRC-32; also of files
    without checksums of ours."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            if (damaged := archive.testzip()) is not None:
                raise zlib.error(f"the record {damaged} is not what was saved")
