"""Charges by bonds through OpenMM, by both routes, and with a field's energy alone."""

import laws
import numpy as np
import openmm
import pytest
import torch
from openmm import unit
from pqeq_potentials import BONDED
from through_openmm import (
    BOX,
    SALT,
    assert_same,
    both_routes,
    context_of,
    evaluated,
    salt_positions,
    topology_of,
    torchforce,
)

import openmm_pqeq as pq
from openmm_pqeq.potential import build
from openmm_pqeq.response import response
from openmm_pqeq.structure import structure_of

FIELD = (0.01, -0.02, 0.03)
CHARGES = {"Na": 1, "Cl": -1}


def potential_of(**settings):
    settings = {"protocol": "pme", "tolerance": 1e-10, "charge_flow": "bonds", **settings}
    return build({"pqeq": {"parameters": BONDED, **settings}})


def salt(field=FIELD):
    numbers = torch.tensor([11, 11, 17, 17])
    reference = torch.tensor([1.0, 1.0, -1.0, -1.0])
    places = torch.tensor(salt_positions())
    return structure_of(
        places, numbers, torch.tensor(BOX), None, 0.0, torch.tensor(field), reference
    )


@both_routes
@pytest.mark.parametrize("energy", ["all", "field"])
def test_both_routes_give_what_the_potential_does(backend, energy):
    potential = potential_of(energy=energy)
    system = pq.create_system(
        potential, topology_of(SALT, BOX), field=FIELD, precision="double", backend=backend
    )
    wanted = potential.evaluate(salt())
    context = context_of(system, salt_positions())
    assert_same(evaluated(context), (float(wanted.energy), wanted.forces.numpy()))
    for name in ("field_x", "field_y", "field_z"):
        context.setParameter(name, 0.0)
    wanted = potential.evaluate(salt((0.0, 0.0, 0.0)))
    assert_same(evaluated(context), (float(wanted.energy), wanted.forces.numpy()))


@both_routes
def test_dynamics_keep_the_solution_exact(backend):
    """Warm starts cost no accuracy, and few products are spent."""
    system = pq.create_system(
        potential_of(), topology_of(SALT, BOX), precision="double", backend=backend
    )
    context = context_of(system, salt_positions())
    context.getIntegrator().step(20)
    state = context.getState(positions=True)
    moved = np.array(state.getPositions(asNumpy=True).value_in_unit(unit.angstrom))
    again = potential_of().evaluate(salt((0.0, 0.0, 0.0))._replace(positions=torch.tensor(moved)))
    assert_same(evaluated(context), (float(again.energy), again.forces.numpy()))


@torchforce
def test_derivatives_in_the_field_are_minus_the_dipole():
    system = pq.create_system(
        potential_of(), topology_of(SALT, BOX), field=FIELD, precision="double"
    )
    context = context_of(system, salt_positions())
    slopes = context.getState(parameterDerivatives=True).getEnergyParameterDerivatives()
    dipole = potential_of().evaluate(salt()).dipole[0]
    for k, name in enumerate(("field_x", "field_y", "field_z")):
        assert slopes[name] / 96.48533212331 == pytest.approx(-float(dipole[k]), abs=1e-7)


@torchforce
def test_a_system_keeps_its_reference_charges_in_xml():
    system = pq.create_system(
        potential_of(), topology_of(SALT, BOX), field=FIELD, reference_charges=[1, 1, -1.5, -0.5]
    )
    again = openmm.XmlSerializer.deserialize(openmm.XmlSerializer.serialize(system))
    one, other = (evaluated(context_of(s, salt_positions())) for s in (system, again))
    assert_same(one, other)
    usual = pq.create_system(potential_of(), topology_of(SALT, BOX), field=FIELD)
    assert abs(evaluated(context_of(usual, salt_positions()))[0] - one[0]) > 0.1


def test_forces_of_the_fields_energy_are_born_charges_times_field():
    potential = potential_of(energy="field")
    small = 1e-3 * torch.tensor(FIELD, dtype=torch.float64)
    _, born = response(potential, salt((0.0, 0.0, 0.0)))
    found = potential.evaluate(salt(small.tolist()))
    laws.close(found.forces, torch.einsum("iab,a->ib", born, small), 1e-6, "forces")
    laws.assert_forces(
        lambda one: potential(one).energy,
        salt(),
        push=salt().reference_charges[:, None] * salt().field,
        samples=5,
    )


@pytest.mark.parametrize("precision", ["mixed", "single"])
def test_other_precisions_stay_close(precision):
    double = potential_of(tolerance=1e-8).evaluate(salt())
    other = potential_of(tolerance=1e-6).configured(precision=precision).compile_for_inference()
    at = salt()
    if precision == "single":
        at = at._replace(
            positions=at.positions.float(),
            cell=at.cell.float(),
            field=at.field.float(),
            total_charge=at.total_charge.float(),
            reference_charges=at.reference_charges.float(),
        )
    found = other.evaluate(at)
    close = 1e-6 if precision == "mixed" else 2e-4
    assert float(found.energy) == pytest.approx(float(double.energy), abs=10 * close)
    laws.close(found.forces.double(), double.forces, 10 * close, "forces")
