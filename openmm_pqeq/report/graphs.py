"""Figures of analyses: curves with errors, each against its own abscissa, and maps of a quantity
over two."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from openmm_pqeq.report.plots import COLORS, GREY, TEXT, finish, style

MORE_COLORS = (*COLORS, "#8e3b8a", "#b38600", "#3a8f9e", "#7a7a7a", "#c2185b")
"""The first are those of other figures."""


class Line(NamedTuple):
    """y (n,) against x (n,).

    name : in the legend; "" for none
    error : (n,) standard error, drawn as a band about a line and as bars of points
    kind : "line", "dashed" or "points"
    """

    name: str
    x: ArrayLike
    y: ArrayLike
    error: ArrayLike | None = None
    kind: str = "line"


class Graph(NamedTuple):
    """A pair of axes.

    title : what is shown
    x_label, y_label : with units
    lines : colours follow their order
    logarithmic : "", "x", "y" or "xy"
    shaded : the part of the abscissa that a result comes from, with its name
    marks : places on the abscissa, with their names
    places : names on the abscissa in place of numbers; all lines then have one colour
    """

    title: str
    x_label: str
    y_label: str
    lines: Sequence[Line]
    logarithmic: str = ""
    shaded: tuple[float, float, str] | None = None
    marks: Sequence[tuple[float, str]] = ()
    places: Sequence[tuple[float, str]] = ()


class Map(NamedTuple):
    """A quantity over two axes.

    title : what is shown
    x, y : (n,), (m,) at equal intervals, with labels
    values : (m, n), with a label
    signed : whether zero has a colour of its own
    """

    title: str
    x: ArrayLike
    y: ArrayLike
    values: ArrayLike
    x_label: str
    y_label: str
    label: str
    signed: bool = False


def plot_graphs(graphs: Sequence[Graph | Map], title: str, note: str = "") -> Figure:
    """Graphs and maps above each other, with a title and a line of small print."""
    figure = Figure(figsize=(7.2, 1.0 + 2.9 * len(graphs)), layout="constrained", dpi=150)
    axes = figure.subplots(len(graphs), 1, squeeze=False)[:, 0]
    for graph, ax in zip(graphs, axes):
        if isinstance(graph, Map):
            _draw_map(figure, ax, graph)
        else:
            _draw_graph(ax, graph)
        ax.set_title(graph.title, loc="left", fontsize=10.5, color=TEXT)
        ax.set_xlabel(graph.x_label, fontsize=10, color=TEXT)
        ax.set_ylabel(graph.y_label, fontsize=10, color=TEXT)
    figure.align_ylabels(axes)
    finish(figure, title, note)
    return figure


def _draw_graph(ax, graph: Graph) -> None:  # type: ignore[no-untyped-def]  # matplotlib's Axes
    for k, line in enumerate(graph.lines):
        _draw_line(ax, line, MORE_COLORS[0 if graph.places else k % len(MORE_COLORS)])
    if graph.shaded is not None:
        start, stop, name = graph.shaded
        ax.axvspan(start, stop, color=GREY, alpha=0.18, linewidth=0, label=name)
    for place, name in graph.marks:
        ax.axvline(place, color=GREY, linewidth=1.0, linestyle=":", label=name)
    if graph.places:
        _name_places(ax, graph.places)
    if "x" in graph.logarithmic:
        ax.set_xscale("log")
    if "y" in graph.logarithmic:
        ax.set_yscale("log")
    named = graph.shaded is not None or graph.marks or any(line.name for line in graph.lines)
    if named:
        ax.legend(
            frameon=False, fontsize=9, labelcolor=TEXT, loc="center left", bbox_to_anchor=(1.0, 0.5)
        )
    style(ax)


def _name_places(ax, places: Sequence[tuple[float, str]]) -> None:  # type: ignore[no-untyped-def]
    """Names on the abscissa; those at one place share it."""
    names: dict[float, str] = {}
    for place, name in places:
        names[place] = f"{names[place]}|{name}" if place in names else name
        ax.axvline(place, color=GREY, linewidth=0.6)
    ax.axhline(0.0, color=GREY, linewidth=0.6)
    ax.set_xticks(list(names), list(names.values()))


def _draw_line(ax, line: Line, color: str) -> None:  # type: ignore[no-untyped-def]
    x, y = np.asarray(line.x, dtype=float), np.asarray(line.y, dtype=float)
    name = line.name or None
    error = None if line.error is None else np.asarray(line.error, dtype=float)
    if line.kind == "points":
        ax.errorbar(
            x, y, yerr=error, color=color, fmt="o", markersize=4.5, capsize=2.5, linewidth=1.2, label=name
        )  # fmt: skip
        return
    dashes = "--" if line.kind == "dashed" else "-"
    ax.plot(x, y, color=color, linewidth=1.4, linestyle=dashes, label=name)
    if error is not None:
        ax.fill_between(x, y - error, y + error, color=color, alpha=0.22, linewidth=0)


def _draw_map(figure: Figure, ax, graph: Map) -> None:  # type: ignore[no-untyped-def]
    values = np.asarray(graph.values, dtype=float)
    most = float(np.abs(values).max()) or 1.0
    limits = {"vmin": -most, "vmax": most} if graph.signed else {"vmin": 0.0, "vmax": most}
    image = ax.pcolormesh(
        np.asarray(graph.x), np.asarray(graph.y), values,
        cmap="RdBu_r" if graph.signed else "viridis", shading="nearest", rasterized=True, **limits,
    )  # fmt: skip
    bar = figure.colorbar(image, ax=ax)
    bar.set_label(graph.label, fontsize=9.5, color=TEXT)
    bar.ax.tick_params(colors=TEXT, labelsize=8.5)
    bar.outline.set_visible(False)
    style(ax)
    ax.margins(0)
