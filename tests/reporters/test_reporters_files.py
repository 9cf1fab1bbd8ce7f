"""Files of the reporters: the frames of OpenMM's trajectories, whole after a kill, continued where
they ended."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import ase.io
import h5py
import mdtraj
import numpy as np
import openmm
import pytest
from endless_writer import FIXED, QUANTITIES
from openmm import app
from simulations import EDGE, mgo, rows_of, simulation_of

import openmm_pqeq as pq
from openmm_pqeq.potential import build
from openmm_pqeq.reporters.charges import cut_back_xyz
from openmm_pqeq.reporters.frames import FrameFile, cut_back_frames
from openmm_pqeq.reporters.table import Table

pytestmark = pytest.mark.python_route


@pytest.fixture(scope="module")
def potential():
    return build({"pqeq": {"protocol": "ewald", "tolerance": 1e-7}})


def moving(potential):
    """A Simulation whose atoms move by 0.01 Å along x in every step."""
    simulation = simulation_of(potential)
    integrator = openmm.CustomIntegrator(0.001)
    integrator.addComputePerDof("x", "x + vector(0.001, 0, 0)")
    again = app.Simulation(
        simulation.topology, simulation.system, integrator, simulation.context.getPlatform()
    )
    again.context.setPositions(mgo()[1] / 10)
    return again


def test_frames_are_those_of_dcd_and_xtc(potential, tmp_path):
    simulation = moving(potential)
    interval = 3
    simulation.reporters += [
        app.DCDReporter(str(tmp_path / "t.dcd"), interval, enforcePeriodicBox=False),
        app.XTCReporter(str(tmp_path / "t.xtc"), interval, enforcePeriodicBox=False),
        pq.ChargeReporter(tmp_path / "charges.h5", interval),
        pq.ChargeReporter(tmp_path / "charges.extxyz", interval),
        pq.DipoleReporter(tmp_path / "dipole.csv", interval),
        pq.EnergyReporter(tmp_path / "energies.csv", interval),
    ]
    simulation.step(2)
    simulation.step(8)
    for reporter in simulation.reporters[2:]:
        reporter.close()
    simulation.reporters.clear()  # closes the trajectories
    topology = mdtraj.Topology.from_openmm(simulation.topology)
    frames = ase.io.read(tmp_path / "charges.extxyz", ":")
    assert [frame.info["step"] for frame in frames] == [3, 6, 9]
    for trajectory, precision in (
        (mdtraj.load_dcd, 1e-5),
        (mdtraj.load_xtc, 0.011),
    ):  # Å; XTC has two decimals
        kept = trajectory(str(tmp_path / f"t.{trajectory.__name__[-3:]}"), top=topology).xyz * 10
        assert len(kept) == 3
        for frame, positions in zip(frames, kept):
            assert np.abs(frame.positions - positions).max() < precision
    with h5py.File(tmp_path / "charges.h5") as file:
        assert file["step"][:].tolist() == [3, 6, 9]
        assert np.abs(file["charges"][:] - [frame.get_charges() for frame in frames]).max() < 1e-8
        assert np.abs(file["shells"][:] - [frame.arrays["shells"] for frame in frames]).max() < 1e-8
    for name in ("dipole.csv", "energies.csv"):
        assert [row["step"] for row in rows_of(tmp_path / name)] == ["3", "6", "9"]


def test_extended_xyz_is_what_ase_reads(potential, tmp_path):
    simulation = simulation_of(potential)
    simulation.reporters.append(pq.ChargeReporter(tmp_path / "charges.xyz", 1))
    simulation.step(1)
    simulation.reporters.pop().close()
    frame = ase.io.read(tmp_path / "charges.xyz")
    symbols, positions = mgo()
    assert frame.get_chemical_symbols() == symbols
    assert np.abs(frame.positions - positions).max() < 1e-7
    assert np.abs(frame.cell.array - np.eye(3) * EDGE).max() < 1e-8
    assert frame.pbc.all()
    assert abs(frame.get_charges().sum()) < 1e-6
    assert np.abs(frame.info["field"] - [0.01, -0.02, 0.03]).max() < 1e-12
    assert np.linalg.norm(frame.get_dipole_moment()) > 0.01
    simulation.reporters.append(pq.ChargeReporter(tmp_path / "charges.xyz", 1, append=True))
    simulation.step(1)
    simulation.reporters.pop().close()
    assert [frame.info["step"] for frame in ase.io.read(tmp_path / "charges.xyz", ":")] == [1, 2]
    other = simulation_of(potential, atoms=range(1, 8))
    other.reporters.append(pq.ChargeReporter(tmp_path / "charges.xyz", 1, append=True))
    with pytest.raises(ValueError, match="other atoms"):
        other.step(1)


@pytest.fixture(scope="module", params=[0.01, 0.037, 0.083])
def killed(request, tmp_path_factory):
    """A folder with files whose writer was killed, with SIGKILL, while it did nothing but write."""
    folder, here = tmp_path_factory.mktemp("killed"), Path(__file__).parent
    path = os.pathsep.join(map(str, (here, *here.parents[:2])))
    process = subprocess.Popen(
        [sys.executable, str(here / "endless_writer.py"), str(folder)],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": path},
    )
    assert process.stdout.readline() == b"writing\n"
    time.sleep(request.param)
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    return folder


def test_hdf5_is_whole_after_a_kill_and_can_be_continued(killed):
    with h5py.File(killed / "f.h5") as file:
        n = len(file["step"])
        assert file["step"][:].tolist() == list(range(1, n + 1))
        assert (file["charges"][:n] == np.arange(1, n + 1)[:, None, None]).all()
        assert (file["time"][:n] == np.arange(1, n + 1)).all()
    assert n >= 5
    again = FrameFile(killed / "f.h5", append=True)
    again.open(QUANTITIES, FIXED)
    again.write({"step": n + 1, "charges": np.full((500, 3), n + 1), "time": n + 1})
    again.close()
    with h5py.File(killed / "f.h5") as file:
        assert file["step"][:].tolist() == list(range(1, n + 2))
        assert (file["charges"][:] == np.arange(1, n + 2)[:, None, None]).all()


def test_csv_is_whole_after_a_kill_and_can_be_continued(killed):
    again = Table(killed / "t.csv", append=True)
    n = int(again.last_row()["step"])
    again.write({"step": n + 1, "energy_eV": n + 1})
    again.close()
    rows = rows_of(killed / "t.csv")
    assert [row["energy_eV"] for row in rows] == [str(step) for step in range(1, n + 2)]


def test_extended_xyz_is_whole_after_a_kill_and_can_be_continued(killed):
    assert cut_back_xyz(killed / "x.extxyz") == ["O"] * 500
    lines = (killed / "x.extxyz").read_text().splitlines()
    assert len(lines) % 502 == 0
    assert ase.io.read(killed / "x.extxyz").info["step"] == len(lines) // 502


def test_half_a_frame_is_cut_off(tmp_path):
    path = tmp_path / "x.xyz"
    path.write_text("1\na\nH 0\n1\nb\nH 1\n1\nc\nH")
    assert cut_back_xyz(path) == ["H"]
    assert path.read_text() == "1\na\nH 0\n1\nb\nH 1\n"
    path.write_text("")
    assert cut_back_xyz(path) is None
    path.write_text("3")  # of a first frame
    assert cut_back_xyz(path) is None
    assert path.read_text() == ""


def test_files_of_something_else_are_not_continued_and_stay_as_they_are(potential, tmp_path):
    notes, damaged, other = tmp_path / "notes.xyz", tmp_path / "damaged.h5", tmp_path / "other.h5"
    notes.write_text("What I saw\non Monday")
    with pytest.raises(ValueError, match=r"notes\.xyz is not extended XYZ"):
        pq.ChargeReporter(notes, 1, append=True)
    assert notes.read_text() == "What I saw\non Monday"
    damaged.write_text("not HDF5")
    with pytest.raises(ValueError, match=r"damaged\.h5 cannot be read as HDF5"):
        FrameFile(damaged, append=True).open(QUANTITIES, FIXED)
    assert damaged.read_text() == "not HDF5"
    frames = FrameFile(other)
    frames.open({"step": QUANTITIES["step"]}, {"fractions": np.arange(3)})
    frames.close()
    with pytest.raises(ValueError, match=r"other\.h5 has no dataset 'numbers'"):
        FrameFile(other, append=True).open(QUANTITIES, FIXED)


def test_half_a_frame_of_hdf5_is_cut_off(tmp_path):
    path = tmp_path / "f.h5"
    frames = FrameFile(path)
    frames.open(QUANTITIES, FIXED)
    for step in (1, 2, 3):
        frames.write({"step": step, "charges": np.full((500, 3), step), "time": step})
    frames.close()
    with h5py.File(path, "a") as file:
        file["charges"].resize(
            4, axis=0
        )  # as a kill leaves it: the frame is there, its step is not
    again = FrameFile(path, append=True)
    again.open(QUANTITIES, FIXED)
    again.close()
    with h5py.File(path) as file:
        assert {name: len(file[name]) for name in QUANTITIES} == {
            "step": 3,
            "charges": 3,
            "time": 3,
        }
        assert (file["charges"][:] == np.array([1, 2, 3])[:, None, None]).all()
        assert file["charges"].attrs["units"] == "e"
        assert file["numbers"][:].tolist() == list(range(500))
    assert cut_back_frames(path) == 3
    assert cut_back_frames(path, 2) == 2
    with h5py.File(path) as file:
        assert file["step"][:].tolist() == [1, 2]


def test_a_table_keeps_its_columns(tmp_path):
    table = Table(tmp_path / "t.csv")
    table.write({"step": 1, "a": 2.5})
    with pytest.raises(ValueError, match="these rows have step, b"):
        table.write({"step": 2, "b": 1.0})
    table.close()
    assert (tmp_path / "t.csv").read_text() == "step,a\n1,2.5\n"


def test_a_file_that_is_removed_while_it_grows_is_said(tmp_path):
    """Its rows would go nowhere."""
    table, frames = Table(tmp_path / "t.csv"), frames_written(tmp_path / "f.h5", [1])
    for path in (table.path, frames.path):
        path.unlink()
    with pytest.raises(FileNotFoundError, match=r"t\.csv was removed while it was written to"):
        table.write({"step": 1.0})
    with pytest.raises(FileNotFoundError, match=r"f\.h5 was removed while it was written to"):
        frames.write({"step": 2, "charges": np.zeros((500, 3)), "time": 0.2})


READER = """
import sys, h5py
with h5py.File(sys.argv[1]) as file:
    print(len(file["step"]), flush=True)
    sys.stdin.readline()
