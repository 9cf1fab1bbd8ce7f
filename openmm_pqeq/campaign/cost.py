"""What the runs of a study will take, on the machine that is asked.

Where runs of a model have been done already, their speed; else a few steps of the smallest structure
of each kind. Times go with the number of atoms, as they do for all but the smallest systems.
"""

import time
from collections.abc import Iterator
from typing import NamedTuple

from openmm import unit

from openmm_pqeq.campaign.study import PlannedRun, Study
from openmm_pqeq.jobs.facts import read_facts
from openmm_pqeq.md.build import build_simulation, check_start, read_parts, seed_of
from openmm_pqeq.md.settings import RunConfig
from openmm_pqeq.topology.read import read_structure

WARMING, MEASURED = 6, 4
"""Steps; TorchScript optimises during the first."""
PER_DAY = 86400e-6
"""fs a step and seconds to ns a day: 1e-6 ns a fs, 86,400 s a day."""


class Cost(NamedTuple):
    """Of a run.

    n_atoms : of its structure
    seconds : of the whole run, by the clock
    measured : whether from runs of this campaign, or from a few steps here
    """

    n_atoms: int
    seconds: float
    from_runs: bool


def costs_of(study: Study) -> Iterator[tuple[PlannedRun, Cost]]:
    """The cost of every run, kind by kind."""
    kinds: dict[tuple[object, ...], list[PlannedRun]] = {}
    for run in study.runs:
        kinds.setdefault(_kind(run.config), []).append(run)
    sizes = {run.name: n for run, n in _sizes(study)}
    for runs in kinds.values():
        known = [speed for run in runs if (speed := _done(run, sizes[run.name])) is not None]
        if known:
            per_atom = sum(known) / len(known)
        else:
            smallest = min(runs, key=lambda run: sizes[run.name])
            per_atom = seconds_per_step(smallest.config) / sizes[smallest.name]
        for run in runs:
            steps = run.config.n_steps + run.config.equilibration_steps
            seconds = per_atom * sizes[run.name] * steps
            yield run, Cost(sizes[run.name], seconds, bool(known))


def _kind(config: RunConfig) -> tuple[object, ...]:
    """Runs whose steps cost the same for an atom."""
    return (
        *(config.model, config.protocol, config.precision, config.backend, config.platform),
        *(config.coupling, config.periodic, config.ensemble == "NPT", config.field_changes),
        *(config.inner_model, config.inner_model and config.inner_steps),
    )


def _sizes(study: Study) -> Iterator[tuple[PlannedRun, int]]:
    known: dict[tuple[object, ...], int] = {}
    for run in study.runs:
        what = (run.config.structure, run.config.supercell)
        if what not in known:
            known[what] = read_structure(*what[:1], supercell=run.config.supercell)[0].getNumAtoms()
        yield run, known[what]


def _done(run: PlannedRun, n_atoms: int) -> float | None:
    """Seconds for a step and an atom of a run that is finished."""
    try:
        speed = read_facts(run.folder)["finished"]["ns_per_day"]
    except (FileNotFoundError, ValueError, KeyError):
        return None
    return run.config.timestep * PER_DAY / speed / n_atoms if speed > 0 else None


def seconds_per_step(config: RunConfig) -> float:
    """Of a run as it would be done here, by the clock; ValueError where it cannot be."""
    simulation = build_simulation(config, read_parts(config), config.ensemble)
    check_start(simulation)
    temperature = config.temperature * unit.kelvin
    simulation.context.setVelocitiesToTemperature(temperature, seed_of(config) + 2)
    simulation.step(WARMING)
    start = time.perf_counter()
    simulation.step(MEASURED)
    simulation.context.getState(energy=True)
    return (time.perf_counter() - start) / MEASURED
