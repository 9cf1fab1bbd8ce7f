"""`train`: from a training file to a model file.

read frames → subtract PQEq and D3 → element shifts → fit the network → errors, plot, model.pt
"""

import dataclasses
import json
import logging
import os
import shutil
import signal
import warnings
from pathlib import Path
from typing import Any, Callable, NamedTuple

import lightning
import torch
from ase.data import chemical_symbols
from torch import Tensor, nn

from openmm_pqeq.checkpoint import save
from openmm_pqeq.gnn import NequIP
from openmm_pqeq.neighbors import NeighborSearch
from openmm_pqeq.potential import Potential, build
from openmm_pqeq.training import data, report
from openmm_pqeq.training.config import Config, read_config
from openmm_pqeq.training.data import Edges, Frame, Labels, Split
from openmm_pqeq.training.loss import Errors
from openmm_pqeq.training.module import CHECKPOINT, NetworkTraining, Progress, SaveEveryEpoch, loader_of

SETTINGS = "settings.json"
MODEL = "model.pt"
LABELS = "long_range.pt"

CHANGEABLE = ("epochs", "max_time", "threads", "patience", "measure_every", "device")
"""Settings that a resumed run may have changed."""


class Result(NamedTuple):
    """folder with everything written; errors of "training", "validation" and "held out"; the model's file."""

    folder: Path
    errors: dict[str, Errors]
    model: Path


