"""A fit of PQEq parameters from files to a folder: choose frames, fit, measure on frames not
fitted, write."""

import dataclasses
import json
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from openmm_pqeq.fitting import report
from openmm_pqeq.fitting.evaluations import read
from openmm_pqeq.fitting.fit import EVALUATIONS, Fitted, fit
from openmm_pqeq.fitting.parameters import free_parameters, hardness_margins
from openmm_pqeq.fitting.residuals import FitSettings, Guard, Residuals, measure
from openmm_pqeq.fitting.settings import RunSettings, fit_settings
from openmm_pqeq.fitting.targets import SCALES, ResponseFrame, elements_of, read_response_frames
from openmm_pqeq.jobs import phrases
from openmm_pqeq.jobs.facts import add_resumption, changed, facts_of, read_facts
from openmm_pqeq.jobs.failure import RunFailure, on_the_way, reason_of
from openmm_pqeq.jobs.files import sha256, write_text
from openmm_pqeq.jobs.folder import Kind, begin, owned
from openmm_pqeq.jobs.progress import Progress, Watch, unwatched
from openmm_pqeq.jobs.settings import toml_lines
from openmm_pqeq.jobs.times import now
from openmm_pqeq.pqeq.parameters import resolve_parameters

STATE = "state.json"
WRITTEN = ("parameters.csv", "card.json", "errors.txt", "parity.png")
KIND = Kind(
    "fit",
    ("fit.toml", STATE, EVALUATIONS, *WRITTEN),
    resumes_from="fit.toml",
    marks=("fit.json", "fit.toml"),
)
"""What a fit leaves in its folder."""
RESUME_MAY_CHANGE = ("iterations",)
"""Settings that a resumed fit may have otherwise."""


def run(
    settings: RunSettings,
    output: str | Path,
    overwrite: bool = False,
    resume: bool = False,
    say: Callable[..., Any] = print,
    watch: Watch = unwatched,
) -> bool:
    """Fit and write parameters.csv, card.json, errors.txt and parity.png; False where the fit was
    interrupted.

    Raises ValueError, FileNotFoundError, FileExistsError before anything is written; RunFailure
    where it fails on the way.
    """
    settings = fit_settings(dataclasses.asdict(settings))
    guard = Guard(settings.min_eigenvalue, settings.min_hardness, settings.max_shell)
    folder = Path(output)
    with owned(folder, KIND, overwrite, resume):
        frames = read_response_frames(settings.data, settings.targets, settings.cluster)
        held_out, fitted = choose(len(frames), settings)
        elements = elements_of(frames)
        start = resolve_parameters(settings.parameters)
        free = free_parameters(start, elements, settings.fit, settings.bounds)
        if any(p.softness > 0 for p in start.values()):
            say(
                f"parameters: {settings.parameters} is for charges by bonds; in this fit charges flow "
                "freely, and its parameters.csv has neither bonds nor rows by reference charge"
            )
        limits = FitSettings(_scales(settings, frames), guard, settings.prior, settings.iterations)
        if resume and (folder / EVALUATIONS).is_file():
            read(folder / EVALUATIONS)
        begin_folder(folder, settings, resume, "data")
        chosen = [frames[index] for index in fitted]
        say(
            f"{len(free)} parameters of {', '.join(elements)}; {len(chosen)} frames to fit, "
            f"{len(held_out)} held out"
        )
        residuals = Residuals(
            start,
            chosen,
            free,
            limits,
            settings.coupling,
            lambda index: watch(Progress("frames", index + 1, len(chosen))),
        )
        try:
            found = fit(residuals, folder / STATE, say)
            subsets = {"fitted": chosen, "held out": [frames[index] for index in held_out]}
            _write(folder, settings, residuals, found, subsets, say)
        except (RuntimeError, ValueError, OSError) as error:
            raise failure(folder, error) from error
    return found.finished


def begin_folder(folder: Path, settings: Any, resume: bool, files: str) -> None:
    """Begin a fit in its folder, or go on with the one that is there if it is the same; `files` is
    the setting that names what it reads."""
    described, read = dataclasses.asdict(settings), getattr(settings, files)
    facts = facts_of(described, settings.seed, {file: sha256(Path(file)) for file in read})
    if not resume:
        begin(folder, KIND, facts)
    else:
        before = read_facts(folder)
        others = changed(before.get("settings", {}), facts["settings"], RESUME_MAY_CHANGE)
        others += changed(before.get("sha256", {}), facts["sha256"], ())
        if others:
            raise ValueError(
                f"resume: {folder} was begun with other settings ({', '.join(others)}); give the "
                "same, or --overwrite"
            )
        add_resumption(folder, KIND.name, described)
    heading = "# A fit of openmm-pqeq; repeat it with: openmm-pqeq fit-pqeq THIS_FILE -o FOLDER"
    places = tuple(str(Path(file).absolute()) for file in read)
    lines = toml_lines(dataclasses.replace(settings, **{files: places}))
    write_text(folder / "fit.toml", "\n".join([heading, *lines]) + "\n")


