"""What a System has besides the force: masses, constraints, and what the structure file says of
them."""

import numpy as np
import openmm
import pytest
from openmm import app, unit
from through_openmm import (
    BOX,
    SALT,
    WATER,
    context_of,
    salt_positions,
    topology_of,
    water_positions,
)

from openmm_pqeq.force.create import create_system
from openmm_pqeq.force.system import keep_facts
from openmm_pqeq.md.table import degrees_of_freedom
from openmm_pqeq.topology.facts import StructureFacts

pytestmark = pytest.mark.python_route


def test_masses_and_centre_of_mass(ewald):
    system = create_system(ewald, topology_of(SALT, BOX), backend="python")
    assert system.getParticleMass(0)._value == pytest.approx(22.99, abs=0.01)
    assert system.getDefaultPeriodicBoxVectors()[1].x == pytest.approx(0.04)
    assert [type(force).__name__ for force in system.getForces()] == [
        "PythonForce",
        "CMMotionRemover",
    ]
    assert (
        create_system(
            ewald, topology_of(SALT, BOX), backend="python", removeCMMotion=False
        ).getNumForces()
        == 1
    )


@pytest.mark.parametrize("remove", [True, False])
def test_the_centre_of_mass_stands_still_where_that_is_asked(ewald, remove):
    """Velocities with a common drift of 1 nm/ps: removed within a step, or kept to rounding."""
    system = create_system(
        ewald, topology_of(SALT, BOX), backend="python", precision="double", removeCMMotion=remove
    )
    integrator = openmm.VerletIntegrator(0.0002)
    context = openmm.Context(system, integrator, openmm.Platform.getPlatformByName("Reference"))
    context.setPositions(0.1 * salt_positions())
    context.setVelocities([openmm.Vec3(1.0, 0, 0.1 * k) for k in range(4)])
    masses = np.array([system.getParticleMass(k)._value for k in range(4)])

    def drift():
        velocities = context.getState(velocities=True).getVelocities(asNumpy=True)._value
        return masses @ velocities / masses.sum()

    before = drift()
    integrator.step(3)
    if remove:
        # the last step's forces act after the last removal; they sum to zero
        np.testing.assert_allclose(drift(), 0.0, atol=1e-6)
    else:
        np.testing.assert_allclose(drift(), before, atol=1e-6)
    assert degrees_of_freedom(system) == (9 if remove else 12)


def test_fixed_atoms_hold_the_others_and_words_are_no_choice(ewald):
    """No remover beside a fixed atom, which would be pulled along."""
    topology = topology_of(SALT, BOX)
    topology.pq_facts = StructureFacts(fixed=(0,))
    names = [
        type(one).__name__ for one in create_system(ewald, topology, backend="python").getForces()
    ]
    assert names == ["PythonForce"]
    for value in ("perhaps", None, 2, np.array([True, False])):
        with pytest.raises(ValueError, match="removeCMMotion: expected true or false"):
            create_system(ewald, topology, backend="python", removeCMMotion=value)


def test_hydrogen_mass_moves_mass(direct):
    topology = topology_of(WATER, bonds=[(0, 1), (2, 0)])
    system = create_system(direct, topology, backend="python", hydrogenMass=3 * unit.amu)
    masses = [system.getParticleMass(k)._value for k in range(3)]
    assert masses == pytest.approx([15.99943 - 2 * (3 - 1.007947), 3, 3], abs=1e-5)
    with pytest.raises(
        ValueError, match=r"hydrogenMass: expected bonds for every hydrogen, got 2 without"
    ):
        create_system(direct, topology_of(WATER), backend="python", hydrogenMass=3)
    with pytest.raises(ValueError, match="leaves nothing for O1"):
        create_system(direct, topology, backend="python", hydrogenMass=10)


