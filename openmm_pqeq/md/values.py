"""Settings from text or TOML values: each function takes the setting's name and value and returns
the value, checked.

A ValueError names the setting, what is expected and what came. Flags arrive as text, TOML values
with their type; both are read alike.
"""

import math
import re
from collections.abc import Callable
from typing import Any

from openmm_pqeq.md.schedule import component

PICOSECONDS = {"fs": 1e-3, "ps": 1.0, "ns": 1e3, "us": 1e6}
BAR = {
    "bar": 1.0,
    "mbar": 1e-3,
    "kbar": 1e3,
    "atm": 1.01325,
    "pa": 1e-5,
    "kpa": 1e-2,
    "mpa": 10.0,
    "gpa": 1e4,
}
_WITH_UNIT = re.compile(r"\s*([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)\s*([A-Za-z]*)\s*")
_LARGEST_SEED = 2**31 - 8


def text(name: str, value: Any) -> str:
    """Any text that is not empty."""
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"{name}: expected text, got {value!r}")
    return value


def choice(*choices: str) -> Callable[[str, Any], str]:
    """One of a few words; upper and lower case do not matter."""

    def parse(name: str, value: Any) -> str:
        for word in choices:
            if isinstance(value, str) and value.lower() == word.lower():
                return word
        raise ValueError(f"{name}: expected one of {', '.join(choices)}, got {value!r}")

    parse.choices = choices  # type: ignore[attr-defined]
    return parse


def number(name: str, value: Any) -> float:
    """A finite number."""
    value = value.strip() if isinstance(value, str) else value
    try:
        result = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        result = math.nan
    if not math.isfinite(result):
        raise ValueError(f"{name}: expected a number, got {value!r}")
    return result


def positive(name: str, value: Any) -> float:
    """A number above zero."""
    result = number(name, value)
    if result <= 0:
        raise ValueError(f"{name}: expected a positive number, got {value!r}")
    return result


def not_negative(name: str, value: Any) -> float:
    """A number that is zero or above."""
    result = number(name, value)
    if result < 0:
        raise ValueError(f"{name}: expected a number that is not negative, got {value!r}")
    return result


def count(name: str, value: Any) -> int:
    """A whole number, zero or above; text such as 1e5 is understood."""
    result = number(name, value)
    if result != int(result) or result < 0:
        raise ValueError(f"{name}: expected a whole number that is not negative, got {value!r}")
    return int(result)


def positive_count(name: str, value: Any) -> int:
    """A whole number above zero."""
    result = count(name, value)
    if result < 1:
        raise ValueError(f"{name}: expected a whole number above zero, got {value!r}")
    return result


def seed(name: str, value: Any) -> int:
    """A seed that OpenMM does not take as a request for a random one."""
    result = positive_count(name, value)
    if result > _LARGEST_SEED:
        raise ValueError(
            f"{name}: expected a whole number from 1 to {_LARGEST_SEED}, got {value!r}"
        )
    return result


def boolean(name: str, value: Any) -> bool:
    """True or false."""
    words = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.lower() in words:
        return words[value.lower()]
    raise ValueError(f"{name}: expected true or false, got {value!r}")


def _three(name: str, value: Any, kind: str) -> list[Any]:
    if not isinstance(value, (list, tuple)) or len(value) != 3:
        raise ValueError(f"{name}: expected three {kind}, got {value!r}")
    return list(value)


def counts(name: str, value: Any) -> tuple[int, int, int]:
    """Three whole numbers above zero."""
    a, b, c = (
        positive_count(name, item) for item in _three(name, value, "whole numbers such as 3 3 3")
    )
    return a, b, c


def booleans(name: str, value: Any) -> tuple[bool, bool, bool]:
    """Three times true or false."""
    a, b, c = (boolean(name, item) for item in _three(name, value, "of true or false"))
    return a, b, c


def field(name: str, value: Any) -> tuple[float | str, float | str, float | str]:
    """Three components, each a number (V/Å) or an expression of t (ps)."""
    components: list[float | str] = []
    for item in _three(
        name, value, 'components in V/Å such as 0 0 0.01 or 0 0 "0.02*sin(2*pi*t/10)"'
    ):
        try:
            components.append(number(name, item))
        except ValueError:
            component(item)(0.0)
            components.append(item)
    x, y, z = components
    return x, y, z


def _with_unit(name: str, value: Any, units: dict[str, float], default: str) -> float:
    match = None if isinstance(value, bool) else _WITH_UNIT.fullmatch(str(value))
    scale = units.get((match[2] or default).lower()) if match else None
    if match is None or scale is None:
        raise ValueError(
            f"{name}: expected a number with one of the units {', '.join(units)} (or in "
            f"{default}), got {value!r}"
        )
    return float(f"{float(match[1]) * scale:.12g}")


def picoseconds(name: str, value: Any) -> float:
    """A time above zero in ps, from a number (ps) or text such as 500fs."""
    result = _with_unit(name, value, PICOSECONDS, "ps")
    if result <= 0:
        raise ValueError(f"{name}: expected a positive time, got {value!r}")
    return result


def picoseconds_or_zero(name: str, value: Any) -> float:
    """A time in ps that is zero or above."""
    result = _with_unit(name, value, PICOSECONDS, "ps")
    if result < 0:
        raise ValueError(f"{name}: expected a time that is not negative, got {value!r}")
    return result


def femtoseconds(name: str, value: Any) -> float:
    """A time above zero in fs, from a number (fs) or text such as 0.5fs."""
    result = float(f"{_with_unit(name, value, PICOSECONDS, 'fs') * 1000.0:.12g}")
    if result <= 0:
        raise ValueError(f"{name}: expected a positive time, got {value!r}")
    return result


def pressure(name: str, value: Any) -> float:
    """A pressure in bar, from a number (bar) or text such as 1GPa."""
    return _with_unit(name, value, BAR, "bar")
