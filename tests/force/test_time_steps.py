"""Multiple time steps: the sum is the potential, each part in its group, and nothing is lost."""

import numpy as np
import openmm
import pytest
from openmm import app, unit
from through_openmm import (
    BOX,
    SALT,
    both_routes,
    context_of,
    evaluated,
    salt_positions,
    topology_of,
)

from openmm_pqeq.force.create import create_system
from openmm_pqeq.force.time_steps import INNER_GROUP, OUTER_GROUP, time_steps
from openmm_pqeq.potential import build
from openmm_pqeq.reporters import EnergyReporter

pytestmark = pytest.mark.python_route

FIELD = (0.0, 0.0, 0.02)
TIME = 0.016  # ps


SMALL = {"hidden_irreps": "8x0e + 8x1o", "layers": 1, "r_max": 4.0, "seed": 3}


@pytest.fixture(scope="module")
def outer():
    """A network and charges, as in a model that was trained."""
    pqeq = {"protocol": "ewald", "tolerance": 1e-9}
    return build({"gnn": {"species": ["Na", "Cl"], **SMALL}, "pqeq": pqeq})


@pytest.fixture(scope="module")
def inner(outer):
    """Its network alone."""
    return outer.select("gnn")


def system_of(outer, inner, backend):
    return create_system(
        outer,
        topology_of(SALT, BOX),
        field=FIELD,
        backend=backend,
        precision="double",
        inner_model=inner,
    )


@both_routes
def test_all_groups_together_are_the_potential(outer, inner, backend):
    energy, forces, *_ = evaluated(context_of(system_of(outer, inner, backend), salt_positions()))
    alone = create_system(
        outer, topology_of(SALT, BOX), field=FIELD, backend=backend, precision="double"
    )
    expected, its_forces, *_ = evaluated(context_of(alone, salt_positions()))
    assert abs(energy - expected) < 1e-9
    assert np.abs(forces - its_forces).max() < 1e-8


@both_routes
def test_each_group_has_its_part(outer, inner, backend):
    context = context_of(system_of(outer, inner, backend), salt_positions())
    model = create_system(inner, topology_of(SALT, BOX), backend=backend, precision="double")
    its_own = context_of(model, salt_positions()).getState(energy=True).getPotentialEnergy()
    groups = [
        context.getState(energy=True, groups={group}).getPotentialEnergy()
        for group in (INNER_GROUP, OUTER_GROUP)
    ]
    whole = context.getState(energy=True).getPotentialEnergy()
    assert abs((groups[0] - its_own)._value) < 1e-9
    assert abs((groups[0] + groups[1] - whole)._value) < 1e-9
    assert abs(groups[0]._value) > 0.1  # kJ/mol: there is something to divide


def end_of(system, integrator):
    """Positions (Å) after TIME, from rest."""
    context = context_of(system, salt_positions(), integrator=integrator)
    integrator.step(round(TIME / integrator.getStepSize().value_in_unit(unit.picosecond)))
    return context.getState(positions=True).getPositions(asNumpy=True).value_in_unit(unit.angstrom)


