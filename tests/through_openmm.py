"""A crystal and a molecule as OpenMM sees them, by both routes, and what the potential itself says
of them."""

import numpy as np
import openmm
import pytest
import torch
from openmm import app, unit

from openmm_pqeq import versions
from openmm_pqeq.force.create import create_system
from openmm_pqeq.structure import structure_of
from openmm_pqeq.units import KJ_PER_MOL_NM_PER_EV_PER_ANGSTROM, KJ_PER_MOL_PER_EV

ENERGY = 1e-8  # eV/atom; both routes run the very module that `evaluate` runs, in float64
FORCE = 1e-8  # eV/Å

torchforce = pytest.mark.skipif(
    bool(versions.problems("torchscript")),
    reason="TorchForce needs its own versions of torch and OpenMM",
)
BACKENDS = [pytest.param("torchscript", marks=torchforce), "python"]
both_routes = pytest.mark.parametrize("backend", BACKENDS)


def topology_of(symbols, box=None, bonds=()):
    """Topology of one residue; a symbol "X" is a particle without an element. box : (3, 3) Å."""
    topology = app.Topology()
    residue = topology.addResidue("STR", topology.addChain())
    for k, symbol in enumerate(symbols):
        element = None if symbol == "X" else app.Element.getBySymbol(symbol)
        topology.addAtom(f"{symbol}{k + 1}", element, residue)
    atoms = list(topology.atoms())
    for i, j in bonds:
        topology.addBond(atoms[i], atoms[j])
    if box is not None:
        topology.setPeriodicBoxVectors(
            [openmm.Vec3(*row) for row in (0.1 * np.asarray(box)).tolist()] * unit.nanometer
        )
    return topology


SALT = ["Na", "Na", "Cl", "Cl"]
BOX = np.array([[5.6, 0, 0], [0.4, 5.5, 0], [-0.3, 0.8, 4.2]])  # Å, triclinic
FIELD = (0.01, -0.02, 0.03)


def salt_positions():
    """Four ions of a triclinic crystal, (4, 3) Å."""
    fractions = np.array([[0, 0, 0], [0.5, 0.5, 0.02], [0.5, 0.03, 0.48], [0.04, 0.5, 0.5]])
    return fractions @ BOX


WATER = ["O", "H", "H"]


def water_positions():
    """One water molecule, (3, 3) Å."""
    return np.array([[0.0, 0.0, 0.1], [0.76, 0.0, -0.48], [-0.76, 0.1, -0.48]])


def context_of(system, positions, platform="Reference", integrator=None):
    integrator = integrator or openmm.VerletIntegrator(0.5 * unit.femtosecond)
    context = openmm.Context(system, integrator, openmm.Platform.getPlatformByName(platform))
    context.setPositions(0.1 * np.asarray(positions))
    return context


def evaluated(context):
    """Energy (eV) and forces (eV/Å)."""
    state = context.getState(energy=True, forces=True)
    energy = state.getPotentialEnergy().value_in_unit(unit.kilojoule_per_mole) / KJ_PER_MOL_PER_EV
    forces = state.getForces(asNumpy=True).value_in_unit(unit.kilojoule_per_mole / unit.nanometer)
    return energy, forces / KJ_PER_MOL_NM_PER_EV_PER_ANGSTROM


def expected(
    potential, symbols, positions, box=None, total_charge=0.0, field=(0, 0, 0), coupling="shell"
):
    """The same from the potential itself."""
    numbers = torch.tensor([app.Element.getBySymbol(symbol).atomic_number for symbol in symbols])
    structure = structure_of(
        torch.tensor(positions, dtype=torch.float64),
        numbers,
        cell=None if box is None else torch.tensor(box, dtype=torch.float64),
        total_charge=total_charge,
        field=torch.tensor(field, dtype=torch.float64),
    )
    evaluation = potential.configured(coupling=coupling).evaluate(structure)
    return float(evaluation.energy), evaluation.forces.numpy(), evaluation


def assert_same(got, wanted, energy=ENERGY, force=FORCE):
    assert abs(got[0] - wanted[0]) < energy * len(wanted[1])
    assert np.abs(got[1] - wanted[1]).max() < force


def simulation_of(potential, backend, integrator=None, **options):
    topology = topology_of(SALT, BOX)
    system = create_system(potential, topology, backend=backend, **options)
    integrator = integrator or openmm.VerletIntegrator(0.5 * unit.femtosecond)
    simulation = app.Simulation(
        topology, system, integrator, openmm.Platform.getPlatformByName("Reference")
    )
    simulation.context.setPositions(0.1 * salt_positions())
    return simulation
