"""The teacher: a model of this package, or any ASE calculator, and what tells it from others.

identity = that of the model's weights and config, whatever its card says;
           or SHA-256 of the callable's name, its module's file and its arguments
"""

import hashlib
import importlib
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from ase import Atoms
from ase.calculators.calculator import (
    BaseCalculator,
    CalculationFailed,
    CalculatorError,
    PropertyNotImplementedError,
)

from openmm_pqeq.calculator import PQEqCalculator
from openmm_pqeq.checkpoint import card, file_of
from openmm_pqeq.distillation.settings import NONE, TeacherSettings
from openmm_pqeq.jobs.files import sha256
from openmm_pqeq.model_file import fingerprint


class Teacher(NamedTuple):
    """calculator : of ASE; name : for people; identity : a hash that another teacher does not have;
    checksum : SHA-256 of a model's whole file, by which earlier versions knew it, else the identity;
    licence : of a model, as its card says it; elements : that a model knows, none where nobody can
    tell"""

    calculator: BaseCalculator
    name: str
    identity: str
    checksum: str
    licence: str = ""
    elements: tuple[str, ...] = ()


@contextmanager
def asked(teacher: Teacher, about: str) -> Iterator[None]:
    """Around all that a teacher is asked about a structure.

    CalculatorError, by which ASE's calculators say that a structure is beyond them, and OSError are
    left as they are; a calculator may raise anything else, too, and that becomes a RuntimeError
    that names teacher and structure.
    """
    try:
        yield
    except (CalculatorError, OSError):
        raise
    except Exception as error:
        lines = str(error).strip().splitlines()
        said = f"{type(error).__name__}: {lines[-1]}" if lines else type(error).__name__
        raise RuntimeError(f"teacher {teacher.name} at {about}: {said}") from error


def label_of(atoms: Atoms, teacher: Teacher) -> dict[str, Any]:
    """Energy (eV), forces (eV/Å) and, of a crystal, stress (eV/Å³) where the teacher has it.

    Raises CalculationFailed where a number of them is not finite, ValueError where there are forces
    of another number of atoms.
    """
    asking = atoms.copy()
    asking.calc = teacher.calculator
    found = {"energy": asking.get_potential_energy(), "forces": asking.get_forces()}
    if atoms.pbc.all():
        with suppress(PropertyNotImplementedError):
            found["stress"] = asking.get_stress()
    if (shape := np.shape(found["forces"])) != (len(atoms), 3):
        raise ValueError(f"expected forces of shape {(len(atoms), 3)}, got {shape}")
    for name, value in found.items():
        if not np.isfinite(value).all():
            raise CalculationFailed(f"{name} with NaN or infinity")
    return found


def teacher_of(settings: TeacherSettings) -> Teacher:
    """The teacher of [teacher]; raises ValueError, FileNotFoundError or ImportError naming the
    setting."""
    if (settings.model == NONE) == (settings.calculator == NONE):
        got = "neither" if settings.model == NONE else "both"
        raise ValueError(f"teacher: expected either a model or a calculator, got {got}")
    if settings.model != NONE:
        if settings.options:
            raise ValueError("teacher.options: expected none beside teacher.model")
        file = file_of(settings.model)
        calculator = PQEqCalculator(settings.model, dtype="float32")
        licence = str(card(settings.model).get("licence", ""))
        elements = tuple(calculator.potential.species)
        name = Path(settings.model).name
        return Teacher(calculator, name, fingerprint(file), sha256(file), licence, elements)
    made, origin = _callable(settings.calculator)
    try:
        calculator = made(**settings.options)
    except TypeError as error:
        raise ValueError(f"teacher.options: {settings.calculator} refuses them: {error}") from error
    except Exception as error:  # a program of somebody else
        raise ValueError(
            f"teacher.calculator: {settings.calculator} fails: {type(error).__name__}: {error}"
        ) from error
    if not hasattr(calculator, "get_property"):
        raise ValueError(
            f"teacher.calculator: expected what makes an ASE calculator, got {settings.calculator}, "
            f"which makes {type(calculator).__name__}"
        )
    about = json.dumps([settings.calculator, origin, settings.options], sort_keys=True, default=str)
    identity = hashlib.sha256(about.encode("utf-8")).hexdigest()
    return Teacher(calculator, settings.calculator, identity, identity)


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
    except Exception as error:  # a file of somebody else
        raise ImportError(
            f"teacher.calculator: {module} cannot be imported: {type(error).__name__}: {error}"
        ) from error
    made = getattr(found, attribute, None)
    if not callable(made):
        raise ValueError(f"teacher.calculator: {module} has no callable {attribute!r}")
    file = getattr(found, "__file__", None)
    return made, sha256(Path(file)) if file else ""
