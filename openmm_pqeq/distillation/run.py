"""`distill`: from a teacher and structures to a student and a report of it.

structures → labels.db → training.traj, held_out.traj → student/ (a training) → model.pt, report
"""

import dataclasses
import json
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, cast

import ase.io
import torch
from ase.data import chemical_symbols

from openmm_pqeq.checkpoint import card, load, refuse_unknown, save
from openmm_pqeq.distillation.config import (
    Distillation,
    described,
    read_distillation,
    write_toml,
)
from openmm_pqeq.distillation.fragments import pulled_apart
from openmm_pqeq.distillation.labelling import Task, label_all, tasks_of
from openmm_pqeq.distillation.labels import Labels
from openmm_pqeq.distillation.report import compare, cost_of, write_report
from openmm_pqeq.distillation.settings import NONE
from openmm_pqeq.distillation.start import restricted_to
from openmm_pqeq.distillation.structures import Made
from openmm_pqeq.distillation.teacher import Teacher, teacher_of
from openmm_pqeq.jobs.facts import add_resumption, facts_of
from openmm_pqeq.jobs.failure import RunFailure, on_the_way, reason_of
from openmm_pqeq.jobs.files import sha256, whole, write_text
from openmm_pqeq.jobs.folder import Kind, begin, owned
from openmm_pqeq.potential import Potential, build
from openmm_pqeq.training.config import Config
from openmm_pqeq.training.folder import CHECKPOINT, METRICS, checksums, refuse_others
from openmm_pqeq.training.folder import described as described_training
from openmm_pqeq.training.formats import read_images
from openmm_pqeq.training.parts import select
from openmm_pqeq.training.run import fit

LABELS = "labels.db"
PARTS = {"training": "training.traj", "held out": "held_out.traj"}
START = "start.pt"
STUDENT = "student"
AGAIN = "the same command with --resume"
KIND = Kind(
    name="distillation",
    files=(
        "distill.toml",
        LABELS,
        *PARTS.values(),
        START,
        "model.pt",
        "report.txt",
        "report.json",
        "parity.png",
        "course.png",
    ),
    resumes_from=LABELS,
)
"""What it leaves, beside the folder of the student's training."""


class Result(NamedTuple):
    """folder with everything written; the student's file, None where only labels were wanted; how
    many structures were labelled."""

    folder: Path
    model: Path | None
    n_labels: int


def distill(
    config_path: str | os.PathLike[str],
    output: str | os.PathLike[str] | None = None,
    overwrite: bool = False,
    resume: bool = False,
    labels_only: bool = False,
    say: Callable[[str], None] = print,
) -> Result:
    """Label structures with a teacher, train a student on them, and report how good it is.

    Parameters
    ----------
    config_path : a TOML file, see distillation/settings.py
    output : folder for everything; default: `output` of the file
    overwrite : replace the distillation that is in `output`, its labels too
    resume : go on with it; structures, student and training may be others than before, and what has
        been labelled is not labelled again
    labels_only : end before the training
    say : takes each line of progress

    Raises
    ------
    FileNotFoundError, FileExistsError, ValueError : what is wrong with the file, the structures or
        the folder; another teacher than that of the labels
    RunFailure : on the way
    """
    settings = read_distillation(config_path)
    folder = Path(output) if output is not None else Path(settings.output)
    return distilled(settings, folder, overwrite, resume, labels_only, say)


def distilled(
    settings: Distillation,
    folder: Path,
    overwrite: bool,
    resume: bool,
    labels_only: bool,
    say: Callable[[str], None],
) -> Result:
    """Distil from settings that have been read."""
    with owned(folder, KIND, overwrite, resume):
        models = {
            "structures.driver": settings.structures.driver,
            "held_out.driver": settings.held_out.driver,
            "student.start": settings.student.start,
        }
        refuse_unknown({name: model for name, model in models.items() if model != NONE})
        tasks = [
            tasks_of(settings.structures, "training", settings.folder),
            tasks_of(settings.held_out, "held out", settings.folder),
        ]
        teacher = teacher_of(settings.teacher)  # which may have to be fetched
        _refuse(settings, tasks, teacher)
        if resume:
            labels = Labels(folder / LABELS, teacher)
            add_resumption(folder, KIND.name, described(settings))
        else:
            begin(folder, KIND, facts_of(described(settings), settings.structures.seed))
            labels = Labels(folder / LABELS, teacher)
        write_text(folder / "distill.toml", write_toml(settings))
        with _going_on(labels):
            frames = label_all(tasks, labels, say)
        files = write_parts(frames, folder)
        say(", ".join(f"{len(of_part(frames, part))} frames for {part}" for part in PARTS))
        if labels_only:
            return Result(folder, None, len(frames))
        model = _trained(settings, files, folder, teacher, say)
        with _going_on(labels):
            say(_reported(settings, frames, model, folder, labels))
        say(f"student: {model}")
        return Result(folder, model, len(frames))


def _refuse(settings: Distillation, tasks: Sequence[Task], teacher: Teacher) -> None:
    """What would else be found after all labels: elements that teacher or student do not know, parts
    that the student's network does not have."""
    elements = {
        symbol
        for task in tasks
        for atoms in [made.atoms for made in task.structures] + [h.start for h in task.dynamics]
        for symbol in atoms.get_chemical_symbols()
    }
    if unknown := sorted(elements - set(teacher.elements or elements)):
        raise ValueError(
            f"structures: there is {', '.join(unknown)}, which the teacher {teacher.name} does not know; "
            "take another teacher, or other structures"
        )
    if settings.student.start != NONE:
        start = _loaded("student.start", settings.student.start)
        gnn = restricted_to(sorted(elements), start).gnn
        select(cast(torch.nn.Module, gnn), settings.student.train)