def _write(
    folder: Path,
    settings: RunSettings,
    residuals: Residuals,
    found: Fitted,
    subsets: dict[str, list[ResponseFrame]],
    say: Callable[..., Any],
) -> None:
    """Measure before and after, and write what the fit has found."""
    columns: dict[str, report.Column] = {}
    for name, subset in subsets.items():
        for when, parameters in (("before", residuals.start), ("after", found.parameters)):
            if subset:
                columns[f"{name} ({len(subset)}), {when}"] = (
                    subset,
                    measure(parameters, subset, coupling=settings.coupling),
                )
    after = {name: column for name, column in columns.items() if name.endswith("after")}
    elements = elements_of([frame for subset in subsets.values() for frame in subset])
    margins = hardness_margins(found.parameters, elements)
    date = now()[:10]
    facts = {
        "date": date,
        "finished": found.finished,
        "loss": found.loss,
        "settings": dataclasses.asdict(settings),
        "fitted_frames": [frame.name for frame in subsets["fitted"]],
        "held_out_frames": [frame.name for frame in subsets["held out"]],
        "hardness_margins_eV": {symbol: round(margin, 4) for symbol, margin in margins.items()},
    }
    files = ", ".join(Path(file).name for file in settings.data)
    comments = [f"PQEq parameters fitted to {files}, {date}; card.json has the rest"]
    report.write_table(folder / "parameters.csv", found.parameters, elements, comments)
    report.write_card(folder / "card.json", found.parameters, elements, columns, facts)
    report.plot(after, folder / "parity.png")
    tables = [
        report.parameter_table(residuals.start, found.parameters, list(residuals.free)),
        report.table_of(columns),
    ]
    for table in tables:
        say(table)
    write_text(folder / "errors.txt", report.as_text(tables))
    for line in beyond(residuals.settings.guard, after, margins):
        say(f"WARNING: {line}")
    say(f"written: {folder}/{', '.join(WRITTEN)}")


def failure(folder: Path, error: Exception) -> RunFailure:
    """What went wrong on the way, and how to go on."""
    state = folder / STATE
    if not state.is_file():
        return on_the_way(
            "fit", 0, "step", reason_of(error), None, "the same command with --overwrite"
        )
    step = 0
    with suppress(ValueError, TypeError, KeyError):  # where it is damaged, which the error says
        step = int(json.loads(state.read_text(encoding="utf-8"))["steps"])
    command = "the same command with --resume"
    return on_the_way("fit", step, "step", reason_of(error), str(state), command)


def choose(n_frames: int, settings: RunSettings) -> tuple[list[int], list[int]]:
    """Indices of held-out and of fitted frames: the first and the next of
    `numpy.random.default_rng(seed).permutation`."""
    held_out = settings.held_out if settings.held_out is not None else n_frames // 5
    left = n_frames - held_out
    count = settings.frames if settings.frames is not None else left
    if held_out < 0 or count < 1 or count > left:
        raise ValueError(
            f"held_out, frames: expected 0 or more and 1 or more of {n_frames} frames, got "
            f"{held_out} and {count}"
        )
    order = np.random.default_rng(settings.seed).permutation(n_frames).tolist()
    return sorted(order[:held_out]), sorted(order[held_out : held_out + count])


def beyond(guard: Guard, columns: dict[str, report.Column], margins: dict[str, float]) -> list[str]:
    """What passes the guard's limits, on fitted and held-out frames, in words."""
    lines = []
    for name, (frames, measured) in columns.items():
        for frame, one in zip(frames, measured):
            if one is None:
                lines.append(f"{name}: {frame.name}: no stable charge solution")
            elif one.softest < guard.eigenvalue or one.longest > guard.shell:
                lines.append(
                    f"{name}: {frame.name}: smallest eigenvalue {one.softest:.3f}, longest shell "
                    f"{one.longest:.3f} Å"
                )
    lines += [
        f"{symbol}: hardness {m:.3f} eV above its self-energy"
        for symbol, m in margins.items()
        if m < guard.hardness
    ]
    return lines


def _scales(settings: RunSettings, frames: Sequence[ResponseFrame]) -> dict[str, float]:
    scales = {
        name: SCALES[name] for name in SCALES if any(name in frame.labels for frame in frames)
    }
    for text in settings.scales:
        name, error = phrases.scale("scales", text)
        if name not in SCALES:
            raise ValueError(f"scales: expected one of {', '.join(SCALES)}, got {name!r}")
        if name in scales:
            scales[name] = error
    return scales
