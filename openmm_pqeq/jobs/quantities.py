"""Times and pressures from settings, with or without a unit: each function takes the setting's name
and value, as those of values.py do."""

import math
import re
from numbers import Real
from typing import Any

from openmm_pqeq.jobs.values import number, shown

PICOSECONDS = {"fs": 1e-3, "ps": 1.0, "ns": 1e3, "us": 1e6}
BAR = {
    "bar": 1.0,
    "mbar": 1e-3,
    "kbar": 1e3,
    "Mbar": 1e6,
    "atm": 1.01325,
    "Pa": 1e-5,
    "mPa": 1e-8,
    "kPa": 1e-2,
    "MPa": 10.0,
    "GPa": 1e4,
}
_WITH_UNIT = re.compile(r"\s*([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)\s*([A-Za-z]*)\s*")
_SECONDS = {"s": 1.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
LONGEST = 10**9
"""Seconds, of durations."""


def _scale(units: dict[str, float], written: str) -> float | None:
    """Of a unit, whose upper and lower case matter only where they tell mega from milli."""
    if written in units:
        return units[written]
    alike = [scale for unit, scale in units.items() if unit.lower() == written.lower()]
    return alike[0] if len(alike) == 1 else None


def _with_unit(name: str, value: Any, units: dict[str, float], default: str) -> float:
    plain = isinstance(value, Real) and not isinstance(value, bool)
    written = str(number(name, value)) if plain else value
    match = _WITH_UNIT.fullmatch(written) if isinstance(written, str) else None
    scale = _scale(units, match[2] or default) if match else None
    if match is None or scale is None:
        raise ValueError(
            f"{name}: expected a number with one of the units {', '.join(units)} (or in "
            f"{default}), got {shown(value)}"
        )
    result = float(f"{float(match[1]) * scale:.12g}")
    if not math.isfinite(result):
        raise ValueError(f"{name}: expected a finite number, got {shown(value)}")
    return result


def picoseconds(name: str, value: Any) -> float:
    """A time above zero in ps, from a number (ps) or text such as 500fs."""
    result = _with_unit(name, value, PICOSECONDS, "ps")
    if result <= 0:
        raise ValueError(f"{name}: expected a positive time, got {shown(value)}")
    return result


def picoseconds_or_zero(name: str, value: Any) -> float:
    """A time in ps that is zero or above."""
    result = _with_unit(name, value, PICOSECONDS, "ps")
    if result < 0:
        raise ValueError(f"{name}: expected a time that is not negative, got {shown(value)}")
    return result


def femtoseconds(name: str, value: Any) -> float:
    """A time above zero in fs, from a number (fs) or text such as 0.5fs."""
    result = float(f"{_with_unit(name, value, PICOSECONDS, 'fs') * 1000.0:.12g}")
    if result <= 0:
        raise ValueError(f"{name}: expected a positive time, got {shown(value)}")
    return result


def pressure(name: str, value: Any) -> float:
    """A pressure in bar, from a number (bar) or text such as 1GPa."""
    return _with_unit(name, value, BAR, "bar")


def gigapascals(name: str, value: Any) -> float:
    """A pressure in GPa, from a number (GPa) or text such as 500bar."""
    return float(f"{_with_unit(name, value, BAR, 'GPa') / BAR['GPa']:.12g}")


def pressure_in_words(bar: float) -> str:
    """A pressure in the units of both who simulate and who relax."""
    return f"{bar:g} bar ({bar / BAR['GPa']:g} GPa)"


def seconds(name: str, value: Any) -> float:
    """A duration in s, from a number (s) or text such as 90s, 10min, 2h or 01:30:00."""
    result = math.nan
    if isinstance(value, str) and value.count(":") == 2:
        parts = [number(name, part) for part in value.split(":")]
        result = parts[0] * 3600 + parts[1] * 60 + parts[2] if min(parts) >= 0 else math.nan
    elif isinstance(value, str):
        match = _WITH_UNIT.fullmatch(value)
        if match is not None:
            result = float(match[1]) * _SECONDS.get(match[2] or "s", math.nan)
    else:
        result = number(name, value)
    if not 0 <= result <= LONGEST:
        raise ValueError(
            f'{name}: expected seconds, "HH:MM:SS" or such as "10min" or "2h", 0 or more, got '
            f"{shown(value)}"
        )
    return result
