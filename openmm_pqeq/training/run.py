"""`train`: from a training file to a model file.

read frames → subtract the other terms → element shifts → fit the network → errors, plot, model.pt

With a model to start from, this is fine-tuning: chosen weights of that model, and a table of before
and after.
"""

import os
from pathlib import Path
from typing import Callable, NamedTuple

import torch
from torch import nn

from openmm_pqeq.checkpoint import PUBLISHED, at_hand, refuse_unknown
from openmm_pqeq.jobs.facts import add_resumption, facts_of
from openmm_pqeq.jobs.files import write_text
from openmm_pqeq.jobs.folder import begin, clear, owned
from openmm_pqeq.jobs.progress import Watch, unwatched
from openmm_pqeq.training import report
from openmm_pqeq.training.config import Config, read_config, write_toml
from openmm_pqeq.training.export import export
from openmm_pqeq.training.folder import (
    CHECKPOINT,
    KIND,
    LABELS,
    MODEL,
    SETTINGS,
    checksums,
    described,
    failure_of,
    from_anywhere,
    refuse_others,
)
from openmm_pqeq.training.loop import loop
from openmm_pqeq.training.loss import Errors
from openmm_pqeq.training.pqeq import Polarizable, TrainedPQEq
from openmm_pqeq.training.prepare import Prepared, fit_shifts, frames_of, prepare
from openmm_pqeq.training.processes import (
    ALONE,
    Work,
    others,
    refuse_too_many,
    use_threads,
)


class Result(NamedTuple):
    """folder with everything written; errors of "training", "validation" and "held out"; the
    model's file; the epochs that there were."""

    folder: Path
    errors: dict[str, Errors]
    model: Path
    epochs: int


def train(
    config_path: str | os.PathLike[str],
    output: str | os.PathLike[str] | None = None,
    overwrite: bool = False,
    resume: bool = False,
    say: Callable[[str], None] = print,
) -> Result:
    """Train the network of a training file and write the model.

    Parameters
    ----------
    config_path : a TOML file, see training/config.py
    output : folder for metrics.csv, checkpoint.ckpt, errors.json, errors.txt, parity.png, model.pt;
        default: `output` of the file
    overwrite : replace the run that is in `output`
    resume : go on from its checkpoint
    say : takes each line of progress

    Raises
    ------
    FileNotFoundError, FileExistsError, ValueError : what is wrong with the file, the data or the
        folder
    RunFailure : on the way, such as a loss that is no longer finite, or a full disk
    """
    config = read_config(config_path)
    return fit(
        config, Path(output) if output is not None else Path(config.output), overwrite, resume, say
    )


def fit(
    config: Config,
    folder: Path,
    overwrite: bool,
    resume: bool,
    say: Callable[[str], None],
    watch: Watch = unwatched,
    last_epoch: int | None = None,
) -> Result:
    """Train from settings that have been read; `watch` gets news after every epoch, and the training
    ends after `last_epoch` of them without another schedule."""
    if config.training.device == "cuda" and not torch.cuda.is_available():
        raise ValueError(
            "training.device: expected 'cpu', because torch finds no CUDA device here, got 'cuda'"
        )
    refuse_too_many(config.training)
    use_threads(config)
    torch.manual_seed(config.training.seed)
    with owned(folder, KIND, overwrite, resume):
        prepared = _prepared(config, folder, overwrite, resume, say)
        try:
            checkpoint = folder / CHECKPOINT if resume else None
            return _fitted(config, prepared, folder, checkpoint, say, watch, last_epoch)
        except (RuntimeError, ValueError, OSError) as error:
            raise failure_of(folder, error) from error


def _prepared(
    config: Config, folder: Path, overwrite: bool, resume: bool, say: Callable[[str], None]
) -> Prepared:
    """Everything before the first step; a training that was there is only replaced when all that
    can be refused has been looked at, and so has the data before a model is fetched."""
    if config.start is not None:
        refuse_unknown({"start.model": config.start.model})
        if config.start.model in PUBLISHED and not at_hand(config.start.model):
            frames_of(config)
    facts = facts_of(described(config), config.training.seed, checksums(config))
    if resume:
        refuse_others(folder, facts)
    new = not (overwrite or resume)
    if new:
        begin(folder, KIND, facts)
    try:
        prepared = prepare(config, say, folder / LABELS)
    except BaseException:
        if new:
            clear(folder, KIND)
        raise
    if overwrite:
        begin(folder, KIND, facts, keep=(LABELS,))
    elif resume:
        add_resumption(folder, KIND.name, described(config))
    write_text(folder / SETTINGS, write_toml(from_anywhere(config)))
    return prepared


def _fitted(
    config: Config,
    prepared: Prepared,
    folder: Path,
    checkpoint: Path | None,
    say: Callable[[str], None],
    watch: Watch,
    last_epoch: int | None,
) -> Result:
    """The training itself, and what it leaves."""
    settings = config.training
    before = _measure(prepared.model, prepared) if config.start is not None else None
    work = Work(config, prepared, folder, checkpoint, last_epoch)
    if settings.processes > 1:
        with others(settings.processes, work) as group:
            module, epochs = loop(*work, group, say, watch)
    else:
        module, epochs = loop(*work, ALONE, say, watch)
    model = module.exported()
    if settings.energy_weight == 0 and (config.start is None or config.start.shifts == "fit"):
        prepared = fit_shifts(prepared, model, say)
    facts = {
        "seed": settings.seed,
        "steps": module.steps,
        "epochs": epochs,
        "seconds": round(module.elapsed, 1),
        "parameters": sum(p.numel() for p in module.gnn.parameters()),
        "trained_parameters": sum(p.numel() for p in module.gnn.parameters() if p.requires_grad),
        "training_frames": prepared.split.train,
        "held_out_frames": prepared.split.held_out,
        "force_rms_eV_per_A": prepared.scale,
        "replay_frames": [len(frames) for frames in prepared.replay],
        "element_shifts_eV": dict(zip(prepared.species, prepared.shifts.tolist())),
        "torch": str(torch.__version__),
    }
    if isinstance(model, Polarizable):
        facts["pqeq_parameters"] = model.pqeq.table()
        say(_parameters_moved(model.pqeq))
    after = _measure(model, prepared)
    say(report.report(after, folder, facts, before))
    errors = {name: part.errors for name, part in after.items()}
    path = export(config, prepared, model, folder / MODEL, facts, errors)
    say(f"model: {path}")
    return Result(folder, errors, path, epochs)


def _measure(model: nn.Module, prepared: Prepared) -> dict[str, report.Measured]:
    titles = {"training": "train", "validation": "validation", "held out": "held_out"}
    parts = {title: prepared.part(name) for title, name in titles.items()}
    return report.measure(model, parts | {report.REPLAY: prepared.replay.held_out})


def _parameters_moved(pqeq: TrainedPQEq) -> str:
    lines = ["PQEq parameters, start → now (eV, eV, Å, eV/Å², e/√eV, eV):"]
    for symbol, values in pqeq.table().items():
        lines.append(
            f"  {symbol:<3}"
            + "  ".join(f"{name} {start:.4f} → {now:.4f}" for name, (start, now) in values.items())
        )
    return "\n".join(lines)
