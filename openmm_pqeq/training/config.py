"""The training file: what may stand in it, what it means, and what is refused.

A TOML file with the tables [data], [potential.gnn] and those of other terms, such as
[potential.pqeq] and [potential.d3], [training] and [card]; or with [start], a model to go on from,
instead of [potential]. The potential's tables are handed to `potential.build` as they are;
everything else is one of the settings in settings.py.
Nothing is guessed: an unknown key is an error that names the nearest known one.
`openmm_pqeq/models/batio3.toml` is a complete example.
"""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from openmm_pqeq.jobs import quantities, values
from openmm_pqeq.jobs.settings import (
    configured,
    read_toml,
    refuse_unknown,
    toml_lines,
    toml_value,
)
from openmm_pqeq.limits import limits_of
from openmm_pqeq.terms import TERMS
from openmm_pqeq.training.settings import (
    LABELS,
    NONE,
    DataSettings,
    StartSettings,
    TrainingSettings,
)

ANY_NUMBER = 1_000_000
"""Epochs of a training that its time ends."""
TABLES = ("data", "potential", "start", "training", "card", "output")


@dataclass(frozen=True)
class Config:
    """A whole training file; `potential` is what `potential.build` takes (empty with `start`),
    `folder` what relative paths are relative to."""

    data: DataSettings
    potential: dict[str, dict[str, Any]]
    training: TrainingSettings
    card: dict[str, Any]
    output: str
    folder: Path
    start: StartSettings | None = None

    def place(self, file: str) -> Path:
        """Where a file of the data is: relative to the training file, or else to the working
        directory."""
        beside = self.folder / file
        return beside if beside.exists() else Path(file)


def read_config(path: str | os.PathLike[str]) -> Config:
    """The training file at `path`; raises FileNotFoundError or a ValueError that names the key."""
    path = values.path("config", path)
    return config_of(read_table(path), path.parent, default_output=path.stem)


def read_table(path: Path) -> dict[str, Any]:
    """The content of a training file."""
    if not path.is_file():
        raise FileNotFoundError(
            f"config: no file {path}; a complete example is openmm_pqeq/models/batio3.toml"
        )
    return read_toml(path)


def config_of(
    table: dict[str, Any], folder: str | os.PathLike[str] = ".", default_output: str = "training"
) -> Config:
    """A training from a parsed table, checked."""
    refuse_unknown(table, TABLES)
    for name in ("data", "start" if "start" in table else "potential"):
        if not isinstance(table.get(name), dict):
            raise ValueError(
                f"[{name}]: expected a table, got {table.get(name)!r}; add [{name}] to the "
                "training file"
            )
    if "start" in table and "potential" in table:
        raise ValueError(
            "[start] and [potential]: expected one of them, got both; the potential is that of the "
            "model in [start]"
        )
    start = configured(StartSettings, table["start"], "start.") if "start" in table else None
    potential = table.get("potential", {})
    refuse_unknown(potential, tuple(TERMS), "potential.")
    if start is None and "gnn" not in potential:
        raise ValueError(
            "[potential.gnn]: expected a table, got nothing; it is the network to train (an empty "
            "table will do)"
        )
    data = configured(DataSettings, table["data"], "data.")
    training = configured(TrainingSettings, _length(table.get("training", {})), "training.")
    _check(data, training)
    if start is not None:
        _check_start(start, data)
    card, output = table.get("card", {}), table.get("output", default_output)
    if not isinstance(card, dict):
        raise ValueError(f"[card]: expected a table of texts, got {card!r}")
    limits_of(card, "to be trained")
    if not isinstance(output, str) or not output.strip():
        raise ValueError(f"output: expected the name of a folder, got {output!r}")
    return Config(data, potential, training, card, output, Path(folder), start)


def write_toml(config: Config) -> str:
    """The training file that describes a training, complete, with the meaning of every key."""
    lines = ["# A training of openmm-pqeq; repeat it with: openmm-pqeq train THIS_FILE -o FOLDER"]
    lines += ["", "[data]", *_body(config.data)]
    if config.start is not None:
        lines += ["", "[start]", *_body(config.start)]
    for name, table in config.potential.items():
        lines += ["", f"[potential.{name}]"]
        lines += [f"{toml_value(key)} = {toml_value(value)}" for key, value in table.items()]
    lines += ["", "[training]", *_body(config.training)]
    if config.card:
        lines += ["", "[card]"]
        lines += [f"{toml_value(key)} = {toml_value(value)}" for key, value in config.card.items()]
    return "\n".join(lines) + "\n"


def _body(table: Any) -> list[str]:
    return [line for line in toml_lines(table) if line and not line.startswith("# ")]


def _length(training: Any) -> Any:
    """[training] with what `max_time` alone means: as many epochs as fit into it, and a learning
    rate that is zero at its end."""
    limited = isinstance(training, dict) and "max_time" in training
    if not limited or not quantities.seconds("training.max_time", training["max_time"]):
        return training
    if "epochs" in training or "schedule" in training:
        return training
    return training | {"epochs": ANY_NUMBER, "schedule": "cosine-time"}


def share(name: str, value: int | str, total: int) -> int:
    """A number of frames, given as such or as a percentage of `total`, in which case it is one
    frame at least."""
    wanted = values.share(name, value)
    if not isinstance(wanted, str):
        return wanted
    fraction = float(wanted.rstrip("%")) / 100
    return max(1, round(fraction * total)) if fraction > 0 else 0


def _check(data: DataSettings, training: TrainingSettings) -> None:
    """Settings that need each other."""

    def refuse(name: str, expected: str, got: Any) -> None:
        raise ValueError(f"{name}: expected {expected}, got {got!r}")

    if not data.files:
        refuse("data.files", "at least one file", data.files)
    if data.energy_key == NONE and training.energy_weight:
        refuse(
            "training.energy_weight",
            f"0, because data.energy_key is {NONE!r}",
            training.energy_weight,
        )
    weights = (training.energy_weight, training.force_weight, training.stress_weight)
    if not any(weights):
        names = "training.energy_weight, force_weight, stress_weight"
        refuse(names, "one above 0, or nothing is learnt", weights)
    if data.held_out.files and data.held_out.n:
        refuse("data.held_out", "either n or files", (data.held_out.n, data.held_out.files))
    if training.max_time <= 0 and training.schedule == "cosine-time":
        refuse(
            "training.max_time", 'a duration, because schedule is "cosine-time"', training.max_time
        )
    if training.deterministic and training.max_time > 0:
        refuse(
            "training.max_time",
            "no limit, because training.deterministic is set and a clock is never the same",
            training.max_time,
        )
    if training.patience and not data.validation:
        refuse("data.validation", "some frames, because training.patience is set", data.validation)


def _check_start(start: StartSettings, data: DataSettings) -> None:
    if start.replay_files and not start.replay:
        raise ValueError(
            "start.replay: expected how many frames of start.replay_files every batch has, got 0"
        )
    if start.train_pqeq and not start.long_range:
        raise ValueError("start.train_pqeq: expected none, because start.long_range is false")
    if start.train_pqeq and data.labels != LABELS[0]:
        raise ValueError(
            f"data.labels: expected {LABELS[0]!r}, because start.train_pqeq is set, got "
            f"{data.labels!r}"
        )