class Prepared(NamedTuple):
    """Everything before the first step."""

    gnn: NequIP
    gnn_config: dict[str, Any]
    shifts: Tensor
    scale: float
    split: Split
    edges: list[Edges]


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
    output : folder for metrics.csv, checkpoint.ckpt, errors.json, errors.txt, parity.png, model.pt; default: `output` of the file
    overwrite : replace the run that is in `output`
    resume : go on from its checkpoint
    say : takes each line of progress

    Raises
    ------
    FileNotFoundError, FileExistsError, ValueError : what is wrong with the file, the data or the folder
    RuntimeError : the loss is no longer finite
    """
    config = read_config(config_path)
    folder = Path(output) if output is not None else Path(config.output)
    _open_folder(folder, config, overwrite, resume)
    return _fit(config, folder, folder / CHECKPOINT if resume else None, say)


def _fit(config: Config, folder: Path, checkpoint: Path | None, say: Callable[[str], None]) -> Result:
    settings = config.training
    if settings.threads:
        torch.set_num_threads(settings.threads)
    torch.manual_seed(settings.seed)
    prepared = prepare(config, say, folder / LABELS)
    train_, validation, held_out = ([prepared.edges[i] for i in part] for part in prepared.split)
    loader = loader_of(train_, settings.batch_size, settings.seed)
    module = NetworkTraining(prepared.gnn, settings, prepared.scale, len(loader))
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)  # no list of the accelerators that are not there
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*does not have many workers.*")
        warnings.filterwarnings("ignore", message=".*number of training batches.*")
        trainer = lightning.Trainer(
            accelerator={"cuda": "gpu"}.get(settings.device, settings.device),
            devices=1,
            max_epochs=settings.epochs,
            gradient_clip_val=settings.gradient_clip or None,
            callbacks=[Progress(folder, validation, held_out, say), SaveEveryEpoch(folder / CHECKPOINT)],
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            default_root_dir=folder,
        )
        on_interrupt = signal.getsignal(signal.SIGINT)
        try:
            trainer.fit(module, train_dataloaders=loader, ckpt_path=checkpoint, weights_only=True)
        except SystemExit as leaving:  # how Lightning ends after Ctrl-C, with further ones ignored
            signal.signal(signal.SIGINT, on_interrupt)
            if trainer.received_sigterm:
                raise
            say(f"interrupted; {folder / CHECKPOINT} holds the last whole epoch, resume goes on from there")
            raise KeyboardInterrupt from leaving
    facts = {
        "seed": settings.seed,
        "steps": module.steps,
        "epochs": trainer.current_epoch,
        "seconds": round(module.elapsed, 1),
        "parameters": sum(p.numel() for p in module.gnn.parameters()),
        "held_out_frames": prepared.split.held_out,
        "element_shifts_eV": dict(zip(prepared.gnn_config["species"], prepared.shifts.tolist())),
        "torch": str(torch.__version__),
    }
    parts = {"training": train_, "validation": validation, "held out": held_out}
    errors = report.report(module.exported(), parts, folder, facts)
    say(report.table(errors))
    model = export(config, prepared, module.exported(), folder / MODEL, facts, errors)
    say(f"model: {model}")
    return Result(folder, errors, model)


def prepare(config: Config, say: Callable[[str], None] = print, keep_labels: Path | None = None) -> Prepared:
    """Labels, split, shifts and a network with fresh weights; the long-range labels are kept in the file `keep_labels`."""
    frames = data.read_frames(config.data.files, config.data, config.folder)
    others = data.read_frames(config.data.held_out.files, config.data, config.folder) if config.data.held_out.files else []
    split = data.split_frames(len(frames) + len(others), config.data, len(others))
    frames += others
    terms = {name: dict(table) for name, table in config.potential.items() if name != "gnn"}
    long_range = build(terms) if terms else None
    if long_range is not None:
        data.check_species(frames, long_range.species, "PQEq and D3")
    say(f"{len(split.train)} frames for training, {len(split.validation)} for validation, {len(split.held_out)} held out")
    if long_range is not None:
        frames = data.subtract(frames, _long_range_labels(frames, long_range, keep_labels))
    training = [frames[i] for i in split.train]
    gnn_config: dict[str, Any] = {"species": data.species_of(training), "seed": config.training.seed} | config.potential["gnn"]
    shifts = data.element_shifts(training, gnn_config["species"], config.data.atomic_energies)
    data.check_species(frames, gnn_config["species"], "the network")
    scale = data.force_rms(training)
    gnn, edges, gnn_config = _network(config, gnn_config, frames, split, shifts, scale)
    weights = sum(p.numel() for p in gnn.parameters())
    say(f"labels: force RMS {scale:.3f} eV/Å, energy spread {_spread(edges):.1f} meV/atom; {weights} weights")
    return Prepared(gnn, gnn_config, shifts, scale, split, edges)


def _network(
    config: Config, gnn_config: dict[str, Any], frames: list[Frame], split: Split, shifts: Tensor, scale: float
) -> tuple[NequIP, list[Edges], dict[str, Any]]:
    """The network with fresh weights, all frames with their pairs, and its complete config (avg_neighbors from the data)."""
    dtype = getattr(torch, config.training.dtype)
    gnn = _gnn_of(build({"gnn": gnn_config}))
    by_number = dict(zip((chemical_symbols.index(s) for s in gnn_config["species"]), shifts.tolist()))
    edges = [data.edges_of(frame, NeighborSearch(gnn.cutoff), by_number, dtype) for frame in frames]
    if "avg_neighbors" not in gnn_config:
        pairs = sum(len(edges[i].centers) for i in split.train) / sum(len(edges[i].numbers) for i in split.train)
        gnn_config = gnn_config | {"avg_neighbors": round(pairs, 3)}
        gnn = _gnn_of(build({"gnn": gnn_config}))
    gnn.scale.fill_(scale)
    return gnn.to(dtype).train(), edges, gnn_config


def _gnn_of(potential: Potential) -> NequIP:
    if potential.gnn is None:
        raise ValueError("potential.gnn: expected a network, got none")
    return potential.gnn


def _long_range_labels(frames: list[Frame], potential: Potential, path: Path | None) -> list[Labels]:
    """From the file `path` where it holds those of the same structures and parameters, or else computed and kept there."""
    same = data.fingerprint(frames, potential.config)
    if path is not None and path.is_file():
        kept = torch.load(path, weights_only=True)
        if kept["fingerprint"] == same:
            return [Labels(*values) for values in kept["labels"]]
    labels = data.long_range_part(frames, potential)
    if path is not None:
        torch.save({"fingerprint": same, "labels": [tuple(values) for values in labels]}, path)
    return labels


def _spread(edges: list[Edges]) -> float:
    """Standard deviation of the energies per atom that are left to learn, meV."""
    return 1000 * float(torch.cat([e.energy / e.counts for e in edges]).std(correction=0))


def export(
    config: Config, prepared: Prepared, gnn: nn.Module, path: Path, facts: dict[str, Any], errors: dict[str, Errors]
) -> Path:
    """Write the whole potential with the trained network, its element shifts and the model card."""
    potential = build(config.potential | {"gnn": prepared.gnn_config})
    target = _gnn_of(potential)
    target.load_state_dict(gnn.state_dict())
    target.shift.copy_(prepared.shifts)
    card: dict[str, Any] = json.loads(json.dumps(config.card, default=str))  # a date, say, becomes its text
    card["errors"] = {name: {k: v for k, v in part._asdict().items() if v == v} for name, part in errors.items()}
    done = {k: v for k, v in facts.items() if k != "element_shifts_eV"}
    card["training"] = dataclasses.asdict(config.training) | done  # the epochs that were, not those allowed
    save(potential, path, card=card)
    return path


def _open_folder(folder: Path, config: Config, overwrite: bool, resume: bool) -> None:
    """Make the folder, or refuse; what decides the labels and the network must not change on resuming."""
    fixed: dict[str, dict[str, Any]] = {part: dataclasses.asdict(getattr(config, part)) for part in ("data", "training")}
    fixed = json.loads(json.dumps({**fixed, "potential": config.potential}))
    for name in CHANGEABLE:
        fixed["training"].pop(name)
    if resume and overwrite:
        raise ValueError("overwrite and resume: expected one of them, got both")
    if resume:
        if not (folder / CHECKPOINT).is_file():
            raise FileNotFoundError(f"resume: no checkpoint in {folder}; start without resume")
        before = json.loads((folder / SETTINGS).read_text())
        changed = [f"{part}.{key}" for part in fixed for key, value in fixed[part].items() if before[part].get(key) != value]
        changed += [f"{part}.{key}" for part in fixed for key in before[part] if key not in fixed[part] and key not in CHANGEABLE]
        if changed:
            raise ValueError(
                f"resume: expected the settings of the run's start, got others for {', '.join(changed)}; start a new one"
            )
        return
    if folder.exists():
        if not overwrite:
            raise FileExistsError(f"output: {folder} exists; choose another folder, or overwrite or resume it")
        if (folder / SETTINGS).is_file():
            shutil.rmtree(folder)
        elif not folder.is_dir() or any(folder.iterdir()):
            raise FileExistsError(f"output: {folder} is not the folder of a training run; choose another")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / SETTINGS).write_text(json.dumps(fixed, indent=1) + "\n")
