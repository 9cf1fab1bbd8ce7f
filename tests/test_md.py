"""A run from its description: what it writes, that an interrupted one ends like an unbroken one, and what it refuses."""

import dataclasses
import os
import shutil
import signal
import struct

import h5py
import mdtraj
import numpy as np
import openmm
import pytest
from openmm import app, unit

from openmm_pqeq.checkpoint import save
from openmm_pqeq.md.build import barostat_of, integrator_of
from openmm_pqeq.md.config import RunConfig, read_toml, run_config, write_toml
from openmm_pqeq.md.plot import read_table
from openmm_pqeq.md.restart import read_restart
from openmm_pqeq.md.run import resumed_config, run
from openmm_pqeq.md.truncate import truncate_charges, truncate_dcd, truncate_table, truncate_xtc
from openmm_pqeq.potential import build

pytestmark = pytest.mark.python_route

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
    assert all(path.is_file() for path in files)
    table = read_table(files.table)
    assert table["step"].tolist() == list(range(2, STEPS + 1, 2))
    assert mdtraj.load(files.trajectory, top=files.topology).n_frames == STEPS // 3
    with h5py.File(files.charges) as file:
        assert file["step"][:].tolist() == list(range(4, STEPS + 1, 4))
    assert (unbroken.step, unbroken.interrupted) == (STEPS, False)
    assert files.plot.stat().st_size > 10_000


def test_the_table_says_what_openmm_says(unbroken, folder):
    table = read_table(unbroken.files.table)
    restart = read_restart(unbroken.files.restart)
    state = openmm.XmlSerializer.deserialize(restart.state)
    velocities = state.getVelocities(asNumpy=True).value_in_unit(unit.nanometer / unit.picosecond)
    assert np.isfinite(velocities).all()
    assert np.allclose(table["total_energy_eV"], table["potential_energy_eV"] + table["kinetic_energy_eV"], atol=1e-8)
    assert np.allclose(table["volume_A3"], 4.2**3, atol=1e-6)
    assert np.allclose(table["density_g_per_cm3"], 4 * (24.305 + 15.999) / 6.02214076e23 / (4.2e-8) ** 3, atol=2e-3)
    kinetic = 0.5 * 21 * 8.617333e-5 * table["temperature_K"]  # 8 atoms less the motion of the whole
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
        assert np.abs(one[name][:4] - two[name]).max() < 1e-6, name  # eV, µC/cm²: same seed, same numbers


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
        assert np.abs(values - two[name]).max() < 1e-6, name  # the random numbers continue; sweeps need no warm start
    expected, found = (mdtraj.load(r.files.trajectory, top=r.files.topology) for r in (unbroken, again))
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
    (output / "trajectory.xtc").write_text("old")
    run(description(folder, "mixed", steps=2), overwrite=True)
    assert (output / "notes.txt").read_text() == "mine"
    assert not (output / "trajectory.xtc").exists()


def test_a_simulation_that_blows_up_says_so_and_keeps_its_restart_file(folder):
    config = description(folder, "unstable", field=[0, 0, "1e200*step(t-0.001)"])
    with pytest.raises(RuntimeError, match="failed after step") as error:
        run(config)
    assert "restart.zip" in str(error.value)
    read_restart(folder / "unstable" / "restart.zip")


