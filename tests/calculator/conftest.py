"""Potentials for the ASE calculator."""

import pytest
from calculated import D3

from openmm_pqeq.potential import Potential, build


@pytest.fixture(scope="session")
def ewald() -> Potential:
    return build({"pqeq": {"protocol": "ewald", "parameters": "pqeq1"}, "d3": D3})


@pytest.fixture(scope="session")
def dispersion() -> Potential:
    return build({"d3": D3})
