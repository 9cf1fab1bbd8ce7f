"""OpenMM's integrators, minimizer, barostats and reporters work on the force as on any other."""

import copy
import io

import numpy as np
import openmm
import pytest
from openmm import app
from through_openmm import (
    BOX,
    SALT,
    both_routes,
    context_of,
    evaluated,
    salt_positions,
    simulation_of,
    topology_of,
)

from openmm_pqeq.force.create import create_system
from openmm_pqeq.units import KJ_PER_MOL_PER_EV

pytestmark = pytest.mark.python_route


@both_routes
@pytest.mark.parametrize(
    "integrator",
    [
        openmm.LangevinMiddleIntegrator(300, 1, 0.0005),
        openmm.NoseHooverIntegrator(300, 1, 0.0005),
        openmm.BrownianIntegrator(300, 100, 0.0005),
        openmm.VariableVerletIntegrator(1e-4),
    ],
    ids=lambda integrator: type(integrator).__name__,
)
def test_integrators(network, backend, integrator):
    simulation = simulation_of(network, backend, copy.deepcopy(integrator))
    simulation.context.setVelocitiesToTemperature(300, 1)
    simulation.step(3)
    assert np.isfinite(evaluated(simulation.context)[0])


@both_routes
def test_energy_is_conserved(network, backend):
    simulation = simulation_of(
        network, backend, openmm.VerletIntegrator(0.0005), precision="double"
    )
    simulation.context.setVelocitiesToTemperature(300, 1)

    def total():
        state = simulation.context.getState(energy=True)
        return (state.getPotentialEnergy() + state.getKineticEnergy())._value / KJ_PER_MOL_PER_EV

    simulation.step(1)
    start, before = total(), evaluated(simulation.context)[0]
    simulation.step(40)
    moved = abs(evaluated(simulation.context)[0] - before)
    assert moved > 1e-4  # eV went from one form to the other,
    assert abs(total() - start) < 0.01 * moved  # and the sum stayed


@both_routes
def test_the_minimizer_lowers_the_energy(sweeps, backend):
    simulation = simulation_of(sweeps, backend)
    before = evaluated(simulation.context)[0]
    simulation.minimizeEnergy(maxIterations=3)
    assert evaluated(simulation.context)[0] < before


BAROSTATS = [
    openmm.MonteCarloBarostat(1e4, 300, 1),
    openmm.MonteCarloAnisotropicBarostat(openmm.Vec3(1e4, 1e4, 1e4), 300, True, True, True, 1),
    openmm.MonteCarloFlexibleBarostat(1e4, 300, 1, False),
]


@both_routes
@pytest.mark.parametrize("barostat", BAROSTATS, ids=lambda barostat: type(barostat).__name__)
def test_barostats(network, backend, barostat):
    topology = topology_of(SALT, BOX)
    system = create_system(network, topology, backend=backend)
    barostat = copy.deepcopy(barostat)
    barostat.setRandomNumberSeed(1)
    system.addForce(barostat)
    context = context_of(
        system, salt_positions(), integrator=openmm.LangevinMiddleIntegrator(300, 1, 0.0005)
    )
    before = context.getState().getPeriodicBoxVolume()._value
    context.getIntegrator().step(10)
    state = context.getState(energy=True)
    assert state.getPeriodicBoxVolume()._value != before
    assert np.isfinite(state.getPotentialEnergy()._value)


@both_routes
def test_reporters(network, backend, tmp_path):
    simulation = simulation_of(network, backend)
    table = io.StringIO()
    columns = {
        "step": True,
        "potentialEnergy": True,
        "temperature": True,
        "volume": True,
        "density": True,
    }
    simulation.reporters += [
        app.DCDReporter(str(tmp_path / "run.dcd"), 1),
        app.XTCReporter(str(tmp_path / "run.xtc"), 1),
        app.PDBReporter(str(tmp_path / "run.pdb"), 1),
        app.CheckpointReporter(str(tmp_path / "run.chk"), 1),
        app.StateDataReporter(table, 1, **columns),
    ]
    simulation.step(2)
    simulation.reporters.clear()  # closes the files
    assert all(
        (tmp_path / f"run.{ending}").stat().st_size > 0 for ending in ("dcd", "xtc", "pdb", "chk")
    )
    assert len(table.getvalue().strip().splitlines()) == 3
