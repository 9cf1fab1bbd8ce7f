"""A study: one TOML file that describes many runs.

    output = "heating"                        # folder of the campaign; beside this file, with its name
    [run]                                     # settings of every run, those of openmm-pqeq run
    model = "batio3"
    ensemble = "NPT"
    time = "100ps"
    [vary]                                    # all combinations
    structure = ["crystals/*.cif"]
    temperature = [200, 250, 300]
    seed = [1, 2]
    [[vary.salt]]                             # a name of your own: settings that go together
    structure = "NaCl.cif"
    reference_charges = { Na = 1, Cl = -1 }
    [where]
    workers = 4

A run is known by a key of all its settings, of its structure's file and of what makes the energy of
its model. So an edited study has other runs, and those of before stay as they are; only what a resumed
run may change, such as its length, and the card of a model make no other run of it. Keys of earlier
versions counted the card in; runs that are there by such a one keep it.
"""

import dataclasses
import hashlib
import itertools
import json
import os
import re
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from openmm_pqeq import checkpoint
from openmm_pqeq.campaign.settings import Shown, StudySettings
from openmm_pqeq.jobs import values
from openmm_pqeq.jobs.facts import WITHOUT_CARD
from openmm_pqeq.jobs.files import sha256
from openmm_pqeq.jobs.settings import configured, read_toml
from openmm_pqeq.md.columns import COLUMNS as COLUMNS_OF_RUNS
from openmm_pqeq.md.columns import is_column
from openmm_pqeq.md.config import (
    MODELS,
    SETTINGS,
    models_of,
    names_a_file,
    run_config,
    with_models,
)
from openmm_pqeq.md.output import refuse_twins
from openmm_pqeq.md.resume import RESUME_MAY_CHANGE
from openmm_pqeq.md.settings import RunConfig
from openmm_pqeq.model_file import fingerprint

LONGEST_NAME = 90
"""Characters of a run's name before its key."""
MOST_RUNS = 100_000
KEY = 12
"""Characters of a key: of the most runs, one chance in 50,000 that two have the same."""
COLUMNS = ("run", "state", "message", "ns_per_day", "field_x", "field_y", "field_z")
"""Of the results, beside the settings and the averages of a run."""
RUNS = "runs"
"""The folder of all runs in that of the campaign."""


class Choice(NamedTuple):
    """One value of an axis: its label in names and tables, and the settings that it gives."""

    label: str
    settings: dict[str, Any]


class PlannedRun(NamedTuple):
    """A run of a study.

    key : of its settings and of what its files contain
    name : of its folder, readable, with the key at its end
    labels : of its choices, by axis
    config : its description; output is its folder
    """

    key: str
    name: str
    labels: dict[str, str]
    config: RunConfig

    @property
    def folder(self) -> Path:
        """Where it is."""
        return Path(self.config.output)


class Study(NamedTuple):
    """What a study file says.

    file : it
    folder : of the campaign
    settings : the keys of the file
    axes : choices by name, in the order of the file
    runs : all combinations
    """

    file: Path
    folder: Path
    settings: StudySettings
    axes: dict[str, tuple[Choice, ...]]
    runs: tuple[PlannedRun, ...]


def read_study(file: Path) -> Study:
    """Read a study file and check all its runs; ValueError and FileNotFoundError name what is
    wrong."""
    settings = configured(StudySettings, read_toml(file))
    here = file.absolute().parent
    folder = here / (settings.output or file.stem)
    if folder == file.absolute():
        raise ValueError(f"output: expected the name of a folder, got that of {file}; give output")
    axes = {name: _choices(name, value, here) for name, value in settings.vary.items()}
    _refuse_plot(settings.plot, axes)
    n_runs = 1
    for choices in axes.values():
        n_runs *= len(choices)
    if n_runs > MOST_RUNS:
        raise ValueError(f"vary: expected at most {MOST_RUNS} runs, got {n_runs}")
    runs: dict[str, PlannedRun] = {}
    contents, there = cache(_contents), _there(folder / RUNS)
    for combination in itertools.product(*axes.values()):
        labels = dict(zip(axes, (choice.label for choice in combination)))
        given = _combined(settings.run, axes, combination)
        planned = _planned(given, labels, here, contents, there)
        name = there.get(planned.key, planned.name)
        config = dataclasses.replace(planned.config, output=str(folder / RUNS / name))
        planned = planned._replace(name=name, config=config)
        if same := runs.get(planned.key):
            raise ValueError(
                f"vary: {planned.name} and {same.name} are the same run; take one away (a run is no "
                f"other one by {', '.join(RESUME_MAY_CHANGE)})"
            )
        runs[planned.key] = planned
    return Study(file, folder, settings, axes, tuple(runs.values()))


