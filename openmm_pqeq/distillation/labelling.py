"""Which structures are labelled, in which order: first those that need no dynamics, then the first
frame of every dynamics, then the second, ...; so that what is there early is of all phases."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import ase
import numpy as np
from ase.calculators.calculator import CalculatorError

from openmm_pqeq.distillation.heating import Heating
from openmm_pqeq.distillation.labels import Labels, described, hashed
from openmm_pqeq.distillation.settings import NONE, StructureSettings, TeacherSettings
from openmm_pqeq.distillation.structures import Made, built, read_phases, varied
from openmm_pqeq.distillation.teacher import Teacher, teacher_of

EVERY = 50
"""Labels between two lines of progress."""


class Task(NamedTuple):
    """Structures that are labelled as they are, and dynamics; both with the settings of their part;
    and who moves the atoms, where that is not the teacher."""

    structures: list[Made]
    dynamics: list[Heating]
    settings: StructureSettings
    driver: Teacher | None = None


def tasks_of(settings: StructureSettings, part: str, folder: Path) -> Task:
    """What [structures] or [held_out] asks for."""
    phases = read_phases(settings, folder)
    structures = [
        made for phase, images in phases.items() for made in varied(phase, images, settings, part)
    ]
    structures += built(settings, part)
    dynamics = [
        Heating(image, phase, part, t, settings.interval, settings.timestep, settings.seed)
        for phase, images in phases.items()
        for image in images
        for t in settings.temperatures
    ]
    named = dynamics and settings.driver != NONE
    driver = teacher_of(TeacherSettings(model=settings.driver)) if named else None
    return Task(structures, dynamics, settings, driver)


def label_all(tasks: list[Task], labels: Labels, say: Callable[[str], None]) -> list[Made]:
    """All frames with their labels, in the order of the tasks; what is known is not asked again.

    Frames with a force above the limit, and the rest of their dynamics, are left out, and so are
    structures at which the teacher fails as ASE's calculators do (CalculatorError).
    """
    total = sum(len(t.structures) + len(t.dynamics) * t.settings.frames for t in tasks)
    say(f"{total} structures of {_phases(tasks)} phases; {len(labels)} labels are there")
    frames: list[Made] = []
    left_out = 0
    for made in _labelled(tasks, labels):
        if made is None:
            left_out += 1
            continue
        frames.append(made)
        if len(frames) % EVERY == 0:
            say(f"labelled {len(frames)} of {total}: {made.phase}, {made.how}")
    if left_out:
        say(f"{left_out} structures or dynamics were left out: forces too large, or none found")
    if not any(made.part == "training" for made in frames):
        raise ValueError(
            "structures: expected some with forces below structures.largest_force, got none"
        )
    return frames


def _labelled(tasks: list[Task], labels: Labels) -> Iterator[Made | None]:
    for task in tasks:
        for made in task.structures:
            request = hashed(f"structure {described(made.atoms)}")
            yield _answered(made, request, labels, task.settings, time.monotonic())
    ends: dict[tuple[int, int], ase.Atoms] = {
        (i, j): heating.begun()
        for i, task in enumerate(tasks)
        for j, heating in enumerate(task.dynamics)
    }
    for index in range(max(task.settings.frames for task in tasks)):
        for i, j in list(ends):
            task, heating = tasks[i], tasks[i].dynamics[j]
            if index >= task.settings.frames:
                continue
            frame = _next(heating, ends[i, j], index, labels, task)
            if frame is None:
                del ends[i, j]
            else:
                ends[i, j] = frame.atoms
            yield frame


def _next(
    heating: Heating,
    before: ase.Atoms,
    index: int,
    labels: Labels,
    task: Task,
) -> Made | None:
    """Frame `index` of dynamics."""
    begun = time.monotonic()
    about: tuple[object, ...]
    about = (heating.phase, heating.temperature, heating.interval, heating.timestep, heating.seed)
    if task.driver is not None:
        about += (task.driver.identity,)
    mover = task.driver or labels.teacher
    request = hashed(f"dynamics {described(before)} {about} {index}")
    made = Made(before, heating.phase, heating.how, heating.part)
    if labels.known(request) is None:
        try:
            made = made._replace(atoms=heating.next(before, index, mover.calculator))
        except CalculatorError:
            return None
    return _answered(made, request, labels, task.settings, begun)


def _answered(
    made: Made, request: str, labels: Labels, settings: StructureSettings, begun: float
) -> Made | None:
    try:
        atoms = labels.known(request) or labels.label(made, request, begun)
    except CalculatorError:
        return None
    largest = float(np.linalg.norm(atoms.get_forces(apply_constraint=False), axis=1).max())
    return made._replace(atoms=atoms) if largest < settings.largest_force else None


def _phases(tasks: list[Task]) -> int:
    made = {one.phase for task in tasks for one in task.structures}
    return len(made | {one.phase for task in tasks for one in task.dynamics})