def test_constraints(direct):
    def constraints(value, bonds=((0, 1), (2, 0))):
        system = create_system(
            direct, topology_of(WATER, bonds=bonds), backend="python", constraints=value
        )
        return [
            (i, j, round(d._value, 6))
            for i, j, d in map(system.getConstraintParameters, range(system.getNumConstraints()))
        ]

    assert constraints(None) == []
    assert constraints(app.HBonds) == [(0, 1, 0.097), (2, 0, 0.097)]  # Å 0.66 + 0.31, Cordero 2008
    assert constraints([(0, 1, 0.96 * unit.angstrom), (1, 2, 0.15)]) == [
        (0, 1, 0.096),
        (1, 2, 0.15),
    ]
    with pytest.raises(ValueError, match=r"constraints: app\.HBonds needs bonds"):
        constraints(app.HBonds, bonds=())
    for wrong in (
        app.AllBonds,
        app.HAngles,
        "HBonds",
        [(0, 1)],
        [(0, 0, 0.1)],
        [(0, 7, 0.1)],
        [(0, 1, 0.1 * unit.kelvin)],
    ):
        with pytest.raises(ValueError, match="constraints: expected"):
            constraints(wrong)


# What the structure file says


def told(topology, **facts):
    """The topology with what a file says of it."""
    topology.pq_facts = StructureFacts(**facts)
    return topology


def test_isotopes_and_fixed_atoms(direct):
    bonds = [(0, 1), (2, 0)]
    topology = told(topology_of(WATER, bonds=bonds), masses={1: 2.014}, fixed=(2,))
    system = create_system(direct, topology, backend="python")
    assert [system.getParticleMass(k)._value for k in range(3)] == pytest.approx(
        [15.99943, 2.014, 0.0]
    )
    kinds = [type(force).__name__ for force in system.getForces()]
    assert kinds == ["PythonForce", "HarmonicBondForce"]  # nothing takes the others' momentum away
    system = create_system(direct, topology, backend="python", hydrogenMass=3)
    assert [system.getParticleMass(k)._value for k in range(3)] == pytest.approx(
        [15.99943 - (3 - 2.014) - (3 - 1.007947), 3, 0.0], abs=1e-5
    )


def test_a_system_that_somebody_else_made_keeps_the_facts_and_its_own_masses():
    system = openmm.System()
    topology = told(topology_of(WATER), masses={1: 2.014, 2: 2.014}, fixed=(0,))
    for mass in (15.99943, 1.007947, 4.0):  # the last with mass of its neighbour
        system.addParticle(mass)
    keep_facts(system, topology)
    assert [system.getParticleMass(k)._value for k in range(3)] == [0.0, 2.014, 4.0]


def test_constraints_of_fixed_atoms(direct):
    bonds = [(0, 1), (2, 0)]
    whole = told(topology_of(WATER, bonds=bonds), fixed=(0, 1, 2))
    system = create_system(direct, whole, backend="python", constraints=app.HBonds)
    assert system.getNumConstraints() == 0
    oxygen = told(topology_of(WATER, bonds=bonds), fixed=(0,))
    with pytest.raises(ValueError, match="fixes one of the atoms 0 and 1 and not the other"):
        create_system(direct, oxygen, backend="python", constraints=app.HBonds)


@pytest.mark.parametrize("kind", ["verlet", "langevin", "nose-hoover", "minimiser"])
def test_fixed_atoms_stay(network, kind):
    system = create_system(network, told(topology_of(WATER), fixed=(1,)), backend="python")
    integrator = {
        "langevin": lambda: openmm.LangevinMiddleIntegrator(300, 1, 0.0005),
        "nose-hoover": lambda: openmm.NoseHooverIntegrator(300, 1, 0.0005),
    }.get(kind, lambda: openmm.VerletIntegrator(0.0005))()
    context = context_of(system, water_positions(), integrator=integrator)
    context.setVelocitiesToTemperature(300, 1)
    if kind == "minimiser":
        openmm.LocalEnergyMinimizer.minimize(context, maxIterations=5)
    else:
        integrator.step(5)
    state = context.getState(positions=True, forces=True)
    moved = np.abs(10 * state.getPositions(asNumpy=True)._value - water_positions()).max(axis=1)
    assert moved[1] < 1e-7
    assert moved[[0, 2]].min() > 1e-5
    assert np.abs(state.getForces(asNumpy=True)._value[1]).max() > 0.1  # the force is told as it is
