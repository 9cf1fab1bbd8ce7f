"""Parity plots: what a model says against what is known."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure

MOST_POINTS = 20_000
"""Of a cloud; more are thinned evenly."""


class Cloud(NamedTuple):
    """Known and predicted values of one quantity, (n,) each, and a line of text on them."""

    known: np.ndarray
    predicted: np.ndarray
    note: str


def plot_parity(panels: Mapping[str, Mapping[str, Cloud]], title: str) -> Figure:
    """A panel for each quantity ("force (eV/Å)"), a cloud for each model, the diagonal under them."""
    figure = Figure(figsize=(0.4 + 4.4 * max(len(panels), 1), 4.6), layout="constrained")
    figure.suptitle(title, fontsize="medium")
    axes: Sequence = figure.subplots(1, max(len(panels), 1), squeeze=False)[0]
    for ax, (quantity, clouds) in zip(axes, panels.items()):
        for k, (model, cloud) in enumerate(clouds.items()):
            every = -(-len(cloud.known) // MOST_POINTS) if len(cloud.known) else 1
            ax.plot(
                cloud.known[::every],
                cloud.predicted[::every],
                ".",
                markersize=2.5,
                alpha=0.6,
                color=f"C{k}",
                rasterized=True,
                label=f"{model}\n{cloud.note}",
            )
        low, high = ax.get_xlim()
        ax.plot([low, high], [low, high], color="0.4", linewidth=0.8, zorder=3)
        ax.set(title=quantity, xlabel="reference", ylabel="model")
        ax.legend(fontsize="small", loc="upper left", markerscale=3)
    return figure
