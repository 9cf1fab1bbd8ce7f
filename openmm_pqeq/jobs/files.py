"""Files that are whole at any time, and their checksums."""

import glob
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def whole(path: Path, replace: bool = True) -> Iterator[Path]:
    """A name to write to, this process's own; afterwards the file is synced and renamed to `path`,
    which has a whole file at any time, the old one or the new one.

    replace : False refuses, FileExistsError, a file that another process has made in the meantime
    """
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        yield part
        with open(part, "rb") as file:
            os.fsync(file.fileno())
        if replace:
            os.replace(part, path)
        else:
            _publish(part, path)
    except BaseException as error:
        part.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.errno and error.filename in (None, str(part)):
            raise OSError(error.errno, os.strerror(error.errno), str(path)) from error
        raise
    sync_folder(path.parent)


def _publish(part: Path, path: Path) -> None:
    """Rename a file, where nothing has the new name yet."""
    try:
        os.link(part, path)
    except OSError:
        if path.exists():
            raise FileExistsError(
                f"output: {path} was made by another process in the meantime, and is left as it is. "
                "Choose another name, or replace it with --overwrite"
            ) from None
        os.replace(part, path)  # a file system without links
    else:
        part.unlink()


def parts_of(path: Path) -> list[Path]:
    """What processes have begun to write in place of a file and have not, or not yet, finished."""
    return list(path.parent.glob(f"{glob.escape(path.name)}.*.part"))


def write_text(path: Path, text: str, replace: bool = True) -> None:
    """Write a text file, whole or not at all."""
    with whole(path, replace) as part:
        part.write_text(text, encoding="utf-8")


def put_aside(path: Path) -> None:
    """Rename a damaged file, where there is one, to damaged-NAME."""
    if path.is_file():
        os.replace(path, path.with_name(f"damaged-{path.name}"))


def sync_folder(folder: Path) -> None:
    """Make the names in a folder as durable as its files, where the system can."""
    with suppress(OSError):
        directory = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)


def sha256(path: Path) -> str:
    """Checksum of a file, or of all files in a folder with their names."""
    if path.is_dir():
        inside = sorted(one for one in path.rglob("*") if one.is_file())
        lines = [f"{one.relative_to(path).as_posix()} {sha256(one)}" for one in inside]
        return hashlib.sha256("\n".join(lines).encode("utf-8")).hexdigest()
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
