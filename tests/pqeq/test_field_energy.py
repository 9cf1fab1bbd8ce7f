"""The energy of the field alone: the difference of two plain potentials, and nothing without a
field."""

import laws
import numpy as np
import openmm
import pytest
import torch
from openmm import unit
from pqeq_potentials import TIGHT, potential_of
from structures import FIELD, periodic_along, perovskite, tensor, water
from through_openmm import (
    BOX,
    SALT,
    assert_same,
    both_routes,
    context_of,
    evaluated,
    expected,
    salt_positions,
    topology_of,
    torchforce,
)

import openmm_pqeq as pq
from openmm_pqeq.force.create import create_energy, create_system
from openmm_pqeq.force.module import for_openmm, report_of
from openmm_pqeq.potential import build
from openmm_pqeq.pqeq import groups_of
from openmm_pqeq.response import response
from openmm_pqeq.structure import structure_of
from openmm_pqeq.training.prepare import model_to_start
from openmm_pqeq.training.settings import StartSettings
from openmm_pqeq.units import KJ_PER_MOL_PER_EV

NETWORK = {"species": ["H", "O", "Na", "Cl", "Ti", "Ba"], "layers": 1, "r_max": 4.0}
SMALL = (0.01, -0.02, 0.03)  # V/Å


def with_network(**settings):
    """A network, and the field's energy on top of it."""
    torch.manual_seed(1)
    field = {"protocol": "ewald", "tolerance": TIGHT, "energy": "field", **settings}
    return build({"gnn": {**NETWORK, "hidden_irreps": "4x0e + 2x1o"}, "pqeq": field})


def without_field(structure):
    return structure._replace(field=torch.zeros_like(structure.field))


CASES = {
    "ewald": ("ewald", "shell", perovskite(0.0, FIELD)),
    "pme, charged": ("pme", "shell", perovskite(1.0, FIELD)),
    "slab": ("pme", "shell", periodic_along(perovskite(0.0, FIELD), (True, True, False))),
    "direct, cation": ("direct", "shell", water(1.0, FIELD)),
    "direct, full": ("direct", "full", water(0.0, FIELD)),
    "direct, fragment": ("direct", "fragment", water(1.0, FIELD)),
}
every_case = pytest.mark.parametrize(
    ("protocol", "coupling", "structure"), CASES.values(), ids=CASES
)


def of_case(protocol, coupling, structure, **settings):
    made = potential_of(protocol, coupling, **settings)
    if coupling != "fragment":
        return made
    return made.configured(groups=groups_of(3, [[0, 1, 2]], [1.0], None, 1.0))


@every_case
@pytest.mark.parametrize("compiled", [False, True])
def test_it_is_the_difference_of_two_plain_potentials(protocol, coupling, structure, compiled):
    plain = of_case(protocol, coupling, structure)
    field = of_case(protocol, coupling, structure, energy="field")
    crystal = bool(structure.pbc.all())
    found = (field.compile_for_inference() if compiled else field).evaluate(
        structure, True, crystal
    )
    inside = plain.evaluate(structure, stress=crystal)
    outside = plain.evaluate(without_field(structure), stress=crystal)
    assert abs(float(found.energy)) > 1e-4
    assert abs(float(found.energy - (inside.energy - outside.energy))) < 1e-10
    laws.close(found.forces, inside.forces - outside.forces, 1e-8, "forces")
    if crystal:
        laws.close(found.stress, inside.stress - outside.stress, 1e-9, "stress")
    for name in ("charges", "shells", "dipole"):
        laws.close(getattr(found, name), getattr(inside, name), 1e-8, name)


@every_case
def test_forces_and_stress_are_its_gradients_and_the_push_acts_once(protocol, coupling, structure):
    model = of_case(protocol, coupling, structure, energy="field")
    crystal = bool(structure.pbc.all())
    found = model.evaluate(structure, stress=crystal)
    push = {
        "shell": found.charges[:, None] * structure.field,
        "full": None,
        "fragment": torch.eye(3, dtype=torch.float64)[:, :1] * structure.field,
    }[coupling]
    laws.assert_forces(lambda s: model(s).energy, structure, push=push, samples=5)
    if crystal:
        laws.assert_stress(lambda s: model(s).energy, structure, stress=found.stress[0])


def test_without_a_field_all_numbers_are_those_of_the_network_to_the_bit():
    both = with_network(protocol="pme").compile_for_inference()
    base, structure = both.select("gnn"), perovskite()
    found, wanted = both.evaluate(structure, stress=True), base.evaluate(structure, stress=True)
    for name in ("energy", "forces", "stress"):
        assert torch.equal(getattr(found, name), getattr(wanted, name))
    charges = potential_of("ewald").evaluate(structure).charges
    laws.close(found.charges, charges, 1e-8, "charges without a field")
    assert float(charges.abs().max()) > 0.1


