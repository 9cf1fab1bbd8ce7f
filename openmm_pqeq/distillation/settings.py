"""What can be set in a distillation: the teacher, the structures, the student. Each class is a table
of its file, a line a setting; [training] is that of a training file."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ase.data import atomic_numbers

from openmm_pqeq.jobs import quantities, values
from openmm_pqeq.jobs.settings import setting

NONE = "none"
CHARGES = (NONE, "field", "bonds")
LARGEST_SEED = values.LARGEST_SEED

_channels = values.within(values.positive_count, 1, 1024)
_many = values.within(values.count, 0, 100_000)


def _each(low: float, high: float, unit: str) -> Any:
    """A parser of a list of numbers from `low` to `high`; a number alone is a list of one."""

    def parse(name: str, value: Any) -> tuple[float, ...]:
        items = value if isinstance(value, list | tuple) else [value]
        bounded = values.within(values.number, low, high, unit)
        return tuple(bounded(name, item) for item in items)

    return parse


def _alloys(name: str, value: Any) -> tuple[str, ...]:
    """Replacements such as "Cu=Au"."""
    found = values.names(name, value)
    for one in found:
        old, new = _elements(name, list(values.halves(name, one, 'replacements such as "Cu=Au"')))
        if old == new:
            raise ValueError(f"{name}: expected two elements, got {one!r}")
    return found


def _elements(name: str, value: Any) -> tuple[str, ...]:
    """Symbols of elements."""
    found = values.names(name, value)
    if unknown := [one for one in found if one not in atomic_numbers]:
        raise ValueError(f"{name}: {unknown[0]} is no element")
    return found


def _options(name: str, value: Any) -> dict[str, Any]:
    """Arguments of a callable by name."""
    if not isinstance(value, Mapping):
        raise ValueError(f"{name}: expected a table of arguments, got {values.shown(value)}")
    return {str(key): item for key, item in value.items()}


@dataclass(frozen=True)
class TeacherSettings:
    """[teacher]: who labels."""

    model: str = setting(
        "teacher", values.text, NONE, "name of a model, or path of a model file", "MODEL"
    )
    calculator: str = setting(
        "teacher",
        values.text,
        NONE,
        "or any ASE calculator, as what makes it: module:callable, such as ase.calculators.emt:EMT",
        "NAME",
    )
    options: dict[str, Any] = setting(
        "teacher", _options, dict, "arguments of that callable, a table", "TABLE"
    )
    dispersion: str = setting(
        "teacher",
        values.text,
        NONE,
        "functional whose D3 (Becke–Johnson) the labels contain; it becomes a term of the student",
        "NAME",
    )


@dataclass(frozen=True)
class StructureSettings:
    """[structures] and [held_out]: the crystals and molecules to start from, and what is made from
    each of them."""

    files: tuple[str, ...] = setting(
        "structures",
        values.texts,
        (),
        "structures that ASE reads, a file for each phase; relative to the file of settings",
        "FILE",
        "+",
    )
    crystals: int = setting(
        "structures", _many, 0, "and so many crystals of simple prototypes, built here", "N"
    )
    elements: tuple[str, ...] = setting(
        "structures", _elements, (), "that these are built of, such as Li,S,Cl", "SYMBOLS"
    )
    atoms: int = setting(
        "structures", _many, 0, "crystals of fewer atoms are repeated until they have so many", "N"
    )
    rattled: tuple[float, ...] = setting(
        "structures",
        _each(0, 5, "Å"),
        (0.03, 0.1, 0.2),
        "atoms moved at random: standard deviations, Å",
        "D",
        "+",
    )
    strained: tuple[float, ...] = setting(
        "structures",
        _each(0, 0.5, ""),
        (0.02, 0.05),
        "cells strained at random, atoms moved by the first of rattled: standard deviations",
        "D",
        "+",
    )
    scaled: tuple[float, ...] = setting(
        "structures",
        _each(0.5, 2, ""),
        (0.94, 0.97, 1.03, 1.06),
        "cells expanded and compressed, atoms moved by the first of rattled: factors of lengths",
        "F",
        "+",
    )
    alloys: tuple[str, ...] = setting(
        "structures", _alloys, (), "replacements of elements, such as Cu=Au", "A=B", "+"
    )
    shares: tuple[float, ...] = setting(
        "structures",
        _each(0, 1, ""),
        (0.25, 0.5, 0.75),
        "parts of the atoms of an element that are replaced, each at every size of scaled",
        "S",
        "+",
    )
    copies: int = setting("structures", _many, 2, "of each of these kinds", "N")
    temperatures: tuple[float, ...] = setting(
        "structures",
        _each(0, 100_000, "K"),
        (300.0, 600.0, 1000.0),
        "dynamics with the teacher, K",
        "T",
        "+",
    )
    driver: str = setting(
        "structures",
        values.text,
        NONE,
        "a cheaper model that moves the atoms of dynamics in the teacher's place; the teacher "
        "labels the frames all the same",
        "MODEL",
    )
    frames: int = setting("structures", _many, 10, "taken from each such dynamics", "N")
    interval: float = setting(
        "structures", quantities.femtoseconds, 20.0, "between them, fs", "TIME", unit="fs"
    )
    timestep: float = setting(
        "structures", quantities.femtoseconds, 1.0, "of the dynamics, fs", "TIME", unit="fs"
    )
    largest_force: float = setting(
        "structures", values.positive, 20.0, "frames with a larger force are left out, eV/Å", "F"
    )
    seed: int = setting(
        "structures", values.within(values.count, 0, LARGEST_SEED), 0, "of all of it", "N"
    )


@dataclass(frozen=True)
class StudentSettings:
    """[student]: the network that is trained, and the terms beside it."""

    start: str = setting(
        "student", values.text, NONE, "a model whose weights it starts from, of its size", "MODEL"
    )
    train: str = setting(
        "student", values.text, "maps", "parts of that model's network that are trained", "PARTS"
    )
    channels: int = setting(
        "student", _channels, 32, "scalars of an atom; half as many with each degree more", "N"
    )
    layers: int = setting(
        "student", values.within(values.positive_count, 1, 20), 2, "interactions", "N"
    )
    l_max: int = setting(
        "student", values.within(values.count, 0, 6), 1, "highest degree of the features", "L"
    )
    cutoff: float = setting(
        "student", values.within(values.positive, 1, 20), 5.0, "of the network, Å", "R"
    )
    basis: int = setting("student", _channels, 8, "radial functions", "N")
    charges: str = setting(
        "student",
        values.choice(*CHARGES),
        NONE,
        "none: the network alone; field: what an electric field does, added to the network; bonds: "
        "charges by bonds in every energy, and taken off the labels",
    )