GOOD = {"structure": "a.cif", "model": "m", "output": "o", "time": "1ps"}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"temperature": "-1"}, "temperature: expected a number that is not negative"),
        ({"temperature": "warm"}, "temperature: expected a number"),
        ({"temperature": "nan"}, "temperature: expected a number"),
        ({"temperature": 0}, "temperature: NVT needs a positive"),
        ({"timestep": "-1"}, "timestep: expected a positive time"),
        ({"timestep": "1 m"}, "timestep: expected a number with one of the units fs"),
        ({"time": "0"}, "time: expected a positive time"),
        ({"steps": 10}, "time: give either"),
        ({"ensemble": "NVX"}, "ensemble: expected one of NVE, NVT, NPT"),
        ({"barostat": "cubic"}, "barostat: expected one of isotropic"),
        ({"pressure": "1 furlong"}, "pressure: expected a number with one of the units bar"),
        ({"ensemble": "NPT", "barostat": "anisotropic", "scale_axes": [False, False, False]}, "scale_axes"),
        ({"field": ["0", "0", "0.1*x"]}, "field: 'x'"),
        ({"field": ["0", "0"]}, "field: expected three"),
        ({"field": ["0", "0", "nan"]}, "field: 'nan'"),
        ({"supercell": ["2", "2", "0"]}, "supercell: expected a whole number above zero"),
        ({"total_charge": "one"}, "total_charge: expected a number"),
        ({"coupling": "strong"}, "coupling: expected one of shell, full"),
        ({"tolerance": "0"}, "tolerance: expected a positive"),
        ({"seed": "0"}, "seed: expected"),
        ({"restart_interval": "2.5"}, "restart_interval: expected a whole number"),
        ({"minimize": "perhaps"}, "minimize: expected true or false"),
        ({"temprature": 300}, "temprature: not a setting"),
        ({"model": ""}, "model: expected text"),
    ],
)
def test_wrong_settings_are_named_with_what_was_expected(settings, message):
    with pytest.raises(ValueError) as error:  # noqa: PT011 (the message is what is tested)
        run_config(GOOD | settings)
    assert str(error.value).startswith(message)


@pytest.mark.parametrize("name", ["structure", "model", "output", "time"])
def test_a_missing_setting_is_named(name):
    with pytest.raises(ValueError, match=f"^{name}: missing"):
        run_config({key: value for key, value in GOOD.items() if key != name})


def test_units_and_text_are_understood():
    config = run_config(
        GOOD | {"timestep": "0.5 fs", "time": "2e3fs", "pressure": "1 GPa", "equilibrate": "0.1", "ensemble": "npt", "seed": "7"}
    )
    assert (config.timestep, config.time, config.n_steps, config.equilibration_steps) == (0.5, 2.0, 4000, 200)
    assert (config.pressure, config.ensemble, config.seed) == (1e4, "NPT", 7)


def test_the_description_survives_its_file(tmp_path):
    settings = {"field": [0, 0.5, "0.02*sin(2*pi*t/10)"], "supercell": [2, 1, 3], "minimize": True, "periodic": [True, True, False]}
    config = run_config(GOOD | settings | {"pressure": -3.5, "tolerance": 1e-7, "output": str(tmp_path)})
    (tmp_path / "run.toml").write_text(write_toml(dataclasses.replace(config, output=".")))
    again = run_config(read_toml(tmp_path / "run.toml") | {"structure": config.structure})
    assert again == config
    for name, default in dataclasses.asdict(RunConfig()).items():
        assert name in write_toml(config), (name, default)


def test_a_file_that_is_not_toml_is_refused(tmp_path):
    (tmp_path / "run.toml").write_text("structure = ")
    with pytest.raises(ValueError, match="not a TOML file"):
        read_toml(tmp_path / "run.toml")


# The OpenMM objects of a description


def config_of(**settings):
    return run_config(GOOD | {"seed": 5, "ensemble": "NPT", "pressure": "2", "temperature": 250} | settings)


@pytest.mark.parametrize(
    ("barostat", "kind"),
    [
        ("isotropic", openmm.MonteCarloBarostat),
        ("anisotropic", openmm.MonteCarloAnisotropicBarostat),
        ("flexible", openmm.MonteCarloFlexibleBarostat),
        ("membrane", openmm.MonteCarloMembraneBarostat),
    ],
)
def test_each_barostat_has_pressure_temperature_and_seed(barostat, kind):
    made = barostat_of(config_of(barostat=barostat, barostat_interval=9, scale_axes=[True, False, True]))
    assert type(made) is kind
    assert made.getDefaultTemperature() == 250 * unit.kelvin
    pressure = made.getDefaultPressure().value_in_unit(unit.bar)
    assert np.allclose([pressure.x, pressure.y, pressure.z] if barostat == "anisotropic" else pressure, 2)
    assert (made.getFrequency(), made.getRandomNumberSeed()) == (9, 6)
    if barostat == "anisotropic":
        assert (made.getScaleX(), made.getScaleY(), made.getScaleZ()) == (True, False, True)


