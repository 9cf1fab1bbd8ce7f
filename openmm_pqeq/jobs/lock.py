"""One owner at a time: the lock of a folder, or of one file.

The file job.lock in a folder, or NAME.job.lock beside a file, says who works there - job, pid, host,
since when - and is locked through the operating system as long as that process lives: the lock of a
process that died on this host is free. Of a process on another host nobody here can tell whether it
lives, so what it left is refused.
"""

import errno
import json
import os
import socket
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from openmm_pqeq.jobs.times import now

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

LOCK = "job.lock"
_BEYOND = 1 << 30
"""Place of the locked byte on Windows, behind what others read."""


class _Place(NamedTuple):
    """What is locked, for messages, and the file of its lock.

    lock : path of the lock
    path : of what it is the lock
    kind : "folder" or "name", of which there are others
    argument : that named it
    """

    lock: Path
    path: Path
    kind: str
    argument: str


@contextmanager
def locked(folder: Path, job: str) -> Iterator[None]:
    """Own a folder; FileExistsError names the process that does so already, and what to do.

    With a warning the lock of a process of this host that died is taken over.
    """
    with _held(_Place(folder / LOCK, folder, "folder", "output"), job):
        yield


@contextmanager
def locked_file(path: Path, job: str, argument: str = "output") -> Iterator[None]:
    """Own the name of a file that is to be written, as `locked` owns a folder."""
    with _held(_Place(path.with_name(f"{path.name}.{LOCK}"), path, "name", argument), job):
        yield


@contextmanager
def _held(place: _Place, job: str) -> Iterator[None]:
    """Hold a lock."""
    path = place.lock
    file, owner = _acquired(place)
    try:
        if owner:
            warnings.warn(
                f"{place.path}: taking over the lock of {_named(owner)}, which is no longer running",
                stacklevel=1,
            )
        try:
            os.ftruncate(file, 0)
            os.lseek(file, 0, os.SEEK_SET)
            os.write(file, _owner_text(job))
        except OSError as error:
            raise _unwritten(place, error) from None
        yield
    finally:
        if sys.platform == "win32":  # where an open file cannot be removed
            os.close(file)
            path.unlink(missing_ok=True)
        else:
            path.unlink(missing_ok=True)
            os.close(file)


def owner_of(path: Path) -> dict[str, Any]:
    """Who a lock says has it: job, pid, host, since; empty where it says nothing."""
    try:
        file = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return {}
    try:
        return _owner(file)
    finally:
        os.close(file)


def _acquired(place: _Place) -> tuple[int, dict[str, Any]]:
    """The open and locked file of the lock, and who left it behind."""
    while True:
        file = _opened(place)
        owner = _owner(file)
        try:
            _refuse_living(file, owner, place)
        except BaseException:
            os.close(file)
            raise
        if _same_file(file, place.lock):  # not one that its owner removed since
            return file, owner
        os.close(file)


def _opened(place: _Place) -> int:
    """The file of the lock, made where there is none; OSError names what was to be written."""
    try:
        return os.open(place.lock, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise _unwritten(place, error) from None


def _unwritten(place: _Place, error: OSError) -> OSError:
    """What the system says of a lock, with what was to be written."""
    reason = f"{place.argument}: {place.path} cannot be written ({error.strerror})"
    return OSError(error.errno, f"{reason}; choose another {place.kind}")


def _refuse_living(file: int, owner: dict[str, Any], place: _Place) -> None:
    """Lock the file, or FileExistsError where somebody else has it or may have it."""
    if not _lock(file, owner):
        raise FileExistsError(
            f"{place.argument}: {place.path} is in use by {_named(owner)}; wait until it ends, or "
            f"choose another {place.kind}"
        )
    if owner and owner.get("host") != socket.gethostname():
        raise FileExistsError(
            f"{place.argument}: {place.path} was left by {_named(owner)}, and from here nobody can "
            f"tell whether it is still running; if it is not, remove {place.lock}"
        )


def _lock(file: int, owner: dict[str, Any]) -> bool:
    """Whether this process has the lock now; where the file system has no locks, whether the
    owner's process has ended."""
    try:
        if sys.platform == "win32":
            os.lseek(file, _BEYOND, os.SEEK_SET)
            msvcrt.locking(file, msvcrt.LK_NBLCK, 1)
            os.lseek(file, 0, os.SEEK_SET)
        else:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EACCES, errno.EAGAIN, errno.EDEADLK):
            return False
        return not (owner and owner.get("host") == socket.gethostname() and _alive(owner["pid"]))
    return True


def _alive(pid: int) -> bool:
    """Whether there is such a process; yes where nobody can tell."""
    if os.name == "nt":
        return True  # os.kill(pid, 0) would be Ctrl-C there
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _owner(file: int) -> dict[str, Any]:
    """Who the file says holds it; empty where it says nothing that can be read."""
    os.lseek(file, 0, os.SEEK_SET)
    try:
        owner = json.loads(os.read(file, 4096))
    except ValueError:
        return {}
    return owner if isinstance(owner, dict) and isinstance(owner.get("pid"), int) else {}


def _owner_text(job: str) -> bytes:
    owner = {"job": job, "pid": os.getpid(), "host": socket.gethostname(), "since": now()}
    return (json.dumps(owner) + "\n").encode("utf-8")


def _named(owner: dict[str, Any]) -> str:
    if not owner:
        return "another process"
    job = str(owner.get("job", "job"))
    article = "an" if job[:1] in "aeiou" else "a"
    return (
        f"{article} {job}, process {owner['pid']} on {owner.get('host')} since {owner.get('since')}"
    )


def _same_file(file: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file), os.stat(path))
    except FileNotFoundError:
        return False
