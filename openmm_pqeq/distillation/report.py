"""How good the student is: errors by phase, by how the structures were made, by element and by force
level; the course of the training; what a step costs; how far the residual reaches.

The reference is the teacher's whole label, and the student the whole model.
"""

import csv
import json
import math
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from matplotlib.figure import Figure

from openmm_pqeq.calculator import PQEqCalculator
from openmm_pqeq.distillation.fragments import Pull
from openmm_pqeq.distillation.structures import Made
from openmm_pqeq.distillation.teacher import Teacher, asked
from openmm_pqeq.evaluation import Compared, Errors, ForceError, compared, errors_of, joined
from openmm_pqeq.jobs.files import whole, write_text
from openmm_pqeq.potential import Potential
from openmm_pqeq.report.parity import Cloud, plot_parity
from openmm_pqeq.training.frames import frame_of
from openmm_pqeq.training.settings import DataSettings

TURNS = 5
"""In which student and teacher are timed, one after the other."""


class Cost(NamedTuple):
    """Processor seconds of energy and forces of one structure: student and teacher, the least of some
    turns."""

    n_atoms: int
    student: float
    teacher: float


def compare(
    student: Potential, frames: Sequence[Made], reference_charges: dict[str, float]
) -> list[Compared]:
    """The student and the teacher's labels, frame by frame."""
    settings = DataSettings(files=())
    read = [frame_of(made.atoms, settings, f"{made.phase} {made.how}") for made in frames]
    here = {symbol for made in frames for symbol in made.atoms.get_chemical_symbols()}
    charges = {symbol: charge for symbol, charge in reference_charges.items() if symbol in here}
    return list(compared(student, read, charges or None))


def cost_of(student: Potential, teacher: Teacher, frames: Sequence[Made]) -> Cost:
    """Measured on the largest of the structures, atoms moved a little between the turns."""
    largest = max(frames, key=lambda made: len(made.atoms)).atoms
    random = np.random.default_rng(0)
    calculators = (PQEqCalculator(student, dtype="float32"), teacher.calculator)
    seconds: tuple[list[float], list[float]] = ([], [])
    for _ in range(TURNS):
        atoms = largest.copy()
        atoms.positions += random.normal(scale=0.01, size=(len(atoms), 3))
        for calculator, times in zip(calculators, seconds):
            atoms.calc = calculator
            begun = time.process_time()
            with asked(teacher, "the timing of a step"):
                atoms.get_forces()
            times.append(time.process_time() - begun)
    return Cost(len(largest), min(seconds[0]), min(seconds[1]))


def grouped(frames: Sequence[Made], parts: Sequence[Compared], by: str) -> dict[str, Errors]:
    """Errors of the frames of each phase (by = "phase"), or of each way to make them ("how")."""
    groups: dict[str, list[Compared]] = {}
    for made, part in zip(frames, parts):
        groups.setdefault(getattr(made, by), []).append(part)
    return {name: errors_of(joined(group)) for name, group in groups.items()}


def write_report(
    folder: Path,
    parts: Mapping[str, tuple[Sequence[Made], Sequence[Compared]]],
    cost: Cost,
    pulls: Sequence[Pull] | str,
    course: Path,
    facts: dict[str, Any],
) -> str:
    """Write report.txt, report.json, parity.png and course.png; returns the text.

    parts : of "training" and "held out", the frames and what the student says of them; held-out
        frames may be missing
    pulls : forces between two copies; or why there are none
    course : metrics.csv of the training
    facts : go into report.json as they are, numbers and seconds of labels and epochs among them
    """
    known = {made.phase for made in parts["training"][0]}
    lines: list[str] = []
    content: dict[str, Any] = dict(facts)
    for part, (frames, found) in parts.items():
        all_of_them = errors_of(joined(found))
        tables = {"phase": grouped(frames, found, "phase"), "made": grouped(frames, found, "how")}
        lines += [f"{part}: {_sentence(all_of_them)}", ""]
        for title, errors in tables.items():
            new = set(errors) - known if title == "phase" else set()
            lines += [*_table(title, errors, new), ""]
        lines += [*_force_table("element", all_of_them.by_element), ""]
        levels = {_level(*level): one for level, one in all_of_them.by_level.items()}
        lines += [*_force_table("|F| of the label", levels), ""]
        content[part] = {
            "all": _plain(all_of_them),
            **{
                title: {k: _plain(e) for k, e in errors.items()} for title, errors in tables.items()
            },
            "never trained on": sorted({made.phase for made in frames} - known),
        }
    lines += [
        f"{facts['labels']} labels in {facts['seconds of labels']:.0f} s; {facts['epochs']} epochs in "
        f"{facts['seconds of training']:.0f} s",
        f"a step of {cost.n_atoms} atoms: student {1000 * cost.student:.3g} ms, teacher "
        f"{1000 * cost.teacher:.3g} ms, {cost.teacher / cost.student:.3g} times (processor time)",
        "",
        *_pull_table(pulls),
    ]
    known_pulls = [] if isinstance(pulls, str) else [pull._asdict() for pull in pulls]
    content |= {"cost": cost._asdict(), "fragments": known_pulls}
    text = "\n".join(lines)
    write_text(folder / "report.txt", text + "\n")
    write_text(folder / "report.json", json.dumps(content, indent=1) + "\n")
    _save(_parity(parts), folder / "parity.png")
    _save(_course(course), folder / "course.png")
    return text


