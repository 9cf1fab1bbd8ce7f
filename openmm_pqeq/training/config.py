"""The training file: what may stand in it, what it means, and what is refused.

A TOML file with the tables [data], [potential.gnn] and those of other terms, such as
[potential.pqeq] and [potential.d3], [training] and [card]; or with [start], a model to go on from,
instead of [potential]. The potential's tables are handed to `potential.build` as they are;
everything else is one of the fields of settings.py.
Nothing is guessed: an unknown key is an error that names the nearest known one.
`openmm_pqeq/models/batio3.toml` is a complete example.
"""

import dataclasses
import difflib
import os
import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from openmm_pqeq.terms import TERMS
from openmm_pqeq.training.settings import (
    DEVICES,
    LABELS,
    NONE,
    SCHEDULES,
    TRAINED_WITH_PQEQ,
    DataSettings,
    HeldOut,
    StartSettings,
    TrainingSettings,
)


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


def read_config(path: str | os.PathLike[str]) -> Config:
    """The training file at `path`; raises FileNotFoundError or a ValueError that names the key."""
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(
            f"config: no file {path}; a complete example is openmm_pqeq/models/batio3.toml"
        )
    try:
        table = tomllib.loads(path.read_text())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"config: {path} is not TOML: {error}") from error
    return config_of(table, path.parent, default_output=path.stem)


def config_of(
    table: dict[str, Any], folder: str | os.PathLike[str] = ".", default_output: str = "training"
) -> Config:
    """The same from a parsed table."""
    _refuse_unknown(
        table, ("data", "potential", "start", "training", "card", "output"), "the training file"
    )
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
    start = _settings(StartSettings, table["start"], "start") if "start" in table else None
    potential = table.get("potential", {})
    _refuse_unknown(potential, tuple(TERMS), "[potential]")
    if start is None and "gnn" not in potential:
        raise ValueError(
            "[potential.gnn]: expected a table, got nothing; it is the network to train (an empty "
            "table will do)"
        )
    data = dict(table["data"])
    if isinstance(data.get("files"), str):
        data["files"] = [data["files"]]
    held_out = data.pop("held_out", {})
    if not isinstance(held_out, dict):
        raise ValueError(
            f"data.held_out: expected {{seed = 0, n = 12}} or {{files = [...]}}, got {held_out!r}"
        )
    data_settings = _settings(
        DataSettings, data | {"held_out": _settings(HeldOut, held_out, "data.held_out")}, "data"
    )
    training = _settings(TrainingSettings, table.get("training", {}), "training")
    _check(data_settings, training)
    if start is not None:
        _check_start(start, data_settings)
    card = table.get("card", {})
    if not isinstance(card, dict):
        raise ValueError(f"[card]: expected a table of texts, got {card!r}")
    output = table.get("output", default_output)
    if not isinstance(output, str):
        raise ValueError(f"output: expected the name of a folder, got {output!r}")
    return Config(data_settings, potential, training, card, output, Path(folder), start)


def seconds(duration: float | str) -> float:
    """A duration given as seconds, as "HH:MM:SS", or as "90s", "10min", "2h", in seconds."""
    if not isinstance(duration, str):
        return float(duration)
    with_unit = re.fullmatch(r"([\d.]+) *(s|min|h)", duration.strip())
    try:
        if with_unit:
            return float(with_unit[1]) * {"s": 1, "min": 60, "h": 3600}[with_unit[2]]
        parts = [float(part) for part in duration.split(":")]
    except ValueError:
        parts = []
    if len(parts) != 3:
        raise ValueError(
            f'training.max_time: expected seconds, "HH:MM:SS" or such as "10min", got {duration!r}'
        )
    return parts[0] * 3600 + parts[1] * 60 + parts[2]


def share(name: str, value: int | str, total: int) -> int:
    """A number of frames, given as such or as a percentage of `total`, in which case it is one
    frame at least."""
    if not isinstance(value, str):
        return value
    percent = re.fullmatch(r"([\d.]+) *%", value.strip())
    try:
        fraction = float(percent[1]) / 100 if percent else -1.0
    except ValueError:
        fraction = -1.0
    if not 0 <= fraction <= 1:
        raise ValueError(
            f"{name}: expected a number of frames or a share such as '20%', got {value!r}"
        )
    return max(1, round(fraction * total)) if fraction > 0 else 0


def _refuse_unknown(table: dict[str, Any], known: tuple[str, ...], where: str) -> None:
    for key in table:
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1)
            hint = f"did you mean {near[0]!r}?" if near else "remove it"
            raise ValueError(
                f"{where}: unknown key {key!r}; expected one of {', '.join(known)}; {hint}"
            )


