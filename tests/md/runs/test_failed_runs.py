"""What a run does not overwrite, and how it fails on the way."""

import errno
import os
import re
import shutil

import numpy as np
import pytest
from described import description

from openmm_pqeq.jobs.failure import RunFailure
from openmm_pqeq.md.plot import read_table
from openmm_pqeq.md.restart import read_restart
from openmm_pqeq.md.resume import resumed_config
from openmm_pqeq.md.run import run

# tapered charges without a repulsion heat their cell
pytestmark = [
    pytest.mark.python_route,
    pytest.mark.filterwarnings("ignore:the temperature is .* was set:UserWarning"),
]


def test_an_existing_run_is_not_overwritten(unbroken, folder):
    before = unbroken.files.table.read_bytes()
    with pytest.raises(FileExistsError, match="--overwrite"):
        run(description(folder, "unbroken"))
    with pytest.raises(ValueError, match="platform"):  # wrong settings do not cost the old run
        run(description(folder, "unbroken", platform="Abacus"), overwrite=True)
    assert unbroken.files.table.read_bytes() == before


def test_overwriting_removes_the_run_and_nothing_else(folder):
    output = folder / "mixed"
    output.mkdir()
    (output / "notes.txt").write_text("mine")
    run(description(folder, "mixed", steps=2, trajectory_format="xtc"))
    run(description(folder, "mixed", steps=2), overwrite=True)
    assert (output / "notes.txt").read_text() == "mine"
    assert not (output / "trajectory.xtc").exists()
    shutil.copyfile(folder / "MgO.cif", folder / "other.cif")
    run(description(folder, "mixed", steps=2, structure=str(folder / "other.cif")), overwrite=True)
    assert [path.name for path in output.glob("input-*")] == ["input-other.cif"]
    run(description(folder, "mixed", steps=2), overwrite=True)
    before = {path.name: path.read_bytes() for path in output.iterdir()}
    (output / "facts.json").write_text('{"job": "train"}')
    with pytest.raises(FileExistsError, match="has a train, which no run may replace"):
        run(description(folder, "mixed", steps=2), overwrite=True)
    for name in ("facts.json", "run.toml"):
        (output / name).unlink()
    with pytest.raises(FileExistsError, match=r"may be of something else than a run"):
        run(description(folder, "mixed", steps=2), overwrite=True)
    for path in output.iterdir():
        assert path.read_bytes() == before[path.name]


def test_a_simulation_that_blows_up_says_so_and_keeps_its_restart_file(folder):
    config = description(folder, "unstable", field=[0, 0, "1e200*step(t-0.001)"])
    with pytest.raises(RunFailure, match="failed after step") as error:
        run(config)
    restart = folder / "unstable" / "restart.zip"
    assert f"{restart} (step {read_restart(restart).step})" in str(error.value)
    assert "openmm-pqeq run" in str(error.value)
    assert "the run failed after step" in (folder / "unstable" / "run.log").read_text()


def test_a_field_without_a_value_on_the_way_is_a_failure_with_its_step(folder):
    config = description(folder, "no-value", field=[0, 0, "sqrt(0.0025 - t)"], field_interval=1)
    with pytest.raises(
        RunFailure, match=r"after step 1\d: field: .* no value at t = 0.00"
    ) as error:
        run(config)
    assert "--resume" in str(error.value)


def test_a_full_disk_is_a_failure_that_goes_on_when_there_is_room(folder, unbroken, monkeypatch):
    config = description(folder, "full")
    real, counted = os.fsync, []

    def full(file):
        counted.append(file)
        if len(counted) > 25:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(file)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(
        RunFailure, match=r"No space left on device: .*restart\.zip'; make room"
    ) as error:
        run(config)
    monkeypatch.undo()
    assert not list((folder / "full").glob("*.part"))
    assert re.search(
        r"restart.zip \(step \d+\) with: openmm-pqeq run .*full --resume", str(error.value)
    )
    again = run(resumed_config(folder / "full", {}), resume=True)
    one, two = read_table(unbroken.files.table), read_table(again.files.table)
    assert np.abs(one["total_energy_eV"] - two["total_energy_eV"]).max() < 1e-6  # eV
