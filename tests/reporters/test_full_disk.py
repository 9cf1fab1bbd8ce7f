"""A disk that is full while HDF5 files grow: what is in them stays, and they go on."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

from openmm_pqeq.reporters.frames import FrameFile, Quantity
from openmm_pqeq.reporters.writers import reserve

pytest.importorskip("resource", reason="limits of files are those of Unix")

N_ATOMS, N_FRAMES = 40, 400
QUANTITIES = {"step": Quantity((), "i8", "1"), "charges": Quantity((N_ATOMS,), "f8", "e")}
FIXED = {"numbers": np.arange(N_ATOMS)}
FILLED = """
import resource, sys
import numpy as np
from test_full_disk import FIXED, N_ATOMS, N_FRAMES, QUANTITIES
from openmm_pqeq.reporters.frames import FrameFile

file = FrameFile(sys.argv[1])
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), resource.RLIM_INFINITY))
try:
    file.open(QUANTITIES, FIXED)
    for step in range(N_FRAMES):
        file.write({"step": step, "charges": np.full(N_ATOMS, step)})
except OSError as error:
    print(step if file._file else -1, error)
file.close()
"""


@pytest.mark.parametrize("size", [2_000, 300_000])
def test_a_file_stays_whole_on_a_full_disk(tmp_path, size):
    path, here = tmp_path / "charges.h5", Path(__file__).parent
    command = [sys.executable, "-c", FILLED, str(path), str(size)]
    places = os.pathsep.join(map(str, (here, here.parents[1])))
    done = subprocess.run(
        command, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": places}
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "File too large" in done.stdout
    assert "charges.h5" in done.stdout
    kept = max(0, int(done.stdout.split()[0]))
    assert (kept > 0) == (size > 2_000)
    file = FrameFile(path, append=True)
    file.open(QUANTITIES, FIXED)
    for step in range(kept, N_FRAMES):
        file.write({"step": step, "charges": np.full(N_ATOMS, step)})
    file.close()
    assert path.stat().st_size < 290_000  # without the room that was taken
    with h5py.File(path) as whole:
        assert np.array_equal(whole["step"], np.arange(N_FRAMES))
        assert np.array_equal(whole["charges"][:, 3], np.arange(N_FRAMES))


@pytest.mark.parametrize("number", [errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL])
def test_a_file_system_that_takes_no_room_in_advance_is_no_full_disk(tmp_path, monkeypatch, number):
    """As each of them says it."""

    def unsupported(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "posix_fallocate", unsupported)
    file = FrameFile(tmp_path / "charges.h5")
    file.open(QUANTITIES, FIXED)
    file.write({"step": 0, "charges": np.zeros(N_ATOMS)})
    file.close()
    with h5py.File(tmp_path / "charges.h5") as whole:
        assert len(whole["step"]) == 1


def test_room_that_there_is_not_is_said_with_the_file(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(OSError, match="No space left on device") as raised:
        reserve(3, 0, 10, tmp_path / "charges.h5")
    assert raised.value.errno == errno.ENOSPC
    assert raised.value.filename == str(tmp_path / "charges.h5")
