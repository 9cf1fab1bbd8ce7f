"""The page of a run: what was run, whether the model is for it, what came of it, how it looks."""

import json
import os
import re
from pathlib import Path
from typing import Any

import numpy as np

from openmm_pqeq.analysis.blocks import average
from openmm_pqeq.jobs.facts import FACTS, read_facts
from openmm_pqeq.md.config import SETTINGS, read_toml, run_config
from openmm_pqeq.md.plot import AXES, read_table
from openmm_pqeq.md.settings import RunConfig
from openmm_pqeq.pages import card, page
from openmm_pqeq.pages.curves import curves
from openmm_pqeq.pages.structure import Frame, last_frame, viewer
from openmm_pqeq.report.columns import words_of
from openmm_pqeq.report.numbers import with_error

_LOGGED = re.compile(r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d (warning: .*)$")
NEEDED = ("time_ps", "temperature_K", *(f"field_{axis}_V_per_A" for axis in AXES))
"""Columns that the table of every run has."""
FEWEST = 10
"""Rows of a table, below which there is no average."""


def run_page(folder: Path) -> str:
    """The page of the run in a folder; FileNotFoundError where there is none."""
    if not (folder / "run.toml").is_file():
        raise FileNotFoundError(
            f"folder: {folder} has no run.toml; expected the folder of openmm-pqeq run or campaign"
        )
    config = described_run(folder / "run.toml")
    said = read_facts(folder) if (folder / FACTS).is_file() else {}
    frame = last_frame(folder)
    name = Path(config.structure).stem.removeprefix("input-")
    found, remark = card.card_of(config, said.get("sha256", {}).get("model"))
    within, outside = card.beyond(found, config, set(frame.atoms.get_chemical_symbols()))
    columns = _table(folder)
    body = [
        f"<h1>{page.escape(name)}</h1>",
        page.paragraph(_heading(config, frame), "quiet"),
        _state(config, said, frame),
        page.tiles(_numbers(config, said, columns) + _largest_spread(folder)),
        page.notices(_warnings(folder / "run.log") or outside),
        page.section(
            "Course",
            page.figure(curves(config, columns), "energies, temperature and what else changes")
            if len(columns.get("time_ps", ())) > 1
            else page.paragraph("table.csv has fewer than two rows yet."),
        ),
        page.section("Last frame", viewer(frame)),
        page.section("Analysis", *_analyses(folder)),
        page.section(
            f"Model {Path(config.model).name}",
            page.paragraph(remark) if remark else "",
            page.notices(outside),
            page.notices(within, "good"),
            card.shown(found),
        ),
        page.section("What was run", _what(config, said), _settings(config)),
        page.section("Log", page.details("run.log", page.code(_text(folder / "run.log")))),
    ]
    return page.page(f"{name}: {_heading(config, frame)}", body, ["viewer.js"])


def described_run(toml: Path) -> RunConfig:
    """The run that a file describes; ValueError names the file."""
    try:
        return run_config(read_toml(toml))
    except ValueError as error:
        raise ValueError(f"folder: {toml} is not the description of a run ({error})") from None


def _heading(config: RunConfig, frame: Frame) -> str:
    heat = "" if config.ensemble == "NVE" else f" at {config.temperature:g} K"
    field = ", ".join(value if isinstance(value, str) else f"{value:g}" for value in config.field)
    in_field = f", field ({field}) V/Å" if any(config.field) else ""
    inner = ""
    if config.inner_model is not None:
        name = Path(config.inner_model).name
        inner = f", {config.inner_steps} inner steps of {name} in one of {config.timestep:g} fs"
    formula = frame.atoms.get_chemical_formula("metal", empirical=False)
    return (
        f"{formula}, {len(frame.atoms):,} atoms, {config.ensemble}{heat}{in_field}, model "
        f"{Path(config.model).name}{inner}"
    )


def _state(config: RunConfig, said: dict[str, Any], frame: Frame) -> str:
    """Whether it has come to its end."""
    finished = said.get("finished")
    if finished and "step" in finished:
        done = f"Finished {finished['date']} after {finished['step']:,} steps."
    elif frame.stage == "produce" and frame.step >= config.n_steps:
        done = f"All {frame.step:,} steps are done."
    else:
        return page.notices(
            [
                f"Not finished: at step {frame.step:,} of {config.n_steps:,}. It goes on with: "
                "openmm-pqeq run FOLDER --resume"
            ]
        )
    return page.notices([done], "good")


def _numbers(
    config: RunConfig, said: dict[str, Any], columns: dict[str, Any]
) -> list[tuple[str, str, str]]:
    """What matters most: length, speed, averages."""
    result = []
    if "time_ps" in columns and len(columns["time_ps"]):
        result.append((f"{columns['time_ps'][-1]:.6g}", "ps", "simulated"))
    if said.get("finished", {}).get("ns_per_day"):
        result.append((f"{said['finished']['ns_per_day']:.3g}", "ns/day", "speed"))
    wanted = ["temperature_K", "density_g_per_cm3", "potential_energy_eV"]
    wanted += [f"polarization_{axis}_uC_per_cm2" for axis, on in zip(AXES, config.field) if on]
    for name in wanted:
        kept = columns[name][len(columns[name]) // 5 :] if name in columns else ()
        if len(columns.get(name, ())) >= FEWEST and np.isfinite(kept).all():
            mean = average(kept)
            words, unit = words_of(name)
            written = with_error(mean.mean, mean.error) if mean.error else f"{mean.mean:.6g}"
            result.append((written, unit, words.lower()))
    return result


def _table(folder: Path) -> dict[str, Any]:
    """What the run's table has, also where its last row is being written."""
    path = folder / "table.csv"
    if not path.is_file() or not path.stat().st_size:
        return {}
    columns = read_table(path, growing=True)
    if missing := [name for name in NEEDED if name not in columns]:
        raise ValueError(f"folder: {path} is not the table of a run: it has no {missing[0]}")
    return columns


def _largest_spread(folder: Path) -> list[tuple[str, str, str]]:
    """Of a committee's forces, where there is one."""
    path = folder / "committee.csv"
    if not path.is_file() or not path.stat().st_size:
        return []
    largest = read_table(path)["force_spread_max_eV_per_A"].max()
    return [(f"{largest:.3g}", "eV/Å", "largest spread of a force in the committee")]


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""


def _warnings(log: Path) -> list[str]:
    """Warnings of a log, once each."""
    found = [match[1] for line in _text(log).splitlines() if (match := _LOGGED.match(line))]
    texts = [text.removeprefix("warning: ") for text in found]
    return [text[:1].upper() + text[1:] for text in dict.fromkeys(texts)]


def _analyses(folder: Path) -> list[str]:
    """What openmm-pqeq analyze has left in the folder."""
    parts: list[str] = []
    for path in sorted(folder.glob("*.json")):
        try:
            found = json.loads(_text(path))
            name, results = found["analysis"], found["results"]
            rows = [
                (page.escape(key), page.escape(_result(value))) for key, value in results.items()
            ]
        except (ValueError, TypeError, KeyError, AttributeError):
            continue  # of something else
        parts += [f"<h3>{page.escape(str(name))}</h3>", page.table(("", "value"), rows)]
        if path.with_suffix(".png").is_file():
            parts.append(page.picture(path.with_suffix(".png"), f"plot of {name}"))
    return parts


def _result(value: dict[str, Any]) -> str:
    number, error, unit = value["value"], value["error"], value["unit"]
    if number is None:
        return "none"
    return f"{f'{number:.6g}' if error is None else with_error(number, error)} {unit}".strip()


def _what(config: RunConfig, said: dict[str, Any]) -> str:
    """Command, times, machine, versions, checksums."""
    machine = dict(said.get("machine", {}))
    versions = machine.pop("versions", {})
    rows = {
        "begun": said.get("begun"),
        "resumed": ", ".join(said.get("resumed", [])) or None,
        "finished": said.get("finished", {}).get("date"),
        "seed": config.seed,
        "host": machine.get("host"),
        "processor": machine.get("processor"),
        "threads": machine.get("threads"),
        "GPU": machine.get("gpu"),
        "versions": ", ".join(f"{name} {version}" for name, version in versions.items()) or None,
        "SHA-256": said.get("sha256") or None,
    }
    again = "openmm-pqeq run run.toml --output NEW_FOLDER"
    return page.paragraph("In the folder of this run, this does it again:") + page.code(again) + page.facts(rows)  # fmt: skip


def _settings(config: RunConfig) -> str:
    """Those that are not the defaults, and all of them on demand."""
    rows: dict[str, list[list[str]]] = {"chosen": [], "default": []}
    for name, one in SETTINGS.items():
        value = getattr(config, name)
        kind = "default" if value == one.default else "chosen"
        written = "" if value is None else _written(value)
        rows[kind].append([page.escape(text) for text in (name, written, one.metadata["help"])])
    head = ("setting", "value", "meaning")
    return page.table(head, rows["chosen"]) + page.details(
        f"{len(rows['default'])} settings with their defaults", page.table(head, rows["default"])
    )


def _written(value: Any) -> str:
    if isinstance(value, tuple):
        return " ".join(_written(item) for item in value)
    if isinstance(value, str) and os.sep in value and Path(value).exists():
        return Path(value).name
    return str(value).lower() if isinstance(value, bool) else str(value)
