"""What a training run leaves for its reader: a table, a JSON file and a parity plot.

Energies are per atom and without the elements' shifts. Everything is the network against its labels, reference − PQEq − D3, so that
the errors are those of the whole potential.
"""

import json
from pathlib import Path
from typing import Any, Mapping, Sequence

import torch
from torch import Tensor, nn

from openmm_pqeq.training.data import Edges, join
from openmm_pqeq.training.loss import Errors, Prediction, errors_of, predict_all

HEADINGS = {
    "energy_mae": "energy MAE, meV/atom",
    "energy_rmse": "energy RMSE, meV/atom",
    "force_mae": "force MAE, meV/Å",
    "force_rmse": "force RMSE, meV/Å",
    "stress_mae": "stress MAE, eV/Å³",
    "stress_rmse": "stress RMSE, eV/Å³",
}


def report(gnn: nn.Module, parts: Mapping[str, Sequence[Edges]], folder: Path, facts: dict[str, Any]) -> dict[str, Errors]:
    """Measure `gnn` on every part ("training", "held out", ...) and write errors.json, errors.txt and parity.png.

    `facts` (seeds, steps, seconds, ...) go into errors.json as they are.
    """
    parts = {name: frames for name, frames in parts.items() if frames}
    predictions = {name: predict_all(gnn, frames) for name, frames in parts.items()}
    errors = {name: errors_of(predictions[name], frames) for name, frames in parts.items()}
    content = {**facts, "frames": {k: len(v) for k, v in parts.items()}, "errors": {k: _rounded(v) for k, v in errors.items()}}
    (folder / "errors.json").write_text(json.dumps(content, indent=1) + "\n")
    (folder / "errors.txt").write_text(table(errors) + "\n")
    plot(predictions, parts, folder / "parity.png")
    return errors


def table(errors: dict[str, Errors]) -> str:
    """The errors as plain text."""
    width = 15
    lines = [" " * 24 + "".join(f"{name:>{width}}" for name in errors)]
    for name, heading in HEADINGS.items():
        lines.append(f"{heading:<24}" + "".join(f"{getattr(part, name):>{width}.4g}" for part in errors.values()))
    return "\n".join(lines)


def _rounded(errors: Errors) -> dict[str, float | None]:
    """With six digits, and null where there was nothing to compare."""
    return {name: None if value != value else float(f"{value:.6g}") for name, value in errors._asdict().items()}


def plot(predictions: dict[str, Prediction], parts: Mapping[str, Sequence[Edges]], path: Path) -> None:
    """Three panels, label against network: energy per atom, force components, stress components."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(13, 4.3), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(1, 3)
    titles = ("energy per atom (eV)", "force components (eV/Å)", "stress components (eV/Å³)")
    for name, frames in parts.items():
        edges, predicted = join(frames), predictions[name]
        stress = torch.isfinite(edges.stress)
        pairs: list[tuple[Tensor, Tensor]] = [
            (edges.energy / edges.counts, predicted.energy / edges.counts),
            (edges.forces.ravel(), predicted.forces.ravel()),
            (edges.stress[stress], predicted.stress[stress]),
        ]
        for panel, (label, value) in zip(panels, pairs):
            style = {"markersize": 3, "rasterized": True, "label": f"{name} ({len(frames)} frames)"}
            panel.plot(label.numpy(), value.numpy(), ".", **style)
    for panel, title in zip(panels, titles):
        low, high = panel.get_xlim()
        panel.plot([low, high], [low, high], color="0.6", linewidth=0.8, zorder=0)
        panel.set(title=title, xlabel="label: reference − long-range part", ylabel="network")
    panels[0].legend()
    figure.savefig(path, dpi=130)
