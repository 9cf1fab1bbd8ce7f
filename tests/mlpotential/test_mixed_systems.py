"""Mixed Systems of openmm-ml: the atoms that are chosen have the potential, the others the force
field."""

import h5py
import numpy as np
import openmm
import pytest
from ml_systems import ENERGY, FIELD, FORCE, evaluated, openmmml, water
from openmm import app, unit

from openmm_pqeq.force.create import create_system
from openmm_pqeq.mlpotential import bonds_among
from openmm_pqeq.reporters import ChargeReporter

pytestmark = pytest.mark.python_route

MM_ENERGY = 1e-3  # kJ/mol of 1500: the Reference platform's PME at its default tolerance, in another order of summation


@openmmml
def test_the_potentials_part_of_a_mixed_system_is_the_potential_of_these_atoms(
    potential, ml_potential, water_box
):
    topology, positions, amber = water_box
    mixed = ml_potential().createMixedSystem(
        topology, amber, [3, 4, 5], forceGroup=7, precision="double"
    )
    energy, forces = evaluated(mixed, positions, groups={7})
    alone = water()[0]
    right, right_forces = evaluated(
        create_system(potential, alone, backend="python", precision="double"), positions[3:6]
    )
    assert abs(energy - right) < ENERGY
    assert np.abs(forces[3:6] - right_forces).max() < FORCE
    assert np.abs(np.delete(forces, [3, 4, 5], axis=0)).max() == 0
    assert mixed.getNumConstraints() == amber.getNumConstraints() - 3


@openmmml
def test_a_mixed_system_goes_over_into_the_force_field(ml_potential, water_box):
    topology, positions, amber = water_box
    made = ml_potential(precision="double")
    mixed = made.createMixedSystem(topology, amber, [3, 4, 5])
    both = made.createMixedSystem(topology, amber, [3, 4, 5], interpolate=True)
    for weight, right in ((0, amber), (1, mixed)):
        found, expected = (
            evaluated(both, positions, parameters=[("lambda_interpolate", weight)]),
            evaluated(right, positions),
        )
        assert abs(found[0] - expected[0]) < MM_ENERGY
        assert np.abs(found[1] - expected[1]).max() < 1.0  # kJ/mol/nm of 1e4; PME again


@openmmml
def test_a_mixed_system_runs_and_reports_its_charges(ml_potential, water_box, tmp_path):
    topology, positions, amber = water_box
    mixed = ml_potential().createMixedSystem(
        topology, amber, [0, 1, 2], field=FIELD, precision="double"
    )
    simulation = app.Simulation(topology, mixed, openmm.LangevinMiddleIntegrator(300, 1, 0.0002))
    simulation.context.setPositions(positions)
    simulation.reporters.append(ChargeReporter(tmp_path / "charges.h5", 2))
    simulation.step(2)
    simulation.reporters.pop().close()
    with h5py.File(tmp_path / "charges.h5") as file:
        assert file["particles"][:].tolist() == [0, 1, 2]
        assert abs(file["charges"][0].sum()) < 1e-6
        assert file["charges"][0, 0] < -0.3  # e, oxygen
    assert np.isfinite(
        simulation.context.getState(energy=True)
        .getPotentialEnergy()
        .value_in_unit(unit.kilojoule_per_mole)
    )


@openmmml
@pytest.mark.parametrize(
    ("protocol", "periodic", "long"),
    [("ewald", None, True), ("direct", None, False), ("ewald", [False] * 3, False)],
)
def test_the_embedding_learns_whether_images_count(ml_potential, protocol, periodic, long):
    assert ml_potential(protocol=protocol, periodic=periodic)._impl.getMLLongRange() is long


@openmmml
def test_a_cluster_in_a_periodic_force_field(potential, ml_potential, water_box):
    topology, positions, amber = water_box
    mixed = ml_potential(periodic=[False] * 3).createMixedSystem(
        topology, amber, [3, 4, 5], forceGroup=7, precision="double"
    )
    alone = create_system(potential, water(cell=False)[0], backend="python", precision="double")
    assert (
        abs(evaluated(mixed, positions, groups={7})[0] - evaluated(alone, positions[3:6])[0])
        < ENERGY
    )


@openmmml
def test_a_charged_region_is_told_from_a_neutral_one(ml_potential, water_box):
    topology, _, amber = water_box
    with pytest.warns(UserWarning, match="total_charge"):
        ml_potential(total_charge=1).createMixedSystem(topology, amber, [0, 1, 2])


def test_bonds_are_those_within_the_region():
    topology, _ = water()
    assert bonds_among(topology, None).getNumBonds() == 2
    assert bonds_among(topology, [0, 2]).getNumBonds() == 1
    assert bonds_among(topology, [1, 2]).getNumBonds() == 0