def _sentence(errors: Errors) -> str:
    return (
        f"{errors.n_frames} structures, forces RMS {errors.forces.rms:.0f}, RMSE "
        f"{errors.forces.rmse:.1f} meV/Å; energies RMSE {errors.energy_rmse:.1f} meV/atom"
    )


def _table(title: str, errors: dict[str, Errors], new: set[str]) -> list[str]:
    lines = [f"{title:<24}{'frames':>7}{'|F|':>8}{'RMSE':>8}{'slope':>8}{'E RMSE':>8} meV/atom"]
    for name, one in errors.items():
        force = one.forces
        note = "  never trained on" if name in new else ""
        lines.append(
            f"{name:<24}{one.n_frames:>7}{force.rms:>8.0f}{force.rmse:>8.1f}{force.slope:>8.3f}"
            f"{one.energy_rmse:>8.1f}{note}"
        )
    return lines


def _force_table(title: str, errors: dict[str, ForceError]) -> list[str]:
    lines = [f"{title:<24}{'atoms':>7}{'|F|':>8}{'RMSE':>8}{'slope':>8}"]
    for name, one in errors.items():
        numbers = f"{one.n_atoms:>7}{one.rms:>8.0f}{one.rmse:>8.1f}{one.slope:>8.3f}"
        lines.append(f"{name:<24}{numbers}")
    return lines


def _pull_table(pulls: Sequence[Pull] | str) -> list[str]:
    title = "two copies of one structure, pulled apart"
    if isinstance(pulls, str):
        return [f"{title}: not measured ({pulls})"]
    return [
        f"{title}: force on one of them, eV/Å",
        f"{'gap, Å':>8}{'label':>12}{'residual':>12}",
        *(f"{pull.gap:8g}{pull.label:12.2e}{pull.residual:12.2e}" for pull in pulls),
    ]


def _level(low: float, high: float) -> str:
    return f"from {low:g} eV/Å" if math.isinf(high) else f"{low:g} to {high:g} eV/Å"


def _plain(errors: Errors) -> dict[str, Any]:
    """Without the elements and levels."""
    values = {name: value for name, value in errors._asdict().items() if not name.startswith("by_")}
    values["forces"] = errors.forces._asdict()
    return {name: _finite(value) for name, value in values.items()}


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _finite(one) for name, one in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _parity(parts: Mapping[str, tuple[Sequence[Made], Sequence[Compared]]]) -> Figure:
    panels: dict[str, dict[str, Cloud]] = {"force components (eV/Å)": {}}
    for part, (_, found) in parts.items():
        one = joined(found)
        note = f"RMSE {errors_of(one).forces.rmse:.3g} meV/Å"
        cloud = Cloud(one.forces[0].ravel(), one.forces[1].ravel(), note)
        panels["force components (eV/Å)"][part] = cloud
        both = np.isfinite(one.stress).all(axis=0)
        if both.any():
            stress = Cloud(one.stress[0][both], one.stress[1][both], "")
            panels.setdefault("stress components (eV/Å³)", {})[part] = stress
    return plot_parity(panels, "teacher and student")


def _course(metrics: Path) -> Figure:
    """Force errors on the way, against the time of the training."""
    with metrics.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    figure = Figure(figsize=(5.5, 3.8), layout="constrained")
    axes = figure.subplots()
    for name in ("validation", "held_out"):
        measured = [row for row in rows if row[f"{name}_force_rmse"]]
        if measured:
            minutes = [float(row["seconds"]) / 60 for row in measured]
            errors = [float(row[f"{name}_force_rmse"]) for row in measured]
            axes.plot(minutes, errors, "-o", markersize=4, label=name.replace("_", " "))
    axes.set(xlabel="minutes", ylabel="force RMSE, meV/Å", yscale="log")
    if axes.lines:
        axes.legend(frameon=False)
    return figure


def _save(figure: Figure, path: Path) -> None:
    with whole(path) as part:
        figure.savefig(part, dpi=130, format="png")
