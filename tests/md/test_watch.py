"""A run that has become absurd ends with what was seen, one that is unusual says so once."""

import warnings

import numpy as np
import pytest
from ase import Atoms
from openmm import unit

from openmm_pqeq.checkpoint import save
from openmm_pqeq.jobs.failure import RunFailure
from openmm_pqeq.md.build import build_simulation, read_parts
from openmm_pqeq.md.config import run_config
from openmm_pqeq.md.run import run
from openmm_pqeq.md.watch import StabilityWatch, temperature_of
from openmm_pqeq.potential import build

pytestmark = pytest.mark.python_route


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Argon under ZBL alone: what is close flies apart."""
    folder = tmp_path_factory.mktemp("watch")
    save(build({"zbl": {}}), folder / "model.pt")
    places = [[0, 0, 0], [4, 0, 0], [0, 4, 0], [4, 4, 0.5]]
    Atoms("Ar4", places, cell=[8, 8, 8], pbc=True).write(folder / "calm.extxyz")
    places[1] = [0.6, 0, 0]
    Atoms("Ar4", places, cell=[8, 8, 8], pbc=True).write(folder / "close.extxyz")
    return folder


def description(folder, structure, output, **settings):
    given = {"structure": str(folder / structure), "model": str(folder / "model.pt"), "seed": 3}
    given |= {"output": str(folder / output), "steps": 60, "timestep": 1.0, "ensemble": "NVE"}
    given |= {"backend": "python", "platform": "Reference", "restart_interval": 5}
    return run_config(given | settings)


def simulation_of(folder, structure="calm.extxyz", **settings):
    config = description(folder, structure, "none", **settings)
    parts = read_parts(config)
    said: list[str] = []
    simulation = build_simulation(config, parts, config.ensemble)
    return simulation, StabilityWatch(config, parts.topology, said.append), said


def test_the_temperature_is_openmms(folder):
    simulation, _, _ = simulation_of(folder)
    simulation.context.setVelocitiesToTemperature(300 * unit.kelvin, 1)
    state = simulation.context.getState(energy=True, velocities=True)
    kinetic = state.getKineticEnergy().value_in_unit(unit.kilojoule_per_mole)
    degrees = 3 * 4 - 3  # the motion of the whole is removed
    expected = 2 * kinetic / (degrees * 8.31446e-3)
    assert temperature_of(simulation.system, state) == pytest.approx(expected, rel=1e-4)


def test_a_calm_run_says_nothing(folder):
    result = run(description(folder, "calm.extxyz", "calm"))
    assert result.step == 60
    assert "warning" not in result.files.log.read_text(encoding="utf-8")


def test_a_run_that_flies_apart_ends(folder):
    """ZBL of two argon atoms at 0.6 Å: 400 eV."""
    config = description(folder, "close.extxyz", "close")
    with (
        pytest.warns(UserWarning, match=r"atom 0 \(Ar\) and atom 1 \(Ar\) are 0\.\d+ Å apart"),
        pytest.raises(
            RunFailure, match=r"after step \d+: the temperature is \d+ K, and 300 K"
        ) as e,
    ):
        run(config)
    assert "--no-stop-if-unstable" in str(e.value)
    assert "--resume" in str(e.value)
    log = (folder / "close" / "run.log").read_text(encoding="utf-8")
    assert "the temperature is" in log


def test_or_goes_on_and_says_it_once(folder):
    config = description(folder, "close.extxyz", "on", stop_if_unstable=False)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        result = run(config)
    assert result.step == 60
    assert sum("the temperature is" in str(warning.message) for warning in caught) == 1
    assert result.files.log.read_text(encoding="utf-8").count("the temperature is") == 1


def test_distances_and_positions(folder):
    simulation, watch, said = simulation_of(folder)
    watch.look(simulation, {})
    places = np.array([[0, 0, 0], [0.39, 0, 0], [0, 4, 0], [4, 4, 0.5]])
    simulation.context.setPositions(0.1 * places)
    with pytest.raises(RuntimeError, match=r"atom 0 \(Ar\) and atom 1 \(Ar\) are 0\.390 Å apart"):
        watch.look(simulation, {})
    places[1, 0] = 7.5  # across the boundary
    simulation.context.setPositions(0.1 * places)
    with pytest.warns(UserWarning, match=r"are 0\.500 Å apart, 0\.24 of .* may attract them; if"):
        watch.look(simulation, {})
    watch.look(simulation, {})
    assert len(said) == 1
    places[2, 1] = np.nan
    simulation.context.setPositions(0.1 * places)
    with pytest.raises(RuntimeError, match=r"positions: atom 2 \(Ar\) has NaN"):
        watch.look(simulation, {})


def test_total_energy(folder):
    simulation, watch, said = simulation_of(folder)
    for energy in (-100.0, -99.9):
        watch.look(simulation, {"total_energy_eV": energy})
    assert said == []
    with pytest.warns(UserWarning, match=r"total energy has changed by 0\.075 eV an atom"):
        watch.look(simulation, {"total_energy_eV": -99.7})
    with pytest.raises(RuntimeError, match="changed by 12.5 eV an atom"):
        watch.look(simulation, {"total_energy_eV": -50.0})
    simulation, watch, said = simulation_of(folder, ensemble="NVT")
    for energy in (-100.0, -90.0):
        watch.look(simulation, {"total_energy_eV": energy})
    assert said == []


def test_energy_that_a_field_puts_in_is_no_drift(tmp_path):
    """With `shell` the force q F is not in the energy; with `full` all of it is."""
    save(build({"pqeq": {"protocol": "direct"}}), tmp_path / "model.pt")
    Atoms("NaCl", [[0, 0, 0], [0, 0, 2.5]]).write(tmp_path / "salt.xyz")
    said_of = {}
    for field, coupling in (([0, 0, 0], None), ([0, 0, 0.1], None), ([0, 0, 0.1], "full")):
        _, watch, said = simulation_of(tmp_path, "salt.xyz", field=field, coupling=coupling)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            watch._energy({"total_energy_eV": 0.0})
            watch._energy({"total_energy_eV": 1.0})
        said_of[bool(field[2]), coupling] = len(said)
    assert said_of == {(False, None): 1, (True, None): 0, (True, "full"): 1}
