"""Work of the field in a run with charges by bonds: what is conserved where the total energy is not."""

import shutil

import numpy as np
import openmm
import pytest
from ase import Atoms
from openmm import app, unit
from test_resumed_dynamics import largest_difference

import openmm_pqeq as pq
from openmm_pqeq.checkpoint import save
from openmm_pqeq.force.create import create_system
from openmm_pqeq.md.config import run_config
from openmm_pqeq.md.plot import read_table
from openmm_pqeq.md.resume import resumed_config
from openmm_pqeq.md.run import run
from openmm_pqeq.potential import build
from openmm_pqeq.topology.read import read_structure

KEYS = ("electronegativity", "hardness", "radius", "softness", "spring_constant", "core_charge")
PARAMETERS = {
    "Na": dict(zip(KEYS, (2.8, 9.0, 1.6, 0.35, 1200.0, 1.0))),
    "Cl": dict(zip(KEYS, (7.5, 11.0, 1.1, 0.45, 420.0, 1.0))),
}
STEPS, BROKEN = 120, 60
FIELDS = {
    "constant": (0.0, 0.03, 0.05),
    "on and off": (0.0, "0.04*step(t-0.01)*step(0.021-t)", "0.05*step(t-0.005)-0.09*step(t-0.02)"),
    "wave": (0.0, "0.02", "0.05*sin(2*pi*t/0.02)"),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Rock salt, shaken, and a slab of it, both with charges by bonds and a repulsion."""
    folder = tmp_path_factory.mktemp("work")
    charges = {"protocol": "ewald", "parameters": PARAMETERS, "charge_flow": "bonds"}
    save(build({"pqeq": {**charges, "tolerance": 1e-9}, "zbl": {}}), folder / "model.pt")
    sites = np.array([[i // 4, i // 2 % 2, i % 2] for i in range(8)])
    symbols = ["Cl" if site.sum() % 2 else "Na" for site in sites]
    shaken = 2.8 * sites + np.random.default_rng(5).normal(0, 0.08, (8, 3))
    atoms = Atoms(symbols, shaken, cell=[5.6, 5.6, 5.6], pbc=True)
    atoms.write(folder / "bulk.extxyz")
    atoms.set_cell([5.6, 5.6, 30.0])
    atoms.positions[:, 2] += 10.0
    atoms.pbc = (True, True, False)
    atoms.write(folder / "slab.extxyz")
    return folder


def description(folder, name, **settings):
    given = {"structure": str(folder / "bulk.extxyz"), "model": str(folder / "model.pt")}
    given |= {"output": str(folder / name), "steps": STEPS, "timestep": 0.25, "seed": 3}
    given |= {"ensemble": "NVE", "temperature": 600, "table_interval": 2, "charges_interval": 0}
    given |= {"restart_interval": BROKEN, "trajectory_interval": 50, "backend": "python"}
    given |= {"platform": "Reference", "precision": "double"}
    return run_config(given | settings)


def changes(table):
    """Of conserved and total energy, by the kinetic energy."""
    kinetic = table["kinetic_energy_eV"].mean()
    return [np.ptp(table[name]) / kinetic for name in ("conserved_eV", "total_energy_eV")]


@pytest.mark.python_route
@pytest.mark.parametrize("field", FIELDS.values(), ids=FIELDS)
def test_what_is_conserved_in_a_crystal(folder, field):
    table = read_table(run(description(folder, "run", field=field), overwrite=True).files.table)
    conserved, total = changes(table)
    assert conserved < 1e-5  # of second order in the time step, the moment of a change included
    assert total > 1e-2


def test_what_is_conserved_with_multiple_time_steps(folder):
    save(build({"zbl": {}}), folder / "inner.pt")
    steps = {"inner_model": str(folder / "inner.pt"), "inner_steps": 2, "timestep": 0.5}
    settings = steps | {"field": FIELDS["on and off"], "steps": STEPS // 2}
    config = description(folder, "mts", **settings)
    conserved, total = changes(read_table(run(config, overwrite=True).files.table))
    assert conserved < 4e-5  # four times that of half the step
    assert total > 1e-2


def test_torchforce_has_the_same_table(folder):
    settings = {"field": FIELDS["on and off"], "steps": 40}
    rows = []
    for backend in ("python", "torchscript"):
        config = description(folder, "route", backend=backend, **settings)
        rows.append(read_table(run(config, overwrite=True).files.table))
    assert largest_difference(*rows) < 1e-6


def test_what_is_conserved_in_a_slab(folder):
    """Across it the field's energy is in the total energy, along it the work is in none."""
    slab = {"structure": str(folder / "slab.extxyz"), "steps": 40}
    of_field = {}
    for name, field in {"across": (0, 0, 0.05), "along": (0.05, 0, 0)}.items():
        result = run(description(folder, "slab", field=field, **slab), overwrite=True)
        of_field[name] = read_table(result.files.table)
        assert changes(of_field[name])[0] < 1e-5
    assert np.abs(of_field["across"]["work_eV"]).max() < 1e-12
    assert np.ptp(of_field["along"]["work_eV"]) > 1e-4  # how far depends on OpenMM's velocities


def test_a_resumed_run_has_the_work_of_the_unbroken_one(folder):
    config = description(folder, "whole", field=FIELDS["on and off"])

    def watch(news):
        if news.stage == "produce" and news.step == BROKEN:
            ignored = shutil.ignore_patterns("job.lock")
            shutil.copytree(folder / "whole", folder / "broken", ignore=ignored)

    one = read_table(run(config, watch=watch).files.table)
    two = read_table(run(resumed_config(folder / "broken", {}), resume=True).files.table)
    assert len(two["step"]) == STEPS // 2
    assert largest_difference(one, two) < 1e-8


def test_charges_that_flow_freely_have_no_such_columns(folder):
    save(build({"pqeq": {"protocol": "reaxnet", "cutoff": 4.0}, "zbl": {}}), folder / "free.pt")
    config = description(folder, "free", model=str(folder / "free.pt"), steps=2)
    table = read_table(run(config).files.table)
    assert not {"work_eV", "conserved_eV"} & set(table)


def simulation_of(folder, field, integrator):
    topology, positions = read_structure(folder / "bulk.extxyz")
    system = create_system(
        pq.load(folder / "model.pt"), topology, field=field, backend="python", precision="double"
    )
    platform = openmm.Platform.getPlatformByName("Reference")
    simulation = app.Simulation(topology, system, integrator, platform)
    simulation.context.setPositions(positions)
    return simulation, positions.value_in_unit(unit.angstrom)


def test_images_change_neither_work_nor_polarization(folder, tmp_path):
    """An ion is carried along the cell in steps and wrapped on the way; then the field changes."""
    field = np.array([0.0, 0.0, 0.05])
    simulation, places = simulation_of(folder, field, openmm.CustomIntegrator(0.001))
    energies = tmp_path / "energies.csv"
    reporters = pq.EnergyReporter(energies, 1), pq.DipoleReporter(tmp_path / "dipole.csv", 1)
    simulation.reporters.extend(reporters)
    simulation.step(1)
    for up in (1.4, 2.8, 4.2 - 5.6, 0.0):
        moved = places.copy()
        moved[0, 2] += up
        simulation.context.setPositions(0.1 * moved)
        simulation.step(1)
    rows, dipoles = read_table(energies), read_table(tmp_path / "dipole.csv")
    assert np.allclose(rows["work_eV"], 0.05 * np.array([0, 1.4, 2.8, 4.2, 5.6]), atol=1e-9)
    volume, factor = 5.6**3, 1602.176634  # Å³; µC/cm² of one e/Å²
    polarization = dipoles["polarization_z_uC_per_cm2"] * volume / factor
    assert polarization[-1] == pytest.approx(5.6, abs=1e-6)  # Q⁰ L: the rest came back
    moved_at_once = dipoles["dipole_z_eA"][1] - dipoles["dipole_z_eA"][0]
    assert polarization[1] == pytest.approx(moved_at_once, abs=1e-6)
    simulation.context.setParameter("field_z", 0.02)
    simulation.step(1)
    rows = read_table(energies)
    step = rows["work_eV"][-1] - rows["work_eV"][-2]
    assert step == pytest.approx(rows["sum_eV"][-1] - rows["sum_eV"][-2], abs=1e-8)
    assert abs(step) > 1e-3
    assert "conserved_eV" not in rows  # this integrator may do anything


def test_an_energy_reporter_goes_on_from_its_last_row(folder, tmp_path):
    file = tmp_path / "energies.csv"
    simulation, _ = simulation_of(folder, (0, 0.05, 0), openmm.VerletIntegrator(0.00025))
    simulation.context.setVelocitiesToTemperature(900, 3)
    for append in (False, True):
        simulation.reporters = [pq.EnergyReporter(file, 5, append)]
        simulation.step(20)
        simulation.reporters.pop().close()
    rows = read_table(file)
    assert np.ptp(rows["conserved_eV"]) < 1e-5
    assert np.ptp(rows["work_eV"]) > 1e-3