def _loaded(name: str, model: str) -> Potential:
    """A model; what is wrong with it is said with the name of its setting."""
    try:
        return load(model)
    except FileNotFoundError as error:
        raise FileNotFoundError(f"{name}: {error}") from None
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None


@contextmanager
def _going_on(labels: Labels) -> Iterator[None]:
    """What the teacher and the disk do, as a failure from which the same command goes on."""
    try:
        yield
    except RunFailure:
        raise
    except (RuntimeError, OSError) as error:
        raise on_the_way(
            KIND.name, len(labels), "label", reason_of(error), str(labels.path), AGAIN
        ) from error


def of_part(frames: Sequence[Made], part: str) -> list[Made]:
    """The frames of "training" or "held out"."""
    return [made for made in frames if made.part == part]


def write_parts(frames: Sequence[Made], folder: Path) -> list[str]:
    """The labelled structures as files for training, with their phase and how they were made; the
    name is empty of a part without frames."""
    files = []
    for part, name in PARTS.items():
        chosen = of_part(frames, part)
        images = [made.atoms.copy() for made in chosen]
        for image, made in zip(images, chosen):
            image.calc = made.atoms.calc
            image.info |= {"phase": made.phase, "how": made.how}
            image.set_momenta(None)
        if images:
            with whole(folder / name) as path:
                ase.io.write(path, images, format="traj")
        files.append(str(folder / name) if images else "")
    return files


def elements_of(file: str) -> list[str]:
    """Of the structures of a file, by atomic number."""
    numbers = {number for image in read_images(Path(file)) for number in image.numbers}
    return [chemical_symbols[number] for number in sorted(numbers)]


def _trained(
    settings: Distillation,
    files: list[str],
    folder: Path,
    teacher: Teacher,
    say: Callable[[str], None],
) -> Path:
    """The student; a training of the same data and settings goes on, another one is replaced."""
    student, about = settings.student, about_teacher(teacher)
    if student.start != NONE:
        start, its_card = load(student.start), card(student.start)
        save(restricted_to(elements_of(files[0]), start), folder / START, its_card)
        kept = {k: v for k, v in its_card.items() if k not in ("errors", "training")}
        about["fine_tuned_from"] = {"model": Path(student.start).name, "card": kept}
        student = dataclasses.replace(student, start=str(folder / START))
    config = dataclasses.replace(settings, student=student).of_the_student(*files)
    config = dataclasses.replace(config, card=about | config.card)
    known = (folder / STUDENT / CHECKPOINT).is_file()
    same = known and _same(config, folder / STUDENT)
    if known and not same:
        say("the training that was there had other data or settings; it is replaced")
    try:
        result = fit(config, folder / STUDENT, overwrite=not same, resume=same, say=say)
    except RunFailure as error:  # which would begin anew, without the labels
        what = str(error).partition("\n")[0]
        raise RunFailure(f"{what}\nIt goes on from {folder / LABELS} with: {AGAIN}") from error
    with whole(folder / "model.pt") as path:
        shutil.copyfile(result.model, path)
    return folder / "model.pt"


def about_teacher(teacher: Teacher) -> dict[str, Any]:
    """What the card says of the teacher; its licence where it is known, as it may bind the student."""
    facts = {"name": teacher.name, "sha256": teacher.checksum, "licence": teacher.licence}
    return {"teacher": {name: value for name, value in facts.items() if value}}


def _reported(
    settings: Distillation, frames: list[Made], model: Path, folder: Path, labels: Labels
) -> str:
    """The report of a student, written and returned."""
    student, charges = load(model), settings.reference_charges
    parts = {}
    for part in PARTS:
        if chosen := of_part(frames, part):
            parts[part] = (chosen, compare(student, chosen, charges))
    subtracted = {k: table for k, table in student.config.items() if k != "gnn"}
    if subtracted.get("pqeq", {}).get("energy") == "field":
        subtracted.pop("pqeq")  # nothing without a field
    piece = min(parts["training"][0], key=lambda made: len(made.atoms)).atoms
    terms = build(subtracted) if subtracted else None
    try:
        pulls, remark = pulled_apart(piece, labels.teacher, terms, charges), ""
    except (RuntimeError, OSError) as error:
        pulls, remark = [], reason_of(error)
    cost = cost_of(student, labels.teacher, parts["training"][0])
    trained = json.loads((folder / STUDENT / "errors.json").read_text(encoding="utf-8"))
    facts = {
        "teacher": labels.teacher.name,
        "sha256": sha256(model),
        "labels": len(labels),
        "seconds of labels": round(labels.seconds, 1),
        "epochs": trained["epochs"],
        "seconds of training": trained["seconds"],
    }
    course = folder / STUDENT / METRICS
    return write_report(folder, parts, cost, pulls or remark, course, facts)


def _same(config: Config, folder: Path) -> bool:
    facts = facts_of(described_training(config), config.training.seed, checksums(config))
    try:
        refuse_others(folder, facts)
    except ValueError:
        return False
    return True