def _refuse_plot(plot: Shown, axes: Mapping[str, tuple[Choice, ...]]) -> None:
    """ValueError for an abscissa that no choice gives, and for ordinates that no table has; before the
    runs, and not after them."""
    given = {name for choices in axes.values() for choice in choices for name in choice.settings}
    fields = {f"field_{axis}" for axis in "xyz"} if "field" in given else set()
    known = sorted({*axes, *given, *fields})
    if missing := [name for name in plot.y if not is_column(name)]:
        raise ValueError(
            f"plot.y: expected columns of a run's table, such as {', '.join(COLUMNS_OF_RUNS[2:5])} or "
            f"charge_O_e, got {missing[0]!r}"
        )
    if plot.x is not None and plot.x not in known:
        raise ValueError(
            f"plot.x: expected a setting that [vary] gives several numbers, got {plot.x!r}; [vary] has "
            f"{', '.join(known) or 'nothing'}"
        )


def _there(runs: Path) -> dict[str, str]:
    """The folders of runs by their keys: an axis that is added names no run anew."""
    found = sorted(runs.iterdir()) if runs.is_dir() else []
    return {path.name.rpartition("_")[2]: path.name for path in found if path.is_dir()}


def _choices(axis: str, given: Any, here: Path) -> tuple[Choice, ...]:
    """The choices of an axis: values of a setting, or tables of settings under another name."""
    if not isinstance(given, list) or not given:
        raise ValueError(f"vary.{axis}: expected a list of values, got {values.shown(given)}")
    if axis not in SETTINGS:
        if axis in COLUMNS:
            raise ValueError(
                f"vary.{axis}: a column of the results has that name; choose another one"
            )
        if not all(isinstance(item, Mapping) and item for item in given):
            raise ValueError(
                f"vary.{axis}: not a setting of a run; a name of your own takes tables of "
                f"settings, such as [[vary.{axis}]] with structure = ..."
            )
        return tuple(_tabled(dict(item)) for item in given)
    if axis == "structure":
        given = [found for item in given for found in _matching(item, here)]
    labels = [_label(axis, item) for item in given]
    if len(set(labels)) < len(labels):
        labels = [f"{label}-{number}" for number, label in enumerate(labels, 1)]
    return tuple(Choice(label, {axis: item}) for label, item in zip(labels, given))


def _tabled(item: dict[str, Any]) -> Choice:
    label = item.pop("name", None) or "_".join(_label(name, value) for name, value in item.items())
    return Choice(_plain(str(label)), item)


def _matching(pattern: Any, here: Path) -> list[Any]:
    """The files that a pattern stands for; what is none stands for itself."""
    if not isinstance(pattern, str) or not re.search(r"[*?\[]", pattern):
        return [pattern]
    if (here / pattern).is_file():
        return [pattern]
    found = sorted(
        here.glob(pattern)
        if not os.path.isabs(pattern)
        else Path(pattern).parent.glob(Path(pattern).name)
    )
    if not found:
        raise FileNotFoundError(f"vary.structure: no file is like {pattern}")
    return [str(path) for path in found]


def _combined(
    common: Mapping[str, Any], axes: Mapping[str, Any], combination: tuple[Choice, ...]
) -> dict[str, Any]:
    """The settings of a run; ValueError where two of them are of one name."""
    result: dict[str, Any] = {}
    for axis, choice in zip(axes, combination):
        if twice := set(choice.settings) & set(result):
            raise ValueError(f"vary.{axis}: {sorted(twice)[0]} is given by another axis, too")
        result |= choice.settings
    length = {"time", "steps"}
    replaced = length if length & set(result) else set()
    return {name: value for name, value in common.items() if name not in replaced} | result


