"""The report of a fit of PQEq parameters: a table of errors, parity plots, the
parameters and their card.

Errors are over all components of all frames: root mean square, mean absolute, Pearson's r; for
polarizabilities of molecules also those of the isotropic part in bohr³, as the literature has it.
"""

import csv
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from rich.console import Console
from rich.table import Table

from openmm_pqeq.fitting.parameters import Free
from openmm_pqeq.fitting.residuals import Measured
from openmm_pqeq.fitting.targets import HEADINGS, ResponseFrame
from openmm_pqeq.jobs.files import whole, write_text
from openmm_pqeq.pqeq.parameters import COLUMNS, Parameters, as_mapping
from openmm_pqeq.units import BOHR, COULOMB

TO_BOHR3 = COULOMB / BOHR**3


class Errors(NamedTuple):
    """Root mean square and mean absolute error, Pearson's r, mean of the labels, frames compared
    and frames without a solution."""

    rmse: float
    mae: float
    r: float
    label_mean: float
    frames: int
    unsolved: int


Column = tuple[Sequence[ResponseFrame], Sequence[Measured | None]]
"""Frames and what was measured for them."""


def collected(column: Column, target: str) -> tuple[np.ndarray, np.ndarray]:
    """Labels and predictions of all frames with a solution, flat; `isotropic`, a third of the
    polarizability's trace, in bohr³."""
    labels, values = [], []
    for frame, measured in zip(*column):
        if measured is not None:
            pair = _labelled(frame.labels, target), _labelled(measured.values, target)
            if pair[0] is not None and pair[1] is not None:
                labels.append(pair[0].ravel())
                values.append(pair[1].ravel())
    empty = np.zeros(0)
    return np.concatenate(labels or [empty]), np.concatenate(values or [empty])


def _labelled(labels: Mapping[str, np.ndarray], target: str) -> np.ndarray | None:
    if target != "isotropic":
        return labels.get(target)
    if target in labels:
        return labels[target] * TO_BOHR3
    return (
        np.array(np.trace(labels["polarizability"]) / 3.0 * TO_BOHR3)
        if "polarizability" in labels
        else None
    )


def errors_of(column: Column) -> dict[str, Errors]:
    """Errors by target."""
    targets = [
        target
        for target in HEADINGS
        if any(_labelled(frame.labels, target) is not None for frame in column[0])
    ]
    result = {}
    for target in targets:
        label, value = collected(column, target)
        there = [
            measured is not None
            for frame, measured in zip(*column)
            if _labelled(frame.labels, target) is not None
        ]
        if not label.size:
            result[target] = Errors(np.nan, np.nan, np.nan, np.nan, 0, len(there))
            continue
        spread = label.size > 1 and label.std() > 0 and value.std() > 0
        r = float(np.corrcoef(label, value)[0, 1]) if spread else np.nan
        difference = value - label
        result[target] = Errors(
            float(np.sqrt(np.mean(difference**2))),
            float(np.mean(np.abs(difference))),
            r,
            float(label.mean()),
            sum(there),
            len(there) - sum(there),
        )
    return result


def heading(target: str) -> str:
    """How a table calls a target."""
    return "isotropic polarizability, bohr³" if target == "isotropic" else HEADINGS[target]


def table_of(columns: Mapping[str, Column]) -> Table:
    """One row per target, one column per set of frames and parameters."""
    table = Table(title="errors: root mean square / mean absolute / r")
    table.add_column("")
    errors = {name: errors_of(column) for name, column in columns.items()}
    for name in columns:
        table.add_column(name, justify="right")
    for target in dict.fromkeys(target for one in errors.values() for target in one):
        cells = []
        for one in errors.values():
            e = one.get(target)
            cells.append(
                ""
                if e is None
                else f"{e.rmse:.3g} / {e.mae:.3g} / {e.r:.3f}"
                + (f" ({e.unsolved} unsolved)" if e.unsolved else "")
            )
        table.add_row(heading(target), *cells)
    softest, longest = [], []
    for _, measured in columns.values():
        solved = [one for one in measured if one is not None]
        softest.append(f"{min((one.softest for one in solved), default=np.nan):.2f}")
        longest.append(f"{max((one.longest for one in solved), default=np.nan):.2f}")
    table.add_row("smallest eigenvalue, eV/e², eV/Å²", *softest)
    table.add_row("longest shell, Å", *longest)
    return table


