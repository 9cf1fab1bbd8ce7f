"""The page of a campaign: its runs with their states and averages, links to their pages, its plot."""

import os
from pathlib import Path
from typing import Any, NamedTuple

from openmm_pqeq.campaign.plot import FINITE, USUAL
from openmm_pqeq.campaign.record import DESCRIBED, STATES, State, state_of
from openmm_pqeq.campaign.results import FILES, averages_of
from openmm_pqeq.campaign.run import COPY
from openmm_pqeq.campaign.study import RUNS
from openmm_pqeq.jobs.facts import FACTS, read_facts
from openmm_pqeq.jobs.values import is_finite
from openmm_pqeq.md.config import SETTINGS
from openmm_pqeq.md.settings import RunConfig
from openmm_pqeq.pages import page
from openmm_pqeq.pages.run import described_run
from openmm_pqeq.report.columns import label_of
from openmm_pqeq.report.numbers import with_error

PAGE = "report.html"
"""In the folder that it is of."""


class Entry(NamedTuple):
    """A run of a campaign, by what its folder says."""

    folder: Path
    config: RunConfig
    state: State
    averages: dict[str, Any]


def campaign_page(folder: Path, beside: Path) -> str:
    """The page of the campaign in a folder, whose links count from the folder `beside`."""
    said = read_facts(folder) if (folder / FACTS).is_file() else {}
    entries = entries_of(folder, said.get("settings", {}))
    counts = {name: sum(entry.state.name == name for entry in entries) for name in STATES}
    failed = [f"{e.folder.name}: {e.state.message}" for e in entries if e.state.name == "failed"]
    told = ", ".join(f"{number} {name}" for name, number in counts.items() if number)
    picture = folder / FILES[1]
    study = folder / COPY
    machine = dict(said.get("machine", {}))
    versions = machine.pop("versions", {})
    rows = {
        "begun": said.get("begun"),
        "resumed": ", ".join(said.get("resumed", [])) or None,
        "host": machine.get("host"),
        "versions": ", ".join(f"{name} {version}" for name, version in versions.items()) or None,
    }
    name = folder.absolute().name
    body = [
        f"<h1>{page.escape(name)}</h1>",
        page.paragraph(f"A campaign of {len(entries)} runs: {told}.", "quiet"),
        page.tiles((str(number), "", state) for state, number in counts.items() if number),
        page.notices(failed, "bad"),
        page.section(
            "Averages", page.picture(picture, "averages of the runs") if picture.is_file() else ""
        ),
        page.section("Runs", _table(entries, beside)),
        page.section(
            "What was run",
            page.code(study.read_text(encoding="utf-8", errors="replace"))
            if study.is_file()
            else "",
            page.facts(rows),
        ),
    ]
    return page.page(f"{name}: {told}", body, ["sort.js"])


def entries_of(folder: Path, settings: dict[str, Any]) -> list[Entry]:
    """The runs of a campaign that its study, as it was last, describes; FileNotFoundError where
    there are none. `settings` are those of its facts."""
    place = folder / RUNS
    found = sorted(place.iterdir()) if place.is_dir() else []
    names, skip = settings.get("runs"), settings.get("skip", 0.0)
    if not isinstance(names, list | None) or not is_finite(skip):
        raise ValueError(
            f"folder: {folder / FACTS}: settings: expected the names of runs and a number, skip; bring "
            "the file back, or do the campaign once more"
        )
    entries = []
    for path in found:
        if (path / DESCRIBED).is_file() and (names is None or path.name in names):
            config = described_run(path / DESCRIBED)
            state = state_of(path, config.n_steps)
            averages = averages_of(path / "table.csv", skip) if state.name == "finished" else {}
            entries.append(Entry(path, config, state, averages))
    if not entries:
        raise FileNotFoundError(f"folder: {folder} has no runs of a campaign")
    return entries


def _table(entries: list[Entry], beside: Path) -> str:
    """A row a run: its state, what differs from the others, its averages."""
    differing = [
        name
        for name in SETTINGS
        if name != "output" and len({getattr(entry.config, name) for entry in entries}) > 1
    ]
    averages = _differing(entries)
    head = ["run", "state", *differing, *(label_of(name) for name in averages)]
    rows = []
    for entry in entries:
        target = entry.folder / PAGE if (entry.folder / PAGE).is_file() else entry.folder
        where = Path(os.path.relpath(target, beside)).as_posix()
        state = f'<span class="state-{entry.state.name}">{entry.state.name}</span>'
        settings = [page.escape(_written(getattr(entry.config, name))) for name in differing]
        numbers = [_number(entry.averages, name) for name in averages]
        rows.append([page.link(entry.folder.name, where), state, *settings, *numbers])
    return page.table(head, rows, sortable=True)


def _differing(entries: list[Entry]) -> list[str]:
    """Columns of averages that are not the same in all runs; the dipole where there is no
    polarization."""
    found = []
    for name in (*USUAL, *FINITE):
        values = {entry.averages[name] for entry in entries if name in entry.averages}
        if len(values) > 1 or (values and len(entries) == 1):
            found.append(name)
    polarized = any(name.startswith("polarization") for name in found)
    return [name for name in found if not (polarized and name in FINITE)]


def _written(value: Any) -> str:
    if isinstance(value, tuple):
        return " ".join(_written(item) for item in value)
    if isinstance(value, float):
        return f"{value:g}"
    return Path(value).name if isinstance(value, str) and os.sep in value else str(value)


def _number(averages: dict[str, Any], name: str) -> str:
    if name not in averages:
        return ""
    error = averages.get(f"{name}_error")
    return with_error(averages[name], error) if error else f"{averages[name]:.6g}"
