"""Files that grow, and one writer of each: two reporters of one file, such as a notebook's cell that
was run twice makes them, would write over each other's frames."""

import errno
import gc
import os
import weakref
from io import FileIO
from pathlib import Path

_writers: "weakref.WeakValueDictionary[str, object]" = weakref.WeakValueDictionary()
"""By real path, as long as they live and are not closed."""
CANNOT_RESERVE = (errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL)
"""What file systems and C libraries answer that take no room in advance."""


def refuse_second(path: Path) -> None:
    """ValueError where this process writes to a file already."""
    if os.path.realpath(path) in _writers:
        gc.collect()  # of a Simulation that nobody has any more
    if os.path.realpath(path) in _writers:
        raise ValueError(
            f"file: another reporter of this process writes to {path}; take it out of "
            "simulation.reporters and close it with its close(), or use another file"
        )


def require_there(path: Path) -> None:
    """FileNotFoundError where a file that is written to has been removed: its frames would go
    nowhere."""
    if not path.exists():
        raise FileNotFoundError(
            f"file: {path} was removed while it was written to, and what it had is lost; leave it "
            "where it is until its reporter is closed"
        )


def claim(path: Path, writer: object) -> None:
    """Remember who writes to a file."""
    _writers[os.path.realpath(path)] = writer


def release(path: Path, writer: object) -> None:
    """Let others write to a file that a writer has closed."""
    if _writers.get(os.path.realpath(path)) is writer:
        del _writers[os.path.realpath(path)]


def reserve(descriptor: int, start: int, end: int, path: Path) -> None:
    """Take room on the disk for the bytes from `start` to `end` of an open file, where the system can;
    OSError where there is none. The file is longer then, by zeros."""
    if not hasattr(os, "posix_fallocate"):
        return
    try:
        os.posix_fallocate(descriptor, start, end - start)
    except OSError as error:
        if error.errno not in CANNOT_RESERVE:
            raise OSError(error.errno, error.strerror, str(path)) from None


class GrowingFile:
    """A file without a buffer of its own, so that what is written is there when the process is killed.

    Parameters
    ----------
    path : an existing file is replaced unless `append`
    append : continue an existing file
    """

    def __init__(self, path: Path, append: bool):
        self.path = path
        self._out = FileIO(path, "a" if append else "w")
        claim(path, self)

    def close(self) -> None:
        """Close the file, for others to write to."""
        if hasattr(self, "_out"):
            self._out.close()
            release(self.path, self)

    def __del__(self) -> None:
        self.close()
