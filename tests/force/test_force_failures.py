"""What only an evaluation can show to be wrong ends it with an OpenMMException that says why."""

import numpy as np
import openmm
import pytest
from through_openmm import (
    BOX,
    SALT,
    both_routes,
    context_of,
    evaluated,
    salt_positions,
    topology_of,
)

from openmm_pqeq.force.create import create_force, create_system
from openmm_pqeq.potential import build

pytestmark = pytest.mark.python_route


@both_routes
def test_a_topology_of_another_system(network, backend):
    system = openmm.System()
    for _ in range(5):
        system.addParticle(1.0)
    system.addForce(create_force(network, topology_of(SALT, BOX), backend=backend))
    with pytest.raises(openmm.OpenMMException, match=r"made for 4 particles, and the System has 5"):
        evaluated(context_of(system, np.arange(15).reshape(5, 3)))


@pytest.mark.filterwarnings("ignore:field. across a slab:UserWarning")
def test_a_partly_periodic_box_and_its_field():
    potential = build({"pqeq": {"protocol": "reaxnet", "cutoff": 8.0}})
    box = np.diag([5.6, 5.6, 30.0])
    topology = topology_of(SALT, box)
    topology.pq_pbc = (True, True, False)  # what read_structure notes
    system = create_system(
        potential, topology, field=(0, 0, 0.02), coupling="full", backend="python"
    )
    context = context_of(system, salt_positions())
    evaluated(context)
    context.setParameter("field_x", 0.01)
    with pytest.raises(
        openmm.OpenMMException, match="a component along a periodic direction has no meaning"
    ):
        evaluated(context)


@both_routes
@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda positions: positions[[0, 0, 2, 3]], "two atoms cannot be at the same place"),
        (
            lambda positions: positions[[0, 0, 2, 3]] + [[0, 0, 0], BOX[0], [0, 0, 0], [0, 0, 0]],
            "two atoms cannot be at the same place",
        ),
        (lambda positions: np.where(np.arange(4)[:, None] == 2, np.nan, positions), "NaN"),
    ],
)
def test_positions_that_cannot_be(sweeps, backend, spoil, message):
    context = context_of(
        create_system(sweeps, topology_of(SALT, BOX), backend=backend), salt_positions()
    )
    context.setPositions(0.1 * spoil(salt_positions()))
    with pytest.raises(openmm.OpenMMException, match=message):
        evaluated(context)


@both_routes
def test_charges_that_do_not_converge(backend):
    soft = build(
        {"pqeq": {"protocol": "direct", "parameters": "pqeq0"}}
    )  # its H is softer than its own Gaussian
    context = context_of(
        create_system(soft, topology_of(["H", "H", "O"]), backend=backend),
        [[0, 0, 0], [0, 0, 0.4], [0, 0.4, 0]],
    )
    with pytest.raises(openmm.OpenMMException, match="PQEq: the charge solution"):
        evaluated(context)
