"""A run from its description: what it writes, and that an interrupted one ends like an unbroken one."""

import shutil

import h5py
import mdtraj
import numpy as np
import openmm
import pytest
from described import STEPS, Death, description, die_at, stop_at
from openmm import app, unit

from openmm_pqeq.md import plot
from openmm_pqeq.md.config import read_toml, run_config
from openmm_pqeq.md.plot import read_table
from openmm_pqeq.md.restart import read_restart
from openmm_pqeq.md.resume import resumed_config
from openmm_pqeq.md.run import run
from openmm_pqeq.report.plots import plot_panels as draw_panels

# tapered charges without a repulsion heat their cell
pytestmark = [
    pytest.mark.python_route,
    pytest.mark.filterwarnings("ignore:the temperature is .* was set:UserWarning"),
]


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
