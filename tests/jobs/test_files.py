"""Files are written in one way: beside, synced, renamed into place (`jobs/files.py`)."""

import errno
import os
import re
from pathlib import Path

import pytest

import openmm_pqeq
from openmm_pqeq import checkpoint
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
    with pytest.raises(OSError, match="No space"):
        checkpoint.save(build({"d3": {"functional": "pbe"}}), path, {"title": "new"})
    assert {one.name: one.read_bytes() for one in tmp_path.iterdir()} == {"model.pt": before}
