"""What a worker of Dask does with a run: a process of its own for it, and news of it.

A process that is killed, the system's doing where memory is short, is begun again, and goes on from
its restart file. `stop` asks the runs of a campaign to stop; whoever kills the worker does so too.
"""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from openmm_pqeq.campaign.record import OUTPUT, set_failed

TOPIC = "openmm-pqeq"
"""Of the news that workers send."""
MOST_KILLS = 3
"""Of a process, before its run counts as failed."""
LAST_WORDS = 3
"""Lines of its output, of a process that ends without a message."""
STOPPED = 130

_running: dict[str, list[subprocess.Popen[str]]] = {}
_stopped: set[str] = set()
_change = threading.Lock()

Hear = Callable[[dict[str, Any]], None]


class Task(NamedTuple):
    """A run for a worker.

    campaign : by which `stop` knows it
    name, folder : of the run
    threads : for the processor; 0 leaves them alone
    devices : GPUs of this machine, of which the worker takes its own; none leaves them alone
    """

    campaign: str
    name: str
    folder: str
    threads: int
    devices: tuple[str, ...]


def carry_out(task: Task) -> str:
    """Do a run on this worker; its state at the end: "finished", "failed" or "stopped"."""
    from distributed import get_worker

    worker = get_worker()

    def hear(news: dict[str, Any]) -> None:
        worker.log_event(TOPIC, {"campaign": task.campaign, "run": task.name, **news})

    environment = dict(os.environ)
    if task.threads and "OMP_NUM_THREADS" not in os.environ:
        environment |= dict.fromkeys(("OMP_NUM_THREADS", "OPENMM_CPU_THREADS"), str(task.threads))
    if task.devices:
        environment["CUDA_VISIBLE_DEVICES"] = task.devices[int(worker.name) % len(task.devices)]
    return attempts(task, environment, hear)


def attempts(task: Task, environment: dict[str, str], hear: Hear) -> str:
    """The run in a process, begun again where it is killed."""
    folder = Path(task.folder)
    code = 0
    for _ in range(MOST_KILLS):
        if task.campaign in _stopped:
            return "stopped"
        code, last = _attempt(task, environment, hear)
        if last.get("finished"):
            return "finished"
        if task.campaign in _stopped:
            return "stopped"
        if code > 0 and code != STOPPED:
            set_failed(folder, last.get("failed") or _last_words(folder, code))
            return "failed"
    how = f"by signal {-code}" if code < 0 else "gently"
    set_failed(
        folder,
        f"its process was killed {MOST_KILLS} times, the last time {how}; is there memory enough? "
        "Take fewer workers, or give a job more",
    )
    return "failed"


def _attempt(task: Task, environment: dict[str, str], hear: Hear) -> tuple[int, dict[str, Any]]:
    """Begin or resume the run, and follow it; the code that it ends with, and what it said last."""
    command = [sys.executable, "-m", "openmm_pqeq.campaign.process", task.folder]
    last: dict[str, Any] = {}
    with (
        open(Path(task.folder) / OUTPUT, "a", encoding="utf-8") as output,
        subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=output,
            text=True,
            env=environment,
            start_new_session=True,  # Ctrl-C is for who waits for it
        ) as process,
    ):
        with _change:
            _running.setdefault(task.campaign, []).append(process)
        if task.campaign in _stopped:
            _end(process)
        try:
            for line in process.stdout or ():
                if news := _news(line):
                    last = news
                    hear(news)
            return process.wait(), last
        finally:
            with _change:
                _running[task.campaign].remove(process)


def _news(line: str) -> dict[str, Any]:
    try:
        news = json.loads(line)
    except ValueError:
        return {}
    return news if isinstance(news, dict) else {}


def _last_words(folder: Path, code: int) -> str:
    """Of a process that ended without a message."""
    lines = (folder / OUTPUT).read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return "\n".join([f"its process ended with code {code}", *lines[-LAST_WORDS:]])


def _end(process: "subprocess.Popen[str]") -> None:
    """Ask a run to stop after its present step."""
    if process.stdin is not None and not process.stdin.closed:
        process.stdin.close()


def stop(campaign: str) -> None:
    """Ask the runs of a campaign on this worker to stop, and begin no more of them."""
    with _change:
        _stopped.add(campaign)
        for process in _running.get(campaign, []):
            _end(process)
