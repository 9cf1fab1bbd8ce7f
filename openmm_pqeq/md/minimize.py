"""The nearest minimum of the energy, in parts between which a run can be stopped.

A MinimizationReporter could stop OpenMM's minimiser at any step, but OpenMM holds the interpreter's
lock for one, and torch takes no gradient then.
"""

import math
from typing import NamedTuple

import openmm
from openmm import app

from openmm_pqeq.force.python_force import last_line
from openmm_pqeq.jobs.progress import Progress, Watch
from openmm_pqeq.jobs.stop import StopSignals
from openmm_pqeq.md.build import check_start

MINIMISED_AT_ONCE = 100
"""Steps of a part: each finds the curvature anew, from a first trial step of 1 nm."""
CONVERGED = 1e-6
"""eV an atom: a minimisation whose last part has lowered the energy by less is at its end."""


class Minimum(NamedTuple):
    """Where a minimisation ended.

    energy : eV
    steps : at most so many were taken
    converged : False where it ended because no more were allowed
    """

    energy: float
    steps: int
    converged: bool

    def __str__(self) -> str:
        words = f"minimised to {self.energy:.6f} eV in {self.steps} steps or fewer"
        if self.converged:
            return words
        return f"{words}, the most that minimize_steps allows: it may not be at its minimum"


def minimize(
    simulation: app.Simulation, most: int, stop: StopSignals, watch: Watch
) -> Minimum | None:
    """Minimise in `most` steps at most; None where it was asked to stop before.

    Raises
    ------
    ValueError
        where the potential has no energy where a part ends
    RuntimeError
        where it has none on the way there
    """
    steps, enough = 0, CONVERGED * simulation.topology.getNumAtoms()
    energy, lowered = check_start(simulation), math.inf
    watch(Progress("minimise", 0, most))
    while steps < most and lowered > enough:
        if stop.requested:
            return None
        part = min(MINIMISED_AT_ONCE, most - steps)
        _lower(simulation, part)
        steps += part
        before, energy = energy, check_start(simulation)
        lowered = before - energy
        watch(Progress("minimise", steps, most))
    return Minimum(energy, steps, lowered <= enough)


def _lower(simulation: app.Simulation, steps: int) -> None:
    """One part."""
    try:
        simulation.minimizeEnergy(maxIterations=steps)
    except openmm.OpenMMException as error:
        raise RuntimeError(
            "minimize: the first trial step of OpenMM's minimiser moves the atoms by 1 nm, shared "
            "among them, and where that, or a later one, led the potential has no energy: "
            f"{last_line(error)}. Relax the structure before (openmm-pqeq relax), or take a larger "
            "cell"
        ) from None
