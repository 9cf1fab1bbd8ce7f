"""A small potential, and a crystal that it is for."""

import numpy as np
import openmm
from openmm import unit
from through_openmm import topology_of

from openmm_pqeq.force.create import create_system
from openmm_pqeq.gnn import NequIP
from openmm_pqeq.potential import build

NETWORK = {
    "species": ["O", "Ti", "Ba"],
    "hidden_irreps": "4x0e + 2x1o",
    "sh_irreps": "1x0e + 1x1o",
    "layers": 2,
    "r_max": 4.0,
}


def network(seed=0):
    return NequIP(**NETWORK, seed=seed)


def potential(seed=0):
    return build({"gnn": {**NETWORK, "seed": seed}, "pqeq": {"protocol": "ewald"}})


def crystal(repeats=1):
    """Topology and positions (n, 3) Å of cubic cells, rattled."""
    fractions = np.array([[0, 0, 0], [0.5, 0.5, 0.52], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]])
    cells = [fractions + np.array([0, 0, k]) for k in range(repeats)]
    positions = 4.0 * np.concatenate(cells)
    positions += np.random.default_rng(0).normal(0, 0.05, positions.shape)
    box = np.diag([4.0, 4.0, 4.0 * repeats])
    return topology_of(["Ba", "Ti", "O", "O", "O"] * repeats, box), positions


def forces(potential, repeats=1, **arguments):
    """Forces (kJ/mol/nm) and energy (kJ/mol) of the System at the crystal, in one row."""
    topology, positions = crystal(repeats)
    system = create_system(potential, topology, precision="double", **arguments)
    context = openmm.Context(
        system, openmm.VerletIntegrator(0.001), openmm.Platform.getPlatformByName("Reference")
    )
    context.setPositions(0.1 * positions * unit.nanometer)
    state = context.getState(energy=True, forces=True)
    return np.append(state.getForces(asNumpy=True)._value, state.getPotentialEnergy()._value)
