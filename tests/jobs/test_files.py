"""Files are written in one way: beside, synced, renamed into place (`jobs/files.py`)."""

import errno
import os
import re
from pathlib import Path

import pytest
from ase.build import bulk

import openmm_pqeq
from openmm_pqeq import checkpoint
from openmm_pqeq.cli import main
from openmm_pqeq.jobs import files
from openmm_pqeq.jobs.folder import Kind, kept_if_used, made, owned
from openmm_pqeq.potential import build

ELSEWHERE = {
    "jobs/files.py": "the way itself",
    "published/download.py": "renamed within a folder of its own",
    "start/cache.py": "renamed within a folder of its own, which may be deleted",
    "analysis/born.py": "stands below jobs; the command gives it a name beside",
}
"""Where a file is renamed or written by another way, and why."""


def test_whoever_writes_a_file_does_it_in_the_one_way():
    package = Path(openmm_pqeq.__file__).parent
    way = re.compile(r"os\.re(place|name)\(|\.rename\(|Path\(.*\)\.write_|np\.save\w*\(folder")
    found = {
        path.relative_to(package).as_posix()
        for path in package.rglob("*.py")
        if way.search(path.read_text(encoding="utf-8"))
    }
    assert found == set(ELSEWHERE)


def test_a_model_that_the_disk_has_no_room_for_leaves_the_old_one(tmp_path, monkeypatch):
    path = tmp_path / "model.pt"
    checkpoint.save(build({"d3": {"functional": "pbe"}}), path)
    before = path.read_bytes()

    def full(file):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match=r"No space left on device: '.*model\.pt'"):
        checkpoint.save(build({"d3": {"functional": "pbe"}}), path, {"title": "new"})
    assert {one.name: one.read_bytes() for one in tmp_path.iterdir()} == {"model.pt": before}


def test_a_disk_that_is_full_as_weights_are_written_is_named(tmp_path):
    resource = pytest.importorskip("resource", reason="limits of files are those of Unix")
    path, before = tmp_path / "model.pt", resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        with pytest.raises(OSError, match=r"File too large: '.*model\.pt'"):
            checkpoint.save(build({"zbl": {}}), path, {"title": 2000 * "long"})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert not list(tmp_path.iterdir())


def test_a_disk_without_any_room_is_said_with_the_output(tmp_path):
    """As early as the lock of the folder is written."""
    resource = pytest.importorskip("resource", reason="limits of files are those of Unix")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, before[1]))
    try:
        with (
            pytest.raises(OSError, match=r"output: .*out cannot be written \(File too large\)"),
            owned(tmp_path / "out", Kind("run", ("a",))),
        ):
            pass
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert not list(tmp_path.iterdir())


def test_two_processes_write_a_file_under_two_names(tmp_path, monkeypatch):
    """The later one wins, whole, and neither writes into what the other has put in place."""
    path = tmp_path / "result.json"
    with files.whole(path) as one:
        one.write_text("one" * 1000)
        monkeypatch.setattr(os, "getpid", lambda: 1)
        with files.whole(path) as two:
            assert two != one
            two.write_text("two")
        assert path.read_text() == "two"
    assert path.read_text() == "one" * 1000
    assert [one.name for one in tmp_path.iterdir()] == ["result.json"]


def test_the_next_owner_of_a_folder_removes_what_a_killed_one_has_left(tmp_path):
    kind = Kind("sample", ("a.txt",))
    for name in ("a.txt.123.part", "b.txt.123.part"):
        (tmp_path / name).write_text("half")
    with owned(tmp_path, kind):
        assert [one.name for one in tmp_path.glob("*.part")] == ["b.txt.123.part"]


def test_a_folder_that_nothing_came_into_is_removed(tmp_path):
    with kept_if_used(tmp_path / "a" / "b"):
        made(tmp_path / "a" / "b")
    with kept_if_used(tmp_path / "c" / "d"):
        made(tmp_path / "c" / "d").joinpath("file").touch()
    assert [one.name for one in tmp_path.iterdir()] == ["c"]


@pytest.mark.parametrize("command", ["build", "relax"])
def test_a_full_disk_is_said_with_the_file_and_exit_code_1(tmp_path, monkeypatch, capsys, command):
    crystal = bulk("MgO", "rocksalt", a=4.2, cubic=True)
    crystal.write(tmp_path / "MgO.extxyz")
    checkpoint.save(build({"zbl": {}}), tmp_path / "model.pt")
    given = {
        "build": ["supercell", "MgO.extxyz", "--atoms", "64", "-o", "new.extxyz"],
        "relax": ["MgO.extxyz", "--model", "model.pt", "-o", "new"],
    }[command]
    before = {one.name: one.read_bytes() for one in tmp_path.iterdir()}

    def full(file):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(os, "fsync", full)
    assert main([command, *given]) == 1
    said = capsys.readouterr().err
    assert re.search(r"No space left on device: 'new.*'; make room on the disk", said)
    assert {one.name: one.read_bytes() for one in tmp_path.iterdir()} == before


def test_what_another_process_made_in_the_meantime_stays(tmp_path):
    path = tmp_path / "made.cif"

    def write():
        with files.whole(path, replace=False) as part:
            part.write_text("mine")
            path.write_text("theirs")

    with pytest.raises(FileExistsError, match="made by another process in the meantime"):
        write()
    assert [one.read_text() for one in tmp_path.iterdir()] == ["theirs"]
    path.unlink()
    files.write_text(path, "mine", replace=False)
    assert [one.read_text() for one in tmp_path.iterdir()] == ["mine"]


def test_a_file_system_without_links_is_written_to(tmp_path, monkeypatch):
    def refuse(*names):
        raise PermissionError("no links here")

    monkeypatch.setattr(files.os, "link", refuse)
    path = tmp_path / "made.cif"
    files.write_text(path, "mine", replace=False)
    with pytest.raises(FileExistsError, match="made by another process in the meantime"):
        files.write_text(path, "other", replace=False)
    assert [one.read_text() for one in tmp_path.iterdir()] == ["mine"]
