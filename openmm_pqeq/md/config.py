"""A whole run described in one place.

`RunConfig` (settings.py) is the description. The flags of `openmm-pqeq run` and the keys of its TOML
file are made from it, so both always offer the same. A TOML file is flat; relative paths in it count
from the file's folder.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from openmm_pqeq.jobs import settings as tables
from openmm_pqeq.jobs import values
from openmm_pqeq.md.settings import RunConfig

SETTINGS = tables.settings_of(RunConfig)
MODELS = ("model", "inner_model", "committee")
"""Settings that name models, each the name of one or the path of its file."""


def run_config(settings: Mapping[str, Any]) -> RunConfig:
    """Settings as text (flags) or typed (TOML) as a description that has been checked; ValueError
    names what is wrong."""
    config = tables.configured(RunConfig, settings)
    for name, example in (("structure", "BaTiO3.cif"), ("model", "batio3"), ("output", "out")):
        if not getattr(config, name):
            raise ValueError(
                f"{name}: missing; expected something like {example!r} as a flag or in the TOML "
                "file"
            )
    if config.steps is not None and config.time is not None:
        raise ValueError(
            f"time: give either steps or time, got steps = {config.steps} and time = "
            f"{config.time:g} ps"
        )
    if config.steps is None and config.time is None:
        raise ValueError(
            "time: missing; give the length of the run, such as time = '1ps' or steps = 1000"
        )
    if not config.n_steps + config.equilibration_steps <= values.LARGEST_COUNT:
        raise ValueError(
            f"time, timestep: expected at most {values.LARGEST_COUNT} steps in all, got "
            f"{config.n_steps + config.equilibration_steps}"
        )
    if config.ensemble == "NPT" and config.barostat == "anisotropic" and not any(config.scale_axes):
        raise ValueError(
            "scale_axes: an anisotropic barostat needs at least one axis to scale, got none"
        )
    if config.inner_model is None and config.inner_steps != SETTINGS["inner_steps"].default:
        raise ValueError(
            f"inner_steps: expected an inner_model, which makes the inner steps, beside inner_steps = "
            f"{config.inner_steps}; got none"
        )
    if config.inner_model is not None and config.thermostat != "langevin":
        raise ValueError(
            f"thermostat: expected langevin with an inner model, got {config.thermostat}; OpenMM has "
            "multiple time steps for Langevin dynamics and for NVE"
        )
    if not config.committee:
        for name in ("committee_save_above", "committee_stop_above"):
            if getattr(config, name) is not None:
                raise ValueError(
                    f"{name}: needs a committee, and there is none; name other models with committee"
                )
    if config.ensemble != "NVE" and config.temperature == 0:
        raise ValueError(f"temperature: {config.ensemble} needs a positive temperature in K, got 0")
    return config


def parsed_setting(name: str, value: Any) -> Any:
    """One setting, from text or typed, as `RunConfig` has it."""
    return tables.parsed(RunConfig, name, value)


def read_toml(path: Path) -> dict[str, Any]:
    """The settings of a TOML file, as written there, with paths relative to the file's folder."""
    path = values.path("path", path)
    settings = tables.read_toml(path)
    for name in ("structure", "output"):
        if isinstance(settings.get(name), str) and settings[name]:
            settings[name] = str(path.parent / settings[name])
    return with_models(
        settings, lambda model: str(path.parent / model) if names_a_file(model) else model
    )


def with_models(settings: dict[str, Any], change: Callable[[str], str]) -> dict[str, Any]:
    """The settings with what names a model changed."""

    def changed(value: Any) -> Any:
        if isinstance(value, list | tuple):
            return tuple(changed(item) for item in value)
        return change(value) if isinstance(value, str) and value else value

    return settings | {name: changed(settings[name]) for name in MODELS if name in settings}


def models_of(config: RunConfig) -> dict[str, str]:
    """All that names a model, by its setting, those of a committee as "committee[0]" and so on."""
    single = {name: getattr(config, name) for name in ("model", "inner_model")}
    several = {f"committee[{i}]": model for i, model in enumerate(config.committee)}
    return {name: model for name, model in (single | several).items() if model is not None}


def names_a_file(model: str) -> bool:
    """Whether a model is given as the path of a file, and not by its name."""
    return model.endswith(".pt") or Path(model).name != model


def write_toml(config: RunConfig) -> str:
    """The description as TOML, with the meaning of every key."""
    heading = (
        "# A run of openmm-pqeq; repeat it with: openmm-pqeq run THIS_FILE --output NEW_FOLDER"
    )
    return "\n".join([heading, *tables.toml_lines(config)]) + "\n"
