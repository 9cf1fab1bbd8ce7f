"""The output folder of a job: what is refused, who owns it, and that its files are whole."""

import itertools
import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

import openmm_pqeq
from openmm_pqeq.jobs import facts
from openmm_pqeq.jobs.files import sha256, whole, write_text
from openmm_pqeq.jobs.folder import Kind, begin, check_file, check_file_in_folder, owned
from openmm_pqeq.jobs.lock import LOCK, locked, locked_file

PACKAGE = str(Path(openmm_pqeq.__file__).parent)
KIND = Kind("walk", ("route.csv", "map.png"), resumes_from="route.csv", marks=("walk.toml",))

OWNER = """
import sys, time, types
from pathlib import Path
package = types.ModuleType("openmm_pqeq")  # without torch and OpenMM, which take seconds to load
package.__path__ = [sys.argv[2]]
sys.modules["openmm_pqeq"] = package
from openmm_pqeq.jobs.lock import locked
with locked(Path(sys.argv[1]), "walk"):
    print("mine", time.monotonic(), flush=True)
    time.sleep(60)
    print(time.monotonic())
"""


@pytest.fixture
def other(tmp_path):
    """Another process that owns `tmp_path`."""
    command = [sys.executable, "-c", OWNER, str(tmp_path), PACKAGE]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline().startswith("mine")
    yield process
    process.kill()
    process.communicate()


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_second_process_is_refused_and_changes_nothing(tmp_path, other):
    (tmp_path / "route.csv").write_text("home")
    begun = json.dumps({"job": "walk"})
    (tmp_path / "facts.json").write_text(begun)
    before = contents(tmp_path)
    for how in ({"overwrite": True}, {"resume": True}):
        with (
            pytest.raises(FileExistsError, match=f"in use by a walk, process {other.pid} on"),
            owned(tmp_path, KIND, **how),
        ):
            pytest.fail("owned twice")
    assert contents(tmp_path) == before


def test_the_lock_of_a_dead_process_is_taken_over_with_a_word(tmp_path, other):
    other.send_signal(signal.SIGKILL)
    other.wait()
    with (
        pytest.warns(UserWarning, match=f"process {other.pid} .* no longer running"),
        locked(tmp_path, "walk"),
    ):
        assert json.loads((tmp_path / LOCK).read_text())["pid"] == os.getpid()
    assert not (tmp_path / LOCK).exists()


def test_what_cannot_be_written_is_named_not_its_lock(tmp_path):
    path = tmp_path / "gone" / "model.pt"
    message = r"output: .*model\.pt cannot be written \(No such file .*\); choose another name"
    with pytest.raises(FileNotFoundError, match=message), locked_file(path, "import"):
        pass


def test_the_lock_of_another_host_is_refused_with_what_to_do(tmp_path):
    (tmp_path / LOCK).write_text(json.dumps({"pid": 1, "host": "elsewhere", "job": "walk"}))
    with (
        pytest.raises(FileExistsError, match=r"process 1 on elsewhere.*remove .*job\.lock"),
        locked(tmp_path, "walk"),
    ):
        pytest.fail("taken from another host")
    assert "elsewhere" in (tmp_path / LOCK).read_text()


@pytest.mark.parametrize("text", ["", "{}", "[1]", "no JSON", '{"pid": "x"}'])
def test_a_lock_that_says_nothing_and_is_held_by_nobody_is_free(tmp_path, text):
    (tmp_path / LOCK).write_text(text)
    with locked(tmp_path, "walk"):
        assert json.loads((tmp_path / LOCK).read_text())["host"] == socket.gethostname()


def test_one_process_cannot_own_a_folder_twice(tmp_path):
    with (
        locked(tmp_path, "walk"),
        pytest.raises(FileExistsError, match=f"process {os.getpid()}"),
        locked(tmp_path, "walk"),
    ):
        pytest.fail("owned twice")


def test_of_many_that_want_a_stale_folder_one_gets_it(tmp_path, other):
    """Ten processes find the lock of a dead one at once; no two own the folder at one time."""
    other.kill()
    other.wait()
    command = [
        sys.executable,
        "-W",
        "ignore",
        "-c",
        OWNER.replace("60", "0.3"),
        str(tmp_path),
        PACKAGE,
    ]
    many = [
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        for _ in range(10)
    ]
    said = [process.communicate()[0].removeprefix("mine").split() for process in many]
    times = sorted([float(time) for time in words] for words in said if words)
    assert times
    assert all(one[1] < two[0] for one, two in itertools.pairwise(times))
    assert not (tmp_path / LOCK).exists()


