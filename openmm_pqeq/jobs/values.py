"""Settings from text or TOML values: each function takes the setting's name and value and returns
the value, checked.

A ValueError names the setting, what is expected and what came. Flags arrive as text, TOML values
with their type; both are read alike. Numbers are finite; `within` adds the bounds of what can be
meant. Times and pressures, with their units, are read by quantities.py, phrases such as
"Ba:radius=0.4:1.6" by phrases.py.
"""

import math
import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from numbers import Real
from pathlib import Path
from typing import Any, TypeVar

LARGEST_COUNT = 2**31 - 1
"""Of steps, frames, intervals: what OpenMM and its file formats count to."""
LARGEST_SEED = 2**31 - 8
LONGEST_NAME = 255
"""Bytes of the name of a file."""

MOST_CELLS = 10**6
"""Of a supercell."""

T = TypeVar("T")


def within(
    parse: Callable[[str, Any], T], low: float, high: float, unit: str = ""
) -> Callable[[str, Any], T]:
    """A number as `parse` reads it, from `low` to `high`."""
    of = f" {unit}" if unit else ""

    def bounded(name: str, value: Any) -> T:
        result = parse(name, value)
        for item in result if isinstance(result, tuple) else (result,):
            if isinstance(item, (int, float)) and not low <= item <= high:
                raise ValueError(
                    f"{name}: expected a value from {low:g} to {high:g}{of}, got {shown(value)}"
                )
        return result

    return bounded


def is_finite(value: Any) -> bool:
    """Whether a Python value is a number that a float can hold; true and false are none."""
    if not isinstance(value, Real) or isinstance(value, bool):
        return False
    try:
        return math.isfinite(float(value))
    except OverflowError:
        return False


def path(name: str, value: Any) -> Path:
    """The path of a file or folder."""
    whole = isinstance(value, str | os.PathLike) and isinstance(os.fspath(value), str)
    if not whole or not os.fspath(value) or "\0" in os.fspath(value) or _too_long(value):
        raise ValueError(f"{name}: expected the path of a file, got {shown(value)}")
    return Path(value)


def existing_file(name: str, value: Any) -> Path:
    """The path of a file that is there; FileNotFoundError where it is not."""
    found = path(name, value)
    if not found.is_file():
        what = f"{found} is a folder" if found.is_dir() else f"there is no file {found}"
        raise FileNotFoundError(f"{name}: {what}; expected the path of a file")
    return found


def new_file(name: str, value: Any) -> Path:
    """The path of a file that is to be written; ValueError for a folder."""
    found = path(name, value)
    if found.is_dir():
        raise ValueError(f"{name}: {found} is a folder; expected the name of a file")
    return found


def _too_long(given: str | os.PathLike[str]) -> bool:
    """Whether a part of the path is longer than any file system takes."""
    return any(len(os.fsencode(part)) > LONGEST_NAME for part in Path(given).parts)


def is_file(given: str | os.PathLike[str]) -> bool:
    """Whether there is such a file; of a name that no system takes there is none."""
    with suppress(OSError, ValueError):
        return Path(given).is_file()
    return False


def text(name: str, value: Any) -> str:
    """Any text that is not empty."""
    if not isinstance(value, str) or not value.strip() or "\0" in value:
        raise ValueError(f"{name}: expected text, got {shown(value)}")
    return value


def one_of(name: str, value: Any, choices: Sequence[str]) -> str:
    """`value`, if it is one of a few words."""
    if not isinstance(value, str) or value not in choices:
        raise ValueError(f"{name}: expected one of {', '.join(choices)}, got {shown(value)}")
    return value


def choice(*choices: str) -> Callable[[str, Any], str]:
    """One of a few words; upper and lower case do not matter."""

    def parse(name: str, value: Any) -> str:
        same = (word for word in choices if str(value).lower() == word.lower())
        return one_of(name, next(same, value) if isinstance(value, str) else value, choices)

    parse.choices = choices  # type: ignore[attr-defined]
    return parse


def number(name: str, value: Any) -> float:
    """A finite number."""
    value = value.strip() if isinstance(value, str) else value
    try:
        result = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        result = math.nan
    if not math.isfinite(result):
        raise ValueError(f"{name}: expected a number, got {shown(value)}")
    return result


def positive(name: str, value: Any) -> float:
    """A number above zero."""
    result = number(name, value)
    if result <= 0:
        raise ValueError(f"{name}: expected a positive number, got {shown(value)}")
    return result


def not_negative(name: str, value: Any) -> float:
    """A number that is zero or above."""
    result = number(name, value)
    if result < 0:
        raise ValueError(f"{name}: expected a number that is not negative, got {shown(value)}")
    return result


def count(name: str, value: Any) -> int:
    """A whole number, zero or above; text such as 1e5 is understood."""
    try:
        result = number(name, value)
    except ValueError:
        result = -1.0
    if result != int(result) or result < 0:
        raise ValueError(
            f"{name}: expected a whole number that is not negative, got {shown(value)}"
        )
    if result > LARGEST_COUNT:
        raise ValueError(f"{name}: expected at most {LARGEST_COUNT}, got {shown(value)}")
    return int(result)


def integer(name: str, value: Any) -> int:
    """A whole number of either sign."""
    result = within(number, -LARGEST_COUNT, LARGEST_COUNT)(name, value)
    if result != int(result):
        raise ValueError(f"{name}: expected a whole number, got {shown(value)}")
    return int(result)