def test_its_error_is_of_second_order_in_the_outer_step(outer, inner):
    system = system_of(outer, inner, "python")

    def end(n):
        """With n outer steps and 128 inner ones."""
        return end_of(system, openmm.MTSIntegrator(TIME / n, time_steps(128 // n)))

    exact = end(128)
    errors = [np.abs(end(n) - exact).max() for n in (4, 8, 16)]
    moved = np.abs(exact - salt_positions()).max()
    assert errors[0] < 0.05 * moved
    assert 3 < errors[0] / errors[1] < 5
    assert 3 < errors[1] / errors[2] < 5


Membrane = openmm.MonteCarloMembraneBarostat
PRESSURE, TEMPERATURE = 0, 3  # bar, K: it is the energy that decides
BAROSTATS = {
    "isotropic": lambda: openmm.MonteCarloBarostat(PRESSURE, TEMPERATURE, 1),
    "anisotropic": lambda: openmm.MonteCarloAnisotropicBarostat(
        openmm.Vec3(PRESSURE, PRESSURE, PRESSURE), TEMPERATURE, True, False, True, 1
    ),
    "flexible": lambda: openmm.MonteCarloFlexibleBarostat(PRESSURE, TEMPERATURE, 1),
    "membrane": lambda: Membrane(PRESSURE, 0, TEMPERATURE, Membrane.XYIsotropic, Membrane.ZFree, 1),
}


def squeezed(system, kind, integrator, steps):
    """The context after steps with a volume tried in each."""
    barostat = BAROSTATS[kind]()
    barostat.setRandomNumberSeed(5)
    system.addForce(barostat)
    integrator.setRandomNumberSeed(4)  # with 0 these ones seed the barostat from the clock
    context = context_of(system, salt_positions(), integrator=integrator)
    context.setVelocitiesToTemperature(TEMPERATURE, 3)
    context.getIntegrator().step(steps)
    return context


def box_and_positions(context):
    """Å; a row a vector."""
    state = context.getState(positions=True)
    found = state.getPeriodicBoxVectors(asNumpy=True), state.getPositions(asNumpy=True)
    return np.concatenate([rows.value_in_unit(unit.angstrom) for rows in found])


@pytest.mark.parametrize("kind", BAROSTATS)
def test_volumes_are_accepted_by_the_energy_of_the_potential(inner, kind):
    """With one inner step both parts together move atoms and cell as the potential does by itself:
    a volume judged by one of the parts, or a force of the cell before, would show."""
    other = build({"gnn": {"species": ["Na", "Cl"], **SMALL, "seed": 4}})
    alone, parts = (
        create_system(inner, topology_of(SALT, BOX), backend="python", precision="double", **more)
        for more in ({}, {"inner_model": other})
    )
    # the same integrator, for it draws random numbers for each of its stages
    one, two = (
        box_and_positions(squeezed(system, kind, openmm.MTSIntegrator(5e-4, time_steps(1)), 40))
        for system in (alone, parts)
    )
    assert np.abs(one[:3] - BOX).max() > 0.05  # Å: volumes were accepted
    assert np.abs(two - one).max() < 1e-9


@pytest.mark.parametrize("kind", ["isotropic", "flexible"])
def test_energy_and_forces_belong_to_the_cell_that_there_is(outer, inner, kind):
    """After volumes that were accepted and refused, between outer steps of four inner ones."""
    parts = system_of(outer, inner, "python")
    integrator = openmm.MTSLangevinIntegrator(TEMPERATURE, 1.0, 2e-3, time_steps(4))
    context = squeezed(parts, kind, integrator, 12)
    box, positions = np.split(box_and_positions(context), [3])
    assert np.abs(box - BOX).max() > 0.05  # Å
    fresh = create_system(
        outer, topology_of(SALT, box), field=FIELD, backend="python", precision="double"
    )
    energy, forces, *_ = evaluated(context)
    expected, its_forces, *_ = evaluated(context_of(fresh, positions))
    assert abs(energy - expected) < 1e-7
    assert np.abs(forces - its_forces).max() < 1e-6


@both_routes
@pytest.mark.parametrize("read", [False, True], ids=["made", "read"])
def test_reporters_see_the_charges_of_the_potential(outer, inner, backend, read, tmp_path):
    """Also in a System that was read from XML, where a TorchForce has lost its name."""
    system, topology = system_of(outer, inner, backend), topology_of(SALT, BOX)
    if read:
        system = openmm.XmlSerializer.deserialize(openmm.XmlSerializer.serialize(system))
    integrator = openmm.MTSLangevinIntegrator(300, 1.0, 0.001, time_steps(2))
    platform = openmm.Platform.getPlatformByName("Reference")
    simulation = app.Simulation(topology, system, integrator, platform)
    simulation.context.setPositions(salt_positions() * 0.1)
    simulation.reporters.append(EnergyReporter(str(tmp_path / "e.csv"), 1))
    simulation.step(2)
    heading, *rows = (tmp_path / "e.csv").read_text().splitlines()
    assert "pqeq" in heading
    assert len(rows) == 2


def test_a_model_of_charges_is_no_inner_model(outer):
    with pytest.raises(ValueError, match="inner_model: expected a model without charges"):
        system_of(outer, outer, "python")


def test_errors_of_the_inner_model_say_whose_they_are(outer):
    with pytest.raises(ValueError, match="inner_model: potential: expected a Potential"):
        system_of(outer, 3, "python")
    carbon = build({"gnn": {"species": ["C"], **SMALL}})
    with pytest.raises(ValueError, match="inner_model: elements: .*does not know"):
        system_of(outer, carbon, "python")


@pytest.mark.parametrize("steps", [0, -1, 1.5, "two"])
def test_inner_steps_are_counted(steps):
    with pytest.raises(ValueError, match="inner_steps: expected"):
        time_steps(steps)
