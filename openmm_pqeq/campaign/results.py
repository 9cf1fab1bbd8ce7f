"""What a campaign has found: a row for each run with its settings and its averages.

    run, state, message, steps, ns_per_day      of the run
    structure, model, temperature, ...          its settings, under their names; field_x, field_y, field_z
    temperature_K, temperature_K_error, ...     averages of the columns of its table.csv

The beginning of a run is left out, a part of it that the study names (`skip`). An error is the
larger one of those from the autocorrelation and from five blocks (analysis/blocks.py): of a run
that is shorter than some 50 correlation times both are too small.
"""

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from openmm_pqeq.analysis.blocks import average, block_error
from openmm_pqeq.campaign.plot import plot_campaign
from openmm_pqeq.campaign.record import State
from openmm_pqeq.campaign.study import PlannedRun, Study
from openmm_pqeq.jobs.facts import read_facts
from openmm_pqeq.jobs.files import whole
from openmm_pqeq.md.config import SETTINGS
from openmm_pqeq.md.plot import AXES, read_table

FILES = ("results.parquet", "results.png")
N_BLOCKS = 5
Row = dict[str, Any]


def write_results(study: Study, states: Mapping[str, State]) -> list[Path]:
    """Write results.parquet, and results.png where there is something to show; the paths."""
    import pyarrow
    import pyarrow.parquet

    rows = [row_of(run, states[run.name], study.settings.skip) for run in study.runs]
    table = study.folder / FILES[0]
    with whole(table) as part:
        pyarrow.parquet.write_table(pyarrow.table(columns_of(rows)), part)
    figure = plot_campaign(study, rows)
    picture = study.folder / FILES[1]
    if figure is None:
        picture.unlink(missing_ok=True)
        return [table]
    with whole(picture) as part:
        figure.savefig(part, format="png")
    return [table, picture]


def row_of(run: PlannedRun, state: State, skip: float) -> Row:
    """The row of a run; averages are those of a finished one."""
    row: Row = {"run": run.name, "state": state.name, "message": state.message}
    row |= {axis: label for axis, label in run.labels.items() if axis not in SETTINGS}
    row |= {"steps": None, "ns_per_day": None} | _settings(run)
    if state.name != "finished":
        return row
    finished = read_facts(run.folder)["finished"]
    row |= {"steps": int(finished["step"]), "ns_per_day": finished["ns_per_day"]}
    return row | averages_of(run.folder / "table.csv", skip)


def averages_of(table: Path, skip: float) -> Row:
    """Averages of a table's columns and their errors, NAME and NAME_error, after the first part of
    it; without an error where fewer than so many rows as blocks are left."""
    if not table.is_file():
        return {}
    columns = read_table(table)
    row: Row = {}
    for name, series in columns.items():
        kept = series[int(skip * len(series)) :]
        if name in ("step", "time_ps") or not len(kept) or not np.isfinite(kept).all():
            continue
        row[name] = float(kept.mean())
        if len(kept) >= N_BLOCKS:
            blocks = float(block_error(kept, N_BLOCKS))
            row[f"{name}_error"] = max(average(kept).error, blocks if np.ptp(kept) else 0.0)
    return row


def _settings(run: PlannedRun) -> Row:
    """The settings as numbers, texts and truths; the output is the run's name."""
    row: Row = {}
    for name, value in dataclasses.asdict(run.config).items():
        if name == "field":
            row |= {f"field_{axis}": item for axis, item in zip(AXES, value)}
        elif isinstance(value, (tuple, dict)):
            row[name] = json.dumps(value)
        elif name != "output":
            row[name] = value
    return row


def columns_of(rows: list[Row]) -> dict[str, list[Any]]:
    """Rows as columns, None where a row has nothing; numbers beside texts become texts. A column in
    which no row has anything is left out."""
    names = dict.fromkeys(name for row in rows for name in row)
    columns = {name: [row.get(name) for row in rows] for name in names}
    columns = {name: column for name, column in columns.items() if set(column) != {None}}
    for name, column in columns.items():
        kinds = {type(value) for value in column if value is not None}
        if str in kinds and len(kinds) > 1:
            columns[name] = [None if value is None else str(value) for value in column]
        elif kinds == {int, float}:
            columns[name] = [None if value is None else float(value) for value in column]
    return columns
