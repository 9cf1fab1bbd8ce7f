"""What a process frees it keeps, where nobody has said otherwise."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import openmm_pqeq
from openmm_pqeq.start import freed

FAULTS = """
import resource, openmm_pqeq, torch
def step():
    kept = [torch.zeros(2**19) for _ in range(12)]  # 2 MB each
for _ in range(3):
    step()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):
    step()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.fixture
def nothing_said(monkeypatch):
    for name in freed.SAID:
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


def new_pages() -> int:
    root = str(Path(openmm_pqeq.__file__).parents[1])
    environment = os.environ | {"PYTHONPATH": root}
    command = [sys.executable, "-c", FAULTS]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return int(done.stdout)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc is a library of Linux")
def test_arrays_that_are_freed_are_no_new_memory_in_the_next_step(nothing_said):
    assert freed.keep_freed()
    assert new_pages() < 1000


@pytest.mark.parametrize("name", freed.SAID)
def test_what_somebody_has_said_stays(nothing_said, name):
    nothing_said.setenv(name, "4000000")
    assert not freed.keep_freed()
