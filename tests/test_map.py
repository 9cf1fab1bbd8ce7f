"""Every file and name that docs/map.md speaks of exists."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


def rows():
    """(files, names) of every row of the tables."""
    for line in (ROOT / "docs" / "map.md").read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)][1:-1]
        files = re.findall(r"`([\w/]+\.py)`", cells[2]) if len(cells) == 4 else []
        if files:
            yield pytest.param(files, re.findall(r"`([\w.]+)`", cells[3]), id=cells[0])


def defined_in(path):
    """Names that a file defines at its top, and members of its classes as Class.member."""
    names = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        if isinstance(node, ast.ClassDef):
            members = [item for item in node.body if isinstance(item, ast.FunctionDef)]
            names |= {f"{node.name}.{member.name}" for member in members}
        if isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names |= {target.id for target in targets if isinstance(target, ast.Name)}
    return names


@pytest.mark.parametrize(("files", "names"), list(rows()))
def test_names_of_the_map_exist(files, names):
    paths = [ROOT / "openmm_pqeq" / file for file in files]
    assert names
    assert [path.name for path in paths if not path.is_file()] == []
    known = set().union(*(defined_in(path) for path in paths))
    assert sorted(set(names) - known) == []


def test_the_map_has_rows():
    assert len(list(rows())) > 25
