"""Tables of settings: one line a setting, and from it flag, TOML key, help, and the written file.

A table is a frozen dataclass whose fields are made by `setting`:

    @dataclass(frozen=True)
    class RunConfig:
        temperature: float = setting("dynamics", values.not_negative, 300.0, "temperature, K", "T")

`configured` reads it from text (flags) or typed values (TOML), and refuses by name what is unknown,
missing or out of bounds. A table may be a value of another: `table_of`.
"""

import argparse
import dataclasses
import difflib
import json
import re
import tomllib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from openmm_pqeq.jobs.values import shown

Parse = Callable[[str, Any], Any]
K = TypeVar("K")


def setting(
    section: str,
    parse: Parse,
    default: Any = dataclasses.MISSING,
    help: str = "",
    metavar: str = "",
    nargs: int | str | None = None,
    unit: str = "",
) -> Any:
    """A setting.

    Parameters
    ----------
    section : heading in help and file
    parse : from a setting's name and what was given to its value, see values.py
    default : nothing where one must be given; a function of no arguments that makes it
    help : its meaning in one line, with the unit
    metavar, nargs : of its flag, as argparse takes them
    unit : that the written file gives with the number, where `parse` reads units
    """
    about: dict[str, Any] = {"section": section, "parse": parse, "help": help, "metavar": metavar}
    about |= {"nargs": nargs, "unit": unit}
    if callable(default):
        return dataclasses.field(default_factory=default, metadata=about)
    return dataclasses.field(default=default, metadata=about)


def settings_of(kind: Any) -> dict[str, "dataclasses.Field[Any]"]:
    """The settings of a table by name."""
    return {one.name: one for one in dataclasses.fields(kind)}


def parsed(kind: Any, name: str, value: Any, where: str = "") -> Any:
    """One setting from text or a typed value."""
    if isinstance(value, str):
        value = value.strip()
    elif isinstance(value, (list, tuple)):
        value = [item.strip() if isinstance(item, str) else item for item in value]
    return settings_of(kind)[name].metadata["parse"](f"{where}{name}", value)


def configured(kind: type[K], given: Any, where: str = "") -> K:
    """A table of settings from what was given; `where` comes before the names in messages, such as
    "training."."""
    if not isinstance(given, Mapping):
        raise ValueError(f"{where.rstrip('.')}: expected a table, got {shown(given)}")
    settings = settings_of(kind)
    refuse_unknown(given, settings, where)
    values = {
        name: parsed(kind, name, value, where) for name, value in given.items() if value is not None
    }
    for name, one in settings.items():
        if _required(one) and name not in values:
            raise ValueError(f"{where}{name}: missing; expected {one.metadata['help']}")
    return kind(**values)


def _required(one: "dataclasses.Field[Any]") -> bool:
    missing = dataclasses.MISSING
    return one.default is missing and one.default_factory is missing


def table_of(kind: type[K]) -> Callable[[str, Any], K]:
    """A parser of a table within a table."""

    def parse(name: str, value: Any) -> K:
        return configured(kind, value, f"{name}.")

    return parse


def refuse_unknown(given: Mapping[str, Any], known: Iterable[str], where: str = "") -> None:
    """ValueError where a key is not among the known ones, with the nearest of them."""
    known = list(known)
    for name in given:
        if name not in known:
            near = difflib.get_close_matches(str(name), known, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise ValueError(
                f"{where}{name}: not a setting; expected one of {', '.join(known)}{hint}"
            )


def add_flags(
    parser: argparse._ActionsContainer,
    kind: Any,
    skip: Iterable[str] = (),
    defaults: Mapping[str, Any] | None = None,
    several: Mapping[str, str] | None = None,
) -> None:
    """The settings of a table as flags, grouped by section.

    skip : settings that the command gives in another way
    defaults : that the command has in place of the table's, for the help
    several : flags of lists that are given once for each of their items
    """
    groups: dict[str, argparse._ArgumentGroup] = {}
    for name, one in settings_of(kind).items():
        if name in skip:
            continue
        about = one.metadata
        if about["section"] not in groups:
            groups[about["section"]] = parser.add_argument_group(about["section"])
        default = (defaults or {}).get(name, one.default)
        help = about["help"]
        if name in (defaults or {}):
            help = re.sub(r" \(default: .*\)$", "", help)
        options: dict[str, Any] = {
            "dest": name,
            "default": None,
            "help": _help(help, default),
        }
        if isinstance(one.default, bool):
            options["action"] = argparse.BooleanOptionalAction
        else:
            choices = getattr(about["parse"], "choices", None)
            options["metavar"] = "{" + ",".join(choices) + "}" if choices else about["metavar"]
            options["nargs"] = about["nargs"]
        flags = [f"--{name.replace('_', '-')}"] + (["-o"] if name == "output" else [])
        if name in (several or {}):
            flags, options["action"] = [(several or {})[name]], "append"
            options["nargs"] = None
        groups[about["section"]].add_argument(*flags, **options)


def add_existing(parser: argparse.ArgumentParser, job: str, resume: bool = True) -> None:
    """What to do with a job that is in the output folder already: --overwrite, --resume."""
    existing = parser.add_mutually_exclusive_group()
    existing.add_argument(
        "--overwrite", action="store_true", help=f"replace the {job} that is in the output folder"
    )
    if resume:
        existing.add_argument(
            "--resume", action="store_true", help=f"continue the {job} that is in the output folder"
        )


def flags_given(kind: Any, options: argparse.Namespace) -> dict[str, Any]:
    """The settings that the command line gives."""
    values = {name: getattr(options, name, None) for name in settings_of(kind)}
    return {name: value for name, value in values.items() if value is not None}


def _help(text: str, default: Any) -> str:
    text = text.replace("%", "%%")
    if default in (None, "", dataclasses.MISSING) or isinstance(default, bool | dict):
        return text
    if isinstance(default, tuple) and not default:
        return text
    items = default if isinstance(default, tuple) else (default,)
    written = " ".join(
        f"{item:g}" if isinstance(item, float) else str(item).lower() for item in items
    )
    return f"{text} (default: {written.replace('%', '%%')})"


def read_toml(path: Path) -> dict[str, Any]:
    """The content of a TOML file."""
    if not path.is_file():
        raise FileNotFoundError(f"input: there is no file {path}")
    try:
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))  # as some editors begin it
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f"{path}: not a TOML file ({error})") from None


def toml_lines(table: Any) -> list[str]:
    """A table of settings as lines of TOML, each with its meaning."""
    lines: list[str] = []
    section = ""
    for name, one in settings_of(table).items():
        value = getattr(table, name)
        if one.metadata["section"] != section:
            section = one.metadata["section"]
            lines += ["", f"# {section}"]
        text = f"{name} = {toml_value(value, one.metadata['unit'])}"
        if value is None:
            text = f"# {name} ="
        lines.append(f"{text}    # {one.metadata['help']}")
    return lines


def toml_value(value: Any, unit: str = "") -> str:
    """A value as TOML writes it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        value = {name: getattr(value, name) for name in settings_of(value)}
    if isinstance(value, Mapping):
        items = [f"{json.dumps(str(key))} = {toml_value(item)}" for key, item in value.items()]
        return "{ " + ", ".join(items) + " }" if items else "{}"
    if isinstance(value, (tuple, list)):
        return "[" + ", ".join(toml_value(item) for item in value) + "]"
    if unit:
        return f'"{value!r} {unit}"'
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007F")
    return value.isoformat() if hasattr(value, "isoformat") else repr(value)
