"""`openmm-pqeq analyze` of crystals, interfaces and tables: folders of known content, and one that a
run has written."""

import json

import h5py
import numpy as np
import pytest
from ase import Atoms
from run_folders import write_run

from openmm_pqeq.checkpoint import save
from openmm_pqeq.cli import main
from openmm_pqeq.potential import build

INTERVAL = 0.1  # ps


def outcome(folder, name):
    assert (folder / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    return json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))


def perovskite(repeats=(2, 2, 2)):
    corner = [[0, 0, 0], [0.5, 0.5, 0.5], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]]
    return Atoms("BaTiO3", scaled_positions=corner, cell=4.0 * np.eye(3), pbc=True).repeat(repeats)


@pytest.fixture
def crystal(tmp_path):
    """Eight cells of BaTiO3 with titanium moved by 0.1 Å along z, and lengths that fluctuate."""
    atoms = perovskite()
    rng = np.random.default_rng(0)
    atoms.positions[atoms.numbers == 22, 2] += 0.1
    cells = atoms.cell.array * (1 + 0.01 * rng.normal(size=(400, 3, 1)))
    fractions = atoms.get_scaled_positions() + 0.002 * rng.normal(size=(400, len(atoms), 3))
    positions = np.einsum("tia,tab->tib", fractions, cells)
    return write_run(
        tmp_path / "crystal", atoms.get_chemical_symbols(), positions, cells, INTERVAL,
        supercell=[2, 2, 2], temperature=300.0,
    )  # fmt: skip


def test_lattice_parameters(crystal, tmp_path, capsys):
    assert main(["analyze", "lattice", str(crystal)]) == 0
    found = outcome(crystal, "lattice")["results"]
    assert abs(found["a"]["value"] - 4.0) < 4 * found["a"]["error"]
    assert 0.001 < found["a"]["error"] < 0.004  # 0.04 Å by √400
    assert abs(found["alpha"]["value"] - 90) < 1e-3
    runs = []
    for kelvin in (100, 200, 300):
        cell = 4.0 * (1 + 1e-5 * kelvin) * np.eye(3)
        cells = cell * (1 + 1e-4 * np.random.default_rng(kelvin).normal(size=(50, 1, 1)))
        positions = np.repeat(np.zeros((1, 1, 3)), 50, axis=0)
        runs.append(
            str(
                write_run(
                    tmp_path / f"at{kelvin}", ["Po"], positions, cells, temperature=float(kelvin)
                )
            )
        )
    assert main(["analyze", "lattice", *runs, "-o", str(tmp_path / "heating")]) == 0
    slope = outcome(tmp_path / "heating", "lattice")["results"]["thermal expansion of the volume"]
    assert abs(slope["value"] - 3e-5) < 4 * slope["error"]


def test_local_polarization(crystal, capsys):
    arguments = ["--sites", "Ba", "Ti", "O", "--born", "Ba=2.75", "Ti=7.25", "O=-3.33333"]
    assert main(["analyze", "polarization", str(crystal), *arguments]) == 0
    found = outcome(crystal, "polarization")["results"]["mean polarization along z"]
    expected = 7.25 * 0.1 / 64 * 1602.176634
    assert abs(found["value"] - expected) < 4 * found["error"] + 0.01 * expected
    wrong = [*arguments[:-1], "S=1"]
    assert main(["analyze", "polarization", str(crystal), *wrong]) == 2
    assert "born: expected charges of Ba, Ti, O" in capsys.readouterr().err


def test_profiles_of_two_layers(tmp_path, capsys):
    rng = np.random.default_rng(0)
    fractions = rng.random((40, 60, 3))
    fractions[:, :30, 2] *= 0.5
    fractions[:, 30:, 2] = 0.5 + 0.5 * fractions[:, 30:, 2]
    cell = np.diag([8.0, 8.0, 20.0])
    run = write_run(tmp_path / "layers", ["Li"] * 30 + ["S"] * 30, fractions @ cell, cell, INTERVAL)
    assert main(["analyze", "profile", str(run), "--slabs", "10", "--times", "8"]) == 0
    columns = outcome(run, "profile")["columns"]
    lithium = np.array(columns["Li (1/Å³)"])
    assert abs(lithium[:5].mean() - 30 / 640) < 1e-6
    assert lithium[5:].max() == 0
    assert len(columns["time (ps)"]) == 8
    with h5py.File(run / "charges.h5", "w") as file:  # every second frame
        file["step"] = np.arange(20, 401, 20)
        file["time"] = 0.2 * np.arange(1, 21)
        file["charges"] = np.tile(np.repeat([0.5, -0.5], 30), (20, 1))
        file["particles"] = np.arange(60)
    assert main(["analyze", "profile", str(run), "--slabs", "10", "--skip", "1ps"]) == 0
    charge = np.array(outcome(run, "profile")["columns"]["charge (e/Å³)"])
    assert abs(charge[:5].mean() - 0.5 * 30 / 640) < 1e-6
    assert abs(charge.sum()) < 1e-9


def test_polyhedra_that_break(tmp_path):
    corners = 2.05 / np.sqrt(3) * np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1.0]])
    atoms = np.concatenate([[np.zeros(3)], corners])
    frames = np.repeat(atoms[None], 10, axis=0)
    frames[5:, 1] += 3.0
    run = write_run(tmp_path / "ps4", ["P", "S", "S", "S", "S"], frames % 14, 14 * np.eye(3))
    arguments = ["--center", "P", "--ligand", "S", "--ligands", "4", "--cutoff", "2.6"]
    assert main(["analyze", "polyhedra", str(run), *arguments]) == 0
    found = outcome(run, "polyhedra")
    assert found["results"]["PS4 at the start"]["value"] == 1
    assert found["results"]["PS4 at the end"]["value"] == 0
    assert found["columns"]["fragments PS3"] == [0] * 5 + [1] * 5