def test_each_ensemble_has_its_integrator():
    config = config_of(timestep=0.5)
    assert type(integrator_of(config, "NVE")) is openmm.VerletIntegrator
    langevin = integrator_of(config, "NPT")
    assert type(langevin) is openmm.LangevinMiddleIntegrator
    assert (langevin.getRandomNumberSeed(), langevin.getTemperature()) == (5, 250 * unit.kelvin)
    assert langevin.getStepSize() == 0.5 * unit.femtosecond
    assert type(integrator_of(config_of(thermostat="nose-hoover"), "NVT")) is openmm.NoseHooverIntegrator


# Files cut back to a step


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
    truncate_dcd(tmp_path / "t.dcd", 3, 10, 7, box)
    loaded = mdtraj.load(tmp_path / "t.dcd", top=mdtraj.Topology.from_openmm(topology))
    assert np.abs(loaded.xyz - positions[:3]).max() < 1e-6  # nm, float32
    with open(tmp_path / "t.dcd", "r+b") as out:
        app.DCDFile(out, topology, 0.001, 10, 10, append=True).writeModel(positions[4])
    loaded = mdtraj.load(tmp_path / "t.dcd", top=mdtraj.Topology.from_openmm(topology))
    assert np.abs(loaded.xyz - positions[[0, 1, 2, 4]]).max() < 1e-6
    with pytest.raises(ValueError, match="at least 9 frames"):
        truncate_dcd(tmp_path / "t.dcd", 9, 10, 7, box)


@pytest.mark.parametrize("n_atoms", [1, 9, 10, 60])
def test_an_xtc_file_is_cut_at_a_whole_frame(tmp_path, n_atoms):
    path = tmp_path / "t.xtc"
    topology, positions = trajectory(path, n_atoms, True, kind=app.XTCFile)
    whole = path.read_bytes()
    truncate_xtc(path, 5)
    assert path.read_bytes() == whole
    path.write_bytes(whole[:-3])
    with pytest.raises(ValueError, match="at least 5 frames"):
        truncate_xtc(path, 5)
    truncate_xtc(path, 3)
    app.XTCFile(str(path), topology, 0.001, 10, 10, append=True).writeModel(positions[4])
    loaded = mdtraj.load(path, top=mdtraj.Topology.from_openmm(topology))
    assert np.abs(loaded.xyz - positions[[0, 1, 2, 4]]).max() < 6e-4  # nm, xtc's rounding


def test_a_table_is_cut_at_a_whole_row(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("step,x\n2,1\n4,1\n6,1\n8,")
    assert truncate_table(path, 5) == 2
    assert path.read_text() == "step,x\n2,1\n4,1\n"


def test_charges_are_cut_where_all_datasets_are_whole(tmp_path):
    path = tmp_path / "c.h5"
    with h5py.File(path, "w") as file:
        for name, n in (("step", 3), ("charges", 4)):  # the last frame was not finished
            file.create_dataset(name, data=np.arange(1, n + 1) * 5, maxshape=(None,), chunks=(4,))
        file["numbers"] = [1, 2]
    assert truncate_charges(path, 12) == 2
    with h5py.File(path) as file:
        assert (file["step"][:].tolist(), file["charges"][:].tolist(), file["numbers"][:].tolist()) == ([5, 10], [5, 10], [1, 2])
    path.write_bytes(b"not HDF5")
    with pytest.raises(ValueError, match="damaged"):
        truncate_charges(path, 12)
