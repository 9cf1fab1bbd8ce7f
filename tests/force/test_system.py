"""What a System has besides the force: masses, constraints, and molecules that a barostat keeps
whole."""

import numpy as np
import openmm
import pytest
from force_structures import BOX, SALT, WATER, context_of, topology_of, water_positions
from openmm import app, unit

from openmm_pqeq.force.create import create_system

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


def test_a_barostat_on_molecules_without_bonds_warns(ewald):
    box = 6 * np.eye(3)
    system = create_system(ewald, topology_of(WATER, box), backend="python")
    with pytest.warns(UserWarning, match="moves every atom by itself"):
        system.addForce(openmm.MonteCarloBarostat(1, 300))
    create_system(ewald, topology_of(WATER, box, [(0, 1), (0, 2)]), backend="python").addForce(
        openmm.MonteCarloBarostat(1, 300)
    )
    create_system(ewald, topology_of(SALT, BOX), backend="python").addForce(
        openmm.MonteCarloBarostat(1, 300)
    )


def test_barostats_keep_bonded_molecules_rigid(network):
    topology = topology_of(WATER * 2, 8 * np.eye(3), [(0, 1), (0, 2), (3, 4), (3, 5)])
    system = create_system(network, topology, backend="python", removeCMMotion=False)
    barostat = openmm.MonteCarloBarostat(1e4, 300, 1)
    barostat.setRandomNumberSeed(1)
    system.addForce(barostat)
    positions = np.vstack([water_positions() + 1, water_positions() + np.array([4, 5, 4])])
    context = context_of(system, positions, integrator=openmm.VerletIntegrator(1e-9))
    assert [len(molecule) for molecule in context.getMolecules()] == [3, 3]
    context.getIntegrator().step(10)
    state = context.getState(positions=True)
    assert abs(state.getPeriodicBoxVolume()._value - 0.512) > 1e-4  # nm³
    moved = state.getPositions(asNumpy=True)._value * 10
    for first in (0, 3):
        assert (
            np.abs(
                (moved[first + 1] - moved[first]) - (water_positions()[1] - water_positions()[0])
            ).max()
            < 1e-6
        )
