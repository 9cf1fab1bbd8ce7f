"""HDF5 files that grow by whole frames.

A frame is written and flushed before its step is: as many frames are whole as there are steps,
whenever the process is killed, even where some dataset is longer by one. A file that is continued
is first cut back to them. Room for a frame is taken before it is written, as a file in which HDF5
could not write what it wanted to is lost.

Files keep no lock of HDF5, so that others may read them while they grow, and nobody who reads one
stops a run from going on. One writer a file is what writers.py and a run's folder see to.
"""

import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np
from numpy.typing import NDArray

from openmm_pqeq.jobs.files import whole
from openmm_pqeq.reporters.table import path_of
from openmm_pqeq.reporters.writers import claim, release, require_there, reserve

if sys.platform != "win32":
    import fcntl


ROOM = 65536
"""Bytes for what HDF5 writes beside data with a frame."""


class Quantity(NamedTuple):
    """A dataset's content in each frame: its shape, HDF5 type and unit."""

    shape: tuple[int, ...]
    dtype: str
    unit: str


class FrameFile:
    """An HDF5 file with datasets (n_frames, ...) and datasets that do not change.

    Parameters
    ----------
    file : path; an existing file is replaced unless `append`
    append : continue an existing file
    """

    def __init__(self, file: str | os.PathLike[str], append: bool = False):
        self.path = path_of(file, append)
        self._file: h5py.File | None = None
        self._reserved, self._room = 0, ROOM
        if not append:
            with hdf5(self.path, "w"):
                pass  # an empty file
        claim(self.path, self)

    def open(self, quantities: dict[str, Quantity], fixed: dict[str, NDArray[Any]]) -> None:
        """Open the file, once; ValueError where it has other atoms or settings.

        Parameters
        ----------
        quantities : of each dataset that has a value in every frame
        fixed : datasets that belong to all frames
        """
        if self._file is None:
            self._file = self._opened(quantities, fixed)

    def write(self, frame: dict[str, Any]) -> None:
        """Append a frame, a value for each quantity; on disk when this returns."""
        if self._file is None:
            raise ValueError(f"file: {self.path} has not been opened")
        require_there(self.path)
        self._reserve(self._file)
        index = len(self._file["step"])
        try:
            for names in (set(frame) - {"step"}, {"step"}):
                for name in names:
                    dataset = self._file[name]
                    dataset.resize(index + 1, axis=0)
                    dataset[index] = frame[name]
                self._file.flush()
        except (OSError, RuntimeError) as error:
            raise _of_file(self.path, error) from error

    def _reserve(self, file: h5py.File) -> None:
        """Take room for what the next frame may write: a chunk of every dataset, and what HDF5 has
        beside them."""
        needed = file.id.get_filesize() + self._room
        if needed > self._reserved:
            reserve(file.id.get_vfd_handle(), self._reserved, needed + self._room, self.path)
            self._reserved = needed + self._room

    def close(self) -> None:
        """Close the file, and give back the room that it did not need."""
        file = getattr(self, "_file", None)
        if file is not None:
            self._file = None
            file.flush()
            end = file.id.get_filesize()
            file.close()
            with suppress(OSError):
                if end < self.path.stat().st_size <= self._reserved:
                    os.truncate(self.path, end)
        if hasattr(self, "path"):
            release(self.path, self)

    def __del__(self) -> None:
        self.close()

    def _opened(self, quantities: dict[str, Quantity], fixed: dict[str, NDArray[Any]]) -> h5py.File:
        try:
            cut_back_frames(self.path)
            file = opened(self.path, "a")
        except ValueError as error:
            raise ValueError(f"{error}, or use another file or append=False") from None
        self._room = ROOM + sum(_bytes_of_chunk(one) for one in quantities.values())
        try:
            self._reserve(file)
        except OSError:
            file.close()
            raise
        if "step" not in file:
            for name, quantity in quantities.items():
                _create(file, name, quantity)
            for name, values in fixed.items():
                file[name] = values
            return file
        for name, values in fixed.items():
            if name not in file:
                file.close()
                raise ValueError(
                    f"file: {self.path} has no dataset {name!r}; use another file or append=False"
                )
            if not np.array_equal(file[name][()], values):
                what = f"{len(file[name])} other {'atoms' if name == 'numbers' else name}"
                file.close()
                raise ValueError(
                    f"file: {self.path} has {what} than this simulation; use another file or "
                    "append=False"
                )
        return file