def positive_count(name: str, value: Any) -> int:
    """A whole number above zero."""
    try:
        above = number(name, value) >= 1
    except ValueError:
        above = False
    if not above:
        raise ValueError(f"{name}: expected a whole number above zero, got {shown(value)}")
    return count(name, value)


def seed(name: str, value: Any) -> int:
    """A seed that OpenMM does not take as a request for a random one."""
    return within(positive_count, 1, LARGEST_SEED)(name, value)


def boolean(name: str, value: Any) -> bool:
    """True or false."""
    words = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.lower() in words:
        return words[value.lower()]
    raise ValueError(f"{name}: expected true or false, got {shown(value)}")


def three(name: str, value: Any, kind: str) -> list[Any]:
    """Three values of any kind."""
    if not isinstance(value, (list, tuple)) or len(value) != 3:
        raise ValueError(f"{name}: expected three {kind}, got {shown(value)}")
    return list(value)


def counts(name: str, value: Any) -> tuple[int, int, int]:
    """Three whole numbers above zero."""
    a, b, c = (
        positive_count(name, item) for item in three(name, value, "whole numbers such as 3 3 3")
    )
    return a, b, c


def cells(name: str, value: Any) -> tuple[int, int, int]:
    """Repeats along three cell vectors, of as many cells as a computer can hold."""
    value = value.tolist() if hasattr(value, "tolist") else value
    result = counts(name, value)
    if math.prod(result) > MOST_CELLS:
        raise ValueError(f"{name}: expected at most {MOST_CELLS} cells in all, got {shown(value)}")
    return result


def booleans(name: str, value: Any) -> tuple[bool, bool, bool]:
    """Three times true or false."""
    a, b, c = (boolean(name, item) for item in three(name, value, "of true or false"))
    return a, b, c


def share(name: str, value: Any) -> int | str:
    """A number of things, or a share of them such as "20%"."""
    if isinstance(value, str) and value.strip().endswith("%"):
        try:
            percent = number(name, value.strip().rstrip("% "))
        except ValueError:
            percent = -1.0
        if 0 <= percent <= 100:
            return f"{percent:g}%"
    else:
        try:
            return count(name, value)
        except ValueError:
            pass
    raise ValueError(f"{name}: expected 0 or more, or a share such as '20%', got {shown(value)}")


def fraction(name: str, value: Any) -> float:
    """A part of one, from a number such as 0.2 or text such as "20%"."""
    percent = isinstance(value, str) and value.strip().endswith("%")
    try:
        result = number(name, value.strip().rstrip("% ") if percent else value)
    except ValueError:
        result = math.nan
    result = result / 100 if percent else result
    if not 0 < result < 1:
        raise ValueError(
            f"{name}: expected a fraction between 0 and 1, or a share such as '20%', got "
            f"{shown(value)}"
        )
    return result


def sign(name: str, value: Any) -> int:
    """1 or -1."""
    if value not in (1, -1, "1", "+1", "-1") or isinstance(value, bool):
        raise ValueError(f"{name}: expected 1 or -1, got {shown(value)}")
    return int(value)


def texts(name: str, value: Any) -> tuple[str, ...]:
    """A text, or a list of them."""
    items = [value] if isinstance(value, str) else value
    if not isinstance(items, (list, tuple)):
        raise ValueError(f"{name}: expected a text or a list of texts, got {shown(value)}")
    return tuple(text(name, item) for item in items)


def names(name: str, value: Any) -> tuple[str, ...]:
    """A list of names, or a text of names with commas."""
    if isinstance(value, str):
        value = [item.strip() for item in value.split(",") if item.strip()]
    return texts(name, value)


def names_of(*choices: str) -> Callable[[str, Any], tuple[str, ...]]:
    """Some of a few names."""

    def parse(name: str, value: Any) -> tuple[str, ...]:
        chosen = names(name, value)
        if unknown := [one for one in chosen if one not in choices]:
            raise ValueError(
                f"{name}: expected some of {', '.join(choices)}, got {shown(', '.join(unknown))}"
            )
        return chosen

    return parse


def numbers(name: str, value: Any) -> dict[str, float]:
    """Numbers by name, from a table or text such as "O=-432.1,Ti=-10"."""
    if isinstance(value, str):
        value = dict(halves(name, part, "NAME=NUMBER") for part in value.split(",") if part)
    if not isinstance(value, dict):
        raise ValueError(f"{name}: expected a table of numbers, got {shown(value)}")
    return {str(key): number(f"{name}.{key}", item) for key, item in value.items()}


def each(parse: Callable[[str, Any], object]) -> Callable[[str, Any], tuple[str, ...]]:
    """Texts that `parse` understands, one by one, kept as they were written."""

    def checked(name: str, value: Any) -> tuple[str, ...]:
        items = texts(name, value)
        for item in items:
            parse(name, item)
        return items

    return checked


def shown(value: Any) -> str:
    """A value for a message: as it was written, cut where it is very long."""
    if isinstance(value, str) and value.lstrip().startswith("-"):
        value = value.lstrip()  # the command line has a space before values such as -1
    try:
        written = repr(value)
    except ValueError:  # an integer of thousands of digits
        return "a number with too many digits"
    return written if len(written) <= 80 else f"{written[:77]}..."


def halves(name: str, value: str, form: str) -> tuple[str, str]:
    """The texts left and right of an equals sign."""
    left, equals, right = value.partition("=")
    if not equals or not left.strip() or not right.strip():
        raise ValueError(f"{name}: expected {form}, got {shown(value)}")
    return left.strip(), right.strip()
