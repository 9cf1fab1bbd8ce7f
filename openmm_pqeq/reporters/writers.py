"""One writer a file: two reporters of one file, such as a notebook's cell that was run twice makes
them, would write over each other's frames."""

import gc
import os
import weakref
from pathlib import Path

_writers: "weakref.WeakValueDictionary[str, object]" = weakref.WeakValueDictionary()
"""By real path, as long as they live and are not closed."""


def refuse_second(path: Path) -> None:
    """ValueError where this process writes to a file already."""
    if os.path.realpath(path) in _writers:
        gc.collect()  # of a Simulation that nobody has any more
    if os.path.realpath(path) in _writers:
        raise ValueError(
            f"file: another reporter of this process writes to {path}; take it out of "
            "simulation.reporters and close it with its close(), or use another file"
        )


def claim(path: Path, writer: object) -> None:
    """Remember who writes to a file."""
    _writers[os.path.realpath(path)] = writer


def release(path: Path, writer: object) -> None:
    """Let others write to a file that a writer has closed."""
    if _writers.get(os.path.realpath(path)) is writer:
        del _writers[os.path.realpath(path)]