def cut_back_frames(path: Path, n_frames: int | None = None) -> int:
    """Keep the first `n_frames` frames of a file, by default all that are whole; returns how many
    are kept.

    Where a process was killed while it wrote a frame, the whole frames are copied into a new file:
    the old one may refer to what was never written.
    """
    with hdf5(path) as file:
        if "step" not in file:
            return 0
        growing = {
            name: len(dataset) for name, dataset in file.items() if dataset.maxshape[:1] == (None,)
        }
        kept = growing["step"] if n_frames is None else min(n_frames, growing["step"])
        if set(growing.values()) == {kept}:
            return kept
        if len(set(growing.values())) > 1:
            with whole(path) as part, h5py.File(part, "w") as new:
                size = ROOM + path.stat().st_size
                reserve(new.id.get_vfd_handle(), 0, size, path)
                for name, dataset in file.items():
                    _copy(dataset, new, name, kept if name in growing else None)
            return kept
    with hdf5(path, "a") as file:
        for name in growing:
            file[name].resize(kept, axis=0)
    return kept


@contextmanager
def hdf5(path: Path, mode: str = "r") -> Iterator[h5py.File]:
    """A file, opened and closed; ValueError says what is wrong with it, an OSError of the disk
    stays one."""
    file = opened(path, mode)
    try:
        yield file
    except (KeyError, RuntimeError, OSError) as error:
        raise _of_file(path, error) from None
    finally:
        file.close()


def opened(path: Path, mode: str) -> h5py.File:
    """A file that others may read while it is open here, whether or not they lock it.

    HDF5 takes a lock when it opens a file, which is given back at once. It refuses, within one
    process, to open a file with locks and without, so it is first opened with them.
    """
    try:
        file = h5py.File(path, mode)
        if sys.platform != "win32":
            fcntl.flock(file.id.get_vfd_handle(), fcntl.LOCK_UN)
        return file
    except OSError as error:
        if not isinstance(error, BlockingIOError) and "locking flag" not in str(error):
            raise _of_file(path, error) from None
    try:
        return h5py.File(path, mode, locking=False)
    except OSError as error:
        raise _of_file(path, error) from None


def _of_file(path: Path, error: Exception) -> Exception:
    """What an exception of h5py is about: the disk, who has the file, or the file."""
    if number := re.search(r"errno = (\d+)", str(error)):
        return OSError(int(number[1]), os.strerror(int(number[1])), str(path))
    if isinstance(error, OSError) and error.errno is not None:
        return error
    if "already open" in str(error):
        return ValueError(
            f"file: {path} is open in this process, as by an h5py.File in a notebook; close that first"
        )
    return ValueError(f"file: {path} cannot be read as HDF5, it may be damaged ({error})")


def _create(file: h5py.File, name: str, quantity: Quantity) -> h5py.Dataset:
    shape, dtype, unit = quantity
    chunks = (_frames_of_chunk(quantity), *shape)
    dataset = file.create_dataset(name, (0, *shape), dtype, maxshape=(None, *shape), chunks=chunks)
    dataset.attrs["units"] = unit
    return dataset


def _frames_of_chunk(quantity: Quantity) -> int:
    return min(max(1, 65536 // (8 * max(1, int(np.prod(quantity.shape))))), 1024)


def _bytes_of_chunk(quantity: Quantity) -> int:
    frames, items = _frames_of_chunk(quantity), int(np.prod(quantity.shape))
    return frames * items * np.dtype(quantity.dtype).itemsize


def _copy(old: h5py.Dataset, file: h5py.File, name: str, n_frames: int | None) -> None:
    """Copy a dataset, the first frames alone where it has one for each."""
    if n_frames is None:
        file[name] = old[()]
        return
    new = _create(file, name, Quantity(old.shape[1:], old.dtype.str, old.attrs.get("units", "1")))
    new.resize(n_frames, axis=0)
    for start in range(0, n_frames, old.chunks[0]):
        frames = slice(start, min(start + old.chunks[0], n_frames))
        new[frames] = old[frames]