def parameter_table(start: Parameters, fitted: Parameters, free: Sequence[Free]) -> Table:
    """Every fitted parameter: before, after, bounds."""
    table = Table(title="parameters: eV, eV, e, Å, kcal/mol/Å²")
    for name in ("element", "parameter", "start", "fitted", "bounds"):
        table.add_column(name, justify="left" if name in ("element", "parameter") else "right")
    for item in free:
        value = float(getattr(fitted[item.element], item.name))
        edge = (
            " at the bound"
            if min(value - item.low, item.high - value) < 1e-3 * (item.high - item.low)
            else ""
        )
        table.add_row(
            item.element,
            item.name,
            f"{item.start:.4f}",
            f"{value:.4f}{edge}",
            f"{item.low:.4g} … {item.high:.4g}",
        )
    return table


def as_text(tables: Sequence[Table]) -> str:
    """Tables as plain text."""
    console = Console(width=160, record=True, file=io.StringIO())
    for table in tables:
        console.print(table)
    return console.export_text()


def write_table(
    path: Path, parameters: Parameters, elements: Sequence[str], comments: Sequence[str]
) -> None:
    """The parameters as a table that `build({"pqeq": {"parameters": path}})` reads."""
    with whole(path) as part, part.open("w", encoding="utf-8", newline="") as file:
        for line in comments:
            file.write(f"# {line}\n")
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["element", "pol", *COLUMNS])
        for symbol in elements:
            values = parameters[symbol]
            writer.writerow(
                [
                    symbol,
                    int(values.spring_constant > 0.0),
                    *(f"{getattr(values, name):.10g}" for name in COLUMNS.values()),
                ]
            )


def write_card(
    path: Path,
    parameters: Parameters,
    elements: Sequence[str],
    columns: Mapping[str, Column],
    facts: dict[str, Any],
) -> None:
    """Parameters, errors and how they came about, as JSON."""
    errors = {
        name: {
            target: {k: _rounded(v) for k, v in e._asdict().items()}
            for target, e in errors_of(column).items()
        }
        for name, column in columns.items()
    }
    limits = {
        name: {
            "smallest_eigenvalue": _rounded(
                min((m.softest for m in measured if m is not None), default=np.nan)
            ),
            "longest_shell": _rounded(
                max((m.longest for m in measured if m is not None), default=np.nan)
            ),
        }
        for name, (_, measured) in columns.items()
    }
    own = {symbol: parameters[symbol] for symbol in elements}
    units = "eV, eV, e, Å, kcal/mol/Å²; eigenvalues eV/e² and eV/Å²; errors: " + "; ".join(
        HEADINGS.values()
    )
    content = {
        "units": units,
        "parameters": as_mapping(own),
        "errors": errors,
        "limits": limits,
        **facts,
    }
    write_text(path, json.dumps(content, indent=1, ensure_ascii=False) + "\n")


def _rounded(value: float) -> float | int | None:
    if isinstance(value, int):
        return value
    return None if value != value else float(f"{value:.6g}")


def plot(columns: Mapping[str, Column], path: Path) -> None:
    """A panel per target, label against prediction."""
    from matplotlib.figure import Figure

    targets = list(
        dict.fromkeys(target for column in columns.values() for target in errors_of(column))
    )
    figure = Figure(figsize=(4.8 * len(targets), 4.6), layout="constrained")
    panels = figure.subplots(1, len(targets), squeeze=False)[0]
    for panel, target in zip(panels, targets):
        ends = []
        for name, column in columns.items():
            label, value = collected(column, target)
            if label.size:
                e = errors_of(column)[target]
                text = f"{name}: {e.rmse:.3g}, r {e.r:.3f}"
                panel.plot(
                    label,
                    value,
                    ".",
                    markersize=3 if label.size > 200 else 6,
                    alpha=0.7,
                    label=text,
                    rasterized=True,
                )
                ends += [label.min(), label.max()]
        if ends:
            panel.plot(
                [min(ends), max(ends)], [min(ends), max(ends)], color="0.3", linewidth=0.8, zorder=5
            )
        panel.set(title=heading(target), xlabel="label", ylabel="PQEq")
        panel.legend(title="root mean square error", fontsize="small", title_fontsize="small")
    with whole(path) as part:
        figure.savefig(part, dpi=130, format="png")
