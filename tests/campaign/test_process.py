"""The process of a run: it waits for the folder, stops with whoever started it, and is begun again
where it was killed."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
from campaign_studies import INTERVAL, write_study

from openmm_pqeq.campaign import worker
from openmm_pqeq.campaign.process import wait_for
from openmm_pqeq.campaign.record import FAILED, describe, forget_failure, set_failed, state_of
from openmm_pqeq.campaign.study import read_study
from openmm_pqeq.campaign.worker import Task, attempts
from openmm_pqeq.jobs.lock import LOCK, locked
from openmm_pqeq.md.plot import read_table

STEPS = 1000
"""Seconds, so that a signal finds the run at work on a fast machine too."""


@pytest.fixture
def run(tmp_path):
    """A run that is described and not begun."""
    vary = f"[vary]\ntemperature = [200]\nsteps = [{STEPS}]\n"
    (run,) = read_study(write_study(tmp_path, vary)).runs
    describe(run.config)
    return run


def elsewhere(folder, age):
    """The lock of a process of another machine, untouched for so many seconds."""
    lock = folder / LOCK
    lock.write_text(json.dumps({"job": "run", "pid": 1, "host": "another", "since": "today"}))
    os.utime(lock, (time.time() - age, time.time() - age))
    return lock


def test_the_lock_of_a_machine_that_died_is_removed(tmp_path):
    elsewhere(tmp_path, age=100)
    heard = []
    wait_for(tmp_path, heard.append, dead=50)
    assert heard == []
    assert not (tmp_path / LOCK).exists()


def test_the_lock_of_a_machine_that_lives_is_waited_for(tmp_path):
    lock = elsewhere(tmp_path, age=10)
    heard = []

    def waiting(owner):
        heard.append(owner)
        lock.unlink()

    wait_for(tmp_path, waiting, dead=50)
    assert heard == ["1 on another"]


def test_a_process_stops_with_who_started_it_and_goes_on(run):
    command = [sys.executable, "-m", "openmm_pqeq.campaign.process", str(run.folder)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, **pipes) as process:
        for line in process.stdout:
            if json.loads(line).get("step", 0) > 0:
                process.stdin.close()
                break
        last = json.loads(process.stdout.readlines()[-1])
        assert process.wait() == 130
    assert last["finished"] is False
    assert state_of(run.folder, STEPS).name == "begun"
    with subprocess.Popen(command, **pipes) as process:
        assert json.loads(process.stdout.readlines()[-1])["finished"] is True
        assert process.wait() == 0
    assert state_of(run.folder, STEPS).name == "finished"
    assert state_of(run.folder, STEPS + 1).name == "begun"
    assert read_table(run.folder / "table.csv")["step"].tolist() == list(range(5, STEPS + 1, 5))
    log = (run.folder / "run.log").read_text()
    assert (log.count(" begin: "), log.count(" resume produce ")) == (1, 1)


def test_a_process_that_is_killed_is_begun_again(run, monkeypatch):
    heard, killed = [], []

    def hear(news):
        heard.append(news)
        if news.get("step", 0) >= INTERVAL and not killed:
            killed.append(news["step"])
            os.kill(worker._running["c"][0].pid, signal.SIGKILL)

    monkeypatch.setattr(worker, "_running", {})
    assert (
        attempts(Task("c", run.name, str(run.folder), 1, ()), dict(os.environ), hear) == "finished"
    )
    assert killed
    assert worker._running == {"c": []}
    assert " resume produce at step " in (run.folder / "run.log").read_text()


def test_what_fails_is_named_and_not_tried_again(run, monkeypatch):
    described = run.folder / "described.toml"
    described.write_text(described.read_text().replace('"Reference"', '"Quantum"'))
    task = Task("c", run.name, str(run.folder), 1, ())
    assert attempts(task, dict(os.environ), lambda news: None) == "failed"
    state = state_of(run.folder, STEPS)
    assert state.name == "failed"
    assert state.message.startswith("platform: expected one of")
    (run.folder / FAILED).unlink()
    monkeypatch.setattr(worker, "_stopped", {"c"})
    assert attempts(task, dict(os.environ), lambda news: None) == "stopped"
    assert state_of(run.folder, STEPS).name == "new"


def test_states_are_those_of_the_folder(run):
    assert state_of(run.folder, STEPS).name == "new"
    (run.folder / "facts.json").write_text('{"job": "run"}')
    assert state_of(run.folder, STEPS).name == "new"
    (run.folder / "restart.zip").write_text("")
    assert state_of(run.folder, STEPS).name == "begun"
    (run.folder / "facts.json").write_text(
        '{"job": "run", "finished": {"date": "now", "step": 100}}'
    )
    assert [state_of(run.folder, n).name for n in (100, 101)] == ["finished", "begun"]
    set_failed(run.folder, "why")
    assert state_of(run.folder, 100) == ("failed", "why")
    with locked(run.folder, "run"):
        assert state_of(run.folder, 100).name == "failed"


def test_what_is_damaged_is_no_obstacle_to_another_try(tmp_path):
    """Facts that cannot be read are put aside, and a restart file; what is left decides."""
    set_failed(tmp_path, "something")
    (tmp_path / "facts.json").write_text("{")
    (tmp_path / "run.toml").write_text("steps = 3\n")
    (tmp_path / "restart.zip").write_bytes(b"damaged")
    forget_failure(tmp_path)
    assert state_of(tmp_path, 3).name == "new"
    assert (tmp_path / "damaged-facts.json").read_text() == "{"
    assert (tmp_path / "damaged-restart.zip").is_file()
    assert json.loads((tmp_path / "facts.json").read_text()) == {"job": "run"}


def test_a_restart_file_without_settings_that_can_be_read_is_put_aside(tmp_path, monkeypatch):
    """A run cannot go on without its run.toml, and begins anew."""
    monkeypatch.setattr("openmm_pqeq.campaign.record.read_restart", lambda path: None)
    (tmp_path / "run.toml").write_text("steps = ")
    (tmp_path / "facts.json").write_text('{"job": "run"}')
    (tmp_path / "restart.zip").write_bytes(b"whatever")
    forget_failure(tmp_path)
    assert sorted(one.name for one in tmp_path.iterdir()) == [
        "damaged-restart.zip",
        "facts.json",
        "run.toml",
    ]
