"""What can be set in a study beside its runs: where they go, and what the plot shows. Each class is
a table of the file, a line a setting."""

import dataclasses
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from openmm_pqeq.jobs import quantities, values
from openmm_pqeq.jobs.settings import setting, table_of

CLUSTERS = ("local", "slurm", "pbs")


def _table(name: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise ValueError(f"{name}: expected a table, got {values.shown(value)}")
    return dict(value)


def _walltime(name: str, value: Any) -> str:
    """As queues take it, HH:MM:SS."""
    seconds = round(quantities.seconds(name, value))
    return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"


def _memory(name: str, value: Any) -> str:
    """Bytes with a unit."""
    if not re.fullmatch(r"\d+(\.\d+)?\s*[kMGT]?i?B", values.text(name, value), re.IGNORECASE):
        raise ValueError(f"{name}: expected a size such as 8GB, got {values.shown(value)}")
    return str(value)


def _scheduler(name: str, value: Any) -> str:
    """An address, or a file that Dask's scheduler has written."""
    given = values.text(name, value)
    if values.is_file(given):
        try:
            said = json.loads(Path(given).read_text(encoding="utf-8"))
        except ValueError:
            said = None
        if not isinstance(said, Mapping) or "address" not in said:
            raise ValueError(
                f"{name}: {given} is not the file of a Dask scheduler (no address in it)"
            )
    elif not re.fullmatch(r"(\w+://)?\S+:\d+", given):
        raise ValueError(
            f"{name}: expected an address such as tcp://node1:8786, or the file of a Dask scheduler, "
            f"got {values.shown(value)}"
        )
    return given


@dataclasses.dataclass(frozen=True)
class Where:
    """Where the runs of a campaign go."""

    cluster: str = setting(
        "where", values.choice(*CLUSTERS), "local", "workers on this machine, or jobs of a queue"
    )
    workers: int | None = setting(
        "where",
        values.within(values.positive_count, 1, 100_000),
        None,
        "runs at the same time (default: one a GPU, or one for four cores)",
        "N",
    )
    scheduler: str | None = setting(
        "where",
        _scheduler,
        None,
        "address of a Dask scheduler, or its file, whose workers have --resources device=1",
        "ADDRESS",
    )
    queue: str | None = setting("queue", values.text, None, "queue or partition", "NAME")
    account: str | None = setting("queue", values.text, None, "account or project", "NAME")
    walltime: str = setting(
        "queue", _walltime, "24:00:00", "of a job, HH:MM:SS; runs go on in the next", "TIME"
    )
    cores: int = setting("queue", values.within(values.positive_count, 1, 4096), 1, "of a job", "N")
    memory: str = setting("queue", _memory, "8GB", "of a job, such as 8GB", "SIZE")
    directives: tuple[str, ...] = setting(
        "queue", values.texts, (), 'more lines of its head, such as "--gres=gpu:1"', "LINE", "+"
    )
    prologue: tuple[str, ...] = setting(
        "queue", values.texts, (), 'commands before, such as "module load cuda"', "LINE", "+"
    )


@dataclasses.dataclass(frozen=True)
class Shown:
    """What the plot of a campaign shows."""

    x: str | None = setting(
        "plot", values.text, None, "setting along the abscissa (default: the first with numbers)"
    )
    y: tuple[str, ...] = setting(
        "plot", values.texts, (), "columns of the runs' tables (default: those that vary)"
    )


@dataclasses.dataclass(frozen=True)
class StudySettings:
    """The keys of a study file."""

    output: str | None = setting("study", values.text, None, "folder of the campaign")
    skip: float = setting(
        "study",
        values.within(values.number, 0.0, 0.95),
        0.2,
        "part of each run that is left out of the averages, at its beginning",
    )
    run: dict[str, Any] = setting("study", _table, dict, "settings of every run")
    vary: dict[str, Any] = setting("study", _table, dict, "settings with several values each")
    where: Where = setting("study", table_of(Where), Where, "where the runs go")
    plot: Shown = setting("study", table_of(Shown), Shown, "what the plot shows")
