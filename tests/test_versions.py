"""Versions that cannot carry a route are refused with the remedy, and what pip installs agrees with
the table."""

import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from openmm_pqeq import versions

pytestmark = pytest.mark.python_route

PROJECT = tomllib.loads(
    (Path(__file__).parent.parent / "pyproject.toml").read_text(encoding="utf-8")
)["project"]
TORCHFORCE = {"torch": "2.9.1+cu128", "openmm": "8.5.2", "openmmtorch": "1.5"}
CURRENT = {"torch": "2.13.0+cpu", "openmm": "8.6.1", "openmmtorch": None}


def test_each_environment_has_a_route():
    versions.require("torchscript", TORCHFORCE)
    versions.require("python", TORCHFORCE)
    versions.require("python", CURRENT)


def test_a_refusal_names_versions_reason_and_remedy():
    with pytest.raises(RuntimeError) as refusal:
        versions.require("torchscript", CURRENT)
    message = str(refusal.value)
    for part in (
        "torch 2.13.0+cpu",
        "openmm 8.6.1",
        "openmmtorch is not installed",
        "pip install",
        'backend="python"',
    ):
        assert part in message


@pytest.mark.parametrize(
    ("package", "version", "works"),
    [
        ("torch", "2.8.0", False),
        ("torch", "2.10.0", False),
        ("openmm", "8.5.1", False),
        ("openmm", "8.6.1", False),
        ("openmm", "8.5.2", True),
    ],
)
def test_versions_around_the_pins(package, version, works):
    assert (not versions.problems("torchscript", {**TORCHFORCE, package: version})) == works


def test_an_unknown_backend_is_refused():
    with pytest.raises(ValueError, match="backend: expected one of"):
        versions.problems("tensorflow")


@pytest.mark.parametrize(
    ("extra", "backend"),
    [("torchforce", "torchscript"), ("cuda12", "torchscript"), ("python-route", "python")],
)
def test_extras_and_remedies_agree_with_the_table(extra, backend):
    asked = {r.name: r.specifier for r in map(Requirement, PROJECT["optional-dependencies"][extra])}
    base = {r.name: r.specifier for r in map(Requirement, PROJECT["dependencies"])}
    route = versions.ROUTES[backend]
    remedy = {r.name: r.specifier for r in map(Requirement, route.remedy.split('"')[1::2])}
    for need in route.requirements:
        assert versions.accepts(need.accepts, need.tested)
        assert asked[need.package].contains(need.tested)
        assert remedy[need.package].contains(need.tested)
        if need.package in base:
            assert base[need.package].contains(need.tested)


def test_installed_versions_name_what_is_missing():
    found = versions.installed_versions()
    assert found["torch"] is not None
    assert versions.installed("no-such-package-of-any-name") is None
