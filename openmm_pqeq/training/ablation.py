"""What the long-range part is worth: the same training with and without it.

Same network, seeds, split, settings and allowance of time; with it the labels are reference − PQEq
− D3, without it the reference itself. Either way the errors are those of the whole model against
the reference (Gao et al., Nat. Commun. 16, 10484 (2025),
https://doi.org/10.1038/s41467-025-65496-3, call the second one w/o-lr).
"""

import csv
import dataclasses
import json
from pathlib import Path
from typing import Callable

from openmm_pqeq.training import report
from openmm_pqeq.training.config import Config
from openmm_pqeq.training.module import CHECKPOINT, METRICS
from openmm_pqeq.training.prepare import model_to_start
from openmm_pqeq.training.run import Result, fit

WITH, WITHOUT = "with-long-range", "without-long-range"


def ablate(
    config: Config, folder: Path, overwrite: bool, resume: bool, say: Callable[[str], None]
) -> dict[str, Result]:
    """Train with and without PQEq and D3, into two folders inside `folder`; write ablation.txt,
    ablation.json and ablation.png.

    Raises ValueError where there is no long-range part to leave out, and what `train` raises.
    """
    variants = {WITH: config, WITHOUT: without_long_range(config)}
    if folder.exists() and not (overwrite or resume):
        raise FileExistsError(
            f"output: {folder} exists; choose another folder, or overwrite or resume it"
        )
    if resume and not any((folder / name / CHECKPOINT).is_file() for name in variants):
        raise FileNotFoundError(f"resume: no checkpoint in {folder}; start without resume")
    results: dict[str, Result] = {}
    for name, variant in variants.items():
        say(f"--- {name.replace('-', ' ')} ---")
        begun = resume and (folder / name / CHECKPOINT).is_file()
        results[name] = fit(variant, folder / name, overwrite or (resume and not begun), begun, say)
    parts = [
        part for part in ("held out", "validation", "training") if part in results[WITH].errors
    ]
    text = report.comparison(
        f"{parts[0]}, with and without PQEq and D3",
        {name.replace("-", " "): results[name].errors[parts[0]] for name in (WITHOUT, WITH)},
    )
    (folder / "ablation.txt").write_text(text + "\n")
    content = {name: report.as_json(result.errors) for name, result in results.items()}
    (folder / "ablation.json").write_text(json.dumps(content, indent=1) + "\n")
    plot(results, parts[0], folder / "ablation.png")
    say(text)
    return results


def without_long_range(config: Config) -> Config:
    """The same settings with a network alone."""
    if config.data.labels != "reference":
        raise ValueError(
            "data.labels: expected 'reference' for a training without the long-range part, got "
            f"{config.data.labels!r}: the whole"
            " reference is not in the data"
        )
    if config.start is None:
        terms = [name for name in config.potential if name != "gnn"]
        less = dataclasses.replace(config, potential={"gnn": config.potential["gnn"]})
    else:
        potential = model_to_start(config.start)
        terms = [name for name in potential.config if name != "gnn"]
        less = dataclasses.replace(
            config, start=dataclasses.replace(config.start, long_range=False, train_pqeq=())
        )
    if not terms:
        raise ValueError(
            "ablate: expected a potential with PQEq or D3, got a network alone; there is nothing "
            "to leave out"
        )
    return less


def plot(results: dict[str, Result], part: str, path: Path) -> None:
    """Force errors: on the way (validation or held-out frames, as measured) and at the end."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 3.8), layout="constrained")
    way, end = figure.subplots(1, 2, width_ratios=(2, 1))
    for index, (name, result) in enumerate(results.items()):
        label, color = name.replace("-", " "), f"C{index}"
        with (result.folder / METRICS).open(newline="") as file:
            rows = list(csv.DictReader(file))
        column = next(
            (
                c
                for c in ("held_out_force_rmse", "validation_force_rmse")
                if any(row[c] for row in rows)
            ),
            None,
        )
        if column is not None:
            points = [(int(row["epoch"]), float(row[column])) for row in rows if row[column]]
            way.plot(*zip(*points), color=color, label=label)
        value = result.errors[part].force_rmse
        bar = end.bar(label.replace(" ", "\n", 1), value, color=color)
        end.bar_label(bar, [f"{value:.3g}"])
    way.set(title="on the way", xlabel="epoch", ylabel="force RMSE, meV/Å", yscale="log")
    end.set(title=f"{part}, exported model", ylabel="force RMSE, meV/Å")
    if way.lines:
        way.legend(frameon=False)
    figure.savefig(path, dpi=130)