def _settings(kind: Any, table: Any, where: str) -> Any:
    """A settings dataclass from a table, each value checked against the type of the field's
    default."""
    if not isinstance(table, dict):
        raise ValueError(f"[{where}]: expected a table, got {table!r}")
    fields = {f.name: f for f in dataclasses.fields(kind)}
    _refuse_unknown(table, tuple(fields), f"[{where}]")
    values: dict[str, Any] = {}
    for name, value in table.items():
        wanted = str(fields[name].type)
        if (
            "tuple" in wanted
            and isinstance(value, (list, tuple))
            and all(isinstance(v, str) for v in value)
        ):
            value = tuple(value)
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        fits = {
            "<class 'bool'>": isinstance(value, bool),
            "<class 'int'>": isinstance(value, int) and number,
            "<class 'float'>": number,
            "<class 'str'>": isinstance(value, str),
            "float | str": number or isinstance(value, str),
            "int | str": (isinstance(value, int) and number) or isinstance(value, str),
            "tuple[str, ...]": isinstance(value, tuple),
            "dict[str, float]": isinstance(value, dict)
            and all(isinstance(v, (int, float)) for v in value.values()),
        }.get(wanted, True)
        if not fits:
            plain = {
                "<class 'int'>": "an integer",
                "<class 'float'>": "a number",
                "<class 'str'>": "a text",
                "<class 'bool'>": "true or false",
                "tuple[str, ...]": "a list of texts",
                "dict[str, float]": "a table of numbers",
                "int | str": "a number of frames or a share such as '20%'",
            }.get(wanted, "a number or a text")
            raise ValueError(f"{where}.{name}: expected {plain}, got {value!r}")
        values[name] = value
    required = [
        f.name
        for f in fields.values()
        if f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING
    ]
    for name in required:
        if name not in values:
            raise ValueError(
                f"{where}.{name}: expected a value, got nothing; add it to the training file"
            )
    return kind(**values)


def _check(data: DataSettings, training: TrainingSettings) -> None:
    """Ranges, and settings that need each other."""

    def refuse(name: str, expected: str, got: Any) -> None:
        raise ValueError(f"{name}: expected {expected}, got {got!r}")

    if not data.files:
        refuse("data.files", "at least one file", data.files)
    if data.stress_sign not in (1, -1):
        refuse("data.stress_sign", "1 or -1", data.stress_sign)
    if data.held_out.seed < 0:
        refuse("data.held_out.seed", "0 or more", data.held_out.seed)
    for name, frames in (
        ("held_out.n", data.held_out.n),
        ("validation", data.validation),
        ("subset", data.subset),
    ):
        if share(f"data.{name}", frames, 100) < 0:
            refuse(f"data.{name}", "0 or more", frames)
    if data.labels not in LABELS:
        refuse("data.labels", f"one of {', '.join(LABELS)}", data.labels)
    if data.energy_key == NONE and training.energy_weight:
        refuse(
            "training.energy_weight",
            f"0, because data.energy_key is {NONE!r}",
            training.energy_weight,
        )
    if data.held_out.files and data.held_out.n:
        refuse("data.held_out", "either n or files", (data.held_out.n, data.held_out.files))
    for name in ("epochs", "measure_every"):
        if getattr(training, name) < 1:
            refuse(f"training.{name}", "1 or more", getattr(training, name))
    weights = ("energy_weight", "force_weight", "stress_weight", "weight_decay")
    for name in (*weights, "gradient_clip", "patience", "warmup", "threads", "batch_size"):
        if getattr(training, name) < 0:
            refuse(f"training.{name}", "0 or more", getattr(training, name))
    if training.learning_rate <= 0:
        refuse("training.learning_rate", "a positive number", training.learning_rate)
    if not 0 <= training.ema < 1:
        refuse("training.ema", "a number from 0 to below 1", training.ema)
    if training.schedule not in SCHEDULES:
        refuse("training.schedule", f"one of {', '.join(SCHEDULES)}", training.schedule)
    if training.dtype not in ("float32", "float64"):
        refuse("training.dtype", "float32 or float64", training.dtype)
    if training.device not in DEVICES:
        refuse("training.device", f"one of {', '.join(DEVICES)}", training.device)
    if not seconds(training.max_time) >= 0:
        refuse("training.max_time", "0 or more", training.max_time)
    if seconds(training.max_time) <= 0 and training.schedule == "cosine-time":
        refuse(
            "training.max_time", 'a duration, because schedule is "cosine-time"', training.max_time
        )
    if training.patience and not data.validation:
        refuse("data.validation", "some frames, because training.patience is set", data.validation)


def _check_start(start: StartSettings, data: DataSettings) -> None:
    unknown = [name for name in start.train_pqeq if name not in TRAINED_WITH_PQEQ]
    if unknown:
        raise ValueError(
            f"start.train_pqeq: expected some of {', '.join(TRAINED_WITH_PQEQ)}, got "
            f"{', '.join(unknown)}"
        )
    if not 0 < start.bounds < 1:
        raise ValueError(f"start.bounds: expected a fraction between 0 and 1, got {start.bounds!r}")
    if start.pqeq_learning_rate <= 0:
        raise ValueError(
            "start.pqeq_learning_rate: expected a positive number, got "
            f"{start.pqeq_learning_rate!r}"
        )
    if start.shifts not in ("fit", "keep"):
        raise ValueError(f"start.shifts: expected 'fit' or 'keep', got {start.shifts!r}")
    if start.train_pqeq and not start.long_range:
        raise ValueError("start.train_pqeq: expected none, because start.long_range is false")
    if start.train_pqeq and data.labels != LABELS[0]:
        raise ValueError(
            f"data.labels: expected {LABELS[0]!r}, because start.train_pqeq is set, got "
            f"{data.labels!r}"
        )
