"""Parts of an HTML page as text. Everything that comes from a file is escaped; style, scripts and
pictures are in the page itself, so that it opens anywhere and for ever."""

import base64
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from html import escape as escape
from importlib import resources
from pathlib import Path
from typing import Any
from urllib.parse import quote

from matplotlib.figure import Figure

from openmm_pqeq.jobs.files import write_text

GENERATOR = "openmm-pqeq report"
"""By which a page is known that may be replaced."""


def page(title: str, body: Iterable[str], scripts: Sequence[str] = ()) -> str:
    """A whole page; `scripts` are names of files beside this one."""
    code = "\n".join(f"<script>\n{_file(name)}</script>" for name in scripts)
    return "\n".join(
        [
            "<!DOCTYPE html>",
            '<html lang="en">',
            "<head>",
            '<meta charset="utf-8">',
            f'<meta name="generator" content="{GENERATOR}">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{escape(title)}</title>",
            f"<style>\n{_file('page.css')}</style>",
            "</head>",
            "<body>",
            *body,
            code,
            "</body>",
            "</html>",
            "",
        ]
    )


def _file(name: str) -> str:
    return resources.files("openmm_pqeq.pages").joinpath(name).read_text(encoding="utf-8")


def write_page(path: Path, text: str, overwrite: bool = False) -> None:
    """Write a page; FileExistsError where there is a file that is none of ours."""
    if path.is_dir():
        raise FileExistsError(f"output: {path} is a folder; expected the name of a file")
    if path.is_file() and not overwrite:
        with open(path, encoding="utf-8", errors="replace") as file:
            begin = file.read(500)
        if GENERATOR not in begin:
            raise FileExistsError(
                f"output: {path} exists and is no report. Choose another name, or replace it with "
                "--overwrite"
            )
    write_text(path, text)


def section(title: str, *parts: str) -> str:
    """A part of the page under a heading; nothing where it is empty."""
    inside = "\n".join(part for part in parts if part)
    return f"<section>\n<h2>{escape(title)}</h2>\n{inside}\n</section>" if inside else ""


def details(title: str, *parts: str) -> str:
    """Parts that are shown on demand."""
    inside = "\n".join(part for part in parts if part)
    return f"<details>\n<summary>{escape(title)}</summary>\n{inside}\n</details>" if inside else ""


def paragraph(text: str, kind: str = "") -> str:
    """A paragraph of plain text."""
    return f"<p{_class(kind)}>{escape(text)}</p>"


def code(text: str) -> str:
    """Text as it is, such as a command."""
    return f"<pre>{escape(text.strip())}</pre>"


def facts(rows: Mapping[str, Any]) -> str:
    """Names and values beside each other; tables within tables are indented."""
    items = [
        f"<dt>{escape(str(name).replace('_', ' '))}</dt><dd>{_value(value)}</dd>"
        for name, value in rows.items()
        if value is not None
    ]
    return f"<dl>{''.join(items)}</dl>" if items else ""


def _value(value: Any) -> str:
    if isinstance(value, Mapping):
        return facts(value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return escape(f"{value:.6g}")
    if isinstance(value, (list, tuple)):
        return ", ".join(_value(item) for item in value)
    return escape(str(value))


def tiles(numbers: Iterable[tuple[str, str, str]]) -> str:
    """What matters most, large: value, unit, name."""
    cells = [
        f"<div><b>{escape(value)}</b> {escape(unit)}<span>{escape(name)}</span></div>"
        for value, unit, name in numbers
    ]
    return f'<div class="tiles">{"".join(cells)}</div>'


def notices(texts: Iterable[str], kind: str = "warning") -> str:
    """Sentences that must not be overlooked."""
    items = "".join(f"<li>{escape(text)}</li>" for text in texts)
    return f'<ul class="{kind}">{items}</ul>' if items else ""


def table(head: Sequence[str], rows: Iterable[Sequence[str]], sortable: bool = False) -> str:
    """A table of HTML cells."""
    first = "".join(f"<th>{escape(name)}</th>" for name in head)
    others = "\n".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
    kind = ' class="sortable"' if sortable else ""
    return (
        f'<div class="wide"><table{kind}><thead><tr>{first}</tr></thead>'
        f"<tbody>\n{others}\n</tbody></table></div>"
    )


def link(text: str, target: str) -> str:
    """A link to a file beside the page."""
    return f'<a href="{escape(quote(target))}">{escape(text)}</a>'


def figure(drawn: Figure, text: str) -> str:
    """A figure of matplotlib, with words for those who do not see it."""
    content = io.BytesIO()
    drawn.savefig(content, format="png")
    return _image(content.getvalue(), text)


def picture(path: Path, text: str) -> str:
    """A PNG file."""
    return _image(path.read_bytes(), text)


def _image(content: bytes, text: str) -> str:
    encoded = base64.b64encode(content).decode("ascii")
    return f'<img alt="{escape(text)}" src="data:image/png;base64,{encoded}">'


def data(name: str, content: Any) -> str:
    """Data for a script of the page; no text in it can end it."""
    text = json.dumps(content, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")
    return f'<script type="application/json" id="{name}">{text}</script>'


def _class(kind: str) -> str:
    return f' class="{kind}"' if kind else ""
