"""The folder in which the tests of the command line work."""

import os

import numpy as np
import pytest
import torch

from openmm_pqeq.checkpoint import save
from openmm_pqeq.potential import build


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with a model without a network, a cell of MgO, and a number of files that are
    wrong."""
    from ase import Atoms
    from ase.build import bulk

    folder = tmp_path_factory.mktemp("cli")
    card = {
        "title": "Charges of MgO",
        "licence": "MIT",
        "errors": {"held out": {"force_rmse": 0.5}},
    }
    save(
        build({"pqeq": {"protocol": "ewald", "parameters": {"Mg": _MG, "O": _O}}}),
        folder / "model.pt",
        card,
    )
    crystal = bulk("MgO", "rocksalt", a=4.2)
    crystal.write(folder / "MgO.extxyz")
    wrong = {name: crystal.copy() for name in ("uranium", "same", "singular", "nan")}
    wrong["uranium"].symbols[0] = "U"
    wrong["same"].positions[1] = wrong["same"].positions[0]
    wrong["singular"].cell[2] = wrong["singular"].cell[1]
    wrong["nan"].positions[0, 0] = np.nan
    for name, atoms in wrong.items():
        atoms.write(folder / f"{name}.extxyz")
    Atoms("MgO", [[0, 0, 0], [0, 0, 1.8]]).write(folder / "molecule.xyz")
    (folder / "empty.extxyz").write_text("0\n\n")
    (folder / "junk.cif").write_text("hello")
    (folder / "bad.toml").write_text("structure = ")
    content = torch.load(folder / "model.pt", weights_only=True)
    torch.save(content | {"format": 99}, folder / "newer.pt")
    torch.save(Evil(folder / "executed"), folder / "evil.pt")
    (folder / "corrupt.pt").write_bytes(b"abcdef" * 100)
    (folder / "half.pt").write_bytes((folder / "model.pt").read_bytes()[:500])
    return folder


_MG = {
    "electronegativity": 3.9,
    "hardness": 8.0,
    "core_charge": 1.0,
    "radius": 1.4,
    "spring_constant": 100.0,
}
_O = {
    "electronegativity": 8.7,
    "hardness": 8.6,
    "core_charge": 1.0,
    "radius": 0.7,
    "spring_constant": 300.0,
}


class Evil:
    """A pickle that would run code."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.fixture
def here(folder, monkeypatch):
    monkeypatch.chdir(folder)
    return folder
