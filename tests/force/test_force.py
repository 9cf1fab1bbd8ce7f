"""OpenMM sees the potential's own energy and forces, by both routes, for all or some of the
particles of a System."""

import numpy as np
import openmm
import pytest
from openmm import app
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
    water_positions,
)

from openmm_pqeq.force.create import create_system
from openmm_pqeq.potential import build
from openmm_pqeq.units import KJ_PER_MOL_NM_PER_EV_PER_ANGSTROM, KJ_PER_MOL_PER_EV

pytestmark = pytest.mark.python_route


@both_routes
@pytest.mark.parametrize("platform", ["Reference", "CPU"])
def test_a_crystal_in_a_field(ewald, backend, platform):
    system = create_system(
        ewald,
        topology_of(SALT, BOX),
        field=FIELD,
        total_charge=0.5,
        backend=backend,
        precision="double",
    )
    context = context_of(system, salt_positions(), platform)
    assert_same(evaluated(context), expected(ewald, SALT, salt_positions(), BOX, 0.5, FIELD))


@both_routes
def test_a_crystal_that_moves(sweeps, backend):
    # TorchScript compiles again during the first calls, from what it has seen
    context = context_of(
        create_system(
            sweeps, topology_of(SALT, BOX), field=FIELD, backend=backend, precision="double"
        ),
        salt_positions(),
    )
    for move in range(4):
        positions = salt_positions() + 0.05 * move * np.array(
            [[1, 0, 0], [0, 1, -1], [0, 0, 1], [1, -1, 0]]
        )
        context.setPositions(0.1 * positions)
        assert_same(evaluated(context), expected(sweeps, SALT, positions, BOX, field=FIELD))


@both_routes
@pytest.mark.parametrize("coupling", ["shell", "full"])
def test_a_molecule_without_a_cell(direct, backend, coupling):
    system = create_system(
        direct,
        topology_of(WATER),
        field=FIELD,
        coupling=coupling,
        backend=backend,
        precision="double",
    )
    assert not system.usesPeriodicBoundaryConditions()
    context = context_of(system, water_positions())
    assert_same(
        evaluated(context),
        expected(direct, WATER, water_positions(), field=FIELD, coupling=coupling),
    )


@both_routes
@pytest.mark.parametrize("stop_gradient", [False, True])
def test_two_sweeps_with_either_gradient(backend, stop_gradient):
    # what OpenMM's plugin does to a module (freezing) must not touch what is held fixed in a
    # gradient.
    potential = build(
        {"pqeq": {"protocol": "reaxnet", "cutoff": 8.0, "stop_gradient": stop_gradient}}
    )
    system = create_system(
        potential, topology_of(SALT, BOX), field=FIELD, backend=backend, precision="double"
    )
    context = context_of(system, salt_positions())
    assert_same(evaluated(context), expected(potential, SALT, salt_positions(), BOX, field=FIELD))


@both_routes
@pytest.mark.parametrize("precision", ["mixed", "single"])
def test_lower_precision_is_close(direct, backend, precision):
    system = create_system(
        direct, topology_of(WATER), backend=backend, precision=precision, tolerance=1e-5
    )
    context = context_of(system, water_positions())
    got, wanted = evaluated(context), expected(direct, WATER, water_positions())
    assert_same(
        got, wanted, energy=1e-4, force=1e-3
    )  # float32 has 7 digits of some 10 eV and of some 10 eV/Å
    assert abs(got[0] - wanted[0]) > 1e-9  # and it is not float64


@both_routes
def test_a_network_alone(network, backend):
    system = create_system(network, topology_of(SALT, BOX), backend=backend, precision="double")
    context = context_of(system, salt_positions())
    assert_same(
        evaluated(context),
        expected(network.configured(precision="double"), SALT, salt_positions(), BOX),
    )


@both_routes
def test_any_image_of_an_atom_gives_the_same_forces(ewald, backend):
    context = context_of(
        create_system(ewald, topology_of(SALT, BOX), field=FIELD, backend=backend), salt_positions()
    )
    here = evaluated(context)
    context.setPositions(
        0.1 * (salt_positions() + np.array([[1, 0, 0], [0, -2, 1], [0, 0, 0], [3, 1, 1]]) @ BOX)
    )
    assert_same(
        evaluated(context), here, energy=1e-6, force=1e-6
    )  # the charge solution is converged to 1e-5 here, kernels float32


@both_routes
def test_the_box_is_the_contexts(sweeps, backend):
    context = context_of(
        create_system(sweeps, topology_of(SALT, BOX), backend=backend, precision="double"),
        salt_positions(),
    )
    context.setPeriodicBoxVectors(*(0.1 * 1.05 * BOX))
    context.setPositions(0.1 * 1.05 * salt_positions())
    assert_same(evaluated(context), expected(sweeps, SALT, 1.05 * salt_positions(), 1.05 * BOX))


@both_routes
def test_periodic_false_ignores_the_box(direct, backend):
    force_field = create_system(
        direct,
        topology_of(WATER, 30 * np.eye(3)),
        periodic=(False,) * 3,
        backend=backend,
        precision="double",
    )
    assert_same(
        evaluated(context_of(force_field, water_positions())),
        expected(direct, WATER, water_positions()),
    )


# Some of the particles


@both_routes
def test_a_part_of_a_system_beside_other_forces(sweeps, backend):
    symbols, positions = (
        ["Ar", *SALT, "X"],
        np.vstack([[[2.0, 1.0, 2.5]], salt_positions()[[2, 0, 3, 1]], [[1, 1, 1]]]),
    )
    atoms = [4, 2, 1, 3]  # the crystal in its own order, but for two equal ions
    topology = topology_of(symbols, BOX)
    for atom, symbol in zip(list(topology.atoms())[1:5], ("Cl", "Na", "Cl", "Na")):
        atom.element = app.Element.getBySymbol(symbol)
    system = create_system(
        sweeps, topology, atoms=atoms, field=FIELD, backend=backend, precision="double"
    )
    other = openmm.CustomExternalForce("3*x + 2*periodicdistance(x, y, z, 0, 0, 0)^0")
    for k in range(len(symbols)):
        other.addParticle(k, [])
    system.addForce(other)
    energy, forces = evaluated(context_of(system, positions))
    wanted_energy, wanted, _ = expected(sweeps, SALT, positions[atoms], BOX, field=FIELD)
    push = -3 / KJ_PER_MOL_NM_PER_EV_PER_ANGSTROM
    other_energy = (3 * 0.1 * positions[:, 0].sum() + 2 * len(symbols)) / KJ_PER_MOL_PER_EV
    assert abs(energy - other_energy - wanted_energy) < 1e-6
    assert np.abs(forces[atoms] - wanted - [push, 0, 0]).max() < FORCE
    assert np.abs(forces[[0, 5]] - [push, 0, 0]).max() < FORCE
