"""TorchForce without the native operators: the network keeps its radial weights in lists of tensors."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from through_openmm import torchforce

pytestmark = torchforce
STRUCTURE = Path(__file__).parents[2] / "examples" / "BaTiO3.cif"
ENERGY = """
import sys
import openmm
import openmm_pqeq as pq

topology, positions = pq.read_structure(sys.argv[1])
system = pq.create_system(sys.argv[2], topology)
platform = openmm.Platform.getPlatformByName("Reference")
context = openmm.Context(system, openmm.VerletIntegrator(0.001), platform)
context.setPositions(positions)
print(context.getState(energy=True).getPotentialEnergy()._value)
"""


def energy(model, native):
    """kJ/mol, in a process of its own."""
    run = subprocess.run(
        [sys.executable, "-c", ENERGY, STRUCTURE, model],
        env=os.environ | {"OPENMM_PQEQ_NATIVE": native},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert run.returncode == 0, run.stderr
    return float(run.stdout)


def test_a_force_without_the_operators():
    """The same energy, but for the tables of the radial networks (1e-7 eV)."""
    assert energy("batio3_bonds", "0") == pytest.approx(energy("batio3_bonds", ""), abs=1e-3)