def test_where_only_the_energy_is_wanted_nothing_is_solved_until_there_is_a_field():
    model = with_network().compile_for_inference()
    asleep = perovskite()._replace(only_energy=True)
    found = model.evaluate(asleep)
    assert model.pqeq.products == 0
    assert float(found.terms["pqeq"]) == 0.0
    model.evaluate(perovskite(0.0, FIELD)._replace(only_energy=True))
    assert model.pqeq.products > 0
    model.evaluate(asleep)  # the derivative in the field is to be right from now on
    assert model.pqeq.products > 0


def test_the_second_solution_costs_less_than_the_first():
    crystal = laws.supercell_of(perovskite(0.0, 0.1 * FIELD), (2, 2, 1))
    generator = torch.Generator().manual_seed(0)
    phases = 6.28 * torch.rand(20, 3, generator=generator, dtype=torch.float64)
    products = []
    for settings in ({}, {"energy": "field"}):
        model = potential_of("pme", tolerance=1e-5, **settings).compile_for_inference()
        spent = []
        for k in range(30):
            moved = crystal.positions + 0.08 * torch.sin(0.1 * k + phases)
            model.evaluate(crystal._replace(positions=moved))
            spent.append(model.pqeq.products)
        products.append(sum(spent[10:]))
    assert products[1] < 1.8 * products[0]


def test_in_a_small_field_forces_are_born_charges_times_field():
    model, structure = with_network(), perovskite()
    alpha, born = response(model, structure)
    field = 1e-3 * FIELD
    forces = model.evaluate(perovskite(0.0, field)).forces - model.evaluate(structure).forces
    laws.close(forces, torch.einsum("iab,a->ib", born, field), 1e-7, "forces")
    plain = response(potential_of("ewald"), structure)
    laws.close(alpha, plain[0], 1e-12, "polarizability")
    laws.close(born, plain[1], 1e-12, "Born charges")


def test_electrodes_charge_the_capacitor_between_them():
    cell = 3.4 * torch.eye(3, dtype=torch.float64)
    positions = tensor([[0, 0, 0], [1.7, 1.7, 1.7], [1.7, 1.7, 9.7], [0, 0, 11.4]])
    structure = structure_of(
        positions, torch.full((4,), 3), cell, torch.tensor([True, True, False])
    )

    def at(voltage, **settings):
        electrodes = [([0, 1], 0.0), ([2, 3], voltage)]
        return potential_of("ewald", **settings).configured(
            groups=groups_of(4, None, electrodes=electrodes)
        )

    found = at(1.5, energy="field").compile_for_inference().evaluate(structure)
    inside, outside = at(1.5).evaluate(structure), at(0.0).evaluate(structure)
    assert abs(float(found.energy - (inside.energy - outside.energy))) < 1e-10
    assert float(found.energy) == pytest.approx(-0.75 * float(inside.charges[2:].sum()), rel=1e-2)
    laws.close(found.forces, inside.forces - outside.forces, 1e-8, "forces")
    laws.close(found.charges, inside.charges, 1e-8, "charges")
    resting = at(0.0, energy="field").evaluate(structure)
    assert float(resting.energy) == 0.0
    laws.close(resting.charges, outside.charges, 1e-8, "charges at no voltage")


def test_a_batch_is_its_structures():
    laws.assert_batch(
        lambda s: potential_of("ewald", energy="field")(s).energy,
        [perovskite(0.5, FIELD), water(1.0, FIELD), perovskite()],
    )


@both_routes
def test_dynamics_with_a_barostat_in_a_field_that_passes_zero(backend):
    model = with_network()
    system = create_system(model, topology_of(SALT, BOX), backend=backend, precision="double")
    system.addForce(openmm.MonteCarloBarostat(1 * unit.bar, 300 * unit.kelvin, 3))
    context = context_of(system, salt_positions())
    for scale in (0.0, 0.0, 0.3, 0.6, 1.0, 0.6, 0.3, 0.0, -0.3, -0.6, -0.3, 0.0):
        field = [scale * component for component in SMALL]
        for name, value in zip(("field_x", "field_y", "field_z"), field):
            context.setParameter(name, value)
        context.getIntegrator().step(1)
        state = context.getState(positions=True)
        positions = state.getPositions(asNumpy=True).value_in_unit(unit.angstrom)
        box = state.getPeriodicBoxVectors(asNumpy=True).value_in_unit(unit.angstrom)
        assert_same(evaluated(context), expected(model, SALT, positions, box, field=field))


def slopes_in_the_field(context, *components):
    """−∂E/∂F (3,) e Å, after each component (V/Å) along all axes."""
    for value in components:
        for name in ("field_x", "field_y", "field_z"):
            context.setParameter(name, value)
        state = context.getState(parameterDerivatives=True)
    derivatives = state.getEnergyParameterDerivatives()
    return -np.array([derivatives[f"field_{axis}"] for axis in "xyz"]) / KJ_PER_MOL_PER_EV


