"""The files of a run that was broken off, cut back to a step."""

import struct

import h5py
import mdtraj
import numpy as np
import pytest
from openmm import app, unit

from openmm_pqeq.md.truncate import DCD, XTC, Charges, Rows, check


def trajectory(path, n_atoms, box, n_frames=5, kind=app.DCDFile):
    """Write a trajectory with OpenMM; returns its positions (nm)."""
    topology = app.Topology()
    residue = topology.addResidue("X", topology.addChain())
    for _ in range(n_atoms):
        topology.addAtom("C", app.element.carbon, residue)
    if box:
        topology.setUnitCellDimensions((2, 3, 4) * unit.nanometer)
    positions = np.random.default_rng(0).random((n_frames, n_atoms, 3))
    if kind is app.DCDFile:
        with open(path, "wb") as out:
            file = app.DCDFile(out, topology, 0.001, 10, 10)
            for frame in positions:
                file.writeModel(frame)
    else:
        file = app.XTCFile(str(path), topology, 0.001, 10, 10)
        for frame in positions:
            file.writeModel(frame)
    return topology, positions


@pytest.mark.parametrize("box", [True, False])
def test_a_dcd_file_is_cut_at_a_whole_frame(tmp_path, box):
    topology, positions = trajectory(tmp_path / "t.dcd", 7, box)
    with open(tmp_path / "t.dcd", "r+b") as file:  # a frame that was not finished
        file.seek(8)
        file.write(struct.pack("<i", 6))
        file.seek(0, 2)
        file.write(b"\x00" * 31)
    file = DCD(tmp_path / "t.dcd", 10, 7, box)
    assert file.whole_frames() == 5
    file.cut_back(3)
    loaded = mdtraj.load(tmp_path / "t.dcd", top=mdtraj.Topology.from_openmm(topology))
    assert np.abs(loaded.xyz - positions[:3]).max() < 1e-6  # nm, float32
    with open(tmp_path / "t.dcd", "r+b") as out:
        app.DCDFile(out, topology, 0.001, 10, 10, append=True).writeModel(positions[4])
    loaded = mdtraj.load(tmp_path / "t.dcd", top=mdtraj.Topology.from_openmm(topology))
    assert np.abs(loaded.xyz - positions[[0, 1, 2, 4]]).max() < 1e-6
    with pytest.raises(ValueError, match="at least 9 frames at step 90, and has only 4"):
        check(file, 90)


@pytest.mark.parametrize("n_atoms", [1, 9, 10, 60])
def test_an_xtc_file_is_cut_at_a_whole_frame(tmp_path, n_atoms):
    path = tmp_path / "t.xtc"
    topology, positions = trajectory(path, n_atoms, True, kind=app.XTCFile)
    whole = path.read_bytes()
    file = XTC(path, 10)
    file.cut_back(5)
    assert path.read_bytes() == whole
    path.write_bytes(whole[:-3])
    with pytest.raises(ValueError, match="at least 5 frames"):
        check(file, 50)
    file.cut_back(3)
    app.XTCFile(str(path), topology, 0.001, 10, 10, append=True).writeModel(positions[4])
    loaded = mdtraj.load(path, top=mdtraj.Topology.from_openmm(topology))
    assert np.abs(loaded.xyz - positions[[0, 1, 2, 4]]).max() < 6e-4  # nm, xtc's rounding


def test_a_table_is_cut_at_a_whole_row(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("step,x\n2,1\n4,1\n6,1\n8,")
    file = Rows(path, 2)
    assert file.whole_frames() == 3
    file.cut_back(2)
    assert path.read_text() == "step,x\n2,1\n4,1\n"


@pytest.mark.parametrize(
    "text", ["step,x\n2,1\n6,1\n", "step,x\n2,1\n2,1\n4,1\n", "step,x\n2,1\nmany,1\n", "2,1\n"]
)
def test_rows_that_were_removed_doubled_or_edited_are_noticed(tmp_path, text):
    path = tmp_path / "t.csv"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"t\.csv should have at least 2 frames at step 5"):
        check(Rows(path, 2), 5)
    assert path.read_text() == text
    path.unlink()
    with pytest.raises(ValueError, match="is not there any more"):
        check(Rows(path, 2), 5)
    check(Rows(path, 2), 1)


def test_charges_are_cut_where_all_datasets_are_whole(tmp_path):
    path = tmp_path / "c.h5"
    with h5py.File(path, "w") as file:
        for name, n in (("step", 3), ("charges", 4)):  # the last frame was not finished
            file.create_dataset(name, data=np.arange(1, n + 1) * 5, maxshape=(None,), chunks=(4,))
        file["numbers"] = [1, 2]
    charges = Charges(path, 5)
    assert charges.whole_frames() == 3
    charges.cut_back(2)
    with h5py.File(path) as file:
        assert (
            file["step"][:].tolist(),
            file["charges"][:].tolist(),
            file["numbers"][:].tolist(),
        ) == ([5, 10], [5, 10], [1, 2])
    path.write_bytes(b"not HDF5")
    with pytest.raises(ValueError, match="cannot be read .* --charges-interval 0"):
        charges.whole_frames()
