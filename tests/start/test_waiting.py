"""Threads turn a little and then sleep where nobody has said otherwise, and OpenMP knows of it."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import openmm_pqeq
from openmm_pqeq.start import waiting


@pytest.fixture
def nothing_said(monkeypatch):
    for name in waiting.SAID:
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


def test_openmp_is_told_before_torch_is_loaded(nothing_said):
    root = str(Path(openmm_pqeq.__file__).parents[1])
    environment = os.environ | {"OMP_DISPLAY_ENV": "verbose", "PYTHONPATH": root}
    command = [sys.executable, "-c", "import openmm_pqeq"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    turns = re.findall(r"GOMP_SPINCOUNT = '(\d+)'", done.stderr)
    if not turns:
        pytest.skip("torch's OpenMP is not GNU's")
    assert set(turns) == {waiting.TURNS}


@pytest.mark.parametrize("name", waiting.SAID)
def test_what_somebody_has_said_stays(nothing_said, name):
    nothing_said.delitem(sys.modules, "torch")
    nothing_said.setenv(name, "300")
    waiting.wait_briefly()
    assert [os.environ.get(each) for each in waiting.SAID] == [
        "300" if each == name else None for each in waiting.SAID
    ]


def test_a_torch_that_is_loaded_is_not_told_in_vain(nothing_said):
    waiting.wait_briefly()
    assert waiting.COUNT not in os.environ
    nothing_said.delitem(sys.modules, "torch")
    waiting.wait_briefly()
    assert os.environ[waiting.COUNT] == waiting.TURNS
    del os.environ[waiting.COUNT]
