"""The folder of a training: what it leaves there, what a resumed one must have in common with the
one that began, and how it says that it failed."""

import dataclasses
from pathlib import Path
from typing import Any

from openmm_pqeq.checkpoint import file_of
from openmm_pqeq.jobs.facts import WITHOUT_CARD, changed, other_files, read_facts
from openmm_pqeq.jobs.failure import RunFailure, on_the_way, reason_of
from openmm_pqeq.jobs.files import sha256
from openmm_pqeq.jobs.folder import Kind
from openmm_pqeq.model_file import fingerprint
from openmm_pqeq.training.config import Config

CHECKPOINT = "checkpoint.ckpt"
METRICS = "metrics.csv"
SETTINGS = "training.toml"
MODEL = "model.pt"
LABELS = "long_range.pt"
KIND = Kind(
    name="training",
    files=(SETTINGS, LABELS, CHECKPOINT, METRICS, "errors.json", "errors.txt", "parity.png", MODEL),
    resumes_from=CHECKPOINT,
    marks=("settings.json",),
)
"""What a training leaves in its folder."""

RESUME_MAY_CHANGE = tuple(
    f"training.{name}"
    for name in (
        "epochs",
        "max_time",
        "threads",
        "processes",
        "patience",
        "measure_every",
        "device",
    )
)
"""Settings that a resumed training may have otherwise: its length, where it runs, what it measures
on the way."""


def described(config: Config) -> dict[str, Any]:
    """The settings as facts.json has them."""
    return {
        "data": dataclasses.asdict(config.data),
        "potential": config.potential,
        "start": {} if config.start is None else dataclasses.asdict(config.start),
        "training": dataclasses.asdict(config.training),
    }


def checksums(config: Config) -> dict[str, str]:
    """Checksums of the data and of the model to start from."""
    replay = config.start.replay_files if config.start is not None else ()
    files = (*config.data.files, *config.data.held_out.files, *replay)
    places = {file: config.place(file) for file in files}
    found = {file: sha256(place) for file, place in places.items() if place.exists()}
    if config.start is None:
        return found
    model = file_of(config.start.model)
    return found | {"model": sha256(model), "model" + WITHOUT_CARD: fingerprint(model)}


def refuse_others(folder: Path, facts: dict[str, Any]) -> None:
    """ValueError where the training in the folder began with other settings, data or model."""
    before = read_facts(folder)
    others = changed(before.get("settings", {}), facts["settings"], RESUME_MAY_CHANGE)
    if others:
        raise ValueError(
            "resume: expected the settings of the training's start, got others for "
            f"{', '.join(others)}; a resumed training may change {', '.join(RESUME_MAY_CHANGE)} "
            "only. Start a new one"
        )
    if others := other_files(before.get("sha256", {}), facts["sha256"]):
        raise ValueError(
            f"resume: {', '.join(others)}: other contents than at the training's start; bring the "
            "file back, or start a new training"
        )


def from_anywhere(config: Config) -> Config:
    """The config with whole paths, for a file that describes it in another folder."""

    def whole(files: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(str(config.place(file).absolute()) for file in files)

    held_out = dataclasses.replace(config.data.held_out, files=whole(config.data.held_out.files))
    data = dataclasses.replace(config.data, files=whole(config.data.files), held_out=held_out)
    start = config.start
    if start is not None:
        start = dataclasses.replace(start, replay_files=whole(start.replay_files))
        if Path(start.model).is_file():
            start = dataclasses.replace(start, model=str(Path(start.model).absolute()))
    return dataclasses.replace(config, data=data, start=start)


def failure_of(folder: Path, error: Exception) -> RunFailure:
    """What went wrong on the way, after which epoch, and how to go on."""
    metrics, checkpoint = folder / METRICS, folder / CHECKPOINT
    done = metrics.read_text(encoding="utf-8").count("\n") - 1 if metrics.is_file() else 0
    kept, how = (str(checkpoint), "--resume") if checkpoint.is_file() else (None, "--overwrite")
    command = f"the same command with {how}"
    return on_the_way("training", max(0, done), "epoch", reason_of(error), kept, command)
