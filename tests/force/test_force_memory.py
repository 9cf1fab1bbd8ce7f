"""What Contexts and steps leave in memory."""

import gc
import subprocess
import sys
from pathlib import Path

import openmm
import pytest
import torch
from through_openmm import torchforce

import openmm_pqeq as pq
from openmm_pqeq.force.compiled import compiled, tensors_of
from openmm_pqeq.force.create import create_energy
from openmm_pqeq.force.holder import holder_of

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


def grown():
    """Megabytes that 50 Contexts leave behind, and 500 steps."""
    topology, positions = pq.read_structure(STRUCTURE)
    system = pq.create_system("batio3", topology)
    for _ in range(5):  # a Context goes with its last reference
        made = context_of(system, positions)
        made[1].step(3)
    before = megabytes()
    for _ in range(50):
        made = context_of(system, positions)
        made[1].step(3)
    of_contexts = megabytes() - before
    made[1].step(50)
    before = megabytes()
    made[1].step(500)
    return of_contexts, megabytes() - before


def test_fifty_contexts_and_five_hundred_steps():
    """Nothing a Context (0.1 MB; 20 where each had functions of its own), and nothing a step; in a process
    that has no memory of other tests to use up and to give back."""
    code = (
        f"import sys; sys.path[:0] = {sys.path!r}; import test_force_memory as t; print(*t.grown())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    of_contexts, of_steps = map(float, done.stdout.split()[-2:])
    assert of_contexts < 50 * 0.5
    assert of_steps < 5


def test_what_is_held_moves_with_the_positions():
    """A module in a list does not follow the module that holds it. Reporters move what they share with
    it, so that it is asked at each call where it is."""
    topology, _ = pq.read_structure(STRUCTURE)
    energy = create_energy("batio3", topology)
    functions = compiled(energy)
    holder = holder_of(functions)
    functions.move_to(torch.device("meta"))
    assert {tensor.device.type for _, tensor in tensors_of(functions)} == {"meta"}
    field = torch.zeros(3, dtype=torch.float64)
    with pytest.raises(RuntimeError, match="out of meta tensor"):
        holder(torch.zeros(5, 3, dtype=torch.float64), torch.eye(3).double(), *field)
