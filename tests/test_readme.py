"""The blocks of README and docs/usage.md run as printed, in order and in one session; only runs are
made shorter."""

import re
import shlex
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


def blocks(page, language):
    """Code blocks of a page."""
    text = (ROOT / page).read_text(encoding="utf-8")
    found = re.findall(r"^```(\w*)\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)
    return [code for name, code in found if name == language]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with the structure that the README speaks of."""
    (tmp_path / "BaTiO3.cif").write_bytes((ROOT / "examples" / "BaTiO3.cif").read_bytes())
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("page", "writes"), [("README.md", "charges.h5"), ("docs/usage.md", "dipole.csv")]
)
def test_python_blocks(page, writes, folder):
    session: dict[str, object] = {}
    for code in blocks(page, "python"):
        exec(compile(re.sub(r"step\(\d+\)", "step(2)", code), page, "exec"), session)
    assert (folder / writes).is_file()


def commands():
    """Lines of the README that call the command line."""
    lines = [line for code in blocks("README.md", "") for line in code.splitlines()]
    return [line.split(" #")[0].strip() for line in lines if line.startswith("openmm-pqeq")]


@pytest.mark.parametrize("line", commands())
def test_commands(line, folder, capsys):
    from openmm_pqeq import cli

    arguments = shlex.split(line.replace("10ps", "0.002ps"))[1:]
    assert cli.main(arguments) == 0, capsys.readouterr().err


def test_links_lead_somewhere():
    for page in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]:
        for target in re.findall(r"\]\(([^)#]+)", page.read_text(encoding="utf-8")):
            assert target.startswith("https://") or (page.parent / target).exists(), (
                f"{page.name}: {target}"
            )
