"""Loops of the native operators in threads (plugin/src/crew.h): C++, compiled here, so that a thread
can be held back."""

import ctypes
import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LAWS = [
    "covers",
    "nobody_waits_for_who_has_not_come",
    "failures_arrive",
    "stops_at_a_failure",
    "keeps_to_its_threads",
    "hires_once",
    "works_without_threads",
    "nests",
    "works_in_a_child",
    "serves_many",
]


@pytest.fixture(scope="module")
def crew(tmp_path_factory):
    compiler = shutil.which(os.environ.get("CXX", "c++"))
    if compiler is None or not (ROOT / "plugin" / "src").is_dir():
        pytest.skip("no C++ compiler, or no sources of operators")
    library = tmp_path_factory.mktemp("crew") / "crew.so"
    flags = ["-std=c++17", "-O1", "-Wall", "-Wextra", "-fPIC", "-shared", "-pthread"]
    subprocess.run([compiler, *flags, ROOT / "tests" / "crew.cpp", "-o", library], check=True)
    return ctypes.CDLL(str(library))


@pytest.mark.parametrize("law", LAWS)
def test_crew(crew, law):
    function = getattr(crew, law)
    function.restype = ctypes.c_bool
    assert function()
