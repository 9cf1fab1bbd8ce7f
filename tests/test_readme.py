"""The blocks of README and docs/usage.md run as printed, in order and in one session; only runs are
made shorter. Links of all pages lead somewhere, and their commands are such as there are."""

import re
import shlex
from pathlib import Path

import pytest

from openmm_pqeq.checkpoint import card

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
NAMES = [page.relative_to(ROOT).as_posix() for page in PAGES]


def blocks(page, language):
    """Code blocks of a page."""
    text = (ROOT / page).read_text(encoding="utf-8")
    found = re.findall(r"^```(\w*)\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)
    return [code for name, code in found if name == language]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with the structure that the pages speak of."""
    structure = (ROOT / "examples" / "BaTiO3.cif").read_bytes()
    (tmp_path / "examples").mkdir()
    for path in (tmp_path, tmp_path / "examples"):
        (path / "BaTiO3.cif").write_bytes(structure)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("page", "writes"),
    [
        ("README.md", "charges.h5"),
        ("docs/usage.md", "dipole.csv"),
        ("docs/tutorials/crystal.md", "examples/BaTiO3.cif"),
    ],
)
def test_python_blocks(page, writes, folder):
    session: dict[str, object] = {}
    for code in blocks(page, "python"):
        exec(compile(re.sub(r"step\(\d+\)", "step(2)", code), page, "exec"), session)
    assert (folder / writes).is_file()


def commands(page):
    """Lines of a page that call the command line."""
    lines = [line for code in blocks(page, "") for line in code.splitlines()]
    return [line.split(" #")[0].strip() for line in lines if re.match(r"openmm-pqeq\b(?!:)", line)]


@pytest.mark.parametrize("line", commands("README.md"))
def test_commands(line, folder, capsys):
    from openmm_pqeq import cli

    arguments = shlex.split(line.replace("10ps", "0.002ps"))[1:]
    assert cli.main(arguments) == 0, capsys.readouterr().err


@pytest.mark.parametrize("page", [page for page in NAMES if commands(page)])
def test_commands_have_the_flags_that_pages_say(page):
    from openmm_pqeq import cli

    for line in commands(page):
        if " RUN" in line:  # a form, not a command
            continue
        cli.parser().parse_args(shlex.split(line)[1:])  # SystemExit where there is no such flag


def test_readme_is_short():
    assert len(PAGES[0].read_text(encoding="utf-8").split()) < 900


def test_readme_has_the_errors_of_the_cards():
    row = next(
        line for line in PAGES[0].read_text(encoding="utf-8").splitlines() if "RMSE, held" in line
    )
    names, errors = (cell.strip() for cell in row.split("|")[1:3])
    models = re.findall(r"`(\w+)`", names)
    found = [round(card(name)["errors"]["held out"]["force_rmse"]) for name in models]
    assert errors == f"{', '.join(str(error) for error in found)} meV/Å"


def anchors(page):
    """Anchors of a page's headings."""
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)
    headings = re.findall(r"^#+ (.*)$", text, flags=re.MULTILINE)
    plain = [re.sub(r"[^\w\s-]", "", re.sub(r"\]\(.*?\)", "", text)) for text in headings]
    return {re.sub(r"\s+", "-", heading.strip().lower()) for heading in plain}


@pytest.mark.parametrize("page", NAMES)
def test_links_lead_somewhere(page):
    path = ROOT / page
    for target, anchor in re.findall(
        r"\]\(([^)#\s]*)#?([^)\s]*)\)", path.read_text(encoding="utf-8")
    ):
        if target.startswith("https://"):
            continue
        there = path.parent / target if target else path
        assert there.exists(), f"{page}: {target}"
        assert not anchor or anchor in anchors(there), f"{page}: {target}#{anchor}"
