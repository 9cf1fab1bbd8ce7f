"""A folder with inputs that are right, and with files of every kind that are none."""

import json
import shutil

import ase.io
import numpy as np
import pytest
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from run_folders import write_run
from smallest_network import GNN

import openmm_pqeq as pq

MG = dict(zip(("electronegativity", "hardness", "core_charge", "radius"), (3.9, 8.0, 1.0, 1.4)))
OXYGEN = dict(zip(("electronegativity", "hardness", "core_charge", "radius"), (8.7, 8.6, 1.0, 0.7)))


TABLE = (
    "time_ps,dipole_x_eA,dipole_y_eA,dipole_z_eA,field_x_V_per_A,field_y_V_per_A,field_z_V_per_A"
)


def rows(value="0.1", n=20):
    return "".join(f"{0.1 * index:.1f}" + f",{value}" * 6 + "\n" for index in range(n))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A model, a crystal, labelled frames, and files of every kind that are none."""
    folder = tmp_path_factory.mktemp("bad")
    parameters = {"Mg": MG, "O": OXYGEN}
    model = pq.build({"gnn": GNN, "pqeq": {"protocol": "ewald", "parameters": parameters}})
    pq.save(model, folder / "model.pt")
    crystal = Atoms("MgO", [[0, 0, 0], [0, 0, 2.1]], cell=[3.0, 3.0, 4.2], pbc=True)
    crystal.calc = SinglePointCalculator(crystal, energy=-1.0, forces=np.zeros((2, 3)))
    ase.io.write(folder / "MgO.extxyz", crystal)
    ase.io.write(folder / "frames.extxyz", [crystal] * 6)
    crystal.calc = SinglePointCalculator(crystal, energy=-1.0, forces=np.full((2, 3), 1e300))
    ase.io.write(folder / "huge.extxyz", crystal)
    crystal.calc = None
    for name, cell, height in (
        ("flat", [[3, 0, 0], [3, 0, 0], [0, 0, 4]], 2),
        ("far", [3, 3, 4], 1e12),
    ):
        odd = Atoms("MgO", [[0, 0, 0], [0, 0, height]], cell=cell, pbc=True)
        ase.io.write(folder / f"{name}.extxyz", odd)
    crystal.symbols[0] = "Og"
    ase.io.write(folder / "og.extxyz", crystal)
    (folder / "distill.toml").write_text(
        '[teacher]\nmodel = "model.pt"\n[structures]\nfiles = ["MgO.extxyz"]\n'
    )
    (folder / "study.toml").write_text(
        '[run]\nmodel = "model.pt"\nstructure = "MgO.extxyz"\nsteps = 1\n'
    )
    (folder / "data.toml").write_text('[data]\nfiles = ["frames.extxyz"]\n[potential.gnn]\n')
    Atoms("OMg", [[0, 0, 0], [0, 0, 1.9]]).write(folder / "molecule.xyz")
    row = {"numbers": [12, 8], "frac": [[0, 0, 0], [0.5, 0.5, 0.5]], "cell": [[3, 0, 0], [0, 3, 0]]}
    row["cell"].append([0, 0, 3])
    (folder / "shapes.jsonl").write_text(json.dumps(row | {"born": [1.0, 2.0]}) + "\n")
    (folder / "three.toml").write_text("data = 3\n")
    (folder / "crystals.toml").write_text('crystals = ["latin.jsonl"]\n')
    (folder / "shapes.toml").write_text('crystals = ["shapes.jsonl"]\n')
    for ending in ("cif", "extxyz", "pdb", "toml", "pt", "csv", "pth", "jsonl"):
        (folder / f"empty.{ending}").write_bytes(b"")
        (folder / f"latin.{ending}").write_bytes(b"caf\xe9 = \xe9\n" * 9)
        (folder / f"bytes.{ending}").write_bytes(np.random.default_rng(1).bytes(999))
        (folder / f"words.{ending}").write_text("1 2 3\nhello world\n")
        (folder / f"loop.{ending}").symlink_to(f"loop.{ending}")
        (folder / f"place.{ending}").mkdir()
    tables = {"short": TABLE + "\n" + rows() + "1,2\n", "word": TABLE + "\n" + rows("x")}
    tables |= {"columns": "time_ps,dipole_x_eA\n0,1\n", "inf": TABLE + "\n" + rows("inf")}
    tables |= {"header": TABLE + "\n", "still": TABLE + "\n" + ",".join("0" * 7) + "\n", "good": ""}
    tables["good"] = TABLE + "\n" + rows()
    for name, text in tables.items():
        (folder / f"{name}.csv").write_text(text)
    places = np.random.default_rng(0).random((6, 8, 3)) * 5
    write_run(folder / "motion", ["Na", "Cl"] * 4, places, 5.0 * np.eye(3))
    (folder / "row.csv").write_text("element,pol,chi,eta,Z,R_core,K2\nMg,1,3.9\n")
    return folder


@pytest.fixture
def here(folder, monkeypatch):
    monkeypatch.chdir(folder)
    monkeypatch.setenv("COLUMNS", "200")
    before = sorted(folder.iterdir())
    yield folder
    written = [path for path in folder.iterdir() if path not in before]
    for path in written:
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    assert not written
