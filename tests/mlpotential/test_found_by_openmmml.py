"""How openmm-ml finds the potential: its entry point, its interfaces, an OpenMM that is new enough."""

import importlib
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from ml_systems import openmmml

from openmm_pqeq import versions
from openmm_pqeq.mlpotential import PQEqPotentialFactory, PQEqPotentialImpl, require_openmm

pytestmark = pytest.mark.python_route


def test_an_openmm_that_is_too_old_is_refused_with_the_remedy():
    require_openmm("8.6.1")
    with pytest.raises(RuntimeError, match=r"openmm 8.5.2 is installed(.|\n)*pip install"):
        require_openmm("8.5.2")


@pytest.mark.skipif(
    versions.accepts(">=8.6.1", versions.installed("openmm")),
    reason="OpenMM is new enough for openmm-ml",
)
def test_the_environment_of_torchforce_is_refused():
    with pytest.raises(RuntimeError, match="environment of its own"):
        PQEqPotentialFactory().createImpl("openmm-pqeq", modelPath="batio3")


def test_the_entry_point_names_the_factory():
    project = tomllib.loads(
        (Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8")
    )["project"]
    module, _, name = project["entry-points"]["openmmml.potentials"]["openmm-pqeq"].partition(":")
    assert getattr(importlib.import_module(module), name) is PQEqPotentialFactory


@openmmml
def test_the_interfaces_are_those_of_openmmml():
    from openmmml.mlpotential import MLPotentialImpl, MLPotentialImplFactory

    wanted = {name for name in vars(MLPotentialImpl) if name[0] != "_"} - {"createMixedSystem"}
    assert wanted == {name for name in vars(PQEqPotentialImpl) if name[0] != "_"}
    assert {name for name in vars(MLPotentialImplFactory) if name[0] != "_"} == {"createImpl"}


@openmmml
@pytest.mark.parametrize("first", ["openmmml", "openmm_pqeq.mlpotential"])
def test_openmmml_finds_the_potential_whichever_is_imported_first(first, tmp_path):
    installed = (
        tmp_path / "openmm_pqeq-0.dist-info"
    )  # what pip writes, where the tests run from the sources
    installed.mkdir()
    (installed / "METADATA").write_text("Name: openmm-pqeq\nVersion: 0\n")
    entry = "[openmmml.potentials]\nopenmm-pqeq = openmm_pqeq.mlpotential:PQEqPotentialFactory\n"
    (installed / "entry_points.txt").write_text(entry)
    code = f"import {first}, openmmml; openmmml.MLPotential('openmm-pqeq', modelPath='batio3')"
    path = os.pathsep.join([str(tmp_path), str(Path(__file__).parents[2])])
    subprocess.run(
        [sys.executable, "-c", code],
        check=True,
        env={**os.environ, "PYTHONPATH": path},
        timeout=120,
    )
