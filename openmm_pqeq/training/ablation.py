"""What the long-range part is worth: the same training with and without it.

Same network, seeds, split and settings, and as many epochs: those that the training with it had are
those of the one without. With it the labels are reference − PQEq − D3, without it the reference
itself. Either way the errors are those of the whole model against
the reference (Gao et al., Nat. Commun. 16, 10484 (2025),
https://doi.org/10.1038/s41467-025-65496-3, call the second one w/o-lr).
"""

import csv
import dataclasses
import json
from pathlib import Path
from typing import Callable

from openmm_pqeq.jobs.facts import FACTS, facts_of
from openmm_pqeq.jobs.files import whole, write_text
from openmm_pqeq.jobs.folder import Kind, begin, clear, owned
from openmm_pqeq.training import report
from openmm_pqeq.training.config import Config
from openmm_pqeq.training.folder import CHECKPOINT, METRICS
from openmm_pqeq.training.prepare import model_to_start
from openmm_pqeq.training.run import Result, fit

WITH, WITHOUT = "with-long-range", "without-long-range"
KIND = Kind("ablation", ("ablation.txt", "ablation.json", "ablation.png"), resumes_from=FACTS)
"""What it leaves, beside the folders of the two trainings."""


def ablate(
    config: Config, folder: Path, overwrite: bool, resume: bool, say: Callable[[str], None]
) -> dict[str, Result]:
    """Train with and without PQEq and D3, into two folders inside `folder`; write ablation.txt,
    ablation.json and ablation.png.

    Raises ValueError where there is no long-range part to leave out, and what `train` raises.
    """
    variants = {WITH: config, WITHOUT: without_long_range(config)}
    with owned(folder, KIND, overwrite, resume):
        if not resume:
            begin(folder, KIND, facts_of({"variants": list(variants)}, config.training.seed))
        results: dict[str, Result] = {}
        try:
            for name, variant in variants.items():
                say(f"--- {name.replace('-', ' ')} ---")
                begun = resume and (folder / name / CHECKPOINT).is_file()
                again = overwrite or (resume and not begun)
                epochs = results[WITH].epochs if results else None
                variant = variant if epochs is None else of_length(variant, epochs)
                results[name] = fit(variant, folder / name, again, begun, say, last_epoch=epochs)
        except BaseException:
            if not any((folder / name).exists() for name in variants):
                clear(folder, KIND)
            raise
        _compare(results, folder, say)
    return results


def of_length(config: Config, epochs: int) -> Config:
    """The same with nothing that ends it but a number of epochs; a learning rate that followed the
    time reaches zero with the last of them."""
    training = dataclasses.replace(config.training, max_time=0.0, patience=0)
    if training.schedule == "cosine-time":
        training = dataclasses.replace(training, schedule="cosine", epochs=epochs)
    return dataclasses.replace(config, training=training)


def _compare(results: dict[str, Result], folder: Path, say: Callable[[str], None]) -> None:
    """Both models on the same frames: a table, a file, a plot; nothing where one of them was trained
    for longer, as in folders of earlier versions."""
    one, other = (results[name].epochs for name in (WITH, WITHOUT))
    if one != other:
        say(
            f"nothing is compared: {one} epochs with the long-range part, {other} without; train "
            "both anew with overwrite"
        )
        return
    parts = [
        part for part in ("held out", "validation", "training") if part in results[WITH].errors
    ]
    text = report.comparison(
        f"{parts[0]}, with and without PQEq and D3",
        {name.replace("-", " "): results[name].errors[parts[0]] for name in (WITHOUT, WITH)},
    )
    write_text(folder / "ablation.txt", text + "\n")
    content = {name: report.as_json(result.errors) for name, result in results.items()}
    write_text(folder / "ablation.json", json.dumps(content, indent=1) + "\n")
    plot(results, parts[0], folder / "ablation.png")
    say(text)


def without_long_range(config: Config) -> Config:
    """Settings for the network alone."""
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
    """Force errors: on the way, as far as they were measured, and at the end."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    figure = Figure(figsize=(10, 3.8), layout="constrained")
    way, end = figure.subplots(1, 2, width_ratios=(2, 1))
    measured = {name: _on_the_way(result.folder / METRICS) for name, result in results.items()}
    where = max(measured[WITH], key=lambda column: len(measured[WITH][column]))
    for index, (name, result) in enumerate(results.items()):
        label, color = name.replace("-", " "), f"C{index}"
        if points := measured[name][where]:
            style = {"color": color, "label": label, "markersize": 4}
            way.plot(*zip(*points), "-o" if index == 0 else "--s", **style)
        value = result.errors[part].force_rmse
        bar = end.bar(label.replace(" ", "\n", 1), value, color=color)
        end.bar_label(bar, [f"{value:.3g}"])
    way.set(title=f"{where} frames, on the way", xlabel="epoch", ylabel="force RMSE, meV/Å")
    way.xaxis.set_major_locator(MaxNLocator(integer=True))
    end.set(title=f"{part}, exported model", ylabel="force RMSE, meV/Å")
    end.margins(y=0.1)
    if way.lines:
        way.set_ylim(bottom=0)
        way.legend(frameon=False)
    with whole(path) as written:
        figure.savefig(written, dpi=130, format="png")


def _on_the_way(metrics: Path) -> dict[str, list[tuple[int, float]]]:
    """(epoch, force RMSE in meV/Å) of held-out and validation frames, where they were measured."""
    with metrics.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    columns = {"held-out": "held_out_force_rmse", "validation": "validation_force_rmse"}
    return {
        name: [(int(row["epoch"]), float(row[column])) for row in rows if row[column]]
        for name, column in columns.items()
    }
