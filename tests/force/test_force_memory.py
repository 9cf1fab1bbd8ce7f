"""What Contexts and steps leave in memory."""

import gc
import sys
from pathlib import Path

import openmm
import pytest
from through_openmm import torchforce

import openmm_pqeq as pq

pytestmark = [
    torchforce,
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc"),
]
STRUCTURE = Path(__file__).parents[2] / "examples" / "BaTiO3.cif"


def megabytes():
    """Of this process, resident."""
    gc.collect()
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) / 1024


def context_of(system, positions):
    integrator = openmm.LangevinMiddleIntegrator(300, 1, 0.0005)
    integrator.setRandomNumberSeed(1)
    platform = openmm.Platform.getPlatformByName("Reference")
    context = openmm.Context(system, integrator, platform)
    context.setPositions(positions)
    return context, integrator


def test_twenty_contexts_and_five_hundred_steps():
    """20 MB a Context (25 with the tables in its code, 80 with code for every shape), and nothing a
    step."""
    topology, positions = pq.read_structure(STRUCTURE)
    system = pq.create_system("batio3", topology)
    first = context_of(system, positions)  # a Context goes with its last reference
    first[1].step(3)
    before = megabytes()
    for _ in range(20):
        made = context_of(system, positions)
        made[1].step(3)
    assert megabytes() - before < 20 * 22.5
    made[1].step(50)
    before = megabytes()
    made[1].step(500)
    assert megabytes() - before < 5
