"""A water for openmm-ml, and what a System says of it."""

import numpy as np
import openmm
import pytest
from openmm import app, unit

from openmm_pqeq import versions

ENERGY = 1e-6  # kJ/mol: the same module in double precision, charges solved to 1e-10 eV/e
FORCE = 1e-4  # kJ/mol/nm, the same
FIELD = (0.0, 0.01, -0.02)  # V/Å
openmmml = pytest.mark.skipif(
    versions.installed("openmmml") is None,
    reason="openmmml is not installed (it needs OpenMM 8.6.1)",
)


def water(cell=True):
    """Topology and positions (3, 3) nm of one water, with its bonds."""
    topology = app.Topology()
    residue = topology.addResidue("HOH", topology.addChain())
    oxygen, *hydrogens = (
        topology.addAtom(name, app.Element.getBySymbol(name[0]), residue)
        for name in ("O", "H1", "H2")
    )
    for hydrogen in hydrogens:
        topology.addBond(oxygen, hydrogen)
    if cell:
        topology.setUnitCellDimensions(openmm.Vec3(1.9, 1.9, 1.9) * unit.nanometer)
    return topology, np.array([[0.5, 0.5, 0.5], [0.5957, 0.5, 0.5], [0.476, 0.5927, 0.5]])


def evaluated(system, positions, groups=-1, parameters=()):
    """Energy (kJ/mol) and forces (n, 3) (kJ/mol/nm)."""
    context = openmm.Context(
        system, openmm.VerletIntegrator(0.001), openmm.Platform.getPlatformByName("Reference")
    )
    context.setPositions(positions)
    for name, value in parameters:
        context.setParameter(name, value)
    state = context.getState(energy=True, forces=True, groups=groups)
    forces = state.getForces(asNumpy=True).value_in_unit(unit.kilojoule_per_mole / unit.nanometer)
    return state.getPotentialEnergy().value_in_unit(unit.kilojoule_per_mole), np.array(forces)