def test_what_is_there_is_refused_replaced_or_continued(tmp_path):
    folder = tmp_path / "a" / "b"
    with (
        pytest.raises(FileNotFoundError, match="no walk in .* to continue"),
        owned(folder, KIND, resume=True),
    ):
        pytest.fail("resumed nothing")
    assert not (tmp_path / "a").exists()
    with owned(folder, KIND):
        begin(folder, KIND, {})
        write_text(folder / "route.csv", "one")
    (folder / "notes.txt").write_text("mine")
    with (
        pytest.raises(FileExistsError, match=r"route\.csv.*--resume, or replace it with --over"),
        owned(folder, KIND),
    ):
        pytest.fail("not refused")
    with (
        pytest.raises(ValueError, match="expected one of them, got both"),
        owned(folder, KIND, overwrite=True, resume=True),
    ):
        pytest.fail("not refused")
    with owned(folder, KIND, overwrite=True):
        assert (folder / "route.csv").read_text() == "one"  # nothing changes before `begin`
        begin(folder, KIND, {})
    assert sorted(contents(folder)) == ["facts.json", "notes.txt"]


def test_files_that_no_job_wrote_are_not_replaced(tmp_path):
    (tmp_path / "route.csv").write_text("mine")
    for overwrite in (False, True):
        with (
            pytest.raises(FileExistsError, match=r"may be of something else than a walk"),
            owned(tmp_path, KIND, overwrite),
        ):
            pytest.fail("not refused")
    (tmp_path / "walk.toml").write_text("of an older version")
    with owned(tmp_path, KIND, overwrite=True):
        begin(tmp_path, KIND, {})
    assert sorted(contents(tmp_path)) == ["facts.json"]
    (tmp_path / "facts.json").write_text('{"job": "swim"}')
    with (
        pytest.raises(FileExistsError, match="has a swim, which no walk may replace"),
        owned(tmp_path, KIND, overwrite=True),
    ):
        pytest.fail("not refused")


def test_a_folder_in_which_nothing_is_left_is_gone(tmp_path):
    with pytest.raises(ValueError, match="wrong"), owned(tmp_path / "a" / "b", KIND):
        raise ValueError("wrong")
    assert not (tmp_path / "a").exists()


def test_a_file_is_the_old_one_or_the_new_one(tmp_path):
    path = tmp_path / "route.csv"
    write_text(path, "old")

    def fail():
        with whole(path) as part:
            part.write_text("half")
            raise OSError("full")

    with pytest.raises(OSError, match="full"):
        fail()
    assert contents(tmp_path) == {"route.csv": b"old"}
    with pytest.raises(FileExistsError, match=r"route\.csv exists\. Choose another name"):
        check_file(path)
    check_file(path, overwrite=True)
    check_file_in_folder(tmp_path / "new.csv")
    with pytest.raises(FileNotFoundError, match=r"born_file: there is no folder .*nowhere"):
        check_file_in_folder(tmp_path / "nowhere" / "BORN", name="born_file")


def test_facts_name_what_differs_and_must_not(tmp_path):
    settings = {"length": 3, "way": {"by": "foot", "to": ["a", "b"]}, "pace": 1.0}
    with owned(tmp_path, KIND):
        begin(tmp_path, KIND, facts.facts_of(settings, 7, {"map": "0" * 64}))
    facts.add_resumption(tmp_path, "walk", settings | {"pace": 2.0})
    found = facts.read_facts(tmp_path)
    assert (found["job"], found["seed"], len(found["resumed"])) == ("walk", 7, 1)
    assert found["machine"]["versions"]["torch"]
    now = settings | {"length": 4, "way": {"by": "bus", "to": ["a", "b"]}}
    assert facts.changed(found["settings"], now, ("pace", "length")) == ["way.by"]
    (tmp_path / "facts.json").write_text("{")
    with pytest.raises(ValueError, match="not a file of facts"):
        facts.read_facts(tmp_path)


def test_a_folder_has_the_checksum_of_its_files_and_their_names(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "x").write_text("same")
    assert sha256(tmp_path / "a") == sha256(tmp_path / "b")
    (tmp_path / "b" / "x").rename(tmp_path / "b" / "y")
    assert sha256(tmp_path / "a") != sha256(tmp_path / "b")


def test_a_model_is_known_by_its_content_where_that_was_written():
    """A card may change; the whole file counts where an earlier version knew no more."""
    whole, bare = "model", f"model{facts.WITHOUT_CARD}"
    now = {"data": "1", whole: "2", bare: "3"}
    assert facts.other_files(now, now) == []
    assert facts.other_files(now, now | {whole: "new card"}) == []
    assert facts.other_files(now, now | {whole: "9", bare: "9"}) == ["model"]
    assert facts.other_files(now, now | {"data": "9"}) == ["data"]
    assert facts.other_files({"data": "1", whole: "2"}, now) == []
    assert facts.other_files({"data": "1", whole: "9"}, now) == ["model"]
    assert facts.other_files({"data": "1"}, now) == ["model"]
