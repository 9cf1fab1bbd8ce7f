"""Commands in processes forked from this one, to be killed after some seconds of processor time."""

import os
import signal
import sys
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from importlib import import_module
from pathlib import Path

import torch

from openmm_pqeq.cli import main as command_line

torch.set_num_threads(1)  # threads of OpenMP do not survive a fork, and what waits for them hangs
for module in (
    "distillation.run",
    "fitting.crystals.run",
    "fitting.run",
    "md.run",
    "training.finetuning",
):
    import_module(f"openmm_pqeq.{module}")  # all of them once, before any process is forked


def forked(do: Callable[[], object], log: Path) -> int:
    """Run in a process forked from this one, its words in a file; the process's number."""
    sys.stdout.flush()
    pid = os.fork()
    if pid:
        return pid
    code = 70
    try:
        with open(log, "a", encoding="utf-8") as file:
            os.dup2(file.fileno(), 1)
            os.dup2(file.fileno(), 2)
            try:
                code = int(do() or 0)  # type: ignore[call-overload]
            except BaseException:
                traceback.print_exc()
            sys.stdout.flush()
            sys.stderr.flush()
    finally:
        os._exit(code)


def ended(pid: int, seconds: float | None = None) -> int | None:
    """The exit code of a process; None where it was killed after some seconds of processor time."""
    while seconds is None or processor_time(pid) < seconds:
        found, status = os.waitpid(pid, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.001)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return None


def processor_time(pid: int) -> float:
    """Seconds that a process which nobody has waited for yet, and all below it, have had of a
    processor (Linux)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    seconds = sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text().split():
            with suppress(OSError):  # it has ended
                seconds += processor_time(int(child))
    return seconds


def do(arguments: list[str], log: Path, seconds: float | None = None) -> int | None:
    """A command, killed after some seconds."""
    return ended(forked(lambda: command_line(arguments), log), seconds)


def done(arguments: list[str], log: Path) -> None:
    """A command that has to succeed."""
    code = do(arguments, log)
    if code != 0:
        raise RuntimeError(f"exit code {code} of {' '.join(arguments)}\n{log.read_text()[-2000:]}")
