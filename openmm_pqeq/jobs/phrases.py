"""Settings that are phrases in small languages, each read into a NamedTuple.

NAME[=KEY[:UNIT]]             polarizability=pol:bohr3     a target of a fit
NAME=ERROR                    born_charge=0.1              its scale
[ELEMENT:]NAMES               Ba:radius,hardness           a selection of parameters
[ELEMENT:]NAME=LOW:HIGH       hardness=x0.8:x1.5           their bounds, or as factors
"""

import re
from typing import NamedTuple

from openmm_pqeq.jobs.values import halves, number, positive, shown


class Target(NamedTuple):
    """NAME[=KEY[:UNIT]]: a quantity, where the data have it, and in which unit."""

    name: str
    key: str
    unit: str


class Selection(NamedTuple):
    """[ELEMENT:]NAME[,NAME...]: parameters of an element, or (empty) of all."""

    element: str
    names: tuple[str, ...]


class Interval(NamedTuple):
    """LOW:HIGH, or xLOW:xHIGH as factors."""

    low: float
    high: float
    factors: bool


def target(name: str, value: str) -> Target:
    """Read "polarizability", "polarizability=pol" or "polarizability=pol:bohr3"."""
    quantity, _, rest = value.partition("=")
    key, _, unit = rest.partition(":")
    return Target(quantity.strip(), key.strip(), unit.strip())


def scale(name: str, value: str) -> tuple[str, float]:
    """Read "born_charge=0.1"."""
    quantity, right = halves(name, value, "NAME=POSITIVE NUMBER")
    return quantity, positive(name, right)


def selection(name: str, value: str) -> Selection:
    """Read "radius", "Ba:radius,spring_constant" or "Ti:all"."""
    left, colon, right = value.strip().partition(":")
    chosen = tuple(item.strip() for item in (right if colon else left).split(","))
    if not all(chosen) or (colon and not left.strip()):
        raise ValueError(f"{name}: expected [ELEMENT:]NAMES such as Ba:radius, got {shown(value)}")
    return Selection(left.strip() if colon else "", chosen)


def bounds(name: str, value: str) -> tuple[Selection, Interval]:
    """Read "radius=0.4:1.6", "Ti:spring_constant=100:5000" or "hardness=x0.8:x1.5"."""
    left, right = halves(name, value, "[ELEMENT:]NAME=LOW:HIGH")
    match = re.fullmatch(r"(x?)([^:x]+):(x?)([^:x]+)", right)
    if match is None or match[1] != match[3]:
        raise ValueError(
            f"{name}: expected LOW:HIGH or xLOW:xHIGH for {shown(left)}, got {shown(right)}"
        )
    low, high = number(name, match[2]), number(name, match[4])
    return selection(name, left), Interval(low, high, bool(match[1]))
