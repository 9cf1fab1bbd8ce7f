"""A run from beginning to end: build, minimise, equilibrate, produce, resume.

A restart file is written at its interval, at the end, and when the run is asked to stop (Ctrl-C or
SIGTERM); a minimisation that was stopped begins again. A resumed run cuts its files back to that
moment first; in NVE and NVT it is the unbroken run up to the tolerance of the charges, because warm
starts are not kept. In NPT it is another run
of the same ensemble, the same one each time: OpenMM keeps neither random numbers nor step lengths
of a barostat, which begins anew with a seed made from the run's and the step. Everything that may
be refused is looked at before the first file changes; what goes wrong after that is a RunFailure.
"""

import dataclasses
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import openmm
from openmm import app

from openmm_pqeq.jobs import facts, folder
from openmm_pqeq.jobs.progress import Progress, Watch, unwatched
from openmm_pqeq.jobs.stop import StopSignals
from openmm_pqeq.jobs.warned import heard
from openmm_pqeq.md import output
from openmm_pqeq.md.build import (
    Parts,
    build_simulation,
    check_start,
    committee_of,
    read_parts,
    seed_of,
    seeded_anew,
    with_seed,
)
from openmm_pqeq.md.minimize import minimize
from openmm_pqeq.md.plot import plot_run
from openmm_pqeq.md.restart import Restart, apply_restart, read_restart, restart_of, write_restart
from openmm_pqeq.md.resume import Origin, described, may_change
from openmm_pqeq.md.settings import RunConfig
from openmm_pqeq.md.table import restore_sums
from openmm_pqeq.md.velocities import begin_velocities
from openmm_pqeq.md.watch import StabilityWatch
from openmm_pqeq.md.words import beginning, failure
from openmm_pqeq.topology.facts import facts_of

SECONDS_BETWEEN_NEWS = 0.3
REMEMBERED_NEWS = 100
"""The speed is that of the time since so many news: TorchScript is slow at first."""


class Result(NamedTuple):
    """The outcome of a run.

    files : where everything is
    step, n_steps : done, and wanted
    interrupted : whether it was asked to stop
    ns_per_day : speed; 0 where nothing was left to do
    row : the latest row of the table
    """

    files: output.Files
    step: int
    n_steps: int
    interrupted: bool
    ns_per_day: float
    row: dict[str, float]


def run(
    config: RunConfig, overwrite: bool = False, resume: bool = False, watch: Watch | None = None
) -> Result:
    """Do the run that `config` describes.

    Parameters
    ----------
    config : from `run_config`, or from `resumed_config` where it continues
    overwrite : replace the files of an earlier run in the same folder
    resume : continue from the folder's restart file
    watch : called with news, a few times a second at most

    Raises
    ------
    ValueError, FileNotFoundError, FileExistsError
        before anything is written, naming the setting and what to do
    RuntimeError
        where the installed versions cannot carry the backend
    RunFailure
        if the simulation fails on the way; the latest restart file stays
    """
    config = with_seed(config)
    place = Path(config.output)
    with folder.owned(place, output.kind_of(config), overwrite, resume), heard() as warned:
        restart = read_restart(output.files_of(config).restart) if resume else None
        work = _Work(config, read_parts(config), watch or unwatched)
        if restart is not None:
            restart.origin.check(work.origin, may_change(config), place)
            with suppress(FileNotFoundError):  # of an older version
                facts.read_facts(place)
            output.check(work.reported, restart.step if restart.stage == "produce" else 0)
            restart = None if restart.stage == "minimise" else restart  # which begins again
        equilibrating = restart is None or restart.stage == "equilibrate"
        simulation = build_simulation(
            config if restart is None else seeded_anew(config, restart.stage, restart.step),
            work.parts,
            _equilibration_ensemble(config) if equilibrating else config.ensemble,
        )
        energy = check_start(simulation)
        if restart is not None:
            apply_restart(restart, simulation, work.files.restart)
        try:
            if restart is None:
                output.begin(config, work.parts.topology, work.parts.positions, work.origin.sha256)
            else:
                output.write_description(config, work.files)
                if not _was_finished(place, restart, config):
                    facts.add_resumption(place, "run", dataclasses.asdict(config))
            return _logged(work, simulation, energy, restart, warned)
        except (openmm.OpenMMException, OSError, ValueError, RuntimeError) as error:
            raise failure(config, work.files, work.step, error) from error


