"""The report of a training: a table, a JSON file and a parity plot.

Energies are per atom and without the elements' shifts. Everything is the network against its
labels, reference − PQEq − D3, so that the errors are those of the whole potential.
"""

import io
import json
from pathlib import Path
from typing import Any, Mapping, NamedTuple, Sequence

import torch
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

from openmm_pqeq.jobs.files import whole, write_text
from openmm_pqeq.training.loss import Errors, Prediction, errors_of, predict_all
from openmm_pqeq.training.samples import Samples, join

HEADINGS = {
    "energy_mae": "energy MAE, meV/atom",
    "energy_rmse": "energy RMSE, meV/atom",
    "force_mae": "force MAE, meV/Å",
    "force_rmse": "force RMSE, meV/Å",
    "stress_mae": "stress MAE, eV/Å³",
    "stress_rmse": "stress RMSE, eV/Å³",
}


QUANTITIES = (
    ("energy per atom (eV)", "energy_rmse", "meV/atom"),
    ("force components (eV/Å)", "force_rmse", "meV/Å"),
    ("stress components (eV/Å³)", "stress_rmse", "eV/Å³"),
)
"""Of a parity plot: title, error and its unit."""
REPLAY = "replay"
"""Title of the frames that the model labelled itself before it was trained."""
NOT_LEARNT = 0.8
"""RMSE over spread of the labels from which on energies count as not learnt: 1 is their mean."""


class Measured(NamedTuple):
    """Some frames, what a network says of them, and how wrong it is."""

    frames: Sequence[Samples]
    predicted: Prediction
    errors: Errors


def measure(model: nn.Module, parts: Mapping[str, Sequence[Samples]]) -> dict[str, Measured]:
    """`model` on every part ("training", "held out", ...) that has frames."""
    result = {}
    for name, frames in parts.items():
        if frames:
            predicted = predict_all(model, frames)
            result[name] = Measured(frames, predicted, errors_of(predicted, frames))
    return result


def report(
    after: Mapping[str, Measured],
    folder: Path,
    facts: dict[str, Any],
    before: Mapping[str, Measured] | None = None,
) -> str:
    """Write errors.json, errors.txt and parity.png into `folder`, and return the table.

    `facts` (seeds, steps, seconds, ...) go into errors.json as they are. Where there is a `before`,
    the plot shows the frames that were not trained on, before and after.
    """
    content = {
        **facts,
        "frames": {k: len(v.frames) for k, v in after.items()},
        "errors": as_json({name: part.errors for name, part in after.items()}),
    }
    text = table({name: part.errors for name, part in after.items()})
    if note := energies_not_learnt(after):
        text += f"\n{note}"
    shown = dict(after)
    if before is not None:
        content["errors_before"] = as_json({name: part.errors for name, part in before.items()})
        name = next(part for part in ("held out", "validation", "training") if part in after)
        text += "\n" + comparison(
            f"{name}, before and after",
            {"before": before[name].errors, "after": after[name].errors},
        )
        shown = {f"{name}, before": before[name], f"{name}, after": after[name]}
    write_text(folder / "errors.json", json.dumps(content, indent=1) + "\n")
    write_text(folder / "errors.txt", text + "\n")
    plot(shown, folder / "parity.png")
    return text


def energies_not_learnt(parts: Mapping[str, Measured]) -> str:
    """A sentence where the energies of a part are predicted hardly better than by their mean."""
    for name, part in parts.items():
        if name == REPLAY:
            continue
        label = _points(part)[0][0]
        spread = 1000 * float(label.double().std(correction=0)) if len(label) > 1 else 0.0
        if part.errors.energy_rmse > NOT_LEARNT * spread > 0:
            return (
                f"Energies were not learnt: of the {name} frames, their RMSE is "
                f"{part.errors.energy_rmse:.3g} meV/atom, and the spread of the labels "
                f"{spread:.3g} meV/atom. More time, more frames or a larger energy_weight may help; "
                "forces are judged by their own errors."
            )
    return ""


