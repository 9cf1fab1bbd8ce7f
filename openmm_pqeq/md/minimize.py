"""The nearest minimum of the energy, by moves of 0.1 Å at most.

OpenMM's own minimiser begins with a trial step of 1 nm, shared among the atoms. A learned potential
has holes at distances that it has never seen, and none at all where two atoms are at one place: that
step ends there. ASE's limited-memory BFGS (Liu and Nocedal, Math. Program. 45, 503 (1989),
doi:10.1007/BF01589116) takes short ones, and a run can be stopped between them.
"""

from typing import NamedTuple

import ase
import numpy as np
from ase.calculators.calculator import Calculator, all_changes
from ase.constraints import FixAtoms
from openmm import app, unit

from openmm_pqeq import relaxation
from openmm_pqeq.jobs.progress import Progress, Watch
from openmm_pqeq.jobs.stop import StopSignals
from openmm_pqeq.md.build import energy_and_forces
from openmm_pqeq.units import ANGSTROM_PER_NM

LARGEST_FORCE = 0.05
"""eV/Å, at which a minimisation ends."""


class Minimum(NamedTuple):
    """Where a minimisation ended.

    energy : eV
    steps : so many were taken
    largest_force : eV/Å
    """

    energy: float
    steps: int
    largest_force: float

    def __str__(self) -> str:
        words = f"minimised to {self.energy:.6f} eV in {self.steps} steps"
        if self.largest_force < LARGEST_FORCE:
            return words
        return (
            f"{words}, the most that minimize_steps allows: a force of {self.largest_force:.2f} eV/Å "
            "is left"
        )


def minimize(
    simulation: app.Simulation, most: int, stop: StopSignals, watch: Watch
) -> Minimum | None:
    """Minimise in `most` steps at most; None where it was asked to stop before.

    Raises ValueError where the potential has no energy, or none that is finite.
    """
    steps = relaxation.relax(_atoms_of(simulation), "fixed", LARGEST_FORCE, most, optimizer="lbfgs")
    for last in steps:
        watch(Progress("minimise", last.step, most))
        if stop.requested and last.step < most:
            return None
    return Minimum(last.energy, last.step, last.largest_force)


def _atoms_of(simulation: app.Simulation) -> ase.Atoms:
    """The atoms of a Simulation, whose energy is that of its Context; those without a mass are fixed."""
    state = simulation.context.getState(positions=True)
    positions = ANGSTROM_PER_NM * state.getPositions(asNumpy=True).value_in_unit(unit.nanometer)
    atoms = ase.Atoms(positions=positions, numbers=np.ones(len(positions)))
    masses = [simulation.system.getParticleMass(i)._value for i in range(len(positions))]
    atoms.set_constraint(FixAtoms(np.flatnonzero(np.array(masses) == 0)))
    atoms.calc = _Context(simulation)
    return atoms


class _Context(Calculator):
    """Energy and forces of a Simulation, for ASE."""

    implemented_properties = ["energy", "forces"]  # noqa: RUF012  # as ASE has it

    def __init__(self, simulation: app.Simulation):
        super().__init__()
        self.simulation = simulation

    def calculate(
        self,
        atoms: ase.Atoms | None = None,
        properties: list[str] | None = None,
        system_changes: list[str] = all_changes,
    ) -> None:
        """Of positions alone, Å; eV, eV/Å."""
        super().calculate(atoms, properties, system_changes)
        self.simulation.context.setPositions(self.atoms.positions / ANGSTROM_PER_NM)
        where = "a step of the minimisation"
        energy, forces = energy_and_forces(self.simulation, where)
        self.results = {"energy": energy, "forces": forces}