"""


def frames_written(path, numbers, append=False):
    file = FrameFile(path, append)
    file.open(QUANTITIES, FIXED)
    for number in numbers:
        file.write({"step": number, "charges": np.zeros((500, 3)), "time": number / 10})
    return file


def test_a_file_is_read_while_it_grows_and_grows_while_it_is_read(tmp_path):
    path = tmp_path / "charges.h5"
    file = frames_written(path, [1, 2])
    pipe = subprocess.PIPE
    with subprocess.Popen(
        [sys.executable, "-c", READER, path], stdin=pipe, stdout=pipe, text=True
    ) as reader:
        assert reader.stdout.readline() == "2\n"
        file.write({"step": 3, "charges": np.zeros((500, 3)), "time": 0.3})
        file.close()
        assert cut_back_frames(path, 2) == 2  # as a resumed run does
        frames_written(path, [3, 4], append=True).close()
        reader.communicate("\n")
    with frames_written(path, [5], append=True)._file, h5py.File(path) as here:
        assert len(here["step"]) == 5
    cut_back_frames(path, 4)
    with h5py.File(path) as again:
        assert again["step"][:].tolist() == [1, 2, 3, 4]


def test_a_reader_in_the_same_process_is_told_and_the_file_is_not_called_damaged(tmp_path):
    path = tmp_path / "charges.h5"
    frames_written(path, [1, 2]).close()
    with (
        h5py.File(path),
        pytest.raises(ValueError, match=r"charges\.h5 is open in this process.* close that first"),
    ):
        cut_back_frames(path, 1)
    assert cut_back_frames(path, 1) == 1


def test_an_error_of_the_disk_is_not_damage(tmp_path):
    path = tmp_path / "charges.h5"
    frames_written(path, [1]).close()
    moved = path.rename(tmp_path / "moved.h5")
    with pytest.raises(FileNotFoundError):
        cut_back_frames(path)
    moved.write_bytes(moved.read_bytes()[:900])
    with pytest.raises(ValueError, match="damaged"):
        cut_back_frames(moved)


@pytest.mark.parametrize("name", ["charges.h5", "charges.xyz", "dipole.csv"])
def test_two_reporters_of_one_file_are_refused_by_name(potential, tmp_path, name):
    kind = pq.DipoleReporter if name.endswith("csv") else pq.ChargeReporter
    simulation = simulation_of(potential)
    simulation.reporters.append(kind(tmp_path / name, 1))
    simulation.step(1)
    before = (tmp_path / name).stat().st_size
    for again in (False, True):
        with pytest.raises(
            ValueError, match=f"another reporter of this process writes to .*{name}"
        ):
            kind(tmp_path / name, 1, append=again)
    assert (tmp_path / name).stat().st_size == before
    simulation.reporters.pop().close()
    kind(tmp_path / name, 1).close()
    simulation.reporters.append(kind(tmp_path / name, 1))
    del simulation  # a notebook's cell that is run again makes another
    kind(tmp_path / name, 1).close()
