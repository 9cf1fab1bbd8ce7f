"""The output folder of a job: nothing is overwritten unasked, one owner at a time, whole files.

    with owned(folder, RUN, overwrite, resume):    refuse what exists; take the lock
        ...                                        every check that can fail: nothing has changed yet
        begin(folder, RUN, facts)                  remove the files of an earlier job, write facts.json
        write_text(folder / "run.toml", text)      beside, synced, renamed into place

A folder belongs to the kind of job that its facts.json names. `overwrite` removes the files of that
kind and nothing else. A command that writes one file owns its name: `owned_file`.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

from openmm_pqeq.jobs.facts import FACTS, read_facts, write_facts
from openmm_pqeq.jobs.files import parts_of
from openmm_pqeq.jobs.lock import locked, locked_file


class Kind(NamedTuple):
    """A kind of job, and what it leaves in its folder.

    name : such as "run"
    files : all that it writes, without facts.json
    resumes_from : the file without which there is nothing to resume
    marks : files by which a folder of an older version, without facts.json, is known
    """

    name: str
    files: tuple[str, ...]
    resumes_from: str = ""
    marks: tuple[str, ...] = ()


@contextmanager
def owned(
    folder: Path, kind: Kind, overwrite: bool = False, resume: bool = False
) -> Iterator[None]:
    """Own a folder for the time of a job; it is made where it is not there, and removed again where
    the job leaves nothing in it.

    Raises FileExistsError where it has a job already or another process works in it,
    FileNotFoundError where there is nothing to resume; nothing has changed then.
    """
    with _about(folder):
        check(folder, kind, overwrite, resume)
    with kept_if_used(folder):
        made(folder)
        with locked(folder, kind.name):
            check(folder, kind, overwrite, resume)
            remove_parts(folder, kind.files)
            yield


@contextmanager
def kept_if_used(folder: Path) -> Iterator[None]:
    """Folders that are made within, this one and those above it, are removed again where nothing
    came into them."""
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    try:
        yield
    finally:
        for path in missing:
            with suppress(OSError):
                path.rmdir()  # of an empty folder only


def remove_parts(folder: Path, names: Iterable[str]) -> None:
    """Remove what a process that was killed in the midst of writing has left."""
    for name in names:
        for part in parts_of(folder / name):
            part.unlink(missing_ok=True)


def made(folder: Path) -> Path:
    """A folder for output, made where it is not there; OSError names it where it cannot be."""
    with _about(folder):
        folder.mkdir(parents=True, exist_ok=True)
    return folder


@contextmanager
def _about(folder: Path) -> Iterator[None]:
    """Errors of the system say that they are about the output."""
    if "\0" in str(folder):
        raise ValueError(f"output: expected the name of a folder, got {str(folder)!r}")
    try:
        yield
    except OSError as error:
        if error.errno is None:
            raise
        raise OSError(error.errno, f"output: {folder}: {error.strerror}") from None


def check(folder: Path, kind: Kind, overwrite: bool = False, resume: bool = False) -> None:
    """Refuse a folder that the job must not touch; changes nothing."""
    if overwrite and resume:
        raise ValueError("overwrite, resume: expected one of them, got both")
    if folder.exists() and not folder.is_dir():
        raise FileExistsError(f"output: {folder} is a file; expected the name of a folder")
    if resume:
        if not (folder / kind.resumes_from).is_file():
            raise FileNotFoundError(
                f"resume: there is no {kind.name} in {folder} to continue (no "
                f"{kind.resumes_from}); leave --resume away to start one"
            )
        return
    job = _job_in(folder, kind)
    if job not in (None, kind.name):
        raise FileExistsError(
            f"output: {folder} has a {job}, which no {kind.name} may replace; choose another folder"
        )
    existing = [name for name in kind.files if (folder / name).exists()]
    if existing and job is None:
        raise FileExistsError(
            f"output: {folder} already has {listed(existing)}, which may be of something else "
            f"than a {kind.name} (there is no {FACTS}); choose another folder"
        )
    if (existing or job) and not overwrite:
        going_on = f"continue that {kind.name} with --resume, " if kind.resumes_from else ""
        raise FileExistsError(
            f"output: {folder} already has {listed(existing or [FACTS])}. Choose another folder, "
            f"{going_on}or replace it with --overwrite"
        )


def _job_in(folder: Path, kind: Kind) -> str | None:
    """The kind of job whose folder it is, None where it is none's."""
    if (folder / FACTS).is_file():
        return str(read_facts(folder).get("job", "job"))
    return kind.name if any((folder / name).exists() for name in kind.marks) else None


def check_file(
    path: Path, overwrite: bool = False, name: str = "output", inputs: Iterable[str | Path] = ()
) -> None:
    """Refuse to replace a file, FileExistsError; `name` is that of the argument. What the command
    reads, `inputs`, is never replaced."""
    if any(Path(one).exists() and path.exists() and path.samefile(one) for one in inputs):
        raise FileExistsError(
            f"{name}: {path} is what the command reads, and is not replaced; choose another name"
        )
    if path.is_dir():
        raise FileExistsError(f"{name}: {path} is a folder; expected the name of a file")
    if path.exists() and not overwrite:
        raise FileExistsError(
            f"{name}: {path} exists. Choose another name, or replace it with --overwrite"
        )


def check_file_in_folder(
    path: Path, overwrite: bool = False, name: str = "output", inputs: Iterable[str | Path] = ()
) -> None:
    """Refuse to replace a file as `check_file` does, and FileNotFoundError where its folder is not."""
    check_file(path, overwrite, name, inputs)
    if not path.absolute().parent.is_dir():
        raise FileNotFoundError(f"{name}: there is no folder {path.parent}")


@contextmanager
def owned_file(
    path: Path,
    job: str,
    overwrite: bool = False,
    name: str = "output",
    inputs: Iterable[str | Path] = (),
) -> Iterator[None]:
    """Own a file for the time of a job that writes it: refused before any work as
    `check_file_in_folder` does, and where another process is about to write it."""
    inputs = list(inputs)
    check_file_in_folder(path, overwrite, name, inputs)
    with locked_file(path, job, name):
        check_file_in_folder(path, overwrite, name, inputs)
        remove_parts(path.absolute().parent, [path.name])
        yield


def begin(folder: Path, kind: Kind, facts: dict[str, Any], keep: Sequence[str] = ()) -> None:
    """Make an owned folder that of a new job: its facts, and nothing of an earlier one but `keep`."""
    write_facts(folder, kind.name, facts)
    clear(folder, kind, (*keep, FACTS))


def clear(folder: Path, kind: Kind, keep: Sequence[str] = ()) -> None:
    """Remove the files of a job."""
    for name in {*kind.files, *kind.marks, FACTS} - set(keep):
        (folder / name).unlink(missing_ok=True)
    remove_parts(folder, {*kind.files, *kind.marks, FACTS})


def listed(names: Sequence[str]) -> str:
    """Names as people list them: a, b and c."""
    *first, last = names
    return f"{', '.join(first)} and {last}" if first else last