def table(errors: Mapping[str, Errors]) -> str:
    """The errors as plain text, a column for each part of the data."""
    return _text(
        "",
        {name: list(part) for name, part in errors.items()},
        [HEADINGS[name] for name in Errors._fields],
    )


def comparison(title: str, errors: Mapping[str, Errors]) -> str:
    """The errors of two models on the same frames, and how many per cent the second one has more or
    less."""
    one, two = errors.values()
    columns: dict[str, list[Any]] = {name: list(part) for name, part in errors.items()}
    percent = [round(100 * (b / a - 1)) if a > 0 and b == b else None for a, b in zip(one, two)]
    columns["change"] = ["" if p is None else f"{p:+d} %" if p else "0 %" for p in percent]
    return _text(title, columns, [HEADINGS[name] for name in Errors._fields])


def _text(title: str, columns: Mapping[str, Sequence[Any]], rows: Sequence[str]) -> str:
    """A rich table as plain text; quantities without a value in any column are left out."""
    grid = Table(box=SIMPLE_HEAD, title=title or None, title_justify="left", pad_edge=False)
    grid.add_column("")
    for name in columns:
        grid.add_column(name, justify="right")
    for index, row in enumerate(rows):
        values = [column[index] for column in columns.values()]
        if any(isinstance(value, float) and value == value for value in values):
            grid.add_row(
                row, *(value if isinstance(value, str) else f"{value:.4g}" for value in values)
            )
    sheet = io.StringIO()
    Console(file=sheet, width=120, color_system=None).print(grid)
    return "\n".join(line.rstrip() for line in sheet.getvalue().splitlines()).strip("\n")


def as_json(parts: Mapping[str, Errors]) -> dict[str, dict[str, float | None]]:
    """The errors with six digits, and null where there was nothing to compare."""
    return {
        name: {
            key: None if value != value else float(f"{value:.6g}")
            for key, value in errors._asdict().items()
        }
        for name, errors in parts.items()
    }


def plot(parts: Mapping[str, Measured], path: Path) -> None:
    """Label against network, a panel for each of energy per atom (less the mean label), force and
    stress that there is."""
    from matplotlib.figure import Figure

    points = {name: _points(part) for name, part in parts.items()}
    shown = [index for index in range(3) if any(len(own[index][0]) for own in points.values())]
    figure = Figure(figsize=(0.4 + 4.2 * len(shown), 4.3), layout="constrained")
    panels = figure.subplots(1, len(shown), squeeze=False)[0]
    for panel, index in zip(panels, shown):
        title, key, unit = QUANTITIES[index]
        for name, own in points.items():
            label, value = own[index]
            error = getattr(parts[name].errors, key)
            about = f"{name} ({len(parts[name].frames)} frames), RMSE {error:.3g} {unit}"
            style = {"markersize": 3, "rasterized": True, "label": about}
            panel.plot(label.numpy(), value.numpy(), ".", **style)
        low, high = panel.get_xlim()
        panel.plot([low, high], [low, high], color="0.6", linewidth=0.8, zorder=0)
        panel.set(title=title, xlabel="label: reference − long-range part", ylabel="network")
        panel.legend(fontsize=7)
    with whole(path) as part:
        figure.savefig(part, dpi=130, format="png")


def _points(part: Measured) -> list[tuple[Tensor, Tensor]]:
    """Labels and predictions of energies, forces, and stress, as far as there are labels."""
    samples, predicted = join(part.frames), part.predicted
    stress, known = torch.isfinite(samples.stress), torch.isfinite(samples.energy)
    energy, found = (
        (samples.energy / samples.counts)[known],
        (predicted.energy / samples.counts)[known],
    )
    mean = energy.mean() if len(energy) else 0.0
    return [
        (energy - mean, found - mean),
        (samples.forces.ravel(), predicted.forces.ravel()),
        (samples.stress[stress], predicted.stress[stress]),
    ]