@torchforce
@pytest.mark.parametrize("given", [SMALL, (0, 0, 0)])
def test_the_derivative_in_a_field_that_was_given_is_minus_the_dipole_at_zero_too(given):
    model = with_network()
    system = create_system(model, topology_of(SALT, BOX), field=given, precision="double")
    got = slopes_in_the_field(context_of(system, salt_positions()), 0.0)
    dipole = expected(model, SALT, salt_positions(), BOX)[2].dipole[0].numpy()
    assert np.abs(dipole).max() > 0.1
    assert np.abs(got - dipole).max() < 1e-7  # e Å


@torchforce
def test_the_derivative_in_a_field_that_nobody_gave_is_not_a_number_until_there_is_one():
    model = with_network()
    system = create_system(model, topology_of(SALT, BOX), precision="double")
    context = context_of(system, salt_positions())
    assert np.isnan(slopes_in_the_field(context, 0.0)).all()
    energy, forces = evaluated(context)[:2]
    assert np.isfinite(energy)
    assert np.isfinite(forces).all()
    dipole = expected(model, SALT, salt_positions(), BOX)[2].dipole[0].numpy()
    assert np.abs(slopes_in_the_field(context, 0.02, 0.0) - dipole).max() < 1e-7  # e Å


def test_a_force_without_a_field_has_the_networks_energy_and_charges_for_reporters():
    model = with_network()
    energy = create_energy(model, topology_of(SALT, BOX), precision="double")
    positions, box = tensor(0.1 * salt_positions()), tensor(0.1 * BOX)
    at_zero = torch.zeros(3, dtype=torch.float64)
    value = energy(positions, box, at_zero)
    assert energy.potential.pqeq.products == 0
    alone = create_energy(model.select("gnn"), topology_of(SALT, BOX), precision="double")
    assert torch.equal(value, alone(positions, box, at_zero))
    charges, _, _, terms = report_of(for_openmm(energy), positions, box, at_zero)
    wanted = expected(potential_of("ewald"), SALT, salt_positions(), BOX)[2]
    laws.close(charges, wanted.charges, 1e-7, "charges")
    assert float(terms["pqeq"]) == 0.0


@pytest.mark.parametrize(("precision", "error"), [("mixed", 1e-6), ("single", 1e-4)])
def test_lower_precision_stays_close(precision, error):
    exact, model = with_network(), with_network().configured(precision=precision)
    structure = perovskite(0.0, FIELD)
    if precision == "single":
        given = structure._replace(
            positions=structure.positions.float(),
            cell=structure.cell.float(),
            total_charge=structure.total_charge.float(),
            field=structure.field.float(),
        )
    else:
        given = structure
    found = model.compile_for_inference().evaluate(given).terms["pqeq"]
    assert abs(float(found) - float(exact.evaluate(structure).terms["pqeq"])) < error


def test_it_is_kept_in_files_and_dispersion_is_added_on_request(tmp_path):
    model, structure = with_network(), perovskite(0.0, FIELD)
    pq.save(model, tmp_path / "m.pt")
    loaded = pq.load(tmp_path / "m.pt", protocol="pme")
    assert loaded.config["pqeq"]["energy"] == "field"
    assert list(loaded.select("pqeq").terms) == ["pqeq"]
    assert float(loaded.evaluate(structure).energy) == pytest.approx(
        float(model.evaluate(structure).energy), abs=1e-8
    )
    dispersed = model.with_dispersion("pbe")
    assert list(dispersed.terms) == ["gnn", "pqeq", "d3"]
    assert dispersed.config["d3"]["damping"] == "bj"
    with pytest.raises(ValueError, match=r"with_dispersion: .* D3 already \(pbe\)"):
        dispersed.with_dispersion("pbe")


def test_what_it_cannot_do_is_named():
    with pytest.raises(ValueError, match="energy: expected one of all, field, got 'fields'"):
        build({"pqeq": {"protocol": "pme", "energy": "fields"}})
    with pytest.raises(ValueError, match="energy: 'field' .* 'reaxnet' has none"):
        build({"pqeq": {"energy": "field"}})
    with pytest.raises(ValueError, match="unknown key 'energies'; the keys are .* energy"):
        build({"pqeq": {"protocol": "pme", "energies": "field"}})
    with pytest.warns(UserWarning, match="total_charge: the network of this potential knows none"):
        create_energy(with_network(), topology_of(SALT, BOX), total_charge=1)


def test_a_training_does_not_fit_what_has_no_part_in_its_energies(tmp_path):
    pq.save(with_network(), tmp_path / "m.pt")
    start = StartSettings(model=str(tmp_path / "m.pt"), train="none", train_pqeq=("hardness",))
    with pytest.raises(ValueError, match=r"start.train_pqeq: .* adds nothing without a field"):
        model_to_start(start)
