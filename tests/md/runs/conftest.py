"""A folder for runs, and a run that several tests look at."""

import pytest
from described import description

from openmm_pqeq.checkpoint import save
from openmm_pqeq.md.run import run
from openmm_pqeq.potential import build


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    """A folder with a model without a network and a cell of MgO."""
    folder = tmp_path_factory.mktemp("md")
    save(build({"pqeq": {"protocol": "reaxnet", "cutoff": 4.0}}), folder / "model.pt")
    from ase.build import bulk

    bulk("MgO", "rocksalt", a=4.2, cubic=True).write(folder / "MgO.cif")
    return folder


@pytest.fixture(scope="session")
def unbroken(folder):
    return run(description(folder, "unbroken"))
