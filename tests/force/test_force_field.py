"""The field is three parameters of the Context: the forces follow it, and the derivative by it is
minus the dipole."""

import numpy as np
import pytest
from openmm import unit
from through_openmm import (
    BOX,
    FIELD,
    FORCE,
    SALT,
    WATER,
    assert_same,
    both_routes,
    context_of,
    evaluated,
    expected,
    salt_positions,
    topology_of,
    torchforce,
    water_positions,
)

from openmm_pqeq.force.create import create_force, create_system
from openmm_pqeq.units import KJ_PER_MOL_NM_PER_EV_PER_ANGSTROM, KJ_PER_MOL_PER_EV

pytestmark = pytest.mark.python_route

STEP = 1e-4  # V/Å for central differences of the energy


@both_routes
def test_the_field_is_a_parameter(sweeps, backend):
    context = context_of(
        create_system(sweeps, topology_of(SALT, BOX), backend=backend, precision="double"),
        salt_positions(),
    )
    for name, value in zip(("field_x", "field_y", "field_z"), FIELD):
        context.setParameter(name, value)
    assert_same(evaluated(context), expected(sweeps, SALT, salt_positions(), BOX, field=FIELD))


@both_routes
@pytest.mark.parametrize("coupling", ["shell", "full"])
def test_the_total_force_is_charge_times_field(direct, backend, coupling):
    system = create_system(
        direct,
        topology_of(WATER),
        total_charge=1,
        coupling=coupling,
        backend=backend,
        precision="double",
    )
    context = context_of(system, water_positions())
    assert np.abs(evaluated(context)[1].sum(0)).max() < FORCE
    context.setParameter("field_z", 0.02)
    assert np.abs(evaluated(context)[1].sum(0) - [0, 0, 0.02]).max() < FORCE


@both_routes
def test_an_ion_by_itself_feels_its_charge(direct, backend):
    context = context_of(
        create_system(direct, topology_of(["Na"]), 1, FIELD, backend=backend, precision="double"),
        [[1, 2, 3]],
    )
    assert np.abs(evaluated(context)[1] - [FIELD]).max() < FORCE


@torchforce
def test_the_derivative_by_a_parameter_is_minus_the_dipole(ewald):
    system = create_system(ewald, topology_of(SALT, BOX), field=FIELD, precision="double")
    context = context_of(system, salt_positions())
    derivatives = context.getState(parameterDerivatives=True).getEnergyParameterDerivatives()
    dipole = expected(ewald, SALT, salt_positions(), BOX, field=FIELD)[2].dipole[0].numpy()
    got = -np.array([derivatives[f"field_{axis}"] for axis in "xyz"]) / KJ_PER_MOL_PER_EV
    assert np.abs(got - dipole).max() < 1e-7  # e Å


@torchforce
def test_the_derivative_by_a_parameter_is_that_of_a_variational_energy(direct):
    context = context_of(
        create_system(direct, topology_of(WATER), coupling="full", precision="double"),
        water_positions(),
    )
    derivatives = context.getState(parameterDerivatives=True).getEnergyParameterDerivatives()
    for axis in "xyz":
        energies = []
        for value in (STEP, -STEP):
            context.setParameter(f"field_{axis}", value)
            energies.append(evaluated(context)[0])
        context.setParameter(f"field_{axis}", 0.0)
        slope = (energies[0] - energies[1]) / (2 * STEP)
        assert (
            abs(derivatives[f"field_{axis}"] / KJ_PER_MOL_PER_EV - slope) < 1e-5
        )  # e Å; energies are converged to 1e-10 eV


def test_fields_with_units(direct):
    def default(field):
        force = create_force(direct, topology_of(WATER), field=field, backend="python")
        return [force.getGlobalParameters()[f"field_{axis}"] for axis in "xyz"]

    volt, molar = (
        unit.volt / unit.angstrom,
        unit.kilojoule_per_mole / unit.nanometer / unit.elementary_charge,
    )
    assert default(np.array([0.1, 0, 0.2])) == [0.1, 0, 0.2]
    assert default([0, 0, 1] * unit.volt / unit.nanometer) == pytest.approx([0, 0, 0.1], abs=1e-12)
    assert default((0, 0, 0.3 * volt)) == pytest.approx([0, 0, 0.3], abs=1e-12)
    assert default(np.array([0, 0, KJ_PER_MOL_NM_PER_EV_PER_ANGSTROM]) * molar) == pytest.approx(
        [0, 0, 1], abs=1e-12
    )
