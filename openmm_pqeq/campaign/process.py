"""A run of a campaign in a process of its own: python -m openmm_pqeq.campaign.process FOLDER.

It begins the run that described.toml in FOLDER describes, or resumes it, and says on stdout how it
goes, a line of JSON at a time. It stops after the present step, with a restart file, when its stdin
ends: when the worker that started it asks for that, and also when that worker is killed.

Where another process still has the folder, it waits. Of a process on another machine nobody here can
tell whether it lives, so it keeps job.lock young as long as it does, and an old one is removed.
"""

import json
import os
import signal
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from openmm import OpenMMException

from openmm_pqeq.campaign.record import DESCRIBED, RESTART, state_of
from openmm_pqeq.jobs.facts import FACTS
from openmm_pqeq.jobs.lock import LOCK, locked, owner_of
from openmm_pqeq.jobs.progress import Progress
from openmm_pqeq.md.config import read_toml, run_config
from openmm_pqeq.md.resume import resumed_config
from openmm_pqeq.md.run import run
from openmm_pqeq.md.settings import RunConfig

HEARTBEAT = 20.0
"""Seconds from one touch of the lock to the next."""
DEAD = 10 * HEARTBEAT
"""Seconds without one, after which the owner on another machine has died."""
BETWEEN_NEWS = 1.0
"""Seconds."""


def main(folder: Path) -> int:
    """Do the run in `folder`, and say what came of it; 130 where it was stopped, 1 where it
    failed."""
    threading.Thread(target=_stop_with, args=(sys.stdin.fileno(),), daemon=True).start()
    try:
        described = read_toml(folder / DESCRIBED)
        config = run_config(described)
        wait_for(folder, lambda owner: say(stage=f"waiting for process {owner}"))
        if state_of(folder, config.n_steps).name == "finished":
            say(finished=True)
            return 0
        threading.Thread(target=_keep_young, args=(folder / LOCK,), daemon=True).start()
        resume = (folder / FACTS).is_file() and (folder / RESTART).is_file()
        if resume:
            config = resumed_config(folder, described)
        return _said(config, resume)
    except (ValueError, OSError, ImportError, RuntimeError, OpenMMException) as error:
        say(failed=str(error) or type(error).__name__)
        return 1


def _said(config: RunConfig, resume: bool) -> int:
    """Run, with news."""
    latest = 0.0

    def watch(news: Progress) -> None:
        nonlocal latest
        if time.monotonic() - latest >= BETWEEN_NEWS:
            latest = time.monotonic()
            say(
                stage=news.stage,
                step=news.step,
                n_steps=news.n_steps,
                remaining=news.remaining,
                ns_per_day=news.ns_per_day,
            )

    begun = (Path(config.output) / FACTS).is_file()
    result = run(config, overwrite=begun and not resume, resume=resume, watch=watch)
    say(step=result.step, n_steps=result.n_steps, finished=not result.interrupted)
    return 130 if result.interrupted else 0


def say(**news: Any) -> None:
    """A line of JSON; nobody may be there to read it any more."""
    try:
        print(json.dumps(news), flush=True)
    except OSError:
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115  # for as long as the process lives


def _stop_with(stdin: int) -> None:
    """Stop as SIGTERM does when stdin ends."""
    while os.read(stdin, 1024):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


def _keep_young(lock: Path) -> None:
    while True:
        time.sleep(HEARTBEAT)
        if lock.is_file():
            os.utime(lock)


def wait_for(folder: Path, waiting: Callable[[str], None], dead: float = DEAD) -> None:
    """Until no process has the folder any more; `waiting` hears who has it. The lock that a process
    of another machine has not touched for `dead` seconds is removed."""
    while True:
        try:
            with locked(folder, "run"):
                return
        except FileExistsError:
            owner = owner_of(folder / LOCK)
            elsewhere = owner.get("host") not in (None, socket.gethostname())
            if elsewhere and _age(folder / LOCK) > dead:
                (folder / LOCK).unlink(missing_ok=True)
                continue
            waiting(f"{owner.get('pid', '?')} on {owner.get('host', '?')}")
            time.sleep(BETWEEN_NEWS)


def _age(path: Path) -> float:
    """Seconds since a file was touched, by the clock of its file system."""
    try:
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".now-") as now:
            return os.stat(now.name).st_mtime - path.stat().st_mtime
    except FileNotFoundError:
        return 0.0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
