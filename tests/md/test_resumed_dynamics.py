"""What a resumed run has in common with the unbroken one: all of it in NVE and NVT, with each
thermostat and trajectory format; in NPT, with each barostat, the run up to the next change of the
cell, and one and the same sequel each time."""

import dataclasses
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import ase.io
import mdtraj
import numpy as np
import pytest
from ase.build import bulk
from ase.constraints import FixAtoms
from through_openmm import both_routes

from openmm_pqeq.checkpoint import save
from openmm_pqeq.md.build import seeded_anew
from openmm_pqeq.md.config import run_config
from openmm_pqeq.md.plot import read_table
from openmm_pqeq.md.resume import resumed_config
from openmm_pqeq.md.run import run
from openmm_pqeq.md.settings import BAROSTATS
from openmm_pqeq.potential import build

pytestmark = pytest.mark.python_route

BROKEN, STEPS = 4, 8


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("resumed")
    save(build({"pqeq": {"protocol": "reaxnet", "cutoff": 4.0}}), folder / "model.pt")
    save(build({"zbl": {}}), folder / "inner.pt")
    crystal = bulk("MgO", "rocksalt", a=4.2, cubic=True)
    crystal.write(folder / "MgO.cif")
    crystal.rattle(0.1, seed=1)
    crystal.write(folder / "rattled.cif")
    return folder


def unbroken(folder, *copies, **settings):
    """A run, and in `copies` what a kill at step BROKEN would have left of it."""

    def watch(news):
        if news.stage == "produce" and news.step == BROKEN:
            for copy in copies:
                ignored = shutil.ignore_patterns("job.lock")
                shutil.copytree(folder / "run", folder / copy, ignore=ignored)

    names = ("run", *copies)
    for name in names:
        shutil.rmtree(folder / name, ignore_errors=True)
    described = {"structure": str(folder / "MgO.cif"), "model": str(folder / "model.pt")}
    described |= {"output": str(folder / "run"), "steps": STEPS, "timestep": 0.2, "seed": 3}
    described |= {"temperature": 600, "table_interval": 1, "trajectory_interval": 2}
    described |= {"charges_interval": 0, "restart_interval": BROKEN, "barostat_interval": 2}
    if "inner_model" in settings:
        settings["inner_model"] = str(folder / settings["inner_model"])
    described |= {"backend": "python", "platform": "Reference", "precision": "double"}
    return read_table(run(run_config(described | settings), watch=watch).files.table)


def resumed(folder, copy):
    return read_table(run(resumed_config(folder / copy, {}), resume=True).files.table)


def largest_difference(one, two, rows=slice(None)):
    """Of all columns; rounding of 1e-10 relative to their size."""
    assert one.keys() == two.keys()
    return max(
        np.abs(values[rows] - two[name][rows]).max() / (1 + np.abs(values[rows]).max())
        for name, values in one.items()
    )


@both_routes
def test_a_minimisation_that_was_stopped_begins_again(folder, backend):
    """SIGTERM ends it after its present step, and the resumed run is the unbroken one."""
    settings = {"minimize": True, "minimize_steps": 3, "backend": backend}
    whole = unbroken(folder, structure=str(folder / "rattled.cif"), **settings)
    config = resumed_config(folder / "run", {})
    stopped = f"stopped-{backend}"
    other = {"structure": str(folder / "rattled.cif"), "output": str(folder / stopped)}
    stages = []

    def stop(news):
        stages.append((news.stage, news.step))
        if news.step:
            signal.raise_signal(signal.SIGTERM)

    result = run(dataclasses.replace(config, **other), watch=stop)
    assert result.interrupted
    assert stages == [("minimise", 0), ("minimise", 1)]
    assert largest_difference(whole, resumed(folder, stopped)) < 1e-10


def test_a_minimisation_ends_where_forces_are_small_and_at_its_most_steps(folder):
    """The crystal is at its minimum by symmetry."""
    unbroken(folder, minimize=True)
    assert " eV in 0 steps\n" in (folder / "run" / "run.log").read_text()
    unbroken(folder, structure=str(folder / "rattled.cif"), minimize=True, minimize_steps=2)
    said = (folder / "run" / "run.log").read_text()
    assert re.search(r" eV in 2 steps, the most that minimize_steps allows: a force of \d", said)


def test_a_minimisation_of_tetragonal_barium_titanate_goes_by_short_steps(folder):
    """The first step of OpenMM's own minimiser puts its titanium on an oxygen. What is fixed stays."""
    atoms = ase.io.read(Path(__file__).parents[2] / "examples" / "BaTiO3.cif")
    atoms.set_constraint(FixAtoms([0]))
    ase.io.write(folder / "fixed.extxyz", atoms)
    settings = {"model": "batio3_bonds", "structure": str(folder / "fixed.extxyz")}
    unbroken(folder, minimize=True, temperature=300, **settings)
    found = re.search(
        r"minimised to (\S+) eV in (\d+) steps\n", (folder / "run" / "run.log").read_text()
    )
    assert found is not None
    assert 0 < int(found[2]) < 100
    path = folder / "run" / "trajectory.dcd"
    first = mdtraj.load_frame(path, 0, top=folder / "run" / "topology.pdb")
    assert np.abs(10 * first.xyz[0, 0] - atoms.positions[0]).max() < 1e-4


