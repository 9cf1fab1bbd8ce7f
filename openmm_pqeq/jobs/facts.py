"""facts.json: what a job did, with what, on which machine, in one form for all jobs.

job        "run", "train", ...
begun      date and time, UTC
resumed    dates of its resumptions
settings   all of them
seed       of its random numbers
sha256     checksums of what it read: structure, model, data; of a model also without its card
machine    processor, threads, GPU, versions
finished   date of its end, UTC, and what it then says of itself; not before, nor where it was stopped
"""

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from openmm_pqeq.jobs.files import write_text
from openmm_pqeq.jobs.machine import machine
from openmm_pqeq.jobs.times import now
from openmm_pqeq.jobs.values import shown

FACTS = "facts.json"
WITHOUT_CARD = " without its card"
"""After the name of a model: the checksum of what makes its energy."""


def facts_of(
    settings: dict[str, Any], seed: int | None = None, sha256: dict[str, str] | None = None
) -> dict[str, Any]:
    """The facts of a job that begins."""
    return {
        "begun": now(),
        "resumed": [],
        "settings": json.loads(json.dumps(settings, default=str)),
        "seed": seed,
        "sha256": sha256 or {},
        "machine": machine(),
    }


def write_facts(folder: Path, job: str, facts: dict[str, Any]) -> None:
    """Write facts.json."""
    write_text(folder / FACTS, json.dumps({"job": job} | facts, indent=1) + "\n")


def add_resumption(folder: Path, job: str, settings: dict[str, Any]) -> None:
    """Note that a job goes on, here and now, with the settings that it has now."""
    before = read_facts(folder) if (folder / FACTS).is_file() else {}
    again = facts_of(settings, before.get("seed"), before.get("sha256"))
    begun = {"begun": before.get("begun", "with an older version")}
    write_facts(folder, job, again | begun | {"resumed": [*before.get("resumed", []), now()]})


def add_end(folder: Path, **said: float) -> None:
    """Note that the job in a folder has come to its end, here and now, and what it says of it."""
    facts = read_facts(folder)
    write_facts(folder, facts.pop("job"), facts | {"finished": {"date": now()} | said})


def read_facts(folder: Path) -> dict[str, Any]:
    """The facts of the job in a folder; FileNotFoundError where an older version left none,
    ValueError where the file is not one of facts."""
    path = folder / FACTS
    if not path.is_file():
        raise FileNotFoundError(
            f"{path}: there are no facts of the job in {folder}, which an older version may have "
            "begun; start it anew with --overwrite"
        )
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(
            f"{path}: not a file of facts ({error}); bring it back, or choose another folder"
        ) from None
    if not isinstance(content, dict):
        raise ValueError(f"{path}: expected the facts of a job, got {type(content).__name__}")
    for name, is_one in _PARTS.items():
        if name in content and not is_one(content[name]):
            raise ValueError(
                f"{path}: {name}: not as a job writes it, got {shown(content[name])}; bring the file "
                "back, or choose another folder"
            )
    return content


def _is_table(value: Any) -> bool:
    return isinstance(value, dict)


def _is_end(value: Any) -> bool:
    """A date, and numbers."""
    return (
        isinstance(value, dict)
        and isinstance(value.get("date"), str)
        and all(type(item) in (int, float) for name, item in value.items() if name != "date")
    )


def _is_machine(value: Any) -> bool:
    return isinstance(value, dict) and isinstance(value.get("versions", {}), dict)


def _are_dates(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def other_files(before: dict[str, str], now: dict[str, str]) -> list[str]:
    """Names of what a job read and is not the same now, nor the same but for the card of a model.
    An earlier version knew a model by its whole file alone."""
    names = []
    for name in {**before, **now}:
        bare = name + WITHOUT_CARD
        known = bare in before and bare in now
        missing = name.endswith(WITHOUT_CARD) and name not in before
        if not known and not missing and before.get(name) != now.get(name):
            names.append(name.removesuffix(WITHOUT_CARD))
    return names


_PARTS: dict[str, Callable[[Any], bool]] = {
    **{"resumed": _are_dates, "settings": _is_table, "sha256": _is_table},
    **{"machine": _is_machine, "finished": _is_end},
}
"""What the parts of facts are; where a version has none, there is none."""


def changed(
    before: dict[str, Any], now: dict[str, Any], may_change: Iterable[str], where: str = ""
) -> list[str]:
    """Names of settings that differ and must not; tables within tables have dotted names."""
    names: list[str] = []
    now = json.loads(json.dumps(now, default=str))
    for name in {**before, **now}:
        dotted = f"{where}{name}"
        one, two = before.get(name), now.get(name)
        if dotted in may_change:
            continue
        if isinstance(one, dict) and isinstance(two, dict):
            names += changed(one, two, may_change, f"{dotted}.")
        elif one != two:
            names.append(dotted)
    return names
