"""Barostats scale what is periodic, and move molecules as a whole."""

import numpy as np
import openmm
import pytest
from through_openmm import BOX, SALT, WATER, context_of, topology_of, water_positions

from openmm_pqeq.force.create import create_system
from openmm_pqeq.topology.facts import StructureFacts

pytestmark = pytest.mark.python_route

Membrane = openmm.MonteCarloMembraneBarostat


def anisotropic(*axes):
    return openmm.MonteCarloAnisotropicBarostat(openmm.Vec3(1, 1, 1), 300, *axes)


def membrane(mode):
    return Membrane(1, 0, 300, Membrane.XYIsotropic, mode)


ALLOWED = [
    (True, True, True),
    (True, True, False),
    (False, True, False),
    (False, False, False),
]


@pytest.mark.parametrize(
    ("barostat", "scaled"),
    [
        (lambda: openmm.MonteCarloBarostat(1, 300), (True, True, True)),
        (lambda: openmm.MonteCarloFlexibleBarostat(1, 300), (True, True, True)),
        (lambda: membrane(Membrane.ZFree), (True, True, True)),
        (lambda: membrane(Membrane.ConstantVolume), (True, True, True)),
        (lambda: membrane(Membrane.ZFixed), (True, True, False)),
        (lambda: anisotropic(True, True, False), (True, True, False)),
        (lambda: anisotropic(False, True, False), (False, True, False)),
    ],
)
@pytest.mark.parametrize("periodic", ALLOWED)
def test_a_barostat_scales_periodic_directions_only(network, barostat, scaled, periodic):
    system = create_system(network, topology_of(SALT, BOX), periodic=periodic, backend="python")
    before = system.getNumForces()
    if all(is_so or not wanted for is_so, wanted in zip(periodic, scaled)):
        system.addForce(barostat())
        assert system.getNumForces() == before + 1
        return
    remedy = f"{', '.join(map(str, periodic))}\\)" if any(periodic) else r"\(NVT\)"
    with pytest.raises(ValueError, match=rf"^barostat: MonteCarlo\w+ would scale .*{remedy}"):
        system.addForce(barostat())
    assert system.getNumForces() == before


def test_the_directions_are_those_of_the_file(network):
    topology = topology_of(SALT, BOX)
    topology.pq_pbc = (True, True, False)
    system = create_system(network, topology, backend="python")
    with pytest.raises(
        ValueError, match="along c, and that is not periodic; use openmm.MonteCarloA"
    ):
        system.addForce(openmm.MonteCarloBarostat(1, 300))
    topology = topology_of(SALT)  # no box at all
    with pytest.raises(ValueError, match="along abc, and that is not periodic; leave the barostat"):
        create_system(network, topology, backend="python").addForce(
            openmm.MonteCarloBarostat(1, 300)
        )


def test_a_barostat_on_fixed_atoms_warns(network):
    topology = topology_of(SALT, BOX)
    topology.pq_facts = StructureFacts(fixed=(0, 2))
    system = create_system(network, topology, backend="python")
    with pytest.warns(UserWarning, match="fixes 2 atoms, and a barostat scales their positions"):
        system.addForce(openmm.MonteCarloBarostat(1, 300))


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
