"""A potential, by itself and through openmm-ml, and a force field's box of water."""

import openmm
import pytest
from openmm import app, unit

from openmm_pqeq.mlpotential import PQEqPotentialFactory
from openmm_pqeq.potential import build


@pytest.fixture(scope="module")
def potential():
    return build({"pqeq": {"protocol": "ewald", "parameters": "pqeq1", "tolerance": 1e-10}})


@pytest.fixture(scope="module")
def ml_potential(potential):
    """MLPotential("openmm-pqeq", ...), with options."""
    from openmmml import MLPotential

    if (
        "openmm-pqeq" not in MLPotential._implFactories
    ):  # the package is on the path and not installed
        MLPotential.registerImplFactory("openmm-pqeq", PQEqPotentialFactory())
    return lambda **options: MLPotential("openmm-pqeq", **{"modelPath": potential, **options})


@pytest.fixture(scope="module")
def water_box():
    """Topology, positions and Amber System of waters in a box of 1.9 nm."""
    forcefield = app.ForceField("amber14/tip3pfb.xml")
    modeller = app.Modeller(app.Topology(), [] * unit.nanometer)
    modeller.addSolvent(forcefield, boxSize=openmm.Vec3(1.9, 1.9, 1.9) * unit.nanometer)
    system = forcefield.createSystem(
        modeller.topology, nonbondedMethod=app.PME, nonbondedCutoff=0.8 * unit.nanometer
    )
    return modeller.topology, modeller.positions, system
