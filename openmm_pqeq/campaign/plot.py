"""The plot of a campaign: averages against the first setting that has numbers, a line for each
combination of the other choices; seeds are averaged over."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from openmm_pqeq.analysis.blocks import error_of_mean
from openmm_pqeq.campaign.study import Choice, Study
from openmm_pqeq.md.plot import AXES
from openmm_pqeq.report.columns import label_of, words_of
from openmm_pqeq.report.graphs import Graph, Line, plot_graphs

MOST_GRAPHS = 3
MOST_LINES = 9
"""Of a graph; the others of a larger study are in the table."""
USUAL = (
    "density_g_per_cm3",
    *(f"polarization_{axis}_uC_per_cm2" for axis in AXES),
    "potential_energy_eV",
    "temperature_K",
)
"""Columns of a table that are looked at, unless a study names others."""
FINITE = tuple(f"dipole_{axis}_eA" for axis in AXES)
"""The same, where there is no polarization."""
UNITS = {
    **{"temperature": "K", "pressure": "bar", "friction": "1/ps", "timestep": "fs", "time": "ps"},
    **dict.fromkeys((f"field_{axis}" for axis in AXES), "V/Å"),
}
"""Of settings."""
LEAST_CHANGE = 1e-9
"""Of a column, as part of its size, below which it is constant."""

Rows = Sequence[Mapping[str, Any]]


def plot_campaign(study: Study, rows: Rows) -> Figure | None:
    """The plot of a campaign's rows; None where too little is finished."""
    finished = [row for row in rows if row["state"] == "finished"]
    labels = {run.name: run.labels for run in study.runs}
    columns = _columns(study, finished)
    if not columns or len(finished) < 2:
        return None
    axis, x = _abscissa(study, finished)
    others = [name for name in study.axes if name not in (axis, "seed")]
    lines: dict[str, list[Mapping[str, Any]]] = {}
    for row in finished:
        choices = [_in_words(name, labels[row["run"]][name]) for name in others]
        lines.setdefault(", ".join(choices), []).append(row)
    along = f"{x.replace('_', ' ')} ({unit})" if (unit := UNITS.get(x)) else x or "run"
    graphs = [
        Graph(
            words_of(column)[0],
            along,
            label_of(column),
            [_line(name, of, x, column, rows) for name, of in list(lines.items())[:MOST_LINES]],
        )
        for column in columns
    ]
    note = f"{len(finished)} of {len(rows)} runs; the first {study.settings.skip:.0%} of each left out, bars are standard errors."
    return plot_graphs(graphs, study.folder.name, note)


def _columns(study: Study, finished: Rows) -> list[str]:
    """What is shown: what the study says, or what differs from run to run."""
    known = dict.fromkeys(name for row in finished for name in row if f"{name}_error" in row)
    if study.settings.plot.y:
        if missing := [name for name in study.settings.plot.y if finished and name not in known]:
            raise ValueError(f"plot.y: expected some of {', '.join(known)}, got {missing[0]}")
        return list(study.settings.plot.y)
    polarized = any(name in known for name in USUAL if name.startswith("polarization"))
    usual = [name for name in (*USUAL, *(() if polarized else FINITE)) if name in known]
    spread = {name: _spread(name, finished) for name in usual}
    most = sorted((name for name in usual if spread[name] > 0), key=lambda name: -spread[name])
    return [name for name in usual if name in most[:MOST_GRAPHS]]


def _spread(column: str, finished: Rows) -> float:
    """Of a column from run to run, by its errors; 0 where it is a constant."""
    rows = [row for row in finished if column in row]
    values = np.array([row[column] for row in rows])
    if not np.ptp(values) > LEAST_CHANGE * np.abs(values).max():
        return 0.0
    errors = [row.get(f"{column}_error", 0.0) for row in rows]
    return float(values.std() / max(float(np.mean(errors)), LEAST_CHANGE))


def _in_words(axis: str, label: str) -> str:
    """A choice in a legend: "field 0,0,0.02" for field0,0,0.02."""
    return f"{axis} {label.removeprefix(axis)}" if label.startswith(axis) else label


def _abscissa(study: Study, finished: Rows) -> tuple[str, str]:
    """The axis along the abscissa, and the column of its numbers; empty where there is none."""
    wanted = study.settings.plot.x
    for axis, choices in study.axes.items():
        for name in _numbers(choices, finished):
            if wanted in (None, axis, name) and (axis != "seed" or wanted == "seed"):
                return axis, name
    if wanted is not None:
        raise ValueError(
            f"plot.x: expected a setting that [vary] gives several numbers, got {wanted!r}"
        )
    return "", ""


def _numbers(choices: Sequence[Choice], finished: Rows) -> list[str]:
    """Columns that the choices of an axis give different numbers."""
    given = dict.fromkeys(name for choice in choices for name in choice.settings)
    names = [name for name in given if name != "field"]
    names += [f"field_{axis}" for axis in AXES] if "field" in given else []
    found = []
    for name in names:
        values = {row.get(name) for row in finished}
        if len(values) > 1 and all(isinstance(value, int | float) for value in values):
            found.append(name)
    return found


def _line(name: str, of: Rows, x: str, column: str, every: Rows) -> Line:
    """Averages over seeds of one combination, with standard errors."""
    places: dict[float, list[Mapping[str, Any]]] = {}
    for row in of:
        place = row[x] if x else [one["run"] for one in every].index(row["run"])
        if column in row:
            places.setdefault(float(place), []).append(row)
    at = sorted(places)
    means = [float(np.mean([row[column] for row in places[place]])) for place in at]
    errors = [_error(places[place], column) for place in at]
    return Line(name, at, means, errors, "points")


def _error(rows: Rows, column: str) -> float:
    """Of a mean over seeds: from their spread, or of the only one its own."""
    if len(rows) > 1:
        return float(error_of_mean(np.array([row[column] for row in rows])))
    return float(rows[0].get(f"{column}_error", 0.0))
