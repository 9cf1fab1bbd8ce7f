"""Where the time of a step of molecular dynamics goes: the parts of the potential, what is around
them, and OpenMM.

    step = Σ parts + rest + OpenMM,   OpenMM = step − (the module that the force holds, evaluated by itself),
                                      rest   = that module − Σ parts: units, checks, sums over terms

A real simulation goes on step by step. At the positions of each step the module of its force is
evaluated by itself and then part by part (parts.py), so that all of them meet the same structures
in the same order. Reported are medians over steps, of the time by the clock and of the processors';
OpenMM's part is the median of the difference, step by step. Seconds.
"""

import statistics
from collections.abc import Sequence
from typing import NamedTuple

import torch
from openmm import app, unit
from torch import Tensor

from openmm_pqeq.force.compiled import compiled
from openmm_pqeq.force.module import FIELD_PARAMETERS, PotentialEnergy
from openmm_pqeq.potential import Potential
from openmm_pqeq.timing.parts import Cost, PartTime, PartTimer, timed

REST, OPENMM = "units, checks, sums", "OpenMM"
WARMUP = 8
"""Steps before the first that counts: TorchScript optimizes during them, and charges begin from
nothing."""
REFERENCE_STEPS = 3
"""Steps at which the potential as trained is evaluated, and as many before them."""


class StepProfile(NamedTuple):
    """Medians over steps.

    n_atoms, n_steps : of the potential, counted
    parts : of the potential, in the order of evaluation
    rest : of the force's module besides them
    openmm : integrator, and the way into the module and out of it
    step : all of it
    products : Hessian–vector products of a charge solution
    searching : neighbours, with the searches themselves: the mean over steps. Most steps use lists
        that still hold, so that the median is one without a search
    searches : during the steps counted
    reference : the potential as trained, energy and forces; None if it was not asked for
    """

    n_atoms: int
    n_steps: int
    parts: list[PartTime]
    rest: Cost
    openmm: Cost
    step: Cost
    products: float
    searching: Cost
    searches: int
    reference: Cost | None

    @property
    def neighbors_and_openmm(self) -> float:
        """Part of a step's processor time that OpenMM and the neighbours take, searches included;
        OpenMM at least zero."""
        without = sum(part.processor for part in self.parts if part.is_search)
        step = self.step.processor + self.searching.processor - without
        return (self.searching.processor + max(self.openmm.processor, 0.0)) / step

    @property
    def speedup(self) -> float | None:
        """How often a step goes into one evaluation of the potential as trained, by processor
        time."""
        return None if self.reference is None else self.reference.processor / self.step.processor

    @property
    def rows(self) -> list[PartTime]:
        """Parts, rest and OpenMM: what adds up to the step."""
        nothing = Cost(0.0, 0.0)
        return [
            *self.parts,
            PartTime(REST, self.rest, nothing),
            PartTime(OPENMM, self.openmm, nothing),
        ]

    def ns_per_day(self, timestep: float = 0.5) -> float:
        """Speed by the clock at a time step in fs."""
        return timestep * 1e-6 * 86400.0 / self.step.wall


def step_profile(
    simulation: app.Simulation,
    energy: PotentialEnergy,
    n_steps: int = 20,
    reference: PotentialEnergy | None = None,
) -> StepProfile:
    """Measure steps of a simulation, which goes on by `n_steps` and a few more before them.

    Parameters
    ----------
    simulation : with positions and velocities
    energy : what its force computes, from `force.create_energy` with the same arguments
    n_steps : to count
    reference : the same with `compiled=False`, to be compared
    """
    platform = simulation.context.getPlatform().getName()
    device = torch.device("cuda" if platform == "CUDA" and torch.cuda.is_available() else "cpu")
    module = compiled(energy).to(device)
    slow = None if reference is None else compiled(reference).to(device)
    energy = energy.to(device)
    if not isinstance(energy.potential, Potential):
        raise TypeError(
            "energy: expected one that create_energy made, got one of a "
            f"{type(energy.potential).__name__}"
        )
    timer = PartTimer(energy.potential)
    steps: list[tuple[Cost, Cost, list[PartTime], int]] = []
    references: list[Cost] = []
    searches = 0
    for index in range(WARMUP + n_steps):
        inputs = _inputs(simulation, device)
        _, whole = timed(simulation.integrator.step, 1)
        _, alone = timed(_energy_and_forces, module, energy.is_periodic, *inputs)
        with torch.no_grad():
            structure = energy.structure(*inputs, energy.only_energy)
        before = int(timer.search.searches)
        found = timer.measure(structure)
        if index >= WARMUP:
            steps.append((whole, alone, found.parts, found.products))
            searches += int(timer.search.searches) - before
        if slow is not None and index >= WARMUP + n_steps - 2 * REFERENCE_STEPS:
            references.append(timed(_energy_and_forces, slow, energy.is_periodic, *inputs)[1])
    return _summary(energy, steps, searches, references[-REFERENCE_STEPS:])


def _inputs(simulation: app.Simulation, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """Positions and box (nm) and field (V/Å) of this moment, as TorchForce hands them over."""
    state = simulation.context.getState(positions=True, parameters=True)
    parameters = state.getParameters()
    arrays = (
        state.getPositions(asNumpy=True).value_in_unit(unit.nanometer),
        state.getPeriodicBoxVectors(asNumpy=True).value_in_unit(unit.nanometer),
        [parameters[name] for name in FIELD_PARAMETERS],
    )
    positions, box, field = (
        torch.tensor(array, dtype=torch.float64, device=device) for array in arrays
    )
    return positions, box, field


def _energy_and_forces(
    module: torch.jit.ScriptModule, periodic: bool, positions: Tensor, box: Tensor, field: Tensor
) -> Tensor:
    """Evaluate the module as a force of OpenMM does."""
    leaf = positions.clone().requires_grad_(True)
    energy = module(leaf, *([box] if periodic else []), *field)
    return torch.autograd.grad(energy, leaf)[0]


def _summary(
    energy: PotentialEnergy,
    steps: Sequence[tuple[Cost, Cost, list[PartTime], int]],
    searches: int,
    references: Sequence[Cost],
) -> StepProfile:
    whole = _median([step[0] for step in steps])
    openmm = _median([_difference(step[0], step[1]) for step in steps])
    parts = []
    for index, part in enumerate(steps[0][2]):
        costs = [step[2][index] for step in steps]
        parts.append(
            PartTime(
                part.name, _median([c.energy for c in costs]), _median([c.forces for c in costs])
            )
        )
    rest = _difference(whole, openmm)
    for part in parts:
        rest = _difference(_difference(rest, part.energy), part.forces)
    products = statistics.median([step[3] for step in steps])
    n_atoms = int(energy.numbers.size(0))
    reference = _median(references) if references else None
    searching = [
        cost
        for step in steps
        for part in step[2]
        if part.is_search
        for cost in (part.energy, part.forces)
    ]
    total = Cost(
        sum(cost.wall for cost in searching) / len(steps),
        sum(cost.processor for cost in searching) / len(steps),
    )
    return StepProfile(
        n_atoms, len(steps), parts, rest, openmm, whole, products, total, searches, reference
    )


def _median(costs: Sequence[Cost]) -> Cost:
    """Medians, of each time by itself."""
    return Cost(
        statistics.median(c.wall for c in costs), statistics.median(c.processor for c in costs)
    )


def _difference(one: Cost, other: Cost) -> Cost:
    """One cost less another."""
    return Cost(one.wall - other.wall, one.processor - other.processor)
