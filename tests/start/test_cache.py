"""Entries by content: whole or not there, private, bounded, and done without where they cannot be."""

import hashlib
import multiprocessing
import os
import stat
import time

import pytest

from openmm_pqeq.start import cache


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A cache of the test's own; warnings of earlier tests are forgotten."""
    folder = tmp_path / "cache" / "start"
    monkeypatch.setenv(cache.VARIABLE, str(folder))
    cache._warn.cache_clear()
    return folder


def test_what_was_written_is_read_and_private(place):
    assert cache.read("table-1") is None
    cache.write("table-1", b"numbers\nand more")
    assert cache.read("table-1") == b"numbers\nand more"
    assert stat.S_IMODE(place.stat().st_mode) == 0o700
    assert [path.name for path in place.iterdir()] == ["table-1"]


@pytest.mark.parametrize(
    "damaged",
    [b"", b"numbers", b"0" * 64 + b"\nnumbers", hashlib.sha256(b"numbers").hexdigest().encode()],
    ids=["empty", "no checksum", "wrong checksum", "cut off"],
)
def test_a_damaged_entry_is_none(place, damaged):
    cache.write("table-1", b"numbers")
    (place / "table-1").write_bytes(damaged)
    assert cache.read("table-1") is None
    cache.write("table-1", b"numbers")
    assert cache.read("table-1") == b"numbers"


def test_nothing_is_kept_on_request(place, monkeypatch):
    monkeypatch.setenv(cache.VARIABLE, "0")
    cache.write("table-1", b"numbers")
    assert cache.read("table-1") is None
    assert not place.exists()


def test_by_default_it_is_in_the_users_cache(tmp_path, monkeypatch):
    monkeypatch.delenv(cache.VARIABLE)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(cache.pooch, "os_cache", lambda name: tmp_path / name)
    assert cache.folder() == tmp_path / "openmm_pqeq" / "start"


def test_a_folder_that_cannot_be_made_warns_once(tmp_path, place, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv(cache.VARIABLE, str(tmp_path / "file" / "start"))
    with pytest.warns(UserWarning, match=r"start cache: .*file/start cannot be made"):
        cache.write("table-1", b"numbers")
    assert cache.read("table-1") is None  # a second warning would be an error
    cache.write("table-2", b"numbers")


def test_a_read_only_folder_is_read(place, monkeypatch):
    cache.write("table-1", b"numbers")

    def refuse(**_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(cache.tempfile, "NamedTemporaryFile", refuse)
    with pytest.warns(UserWarning, match="cannot be written"):
        cache.write("table-2", b"numbers")
    cache.write("table-3", b"numbers")
    assert cache.read("table-1") == b"numbers"
    assert cache.read("table-2") is None


@pytest.mark.parametrize("mode", [0o770, 0o703])
def test_a_folder_that_others_may_write_is_not_used(place, mode):
    cache.write("table-1", b"numbers")
    place.chmod(mode)
    with pytest.warns(UserWarning, match=r"others may write to .*chmod 700"):
        assert cache.read("table-1") is None


def test_a_folder_of_somebody_else_is_not_used(place, monkeypatch):
    cache.write("table-1", b"numbers")
    monkeypatch.setattr(cache.os, "geteuid", lambda: place.stat().st_uid + 1)
    with pytest.warns(UserWarning, match="not yours"):
        assert cache.read("table-1") is None


def test_the_entries_used_longest_ago_go(place, monkeypatch):
    monkeypatch.setattr(cache, "LARGEST", 3 * (65 + 100))
    for k in range(3):
        cache.write(f"table-{k}", bytes(100))
        os.utime(place / f"table-{k}", (k, k))
    cache.read("table-0")
    cache.write("table-3", bytes(100))
    assert sorted(path.name for path in place.iterdir()) == ["table-0", "table-2", "table-3"]


def _write_and_read(number: int) -> bool:
    content = bytes(200_000)
    end = time.monotonic() + 0.5
    while time.monotonic() < end:
        cache.write("table-1", content)
        if cache.read("table-1") != content:
            return False
    return True


def test_processes_at_once(place):
    with multiprocessing.get_context("fork").Pool(4) as pool:
        assert all(pool.map(_write_and_read, range(4)))
    assert [path.name for path in place.iterdir()] == ["table-1"]
