"""The training file: what may stand in it, what it means, and what is refused.

A TOML file with the tables [data], [potential.gnn], [potential.pqeq], [potential.d3], [training] and [card]. The potential's
tables are handed to `potential.build` as they are; everything else is one of the fields below. Nothing is guessed: an unknown key
is an error that names the nearest known one. `openmm_pqeq/models/batio3.toml` is a complete example.
"""

import dataclasses
import difflib
import os
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

AUTO = "auto"
NONE = "none"
SCHEDULES = ("constant", "cosine", "cosine-time")
TERMS = ("gnn", "pqeq", "d3")


@dataclass(frozen=True)
class HeldOut:
    """Frames kept away from training: `numpy.random.default_rng(seed).permutation(n_frames)[:n]`, or the files named instead."""

    seed: int = 0
    n: int = 0
    files: tuple[str, ...] = ()


@dataclass(frozen=True)
class DataSettings:
    """[data]: where the labels are.

    files : anything ASE reads, all its frames; relative to the training file or else to the working directory
    energy_key, forces_key, stress_key : name in `atoms.info`, `atoms.arrays` or the frame's calculator; "auto" tries the usual
        ones. `stress_key = "none"` trains without stress.
    stress_sign : 1 where stress is (1/V) ∂E/∂ε as in ASE, −1 where it is its negative (a pressure-like tensor). eV/Å³: nine
        numbers, 3×3, or six in ASE's Voigt order xx yy zz yz xz xy.
    charge_key : total charge in `atoms.info`; 0 where a frame has none
    held_out : see HeldOut; these frames are measured, never trained on, never used to choose anything
    validation : this many of the remaining frames are for early stopping and for choosing the exported weights (0: none)
    atomic_energies : eV per element, where they should not come from least squares
    """

    files: tuple[str, ...]
    energy_key: str = AUTO
    forces_key: str = AUTO
    stress_key: str = AUTO
    stress_sign: int = 1
    charge_key: str = "charge"
    held_out: HeldOut = field(default_factory=HeldOut)
    validation: int = 0
    atomic_energies: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class TrainingSettings:
    """[training]: how the network is fitted.

    schedule : "constant", "cosine" (to zero over `epochs`) or "cosine-time" (to zero over `max_time`, which then has to be given;
        for a fixed allowance of machine time, at the price that a repetition on another machine is not the same run)
    warmup : steps over which the learning rate grows from zero
    energy_weight, force_weight, stress_weight : of the loss in loss.py, where all three parts are in units of the labels' scale
    ema : decay of the running average of the weights, which is what is validated and exported; 0 exports the last weights
    patience : stop after so many epochs without a better validation force error (0: never; needs `validation`)
    max_time : "HH:MM:SS" or seconds; the run ends with the epoch nearest to it; 0: no limit
    measure_every : epochs between measurements of the held-out errors
    threads : torch threads; 0 leaves torch's choice
    """

    epochs: int = 1000
    batch_size: int = 1
    learning_rate: float = 0.005
    schedule: str = "cosine"
    warmup: int = 20
    energy_weight: float = 1.0
    force_weight: float = 1.0
    stress_weight: float = 1.0
    weight_decay: float = 0.0
    amsgrad: bool = True
    gradient_clip: float = 0.0
    ema: float = 0.99
    seed: int = 0
    patience: int = 0
    max_time: float | str = 0.0
    measure_every: int = 5
    threads: int = 0
    dtype: str = "float32"
    device: str = "cpu"


@dataclass(frozen=True)
class Config:
    """A whole training file; `potential` is what `potential.build` takes, `folder` what relative paths are relative to."""

    data: DataSettings
    potential: dict[str, dict[str, Any]]
    training: TrainingSettings
    card: dict[str, Any]
    output: str
    folder: Path


def read_config(path: str | os.PathLike[str]) -> Config:
    """The training file at `path`; raises FileNotFoundError or a ValueError that names the key."""
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"config: no file {path}; a complete example is openmm_pqeq/models/batio3.toml")
    try:
        table = tomllib.loads(path.read_text())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"config: {path} is not TOML: {error}") from error
    return config_of(table, path.parent, default_output=path.stem)