@pytest.mark.parametrize(
    "settings",
    [
        {"ensemble": "NVE", "trajectory_format": "dcd"},
        {"ensemble": "NVT", "thermostat": "langevin", "trajectory_format": "xtc"},
        {"ensemble": "NVT", "thermostat": "nose-hoover", "trajectory_format": "dcd"},
        {"ensemble": "NVE", "inner_model": "inner.pt", "trajectory_format": "dcd"},
        {"ensemble": "NVT", "inner_model": "inner.pt", "trajectory_format": "dcd"},
    ],
    ids=str,
)
def test_a_resumed_run_is_the_unbroken_one(folder, settings):
    one = unbroken(folder, "again", **settings)
    two = resumed(folder, "again")
    assert len(one["step"]) == STEPS
    assert largest_difference(one, two) < 1e-7  # charges are solved to 1e-7 eV/e
    name = f"trajectory.{settings['trajectory_format']}"
    expected, found = (
        mdtraj.load(folder / place / name, top=folder / place / "topology.pdb")
        for place in ("run", "again")
    )
    assert expected.n_frames == STEPS // 2
    assert np.abs(expected.xyz - found.xyz).max() < 1.1e-3  # nm, xtc's rounding


@pytest.mark.parametrize("names", [("model.pt", "inner.pt"), ("a model", "inner")], ids=str)
def test_models_that_are_given_beside_the_structure_are_found_again(folder, names, monkeypatch):
    """By whichever name, from the folder of the run, as people give them on the command line."""
    monkeypatch.chdir(folder)
    for name, origin in zip(names, ("model.pt", "inner.pt")):
        if not (folder / name).exists():
            shutil.copy(folder / origin, folder / name)
    described = {"structure": "MgO.cif", "model": names[0], "inner_model": names[1]}
    described |= {"output": "beside", "steps": 2, "timestep": 0.2, "seed": 3, "temperature": 600}
    described |= {"backend": "python", "platform": "Reference", "charges_interval": 0}
    run(run_config(described), overwrite=True)
    (folder / "moved").mkdir(exist_ok=True)
    monkeypatch.chdir(folder / "moved")
    again = resumed_config(folder / "beside", {"steps": 4})
    assert run(again, resume=True).step == 4


def test_another_inner_model_is_not_the_same_run(folder):
    unbroken(folder, "swapped", inner_model="inner.pt")
    save(build({"zbl": {}}), folder / "own.pt", card={"name": "another"})
    save(build({"zbl": {"outer": 1.1}}), folder / "other.pt")
    toml = folder / "swapped" / "run.toml"
    toml.write_text(toml.read_text().replace("inner.pt", "own.pt"))
    resumed(folder, "swapped")  # the same model with another card
    toml.write_text(toml.read_text().replace("own.pt", "other.pt"))
    with pytest.raises(ValueError, match="inner_model: the run .* began with another file"):
        resumed(folder, "swapped")


@pytest.mark.parametrize("barostat", BAROSTATS)
def test_a_resumed_barostat_goes_on_by_seed_and_step(folder, barostat):
    one = unbroken(folder, "again", "once-more", ensemble="NPT", barostat=barostat)
    two, three = resumed(folder, "again"), resumed(folder, "once-more")
    assert largest_difference(two, three) == 0
    assert two["step"].tolist() == one["step"].tolist()
    assert largest_difference(one, two, slice(BROKEN)) < 1e-7
    assert len(set(two["volume_A3"])) > 1
    assert "the barostat begins anew" in (folder / "again" / "run.log").read_text()


def test_the_seed_of_a_resumed_barostat_is_made_from_seed_stage_and_step(folder):
    begun = run_config({"structure": "a.cif", "model": "m", "output": "o", "steps": 9, "seed": 3})
    moments = [("produce", 5), ("produce", 6), ("equilibrate", 5)]
    seeds = [seeded_anew(begun, *moment).seed for moment in moments]
    assert seeds == [seeded_anew(begun, *moment).seed for moment in moments]
    other = seeded_anew(dataclasses.replace(begun, seed=4), "produce", 5).seed
    assert len({begun.seed, other, *seeds}) == 5


@pytest.mark.parametrize("trajectory_format", ["dcd", "xtc"])
def test_a_run_that_was_killed_ends_as_the_unbroken_one(folder, trajectory_format):
    """SIGKILL at a moment that nobody chose, between or in the midst of writes."""
    settings = {"steps": 60, "restart_interval": 7, "trajectory_format": trajectory_format}
    one = unbroken(folder, **settings)
    begin = [str(folder / "run" / "run.toml"), "--output", str(folder / "killed")]
    resume = [str(folder / "killed"), "--resume"]
    table, delay = folder / "killed" / "table.csv", random.Random(trajectory_format).random()
    shutil.rmtree(folder / "killed", ignore_errors=True)
    with subprocess.Popen([sys.executable, "-m", "openmm_pqeq", "run", *begin]) as process:
        while process.poll() is None and not (table.is_file() and table.stat().st_size > 3000):
            time.sleep(0.002)
        time.sleep(0.1 * delay)
        process.kill()
    assert process.returncode == -signal.SIGKILL
    subprocess.run([sys.executable, "-m", "openmm_pqeq", "run", *resume], check=True)
    assert largest_difference(one, read_table(table)) < 1e-6
    name = f"trajectory.{trajectory_format}"
    expected, found = (
        mdtraj.load(folder / place / name, top=folder / place / "topology.pdb")
        for place in ("run", "killed")
    )
    assert expected.n_frames == found.n_frames == 30
    assert np.abs(expected.xyz - found.xyz).max() < 1.1e-3  # nm, xtc's rounding
