"""Entries in a folder of the user's, by content.

    KIND-KEY  =  SHA-256 of what follows, a line break, the content

A key names all that the content follows from (content.py), so that an entry is right or not there;
nothing is ever out of date. An entry appears whole, by a rename, so that two processes may make it
at once; one whose checksum differs is made anew. The folder may be deleted at any time, and the
entries used longest ago go when it holds more than `LARGEST`.

It is `start` in the user's cache, or where the variable OPENMM_PQEQ_START_CACHE says; with 0 nothing
is kept. Where it cannot be written, or others could have written it, work goes on without, after one
warning: some entries are compiled functions, which are code.
"""

import functools
import hashlib
import os
import stat
import tempfile
import warnings
from contextlib import suppress
from pathlib import Path

import pooch

VARIABLE = "OPENMM_PQEQ_START_CACHE"

LARGEST = 2**30
"""Bytes that are kept; tables of `universal` take 43 MB."""


def folder() -> Path | None:
    """Where entries are, or None where there can be none."""
    given = os.environ.get(VARIABLE, "")
    if given == "0":
        return None
    place = Path(given) if given else Path(pooch.os_cache("openmm_pqeq")) / "start"
    try:
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not _is_private(place):
            _warn(f"others may write to {place}, or it is not yours; chmod 700 it, or remove it")
            return None
    except OSError as error:
        _warn(f"{place} cannot be made ({error})")
        return None
    return place


def read(name: str) -> bytes | None:
    """The content of an entry, or None where there is none, or none that is whole."""
    place = folder()
    if place is None:
        return None
    try:
        checksum, _, content = (place / name).read_bytes().partition(b"\n")
    except OSError:
        return None
    if hashlib.sha256(content).hexdigest().encode() != checksum:
        return None
    with suppress(OSError):
        os.utime(place / name)
    return content


def write(name: str, content: bytes) -> None:
    """Keep an entry, if the folder can be written."""
    place = folder()
    if place is None:
        return
    try:
        with tempfile.NamedTemporaryFile(dir=place, prefix="making-", delete=False) as part:
            try:
                part.write(hashlib.sha256(content).hexdigest().encode() + b"\n")
                part.write(content)
                part.flush()
                os.fsync(part.fileno())
                os.replace(part.name, place / name)
            except BaseException:
                Path(part.name).unlink(missing_ok=True)
                raise
        _trim(place)
    except OSError as error:
        _warn(f"{place} cannot be written ({error})")


def _trim(place: Path) -> None:
    """Remove the entries used longest ago, and what a process left that was killed, beyond
    `LARGEST`."""
    entries = []
    for path in place.iterdir():
        with suppress(FileNotFoundError):  # another process has just renamed or removed it
            entries.append((path.stat(), path))
    total = 0
    for about, path in sorted(entries, key=lambda entry: -entry[0].st_mtime):
        total += about.st_size
        if total > LARGEST:
            path.unlink(missing_ok=True)


def _is_private(place: Path) -> bool:
    """Whether the folder is the user's own, and nobody else may write to it."""
    if not hasattr(os, "geteuid"):  # Windows, where a user's cache is in the user's profile
        return True
    about = place.stat()
    return about.st_uid == os.geteuid() and not about.st_mode & (stat.S_IWGRP | stat.S_IWOTH)


@functools.cache
def _warn(why: str) -> None:
    warnings.warn(
        f"start cache: {why}. What it would keep is made again by each process; {VARIABLE} may name "
        "another folder, or be 0 to do without",
        stacklevel=4,
    )