def config_of(table: dict[str, Any], folder: str | os.PathLike[str] = ".", default_output: str = "training") -> Config:
    """The same from a parsed table."""
    _refuse_unknown(table, ("data", "potential", "training", "card", "output"), "the training file")
    for name in ("data", "potential"):
        if not isinstance(table.get(name), dict):
            raise ValueError(f"[{name}]: expected a table, got {table.get(name)!r}; add [{name}] to the training file")
    potential = table["potential"]
    _refuse_unknown(potential, TERMS, "[potential]")
    if "gnn" not in potential:
        raise ValueError("[potential.gnn]: expected a table, got nothing; it is the network to train (an empty table will do)")
    data = dict(table["data"])
    if isinstance(data.get("files"), str):
        data["files"] = [data["files"]]
    held_out = data.pop("held_out", {})
    if not isinstance(held_out, dict):
        raise ValueError(f"data.held_out: expected {{seed = 0, n = 12}} or {{files = [...]}}, got {held_out!r}")
    data_settings = _settings(DataSettings, data | {"held_out": _settings(HeldOut, held_out, "data.held_out")}, "data")
    training = _settings(TrainingSettings, table.get("training", {}), "training")
    _check(data_settings, training)
    card = table.get("card", {})
    if not isinstance(card, dict):
        raise ValueError(f"[card]: expected a table of texts, got {card!r}")
    output = table.get("output", default_output)
    if not isinstance(output, str):
        raise ValueError(f"output: expected the name of a folder, got {output!r}")
    return Config(data_settings, potential, training, card, output, Path(folder))


def seconds(duration: float | str) -> float:
    """A duration given as seconds or as "HH:MM:SS", in seconds."""
    if not isinstance(duration, str):
        return float(duration)
    try:
        parts = [float(part) for part in duration.split(":")]
    except ValueError:
        parts = []
    if len(parts) != 3:
        raise ValueError(f'training.max_time: expected seconds or "HH:MM:SS", got {duration!r}')
    return parts[0] * 3600 + parts[1] * 60 + parts[2]


def _refuse_unknown(table: dict[str, Any], known: tuple[str, ...], where: str) -> None:
    for key in table:
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1)
            hint = f"did you mean {near[0]!r}?" if near else "remove it"
            raise ValueError(f"{where}: unknown key {key!r}; expected one of {', '.join(known)}; {hint}")


def _settings(kind: Any, table: Any, where: str) -> Any:
    """A settings dataclass from a table, each value checked against the type of the field's default."""
    if not isinstance(table, dict):
        raise ValueError(f"[{where}]: expected a table, got {table!r}")
    fields = {f.name: f for f in dataclasses.fields(kind)}
    _refuse_unknown(table, tuple(fields), f"[{where}]")
    values: dict[str, Any] = {}
    for name, value in table.items():
        wanted = str(fields[name].type)
        if "tuple" in wanted and isinstance(value, (list, tuple)) and all(isinstance(v, str) for v in value):
            value = tuple(value)
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        fits = {
            "<class 'bool'>": isinstance(value, bool),
            "<class 'int'>": isinstance(value, int) and number,
            "<class 'float'>": number,
            "<class 'str'>": isinstance(value, str),
            "float | str": number or isinstance(value, str),
            "tuple[str, ...]": isinstance(value, tuple),
            "dict[str, float]": isinstance(value, dict) and all(isinstance(v, (int, float)) for v in value.values()),
        }.get(wanted, True)
        if not fits:
            plain = {
                "<class 'int'>": "an integer",
                "<class 'float'>": "a number",
                "<class 'str'>": "a text",
                "<class 'bool'>": "true or false",
                "tuple[str, ...]": "a list of texts",
                "dict[str, float]": "a table of numbers",
            }.get(wanted, "a number or a text")
            raise ValueError(f"{where}.{name}: expected {plain}, got {value!r}")
        values[name] = value
    required = [f.name for f in fields.values() if f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING]
    for name in required:
        if name not in values:
            raise ValueError(f"{where}.{name}: expected a value, got nothing; add it to the training file")
    return kind(**values)


def _check(data: DataSettings, training: TrainingSettings) -> None:
    """Ranges, and settings that need each other."""

    def refuse(name: str, expected: str, got: Any) -> None:
        raise ValueError(f"{name}: expected {expected}, got {got!r}")

    if not data.files:
        refuse("data.files", "at least one file", data.files)
    if data.stress_sign not in (1, -1):
        refuse("data.stress_sign", "1 or -1", data.stress_sign)
    if min(data.held_out.n, data.validation) < 0:
        refuse("data.held_out.n and data.validation", "0 or more", (data.held_out.n, data.validation))
    if data.held_out.files and data.held_out.n:
        refuse("data.held_out", "either n or files", (data.held_out.n, data.held_out.files))
    for name in ("epochs", "batch_size", "measure_every"):
        if getattr(training, name) < 1:
            refuse(f"training.{name}", "1 or more", getattr(training, name))
    weights = ("energy_weight", "force_weight", "stress_weight", "weight_decay")
    for name in (*weights, "gradient_clip", "patience", "warmup", "threads"):
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
    if seconds(training.max_time) <= 0 and training.schedule == "cosine-time":
        refuse("training.max_time", 'a duration, because schedule is "cosine-time"', training.max_time)
    if training.patience and not data.validation:
        refuse("data.validation", "some frames, because training.patience is set", data.validation)
