"""A run from its description: what it writes, that an interrupted one ends like an unbroken one,
and what it leaves alone."""

import errno
import json
import os
import re
import shutil
import signal

import h5py
import mdtraj
import numpy as np
import openmm
import pytest
from openmm import app, unit

from openmm_pqeq.checkpoint import save
from openmm_pqeq.jobs.failure import RunFailure
from openmm_pqeq.jobs.lock import locked
from openmm_pqeq.md import plot
from openmm_pqeq.md.build import build_simulation, read_parts
from openmm_pqeq.md.config import read_toml, run_config
from openmm_pqeq.md.plot import read_table
from openmm_pqeq.md.restart import read_restart
from openmm_pqeq.md.resume import resumed_config
from openmm_pqeq.md.run import run
from openmm_pqeq.md.velocities import begin_velocities
from openmm_pqeq.potential import build
from openmm_pqeq.report.plots import plot_panels as draw_panels
from openmm_pqeq.units import KJ_PER_MOL_PER_EV

# tapered charges without a repulsion heat their cell
pytestmark = [
    pytest.mark.python_route,
    pytest.mark.filterwarnings("ignore:the temperature is .* was set:UserWarning"),
]

STEPS = 24


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with a model without a network and a cell of MgO."""
    folder = tmp_path_factory.mktemp("md")
    save(build({"pqeq": {"protocol": "reaxnet", "cutoff": 4.0}}), folder / "model.pt")
    from ase.build import bulk

    bulk("MgO", "rocksalt", a=4.2, cubic=True).write(folder / "MgO.cif")
    return folder


def description(folder, output, **settings):
    """A short run; its field changes, its three intervals are different."""
    return run_config(
        {
            "structure": str(folder / "MgO.cif"),
            "model": str(folder / "model.pt"),
            "output": str(folder / output),
            "steps": STEPS,
            "timestep": 0.2,
            "temperature": 300,
            "field": [0, 0, "0.01*sin(2*pi*t/0.004)"],
            "field_interval": 3,
            "table_interval": 2,
            "trajectory_interval": 3,
            "charges_interval": 4,
            "restart_interval": 7,
            "seed": 11,
            "backend": "python",
            "platform": "Reference",
            "precision": "double",
        }
        | settings
    )


@pytest.fixture(scope="module")
def unbroken(folder):
    return run(description(folder, "unbroken"))


class Death(Exception):
    """What a killed process does not do any more."""


def die_at(step):
    """A watch that ends the process, as it were, without a word to the files."""

    def watch(news):
        if news.stage == "produce" and news.step >= step:
            raise Death

    return watch


def stop_at(step):
    """A watch that presses Ctrl-C, once."""
    pressed = []

    def watch(news):
        if news.stage == "produce" and news.step >= step and not pressed:
            pressed.append(news.step)
            os.kill(os.getpid(), signal.SIGINT)

    return watch


# What a run writes


def test_every_file_has_its_frames(unbroken):
    files = unbroken.files
    of_committee = {files.committee, files.uncertain}
    assert {path for path in files if not path.is_file()} == of_committee
    table = read_table(files.table)
    assert table["step"].tolist() == list(range(2, STEPS + 1, 2))
    assert mdtraj.load(files.trajectory, top=files.topology).n_frames == STEPS // 3
    with h5py.File(files.charges) as file:
        assert file["step"][:].tolist() == list(range(4, STEPS + 1, 4))
    assert (unbroken.step, unbroken.interrupted) == (STEPS, False)
    assert files.plot.stat().st_size > 10_000


def test_the_plot_shows_the_field_and_what_goes_along_it(unbroken, tmp_path, monkeypatch):
    drawn = []

    def plot_panels(x, label, panels, *texts):
        drawn.extend(panels)
        return draw_panels(x, label, panels, *texts)

    monkeypatch.setattr(plot, "plot_panels", plot_panels)
    files = unbroken.files
    topology = app.PDBFile(str(files.topology)).topology
    plot.plot_run(run_config(read_toml(files.toml)), files.table, tmp_path / "plot.png", topology)
    field, polarization = drawn[:2]
    assert [curve.values is not None for curve in field.curves] == [False, False, True]
    assert [curve.faint for curve in polarization.curves] == [True, True, False]
    assert "F" in polarization.curves[2].name


def test_the_table_says_what_openmm_says(unbroken, folder):
    table = read_table(unbroken.files.table)
    restart = read_restart(unbroken.files.restart)
    state = openmm.XmlSerializer.deserialize(restart.state)
    velocities = state.getVelocities(asNumpy=True).value_in_unit(unit.nanometer / unit.picosecond)
    assert np.isfinite(velocities).all()
    assert np.allclose(
        table["total_energy_eV"],
        table["potential_energy_eV"] + table["kinetic_energy_eV"],
        atol=1e-8,
    )
    assert np.allclose(table["volume_A3"], 4.2**3, atol=1e-6)
    assert np.allclose(
        table["density_g_per_cm3"], 4 * (24.305 + 15.999) / 6.02214076e23 / (4.2e-8) ** 3, atol=2e-3
    )
    kinetic = (
        0.5 * 21 * 8.617333e-5 * table["temperature_K"]
    )  # 8 atoms less the motion of the whole
    assert np.allclose(table["kinetic_energy_eV"], kinetic, atol=1e-6)
    time = (table["step"] // 3) * 3 * 0.2e-3  # the field is renewed every 3 steps
    assert np.allclose(table["field_z_V_per_A"], 0.01 * np.sin(2 * np.pi * time / 0.004), atol=1e-9)
    assert np.allclose(table["time_ps"], table["step"] * 0.2e-3, atol=1e-12)
    assert np.allclose(4 * (table["charge_Mg_e"] + table["charge_O_e"]), 0, atol=1e-8)


def test_a_run_can_be_repeated_from_its_description(unbroken, folder):
    moved = folder / "moved"
    shutil.copytree(unbroken.files.toml.parent, moved)
    settings = read_toml(moved / "run.toml") | {"output": str(folder / "again"), "steps": 8}
    again = run(run_config(settings))
    one, two = read_table(unbroken.files.table), read_table(again.files.table)
    for name in ("potential_energy_eV", "kinetic_energy_eV", "polarization_z_uC_per_cm2"):
        assert np.abs(one[name][:4] - two[name]).max() < 1e-6, (
            name
        )  # eV, µC/cm²: same seed, same numbers


# A run that was broken off


@pytest.mark.parametrize(("how", "step"), [(stop_at, 10), (die_at, 12)], ids=["stopped", "killed"])
def test_an_interrupted_run_ends_like_an_unbroken_one(unbroken, folder, how, step):
    output = f"broken-{how.__name__}"
    config = description(folder, output, trajectory_format="xtc")
    try:
        first = run(config, watch=how(step))
    except Death:
        first = None
    if first is not None:
        assert first.interrupted
        assert step <= read_restart(first.files.restart).step == first.step < STEPS
    again = run(resumed_config(folder / output, {}), resume=True)
    assert not again.interrupted
    one, two = read_table(unbroken.files.table), read_table(again.files.table)
    assert one.keys() == two.keys()
    assert one["step"].tolist() == two["step"].tolist()
    for name, values in one.items():
        assert np.abs(values - two[name]).max() < 1e-6, (
            name
        )  # the random numbers continue; charges are solved to 1e-7 eV/e
    expected, found = (
        mdtraj.load(r.files.trajectory, top=r.files.topology) for r in (unbroken, again)
    )
    assert np.abs(expected.xyz - found.xyz).max() < 1.1e-3  # nm, xtc's rounding
    assert np.allclose(found.time, np.arange(3, STEPS + 1, 3) * 0.2e-3, atol=1e-6)
    with h5py.File(unbroken.files.charges) as right, h5py.File(again.files.charges) as file:
        assert file["step"][:].tolist() == right["step"][:].tolist()
        assert np.abs(file["charges"][:] - right["charges"][:]).max() < 1e-6


def test_a_run_killed_before_it_began_to_produce_can_be_resumed(folder):
    config = description(folder, "early", equilibrate=2e-3, ensemble="NVE", steps=4)

    def watch(news):
        if news.stage == "equilibrate" and news.step >= 8:
            raise Death

    with pytest.raises(Death):
        run(config, watch=watch)
    assert read_restart(folder / "early" / "restart.zip").stage == "equilibrate"
    result = run(resumed_config(folder / "early", {}), resume=True)
    assert read_table(result.files.table)["step"].tolist() == [2, 4]
    assert (result.step, result.interrupted) == (4, False)


def test_a_finished_run_can_be_made_longer_and_only_that(folder):
    config = description(folder, "longer", steps=6)
    run(config)
    longer = resumed_config(folder / "longer", {"steps": "10", "temperature": "300"})
    assert read_table(run(longer, resume=True).files.table)["step"].tolist() == [2, 4, 6, 8, 10]
    with pytest.raises(ValueError, match="temperature: the run in .* has 300"):
        resumed_config(folder / "longer", {"temperature": "400"})
    with pytest.raises(FileNotFoundError, match="no run in"):
        resumed_config(folder / "nowhere", {})


# What is refused, and what is left alone


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


# A run that was changed in between


@pytest.fixture(scope="module")
def stopped(folder):
    run(description(folder, "stopped"), watch=stop_at(10))
    return folder / "stopped"


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def cut(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def edit_charges(path):
    with h5py.File(path, "a") as file:
        file["step"][0] = 3


def edit_settings(path):
    path.write_text(path.read_text().replace("y_interval = 3", "y_interval = 1"))


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        (
            "table.csv",
            cut,
            r"table\.csv should have at least [567] frames at step 1\d, and has only",
        ),
        ("table.csv", os.remove, r"table\.csv should have .* and is not there any more"),
        ("trajectory.dcd", cut, r"trajectory\.dcd should have at least"),
        ("trajectory.dcd", os.remove, r"trajectory\.dcd should have .* is not there"),
        ("charges.h5", edit_charges, r"charges\.h5 should have at least [23] frames .* has only 0"),
        ("charges.h5", os.remove, r"charges\.h5 should have .* is not there"),
        ("restart.zip", cut, r"restart\.zip is not a restart file"),
        ("restart.zip", os.remove, r"there is no restart file"),
        (
            "run.toml",
            edit_settings,
            r"resume: trajectory_interval: .*began with trajectory_interval = 3",
        ),
        (
            "input-MgO.cif",
            lambda path: path.write_text(path.read_text() + " "),
            r"resume: structure",
        ),
    ],
)
def test_files_that_changed_in_between_are_named_and_nothing_is_cut(
    stopped, tmp_path, name, change, message
):
    shutil.copytree(stopped, tmp_path / "run")
    shutil.copyfile(stopped.parent / "model.pt", tmp_path / "model.pt")
    change(tmp_path / "run" / name)
    before = contents(tmp_path / "run")
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        run(resumed_config(tmp_path / "run", {}), resume=True)
    assert contents(tmp_path / "run") == before


def test_another_model_of_the_same_name_does_not_continue_a_run(stopped, tmp_path):
    shutil.copytree(stopped, tmp_path / "run")
    other = build({"pqeq": {"protocol": "reaxnet", "cutoff": 4.1}})
    save(other, tmp_path / "model.pt")
    with pytest.raises(ValueError, match="resume: model: the run in .* began with another file"):
        run(resumed_config(tmp_path / "run", {}), resume=True)
    shutil.copyfile(stopped.parent / "model.pt", tmp_path / "model.pt")
    run(resumed_config(tmp_path / "run", {}), resume=True)
    facts = json.loads((tmp_path / "run" / "facts.json").read_text())
    assert (facts["job"], len(facts["resumed"]), facts["seed"]) == ("run", 1, 11)


def test_a_run_whose_charges_were_lost_goes_on_without_them(stopped, tmp_path):
    shutil.copytree(stopped, tmp_path / "run")
    shutil.copyfile(stopped.parent / "model.pt", tmp_path / "model.pt")
    cut(tmp_path / "run" / "charges.h5")
    with pytest.raises(ValueError, match="charges.h5 .*--charges-interval 0"):
        run(resumed_config(tmp_path / "run", {}), resume=True)
    with pytest.raises(ValueError, match="charges_interval: the run in .* has 4"):
        resumed_config(tmp_path / "run", {"charges_interval": 5})
    again = run(resumed_config(tmp_path / "run", {"charges_interval": "0"}), resume=True)
    assert again.step == STEPS


def test_a_live_run_is_not_touched_by_another(stopped, tmp_path):
    """Neither --resume nor --overwrite changes a byte while somebody owns the folder."""
    shutil.copytree(stopped, tmp_path / "run")
    shutil.copyfile(stopped.parent / "model.pt", tmp_path / "model.pt")
    with locked(tmp_path / "run", "run"):
        before = contents(tmp_path / "run")
        for how in ("resume", "overwrite"):
            config = resumed_config(tmp_path / "run", {})
            with pytest.raises(FileExistsError, match=f"in use by a run, process {os.getpid()}"):
                run(config, **{how: True})
        assert contents(tmp_path / "run") == before


# --- the first velocities ---


def moving(folder, name="moving.extxyz"):
    """A cell of MgO whose atoms move, in a file whose cell vectors are listed otherwise than OpenMM
    wants them."""
    from ase.build import bulk
    from ase.md.velocitydistribution import Stationary

    atoms = bulk("MgO", "rocksalt", a=4.2, cubic=True)
    atoms.rattle(0.1, seed=2)
    atoms.rotate(90, "z", rotate_cell=True)
    atoms.set_velocities(0.02 * np.random.default_rng(3).normal(size=(8, 3)))
    Stationary(atoms, preserve_temperature=False)  # a System holds the whole still
    atoms.write(folder / name)
    return atoms


@pytest.mark.parametrize("ensemble", ["NVE", "NVT"])
def test_a_run_begins_with_the_velocities_of_the_file(folder, ensemble):
    """The kinetic energy of the first row, after 0.01 fs, is that of the file."""
    atoms = moving(folder)
    settings = {"structure": str(folder / "moving.extxyz"), "ensemble": ensemble}
    settings |= {"velocities": "file", "field": [0, 0, 0], "table_interval": 1, "steps": 3}
    config = description(folder, "moving", friction=1e-3, timestep=0.01, **settings)
    result = run(config, overwrite=True)
    table = read_table(result.files.table)
    assert table["kinetic_energy_eV"][0] == pytest.approx(atoms.get_kinetic_energy(), rel=5e-3)
    assert "velocities: of the structure file" in result.files.log.read_text()
    drawn = run(description(folder, "moving", **settings | {"velocities": "maxwell"}), True)
    assert "velocities: drawn" in drawn.files.log.read_text()


def test_leapfrog_keeps_the_velocities_of_the_file_half_a_step_behind(folder):
    """So the energy of the first row is that of the beginning, at any time step."""
    atoms = moving(folder)
    settings = {"structure": str(folder / "moving.extxyz"), "velocities": "file", "steps": 1}
    config = description(folder, "moving", ensemble="NVE", timestep=1.0, **settings)
    simulation = build_simulation(config, read_parts(config), "NVE")
    begin_velocities(simulation, config, 1)
    state = simulation.context.getState(energy=True)
    kinetic = state.getKineticEnergy().value_in_unit(unit.kilojoule_per_mole) / KJ_PER_MOL_PER_EV
    assert kinetic == pytest.approx(atoms.get_kinetic_energy(), rel=1e-3)


def test_a_file_without_velocities_is_named(folder):
    with pytest.raises(ValueError, match=r"velocities: .*MgO\.cif, which has none"):
        run(description(folder, "still", velocities="file"))
    assert not (folder / "still").exists()