def _was_finished(place: Path, restart: Restart, config: RunConfig) -> bool:
    """Whether nothing is left to do, and the facts say so."""
    if restart.stage != "produce" or restart.step < config.n_steps:
        return False
    with suppress(FileNotFoundError):  # of an older version
        return "finished" in facts.read_facts(place)
    return False


def _logged(
    work: "_Work",
    simulation: app.Simulation,
    energy: float,
    restart: Restart | None,
    warned: list[str],
) -> Result:
    """Do the stages, with a log that begins with what has been warned of."""
    with open(work.files.log, "a", encoding="utf-8") as log, StopSignals() as work.stop:
        work.log = lambda text: print(
            time.strftime("%Y-%m-%d %H:%M:%S"), text, file=log, flush=True
        )
        work.log(beginning(work.config, simulation, energy, restart))
        for note in facts_of(work.parts.topology).notes:
            work.log(f"from the structure file: {note}")
        for warning in warned:
            work.log(f"warning: {warning}")
        if restart is not None and work.config.ensemble == "NPT":
            work.log("the barostat begins anew: its random numbers are those of seed and step")
        try:
            return _stages(work, simulation, restart)
        except Exception as error:
            with suppress(OSError):  # the disk may be full
                work.log(str(failure(work.config, work.files, work.step, error)))
            raise
        finally:
            work.close()


class _Work:
    """State that the stages of a run share."""

    def __init__(self, config: RunConfig, parts: Parts, watch: Watch):
        self.config, self.parts, self.watch = config, parts, watch
        self.origin = Origin(described(config), output.checksums(config))
        output.refuse_twins(config, self.origin.sha256)
        self.files = output.files_of(config)
        charges = parts.potential.pqeq is not None
        members = committee_of(config, parts)
        self.reported = output.reported(config, self.files, parts.topology, charges, members)
        self.stop = StopSignals()
        self.log: Callable[[str], None] = print
        self.stability = StabilityWatch(config, parts.topology, lambda text: self.log(text))
        self.reporters: output.Reporters | None = None
        self.ns_per_day = 0.0
        self.step = 0

    @property
    def row(self) -> dict[str, float]:
        return self.reporters.table.latest if self.reporters is not None else {}

    def save(self, simulation: app.Simulation, stage: str) -> None:
        """Write the restart file of this moment."""
        sums = {}
        if self.reporters is not None:
            self.reporters.sync()
            sums = self.reporters.table.sums(simulation)
        write_restart(restart_of(simulation, stage, sums, self.origin), self.files.restart)

    def close(self) -> None:
        """Close the files, as far as a failing disk lets them be closed."""
        if self.reporters is not None:
            with suppress(OSError, RuntimeError):
                self.reporters.close()


def _stages(work: _Work, simulation: app.Simulation, restart: Restart | None) -> Result:
    """Minimise, equilibrate and produce, as far as a restart has not done so already."""
    config = work.config
    if restart is None:
        if config.minimize and not _minimized(work, simulation):
            return _result(work, simulation, interrupted=True)
        work.log(begin_velocities(simulation, config, seed_of(config) + 2))
    if restart is None or restart.stage == "equilibrate":
        if not _advance(work, simulation, "equilibrate", config.equilibration_steps):
            return _result(work, simulation, interrupted=True)
        simulation = _production(work, simulation)
    step = simulation.currentStep
    output.cut_back(work.reported, step)
    work.reporters = output.reporters_of(config, work.reported)
    if restart is not None and restart.stage == "produce":
        work.reporters.table.polarization = restore_sums(simulation, restart.sums)
    simulation.reporters.extend(work.reporters.all)
    finished = _advance(work, simulation, "produce", config.n_steps)
    work.reporters.close()
    work.step = simulation.currentStep
    return _result(work, simulation, interrupted=not finished)


