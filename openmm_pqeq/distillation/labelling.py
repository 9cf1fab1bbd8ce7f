"""Which structures are labelled, in which order: first those that need no dynamics, then the first
frame of every dynamics, then the second, ...; so that what is there early is of all phases."""

import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import ase
import numpy as np
from ase.calculators.calculator import CalculatorError

from openmm_pqeq.distillation.heating import Heating
from openmm_pqeq.distillation.labels import Labels, described, hashed
from openmm_pqeq.distillation.settings import NONE, StructureSettings, TeacherSettings
from openmm_pqeq.distillation.structures import (
    Made,
    built,
    read_phases,
    refuse_idle_alloys,
    varied,
)
from openmm_pqeq.distillation.teacher import Teacher, asked, teacher_of
from openmm_pqeq.jobs.failure import reason_of

EVERY = 50
"""Labels between two lines of progress."""
MOST_REASONS = 5
"""For which structures were left out, in the message."""


class LeftOut(NamedTuple):
    """A structure, or the rest of dynamics, that is not trained on, and why."""

    why: str


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
    if part == "training":
        refuse_idle_alloys(settings, phases)
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
    structures at which the teacher fails as ASE's calculators do (CalculatorError), or says what is
    no number. Raises ValueError where none is left to train on.
    """
    total = sum(len(t.structures) + len(t.dynamics) * t.settings.frames for t in tasks)
    say(f"{total} structures of {_phases(tasks)} phases; {len(labels)} labels are there")
    frames: list[Made] = []
    left_out: Counter[str] = Counter()
    for made in _labelled(tasks, labels):
        if isinstance(made, LeftOut):
            left_out[made.why] += 1
            continue
        frames.append(made)
        if len(frames) % EVERY == 0:
            say(f"labelled {len(frames)} of {total}: {made.phase}, {made.how}")
    told = "; ".join(f"{number}: {why}" for why, number in left_out.most_common(MOST_REASONS))
    if left_out:
        say(f"{left_out.total()} structures or dynamics were left out, of these {told}")
    if not any(made.part == "training" for made in frames):
        raise ValueError(f"structures: expected some with a label to train on, got none ({told})")
    return frames


def _labelled(tasks: list[Task], labels: Labels) -> Iterator[Made | LeftOut]:
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
            if isinstance(frame, LeftOut):
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
) -> Made | LeftOut:
    """Frame `index` of dynamics."""
    begun = time.monotonic()
    mover = task.driver or labels.teacher
    request = _request_of(heating, before, index, labels, task.driver)
    made = Made(before, heating.phase, heating.how, heating.part)
    if labels.known(request) is None:
        try:
            with asked(mover, made.name):
                made = made._replace(atoms=heating.next(before, index, mover.calculator))
        except CalculatorError as error:
            return LeftOut(_failed(error))
    return _answered(made, request, labels, task.settings, begun)


def _request_of(
    heating: Heating, before: ase.Atoms, index: int, labels: Labels, driver: Teacher | None
) -> str:
    """What is asked for with frame `index`; by the checksum of the driver's file where an earlier
    version has asked so."""
    about: tuple[object, ...]
    about = (heating.phase, heating.temperature, heating.interval, heating.timestep, heating.seed)

    def asked_by(*mover: str) -> str:
        return hashed(f"dynamics {described(before)} {(*about, *mover)} {index}")

    if driver is None:
        return asked_by()
    earlier = asked_by(driver.checksum)
    return earlier if labels.known(earlier) is not None else asked_by(driver.identity)


def _answered(
    made: Made, request: str, labels: Labels, settings: StructureSettings, begun: float
) -> Made | LeftOut:
    try:
        atoms = labels.known(request) or labels.label(made, request, begun)
    except CalculatorError as error:
        return LeftOut(_failed(error))
    largest = float(np.linalg.norm(atoms.get_forces(apply_constraint=False), axis=1).max())
    if not largest < settings.largest_force:
        return LeftOut(f"a force above largest_force, {settings.largest_force:g} eV/Å")
    return made._replace(atoms=atoms)


def _failed(error: CalculatorError) -> str:
    return f"the teacher fails: {reason_of(error)}"


def _phases(tasks: list[Task]) -> int:
    made = {one.phase for task in tasks for one in task.structures}
    return len(made | {one.phase for task in tasks for one in task.dynamics})
