"""The blocks of the README run as printed, in order and in one session; only the number of steps is made smaller."""

import re
import shlex
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```", README, flags=re.MULTILINE | re.DOTALL)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with the structure that the README speaks of."""
    (tmp_path / "BaTiO3.cif").write_bytes((ROOT / "examples" / "BaTiO3.cif").read_bytes())
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_python_blocks(folder):
    blocks = [code for language, code in BLOCKS if language == "python"]
    assert len(blocks) >= 3
    session: dict[str, object] = {}
    for code in blocks:
        exec(compile(code.replace("step(1000)", "step(2)"), "README.md", "exec"), session)
    assert (folder / "charges.h5").is_file()


def commands():
    """Lines of the README that call the command line."""
    lines = [line for language, code in BLOCKS if language == "" for line in code.splitlines()]
    return [line.split(" #")[0].strip() for line in lines if line.startswith("openmm-pqeq")]


@pytest.mark.parametrize("line", commands())
def test_commands(line, folder, capsys):
    from openmm_pqeq import cli

    arguments = shlex.split(line.replace("10ps", "0.002ps"))[1:]
    with pytest.raises(SystemExit) as end:
        raise SystemExit(cli.main(arguments))
    assert end.value.code in (0, None), capsys.readouterr().err


def test_links_lead_somewhere():
    for page in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]:
        for target in re.findall(r"\]\(([^)#]+)", page.read_text(encoding="utf-8")):
            assert target.startswith("https://") or (page.parent / target).exists(), f"{page.name}: {target}"
