"""Extension of griffe: docstrings in the style of this package as Markdown.

name : (n_atoms, 3) Å, what it is     →  - **name**: (n_atoms, 3) Å, what it is
Parameters / ----------               →  **Parameters**
>>> load("batio3")                    →  a block of code
"""

import re
from typing import Any

import griffe

ITEM = re.compile(r"([*\w][\w*., ]*) : (.*)")
HEADING = re.compile(r"^(\w[\w ]*)\n-{3,}\n", flags=re.MULTILINE)
EXAMPLE = re.compile(r"^>>>.*(?:\n.+)*", flags=re.MULTILINE)


class Docstrings(griffe.Extension):
    """Rewrites every docstring before it is read."""

    def on_instance(self, *, obj: griffe.Object, **others: Any) -> None:
        """Called for each module, class, function and attribute."""
        if obj.docstring is not None:
            obj.docstring.value = markdown_of(obj.docstring.value)


def markdown_of(docstring: str) -> str:
    """A docstring as Markdown."""
    text = HEADING.sub(r"**\1**\n\n", docstring)
    text = EXAMPLE.sub(lambda example: f"```pycon\n{example[0]}\n```", text)
    lines: list[str] = []
    for line in text.splitlines():
        item = ITEM.fullmatch(line)
        if item is not None:
            if lines and lines[-1] and not lines[-1].startswith(("- ", "    ")):
                lines.append("")
            line = f"- **{item[1]}**: {item[2]}"
        elif lines and lines[-1].startswith(("- ", "    ")) and line[:1].strip():
            lines.append("")  # a paragraph after a list
        lines.append(line)
    return "\n".join(lines)
