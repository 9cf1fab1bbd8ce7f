"""Plots of a run: figures that can be read without the run at hand."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

TEXT = "#1a1a1a"
COLORS = ("#0b5fa5", "#b3541e", "#2b7a3d")
"""Blue, orange, green: told apart on paper and with colour-blind eyes by lightness as well."""
GREY = "#8a8a8a"


class Curve(NamedTuple):
    """values (n,) with the name they have in the legend ("" for none); None leaves the place and
    colour of a curve empty. A faint one is drawn thin, behind the others."""

    name: str
    values: ArrayLike | None
    faint: bool = False


class Panel(NamedTuple):
    """One pair of axes.

    title : what is shown
    label : of the vertical axis, with the unit
    curves : against the common abscissa
    reference : a value marked by a line, with its name
    """

    title: str
    label: str
    curves: Sequence[Curve]
    reference: tuple[float, str] | None = None


def plot_panels(
    x: ArrayLike, x_label: str, panels: Sequence[Panel], title: str, note: str = ""
) -> Figure:
    """Panels above each other with a common abscissa.

    Parameters
    ----------
    x : (n,)
    x_label : with the unit
    panels : from top to bottom
    title : of the figure
    note : a line of small print below
    """
    figure = Figure(figsize=(7.2, 1.0 + 2.3 * len(panels)), layout="constrained", dpi=150)
    axes = figure.subplots(len(panels), 1, sharex=True, squeeze=False)[:, 0]
    for panel, ax in zip(panels, axes):
        for curve, color in zip(panel.curves, COLORS):
            if curve.values is None:
                continue
            ax.plot(
                np.asarray(x),
                np.asarray(curve.values),
                color=color,
                linewidth=0.7 if curve.faint else 1.4,
                alpha=0.45 if curve.faint else 1.0,
                zorder=1.0 if curve.faint else 2.0,
                label=curve.name or None,
            )
        if panel.reference is not None:
            value, name = panel.reference
            ax.axhline(value, color=GREY, linewidth=1.0, linestyle="--", label=name)
        ax.set_title(panel.title, loc="left", fontsize=10.5, color=TEXT)
        ax.set_ylabel(panel.label, fontsize=10, color=TEXT)
        if (
            any(curve.name for curve in panel.curves if curve.values is not None)
            or panel.reference is not None
        ):
            ax.legend(
                frameon=False,
                fontsize=9,
                labelcolor=TEXT,
                loc="center left",
                bbox_to_anchor=(1.0, 0.5),
            )
        style(ax)
    figure.align_ylabels(axes)
    axes[-1].set_xlabel(x_label, fontsize=10, color=TEXT)
    finish(figure, title, note)
    return figure


def plot_loop(
    x: ArrayLike, y: ArrayLike, labels: tuple[str, str], title: str, note: str = ""
) -> Figure:
    """One quantity against another that goes back and forth, such as polarization against field;
    time runs from light to dark."""
    x, y = np.asarray(x), np.asarray(y)
    figure = Figure(figsize=(6.4, 5.0), layout="constrained", dpi=150)
    ax = figure.subplots()
    ax.plot(x, y, color=GREY, linewidth=0.8, zorder=1)
    points = ax.scatter(x, y, c=np.linspace(0.0, 1.0, len(x)), cmap="viridis_r", s=14, zorder=2)
    bar = figure.colorbar(points, ax=ax, ticks=[0.0, 1.0])
    bar.ax.set_yticklabels(["start", "end"], fontsize=9, color=TEXT)
    bar.outline.set_visible(False)
    ax.set_xlabel(labels[0], fontsize=10, color=TEXT)
    ax.set_ylabel(labels[1], fontsize=10, color=TEXT)
    style(ax)
    finish(figure, title, note)
    return figure


def style(ax) -> None:  # type: ignore[no-untyped-def]  # matplotlib's Axes
    """Dark text, two spines, no clutter."""
    ax.spines[["top", "right"]].set_visible(False)
    ax.spines[["left", "bottom"]].set_color(TEXT)
    ax.tick_params(colors=TEXT, labelsize=9)
    ax.margins(x=0.01)


def finish(figure: Figure, title: str, note: str) -> None:
    """Title above and small print below."""
    figure.suptitle(title, x=0.01, ha="left", fontsize=11.5, color=TEXT, fontweight="bold")
    if note:
        figure.supxlabel(note, x=0.01, ha="left", fontsize=8, color=TEXT)


def plot_bars(
    names: Sequence[str], parts: Sequence[Curve], label: str, title: str, note: str = ""
) -> Figure:
    """Horizontal bars, the first on top; each is made of parts side by side, and its sum and its
    share of all stand at its end.

    Parameters
    ----------
    names : (n,) of the bars
    parts : (n,) each; values below zero are drawn as none
    label : of the horizontal axis, with the unit
    title : of the figure
    note : lines of small print below
    """
    figure = Figure(figsize=(7.2, 1.5 + 0.32 * len(names)), layout="constrained", dpi=150)
    ax = figure.subplots()
    left = np.zeros(len(names))
    for part, color in zip(parts, COLORS):
        width = np.clip(np.asarray(part.values, dtype=float), 0.0, None)
        ax.barh(np.arange(len(names)), width, left=left, height=0.68, color=color, label=part.name)
        left = left + width
    sums = np.sum([np.asarray(part.values, dtype=float) for part in parts], axis=0)
    for row, (end, value) in enumerate(zip(left, sums)):
        ax.text(
            end + 0.01 * left.max(),
            row,
            f"{value:.3g}  ({value / sums.sum():.1%})",
            va="center",
            fontsize=8.5,
            color=TEXT,
        )
    ax.set_yticks(np.arange(len(names)), names)
    ax.invert_yaxis()
    style(ax)
    ax.tick_params(axis="y", length=0)
    ax.set_xlim(0.0, 1.22 * left.max())
    ax.set_xlabel(label, fontsize=10, color=TEXT)
    ax.legend(frameon=False, fontsize=9, labelcolor=TEXT, loc="lower right")
    finish(figure, title, note)
    return figure
