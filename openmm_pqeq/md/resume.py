"""What a resumed run may have otherwise than the run it continues, and that it has nothing else.

A restart file remembers the settings and the checksums of structure and model that the run began
with. Flags are compared with run.toml, run.toml and the files with the restart.
"""

import dataclasses
from pathlib import Path
from typing import Any, NamedTuple

from openmm_pqeq.jobs import values
from openmm_pqeq.jobs.facts import changed, other_files
from openmm_pqeq.md.config import MODELS, parsed_setting, read_toml, run_config
from openmm_pqeq.md.settings import RunConfig
from openmm_pqeq.model_file import fingerprint

RESUME_MAY_CHANGE = (
    *("steps", "time", "platform", "threads", "restart_interval"),
    *("stop_if_unstable", "committee_stop_above"),
)
"""Settings that a resumed run may have otherwise than the run it continues: its length, where it
runs, how often a restart file is written, and what ends it. Besides, charges.h5 may end:
charges_interval = 0."""


class Origin(NamedTuple):
    """Settings and checksums that a run began with.

    settings : as run.toml has them, without structure, models and output
    sha256 : checksums of "structure", "model", "inner_model" and "committee[0]" and so on, of models
        also without their cards
    """

    settings: dict[str, Any]
    sha256: dict[str, str]

    def check(self, now: "Origin", may_change: tuple[str, ...], folder: Path) -> None:
        """ValueError names what differs now and must not."""
        others = changed(self.settings, now.settings, may_change)
        others = [name for name in others if name in self.settings]  # not those of a newer version
        if others:
            was = ", ".join(f"{name} = {self.settings[name]!r}" for name in others)
            raise ValueError(
                f"resume: {', '.join(others)}: the run in {folder} began with {was}, and run.toml "
                f"has been changed since; a resumed run may change {', '.join(may_change)} only. "
                "Change it back, or start another run in another folder"
            )
        others = other_files(self.sha256, now.sha256)
        for name in [
            name for name in others if name in self.sha256
        ]:  # not those of a newer version
            before, after = (of.sha256.get(name, "none")[:12] for of in (self, now))
            raise ValueError(
                f"resume: {name}: the run in {folder} began with another file (SHA-256 {before}…, "
                f"now {after}…); bring that one back, or start another run in another folder"
            )


def origin_from(table: dict[str, Any]) -> Origin:
    """What a restart file says of it."""
    checksums = {str(name): str(value) for name, value in table["sha256"].items()}
    return Origin(dict(table["settings"]), checksums)


def described(config: RunConfig) -> dict[str, Any]:
    """The settings that a restart file remembers; checksums know structure and model better than
    their names do."""
    others = {"structure", *MODELS, "output"}
    return {name: value for name, value in dataclasses.asdict(config).items() if name not in others}


def may_change(config: RunConfig) -> tuple[str, ...]:
    """What a resumed run may have otherwise; charges.h5 may end."""
    return (*RESUME_MAY_CHANGE, *(("charges_interval",) if config.charges_interval == 0 else ()))


def resumed_config(place: Path, settings: dict[str, Any]) -> RunConfig:
    """The description of the run in the folder `place`, with those of `settings` that a resumed run
    may change.

    ValueError names a setting that differs from the run's and must not.
    """
    toml = place / "run.toml"
    if not toml.is_file():
        raise FileNotFoundError(
            f"resume: there is no run in {place} (no {toml}); leave --resume away to start one"
        )
    described = read_toml(toml)
    if settings.get("steps") is not None or settings.get("time") is not None:
        described.pop("steps", None)
        described.pop("time", None)
    before = run_config(
        described
        | {name: settings[name] for name in ("steps", "time") if settings.get(name) is not None}
    )
    changes: dict[str, Any] = {}
    for name, value in settings.items():
        if value is None or name in ("structure", "output"):
            continue
        parsed = parsed_setting(name, value)
        if name in RESUME_MAY_CHANGE or (name == "charges_interval" and parsed == 0):
            changes[name] = parsed
        elif not _same(name, parsed, getattr(before, name)):
            raise ValueError(
                f"{name}: the run in {place} has {getattr(before, name)!r}, got {parsed!r}; a "
                "resumed run may change "
                f"{', '.join(RESUME_MAY_CHANGE)} only. Leave it away, or start another run in "
                "another folder"
            )
    return dataclasses.replace(before, **changes, output=str(place))


def _same(name: str, given: Any, before: Any) -> bool:
    """Whether a setting is what it was; of what names models, whether the models are."""
    if name not in MODELS or given is None or before is None:
        return bool(given == before)
    ours, theirs = ((value,) if isinstance(value, str) else value for value in (given, before))
    return len(ours) == len(theirs) and all(map(_same_model, ours, theirs))


def _same_model(one: str, other: str) -> bool:
    """By the content of two files, wherever they are; else by their names."""
    if values.is_file(one) and values.is_file(other):
        return fingerprint(Path(one)) == fingerprint(Path(other))
    return Path(one).name == Path(other).name