def table_of(folder, **columns):
    folder.mkdir(exist_ok=True)
    table = np.column_stack(list(columns.values()))
    np.savetxt(folder / "table.csv", table, delimiter=",", header=",".join(columns), comments="")
    return folder


def test_averages_of_a_table(tmp_path, capsys):
    noise = np.random.default_rng(0).normal(size=2000)
    run = table_of(
        tmp_path / "npt", time_ps=0.1 * np.arange(2000), density_g_per_cm3=1 + 0.02 * noise
    )
    assert main(["analyze", "averages", str(run), "--skip", "10ps"]) == 0
    found = outcome(run, "averages")
    density = found["results"]["density_g_per_cm3"]
    assert abs(density["value"] - 1) < 4 * density["error"]
    assert abs(density["error"] / (0.02 / np.sqrt(1900)) - 1) < 0.2
    assert abs(found["settings"]["correlation time (ps)"]["density_g_per_cm3"] - 0.05) < 0.02
    assert main(["analyze", "averages", str(run), "--columns", "x"]) == 2
    assert "columns: " in capsys.readouterr().err


def test_hysteresis_of_a_table(tmp_path, capsys):
    times = np.linspace(0, 40, 4001)
    angle = 2 * np.pi * times / 10
    columns = {
        "field_z_V_per_A": 0.05 * np.sin(angle),
        "polarization_z_uC_per_cm2": 7 + 25 * np.sin(angle - 0.5),
    }
    run = table_of(tmp_path / "loop", time_ps=times, **columns)
    assert main(["analyze", "hysteresis", str(run)]) == 0
    found = outcome(run, "hysteresis")["results"]
    assert abs(found["coercive field"]["value"] - 0.05 * np.sin(0.5)) < 1e-4
    assert abs(found["remanent polarization"]["value"] - 25 * np.sin(0.5)) < 0.01
    # π F₀ P₀ sin δ in SI: 5e8 V/m, 0.25 C/m²
    assert (
        abs(found["loss by cycle"]["value"] / (np.pi * 5e8 * 0.25 * np.sin(0.5) / 1e6) - 1) < 0.01
    )
    assert main(["analyze", "hysteresis", str(run), "--axis", "x"]) == 2
    assert "has no column field_x" in capsys.readouterr().err


def test_relaxation_of_a_dipole(tmp_path, capsys):
    rng, phi = np.random.default_rng(0), np.exp(-0.1)
    moments = np.zeros((20_000, 3))
    for k in range(1, len(moments)):
        moments[k] = phi * moments[k - 1] + rng.normal(size=3)
    columns = {f"field_{a}_V_per_A": np.zeros(len(moments)) for a in "xyz"}
    columns |= {f"dipole_{a}_eA": moments[:, i] for i, a in enumerate("xyz")}
    run = table_of(tmp_path / "debye", time_ps=0.1 * np.arange(len(moments)), **columns)
    arguments = ["--longest-lag", "20ps", "--molecules", "10", "--moment", "2.0"]
    assert main(["analyze", "relaxation", str(run), *arguments]) == 0
    found = outcome(run, "relaxation")["results"]
    assert abs(found["relaxation time"]["value"] - 1.0) < 4 * found["relaxation time"]["error"]
    expected = 3 / (1 - phi**2) / (10 * 4)
    assert abs(found["Kirkwood factor"]["value"] - expected) < 4 * found["Kirkwood factor"]["error"]


def test_what_a_run_writes_is_what_analyses_read(tmp_path, monkeypatch, capsys):
    """Frames, charges and times of a run whose charges are written at every second frame."""
    monkeypatch.chdir(tmp_path)
    light = {"core_charge": 1.0, "radius": 1.4, "spring_constant": 100.0}
    parameters = {
        "Mg": light | {"electronegativity": 3.9, "hardness": 8.0},
        "O": light | {"electronegativity": 8.7, "hardness": 8.6, "radius": 0.7},
    }
    save(build({"pqeq": {"protocol": "ewald", "parameters": parameters}}), "model.pt")
    rocksalt = Atoms("Mg4O4", cell=4.2 * np.eye(3), pbc=True, scaled_positions=[
        [0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0],
        [0.5, 0, 0], [0.5, 0.5, 0.5], [0, 0, 0.5], [0, 0.5, 0],
    ])  # fmt: skip
    rocksalt.write("MgO.extxyz")
    arguments = "--timestep 0.1 --steps 40 --trajectory-interval 2 --charges-interval 4 --table-interval 2 --equilibrate 1fs --seed 1"
    assert main(["run", "MgO.extxyz", "--model", "model.pt", *arguments.split(), "-o", "out"]) == 0
    assert main(["analyze", "profile", "out", "--slabs", "4", "--times", "5", "--blocks", "2"]) == 0
    found = outcome(tmp_path / "out", "profile")["columns"]
    assert len(found["time (ps)"]) == 5
    assert "charge (e/Å³)" in found
    assert abs(np.mean(found["Mg (1/Å³)"]) - 4 / 4.2**3) < 1e-6
    assert main(["analyze", "rdf", "out", "--pair", "Mg", "O", "--longest", "2.1"]) == 0
    assert "20 frames of 8 atoms, 0.0038 ps, every 0.2 fs" in capsys.readouterr().out
    for name in ("lattice", "averages"):
        assert main(["analyze", name, "out"]) == 0
    assert outcome(tmp_path / "out", "lattice")["results"]["a"]["value"] == pytest.approx(
        4.2, abs=1e-5
    )