def _advance(work: _Work, simulation: app.Simulation, stage: str, n_steps: int) -> bool:
    """Step to the end of a stage; False where the run was asked to stop before."""
    interval, chunk = work.config.restart_interval, 1
    news = deque([(time.perf_counter(), simulation.currentStep)], maxlen=REMEMBERED_NEWS)
    if simulation.currentStep == 0:
        work.save(simulation, stage)
    work.stability.look(simulation, work.row)
    while simulation.currentStep < n_steps and not work.stop.requested:
        step = simulation.currentStep
        n = min(chunk, n_steps - step, interval - step % interval)
        before = time.perf_counter()
        try:
            simulation.step(n)
        finally:
            work.step = simulation.currentStep
        work.stability.look(simulation, work.row)
        now = time.perf_counter()
        chunk = max(1, min(2 * chunk, int(n * SECONDS_BETWEEN_NEWS / max(now - before, 1e-9))))
        news.append((now, simulation.currentStep))
        seconds_per_step = (now - news[0][0]) / (simulation.currentStep - news[0][1])
        work.ns_per_day = work.config.timestep * 1e-6 * 86400 / seconds_per_step
        if simulation.currentStep % interval == 0:
            work.save(simulation, stage)
        remaining = (n_steps - simulation.currentStep) * seconds_per_step
        work.watch(
            Progress(stage, simulation.currentStep, n_steps, remaining, work.ns_per_day, work.row)
        )
    if work.stop.requested or stage == "produce":
        work.save(simulation, stage)
    return simulation.currentStep >= n_steps


def _minimized(work: _Work, simulation: app.Simulation) -> bool:
    """Minimise; False where the run was asked to stop before."""
    work.save(simulation, "minimise")
    found = minimize(simulation, work.config.minimize_steps, work.stop, work.watch)
    if found is not None:
        work.log(str(found))
    return found is not None


def _production(work: _Work, simulation: app.Simulation) -> app.Simulation:
    """The Simulation of the production stage at the state where equilibration ended, its clock at
    zero."""
    if _equilibration_ensemble(work.config) != work.config.ensemble:
        state = simulation.context.getState(positions=True, velocities=True)
        simulation = build_simulation(work.config, work.parts, work.config.ensemble)
        if simulation.system.usesPeriodicBoundaryConditions():
            simulation.context.setPeriodicBoxVectors(*state.getPeriodicBoxVectors())
        simulation.context.setPositions(state.getPositions())
        simulation.context.setVelocities(state.getVelocities())
    simulation.context.setTime(0.0)
    simulation.context.setStepCount(0)
    simulation.currentStep = 0
    return simulation


def _equilibration_ensemble(config: RunConfig) -> str:
    return "NVT" if config.ensemble == "NVE" and config.equilibration_steps > 0 else config.ensemble


def _result(work: _Work, simulation: app.Simulation, interrupted: bool) -> Result:
    files = work.files
    if files.table.is_file() and len(files.table.read_text(encoding="utf-8").splitlines()) > 2:
        plot_run(work.config, files.table, files.plot, work.parts.topology)
    place, speed = Path(work.config.output), work.ns_per_day
    if not interrupted and (speed or "finished" not in facts.read_facts(place)):
        facts.add_end(place, step=simulation.currentStep, ns_per_day=speed)
    how = "stopped on request" if interrupted else "finished" if speed else "was finished before"
    fast = f", {speed:.4g} ns/day" if speed else ""
    work.log(f"{how} at step {simulation.currentStep} of {work.config.n_steps}{fast}")
    return Result(
        files, simulation.currentStep, work.config.n_steps, interrupted, work.ns_per_day, work.row
    )