def _planned(
    settings: dict[str, Any],
    labels: dict[str, str],
    here: Path,
    contents: Callable[[str, Path | str], tuple[str, str]],
    there: Mapping[str, str],
) -> PlannedRun:
    """A run, checked, but for its folder; `here` is where relative paths count from."""
    if "output" in settings:
        raise ValueError("output: runs of a study have folders of their own; leave it away")
    readable = "_".join(labels.values()) or "run"
    try:
        config = run_config(settings | {"output": "."})
        structure = here / config.structure
        if not structure.is_file():
            raise FileNotFoundError(f"structure: there is no file {structure}")
        models = with_models(
            {name: getattr(config, name) for name in MODELS},
            lambda model: str(here / model) if names_a_file(model) else model,
        )
        config = dataclasses.replace(config, **models)
        of = {"structure": contents("structure", structure)}
        of |= {name: contents("model", model) for name, model in models_of(config).items()}
        refuse_twins(config, {name + WITHOUT_CARD: both[0] for name, both in of.items()})
    except (ValueError, FileNotFoundError) as error:
        raise _in_run(readable, error) from None
    keys = [_key(config, {name: both[way] for name, both in of.items()}) for way in (0, 1)]
    key = keys[1] if keys[1] in there and keys[0] not in there else keys[0]
    name = f"{readable[:LONGEST_NAME]}_{key}"
    config = dataclasses.replace(
        config,
        structure=str(structure),
        seed=config.seed or int(key, 16) % values.LARGEST_SEED + 1,
    )
    return PlannedRun(key, name, labels, config)


def _in_run(name: str, error: Exception) -> Exception:
    """The error of a run by its name."""
    kind = FileNotFoundError if isinstance(error, FileNotFoundError) else ValueError
    return kind(f"run {name}: {error}")


def _contents(kind: str, of: Path | str) -> tuple[str, str]:
    """What a structure's or model's file contains, and what keys of earlier versions have in place of
    it: checksums, of a model without its card and with it. A model that is published has its name, and
    stays what it is."""
    if kind == "model" and of in checkpoint.PUBLISHED:
        return str(of), str(of)
    path = checkpoint.file_of(of) if kind == "model" else Path(of)
    whole = sha256(path)
    return (fingerprint(path) if kind == "model" else whole), whole


def _key(config: RunConfig, contents: Mapping[str, str]) -> str:
    """Of a run: its settings other than the defaults, and what its files contain."""
    left_out = {"structure", "output", *MODELS, *RESUME_MAY_CHANGE}
    settings = {
        name: getattr(config, name)
        for name, one in SETTINGS.items()
        if name not in left_out and getattr(config, name) != one.default
    }
    described = json.dumps([settings, dict(contents)], sort_keys=True, default=str)
    return hashlib.sha256(described.encode("utf-8")).hexdigest()[:KEY]


_SHORT: dict[str, Callable[[Any], str]] = {
    "structure": lambda value: Path(str(value)).stem,
    "model": lambda value: Path(str(value)).stem,
    "temperature": lambda value: f"{value}K",
    "pressure": lambda value: str(value) if isinstance(value, str) else f"{value}bar",
    "ensemble": str,
    "time": str,
}
"""Labels of settings that are understood without their name."""


def _label(name: str, value: Any) -> str:
    """A value in a name."""
    if name in _SHORT:
        return _plain(_SHORT[name](value))
    if isinstance(value, Mapping):
        value = [f"{key}{item}" for key, item in value.items()]
    if isinstance(value, list):
        value = ",".join(str(item) for item in value)
    return _plain(f"{name}{str(value).lower() if isinstance(value, bool) else value}")


def _plain(text: str) -> str:
    """Letters, digits and . , + - only: no shell and no file system minds them."""
    return re.sub(r"[^A-Za-z0-9.,+-]+", "-", text).strip("-.") or "x"
