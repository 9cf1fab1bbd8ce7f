"""The teacher: a model of this package, or any ASE calculator, and what tells it from others.

identity = SHA-256 of the model's file, or of the callable's name, its module's file and its arguments
"""

import hashlib
import importlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from ase.calculators.calculator import BaseCalculator

from openmm_pqeq.calculator import PQEqCalculator
from openmm_pqeq.checkpoint import card, file_of
from openmm_pqeq.distillation.settings import NONE, TeacherSettings
from openmm_pqeq.jobs.files import sha256


class Teacher(NamedTuple):
    """calculator : of ASE; name : for people; identity : a hash that another teacher does not have;
    licence : of a model, as its card says it"""

    calculator: BaseCalculator
    name: str
    identity: str
    licence: str = ""


def teacher_of(settings: TeacherSettings) -> Teacher:
    """The teacher of [teacher]; raises ValueError, FileNotFoundError or ImportError naming the
    setting."""
    if (settings.model == NONE) == (settings.calculator == NONE):
        got = "neither" if settings.model == NONE else "both"
        raise ValueError(f"teacher: expected either a model or a calculator, got {got}")
    if settings.model != NONE:
        if settings.options:
            raise ValueError("teacher.options: expected none beside teacher.model")
        identity = sha256(file_of(settings.model))
        calculator = PQEqCalculator(settings.model, dtype="float32")
        licence = str(card(settings.model).get("licence", ""))
        return Teacher(calculator, Path(settings.model).name, identity, licence)
    made, origin = _callable(settings.calculator)
    try:
        calculator = made(**settings.options)
    except TypeError as error:
        raise ValueError(f"teacher.options: {settings.calculator} refuses them: {error}") from error
    if not hasattr(calculator, "get_property"):
        raise ValueError(
            f"teacher.calculator: expected what makes an ASE calculator, got {settings.calculator}, "
            f"which makes {type(calculator).__name__}"
        )
    about = json.dumps([settings.calculator, origin, settings.options], sort_keys=True, default=str)
    return Teacher(
        calculator, settings.calculator, hashlib.sha256(about.encode("utf-8")).hexdigest()
    )


def _callable(name: str) -> tuple[Callable[..., Any], str]:
    """What "module:callable" names, and the checksum of the file that it is in."""
    module, colon, attribute = name.partition(":")
    if not colon or not module or not attribute:
        raise ValueError(
            "teacher.calculator: expected module:callable, such as ase.calculators.emt:EMT, got "
            f"{name!r}"
        )
    try:
        found = importlib.import_module(module)
    except ImportError as error:
        raise ImportError(f"teacher.calculator: {module} cannot be imported: {error}") from error
    made = getattr(found, attribute, None)
    if not callable(made):
        raise ValueError(f"teacher.calculator: {module} has no callable {attribute!r}")
    file = getattr(found, "__file__", None)
    return made, sha256(Path(file)) if file else ""
