"""A fit of PQEq parameters from files to a folder: choose frames, fit, measure on frames not
fitted, write."""

import datetime
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from openmm_pqeq.fitting import report
from openmm_pqeq.fitting.fit import FitSettings, Guard, Residuals, fit, measure
from openmm_pqeq.fitting.parameters import free_parameters, hardness_margins
from openmm_pqeq.fitting.targets import SCALES, ResponseFrame, elements_of, read_response_frames
from openmm_pqeq.pqeq.parameters import resolve_parameters


class RunSettings(NamedTuple):
    """One fit, as the command line describes it (`openmm-pqeq fit-pqeq --help`).

    targets, scales, fit, bounds : texts such as "polarizability=pol:bohr3", "born_charge=0.1",
        "Ti:all", "radius=0.4:1.6"
    held_out, frames : how many frames only measure, and how many are fitted; None: a fifth, and all
        the others
    min_eigenvalue : eV/e², eV/Å²; min_hardness : eV; max_shell : Å
    """

    data: tuple[str, ...]
    targets: tuple[str, ...] = ()
    scales: tuple[str, ...] = ()
    cluster: bool = False
    parameters: str = "reaxnet"
    coupling: str = "shell"
    fit: tuple[str, ...] = ()
    bounds: tuple[str, ...] = ()
    held_out: int | None = None
    frames: int | None = None
    seed: int = 0
    min_eigenvalue: float = 0.3
    min_hardness: float = 0.3
    max_shell: float = 0.5
    prior: float = 0.05
    iterations: int = 60


def run(
    settings: RunSettings,
    output: str | Path,
    overwrite: bool = False,
    resume: bool = False,
    say: Callable[..., Any] = print,
    advance: Callable[[int, int], None] = lambda _done, _total: None,
) -> bool:
    """Fit and write parameters.csv, card.json, errors.txt and parity.png; False where the fit was
    interrupted."""
    guard = _checked(settings)
    frames = read_response_frames(settings.data, settings.targets, settings.cluster)
    held_out, fitted = choose(len(frames), settings)
    elements = elements_of(frames)
    start = resolve_parameters(settings.parameters)
    free = free_parameters(start, elements, settings.fit, settings.bounds)
    fit_settings = FitSettings(
        _scales(settings, frames), guard, settings.prior, settings.iterations
    )
    folder = Path(output)
    state = _prepare(folder, settings, overwrite, resume)
    chosen = [frames[index] for index in fitted]
    say(
        f"{len(free)} parameters of {', '.join(elements)}; {len(chosen)} frames to fit, "
        f"{len(held_out)} held out"
    )
    residuals = Residuals(
        start,
        chosen,
        free,
        fit_settings,
        settings.coupling,
        lambda index: advance(index + 1, len(chosen)),
    )
    began = datetime.datetime.now(datetime.UTC)
    found = fit(residuals, state, say)
    columns: dict[str, report.Column] = {}
    for name, subset in (("fitted", chosen), ("held out", [frames[index] for index in held_out])):
        for when, parameters in (("before", start), ("after", found.parameters)):
            if subset:
                columns[f"{name} ({len(subset)}), {when}"] = (
                    subset,
                    measure(parameters, subset, coupling=settings.coupling),
                )
    after = {name: column for name, column in columns.items() if name.endswith("after")}
    margins = hardness_margins(found.parameters, elements)
    facts = {
        "date": began.date().isoformat(),
        "finished": found.finished,
        "loss": found.loss,
        "settings": settings._asdict(),
        "fitted_frames": [frames[index].name for index in fitted],
        "held_out_frames": [frames[index].name for index in held_out],
        "hardness_margins_eV": {symbol: round(margin, 4) for symbol, margin in margins.items()},
    }
    comments = [
        f"PQEq parameters fitted to {', '.join(Path(file).name for file in settings.data)}, "
        f"{facts['date']}; card.json has the rest"
    ]
    report.write_table(folder / "parameters.csv", found.parameters, elements, comments)
    report.write_card(folder / "card.json", found.parameters, elements, columns, facts)
    report.plot(after, folder / "parity.png")
    tables = [report.parameter_table(start, found.parameters, free), report.table_of(columns)]
    for table in tables:
        say(table)
    (folder / "errors.txt").write_text(report.as_text(tables), encoding="utf-8")
    for line in beyond(guard, after, margins):
        say(f"WARNING: {line}")
    say(f"written: {folder}/parameters.csv, card.json, errors.txt, parity.png")
    return found.finished


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
    if settings.seed < 0:
        raise ValueError(f"seed: expected 0 or more, got {settings.seed}")
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


def _checked(settings: RunSettings) -> Guard:
    for name in ("min_eigenvalue", "min_hardness", "max_shell"):
        if not getattr(settings, name) > 0.0:
            raise ValueError(f"{name}: expected a positive number, got {getattr(settings, name)}")
    if settings.prior < 0.0 or settings.iterations < 1:
        raise ValueError(
            f"prior, iterations: expected 0 or more and 1 or more, got {settings.prior} and "
            f"{settings.iterations}"
        )
    return Guard(settings.min_eigenvalue, settings.min_hardness, settings.max_shell)


def _scales(settings: RunSettings, frames: Sequence[ResponseFrame]) -> dict[str, float]:
    scales = {
        name: SCALES[name] for name in SCALES if any(name in frame.labels for frame in frames)
    }
    for text in settings.scales:
        name, _, value = text.partition("=")
        try:
            number = float(value)
        except ValueError:
            number = 0.0
        if name not in SCALES or not number > 0.0:
            raise ValueError(
                f"scale: expected NAME=POSITIVE NUMBER with one of {', '.join(SCALES)}, got "
                f"{text!r}"
            )
        if name in scales:
            scales[name] = number
    return scales


def _prepare(folder: Path, settings: RunSettings, overwrite: bool, resume: bool) -> Path:
    state, record = folder / "state.json", folder / "fit.json"
    content = json.dumps(settings._asdict(), indent=1)
    if record.exists() and not overwrite:
        if not resume:
            raise ValueError(
                f"output: {folder} has a fit already; --resume continues it, --overwrite replaces "
                "it, --output writes elsewhere"
            )
        before, now = json.loads(record.read_text(encoding="utf-8")), json.loads(content)
        changed = [name for name in now if name != "iterations" and before.get(name) != now[name]]
        if changed:
            raise ValueError(
                f"resume: {folder} was begun with other settings ({', '.join(changed)}); give the "
                "same, or --overwrite"
            )
    elif resume:
        raise ValueError(f"resume: there is no fit in {folder}")
    folder.mkdir(parents=True, exist_ok=True)
    if overwrite:
        state.unlink(missing_ok=True)
    record.write_text(content + "\n", encoding="utf-8")
    return state
