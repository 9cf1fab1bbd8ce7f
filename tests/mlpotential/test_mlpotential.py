"""openmm-ml: the same energies and forces as without it, and options that mean what they say."""

import numpy as np
import openmm
import pytest
from ml_systems import ENERGY, FIELD, FORCE, evaluated, openmmml, water
from openmm import app, unit

from openmm_pqeq.force.create import create_system
from openmm_pqeq.mlpotential import PQEqPotentialImpl
from openmm_pqeq.reporters.observer import Observer

pytestmark = pytest.mark.python_route

# Alone


@openmmml
def test_a_system_is_that_of_create_system(potential, ml_potential):
    topology, positions = water()
    options = {"field": FIELD, "total_charge": 1, "precision": "double"}
    theirs = ml_potential().createSystem(topology, **options)
    ours = create_system(potential, topology, backend="python", **options)
    (energy, forces), (right, right_forces) = (
        evaluated(system, positions) for system in (theirs, ours)
    )
    assert abs(energy - right) < ENERGY
    assert np.abs(forces - right_forces).max() < FORCE
    assert (
        abs(right - evaluated(create_system(potential, topology, backend="python"), positions)[0])
        > 10
    )  # kJ/mol, an ion


@openmmml
def test_options_of_the_potential_hold_for_its_systems_unless_those_have_their_own(ml_potential):
    topology, positions = water()
    made = ml_potential(total_charge=1, precision="double")
    for options, total in (
        ({}, 1),
        ({"total_charge": 0}, 0),
        ({"total_charge": -1 * unit.elementary_charge}, -1),
    ):
        simulation = app.Simulation(
            topology, made.createSystem(topology, **options), openmm.VerletIntegrator(0.001)
        )
        simulation.context.setPositions(positions)
        assert (
            abs(Observer.of(simulation).observe(simulation).charges.sum() - total) < 1e-8
        )  # e, the constraint is exact


@openmmml
def test_the_field_is_a_parameter_and_the_coupling_is_passed_on(potential, ml_potential):
    topology, positions = water(cell=False)
    for coupling in ("shell", "full"):
        theirs = ml_potential(coupling=coupling).createSystem(
            topology, field=FIELD, precision="double"
        )
        ours = create_system(
            potential,
            topology,
            field=FIELD,
            coupling=coupling,
            backend="python",
            precision="double",
        )
        assert abs(evaluated(theirs, positions)[0] - evaluated(ours, positions)[0]) < ENERGY
        no_field = [(f"field_{axis}", 0.0) for axis in "xyz"]
        assert (
            abs(
                evaluated(theirs, positions)[0]
                - evaluated(theirs, positions, parameters=no_field)[0]
            )
            > 1e-3
        )


def bare_system(topology):
    """What openmmml hands to `addForces`."""
    system = openmm.System()
    for atom in topology.atoms():
        system.addParticle(atom.element.mass)
    system.setDefaultPeriodicBoxVectors(*topology.getPeriodicBoxVectors())
    return system


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_barostat_that_would_scale_the_vacuum_of_a_slab_is_refused(potential, when):
    """A System of openmm-ml is a plain one until the potential is in it."""
    topology, _ = water()
    topology.pq_pbc = (True, True, False)
    system = bare_system(topology)
    one = PQEqPotentialImpl(potential, {})
    steps = [
        lambda: one.addForces(topology, system, None, 0),
        lambda: system.addForce(openmm.MonteCarloBarostat(1, 300)),
    ]
    first, second = steps if when == "after" else steps[::-1]
    first()
    before = system.getNumForces()
    with pytest.raises(
        ValueError, match="barostat: MonteCarloBarostat would scale the box along c"
    ):
        second()
    assert system.getNumForces() == before


def test_a_barostat_that_leaves_the_vacuum_alone_is_taken(potential):
    topology, _ = water()
    topology.pq_pbc = (True, True, False)
    system = bare_system(topology)
    PQEqPotentialImpl(potential, {}).addForces(topology, system, None, 0)
    system.addForce(openmm.MonteCarloAnisotropicBarostat([1, 1, 1], 300, True, True, False))


@openmmml
def test_a_slab_of_openmm_ml_refuses_an_isotropic_barostat(ml_potential):
    system = ml_potential(periodic=(True, True, False)).createSystem(water()[0])
    with pytest.raises(ValueError, match="barostat: MonteCarloBarostat would scale"):
        system.addForce(openmm.MonteCarloBarostat(1, 300))


@openmmml
def test_a_barostat_finds_the_molecules(ml_potential):
    topology, _ = water()
    context = openmm.Context(ml_potential().createSystem(topology), openmm.VerletIntegrator(0.001))
    assert [list(molecule) for molecule in context.getMolecules()] == [[0, 1, 2]]


# Refusals


@openmmml
def test_what_is_wrong_is_named(ml_potential, water_box):
    topology, _, amber = water_box
    with pytest.raises(ValueError, match="modelPath: expected the name of a model"):
        ml_potential(modelPath=None)
    with pytest.raises(FileNotFoundError, match="missing.pt"):
        ml_potential(modelPath="missing.pt")
    with pytest.raises(ValueError, match="did you mean total_charge"):
        ml_potential(charge=1)
    with pytest.raises(ValueError, match="temperature: no such option"):
        ml_potential().createSystem(topology, temperature=300)
    with pytest.raises(ValueError, match="did you mean total_charge"):
        ml_potential().createMixedSystem(topology, amber, [0, 1, 2], total_chrage=1)
    with pytest.raises(ValueError, match="periodic: in a mixed System"):
        ml_potential().createMixedSystem(topology, amber, [0, 1, 2], periodic=[False] * 3)
