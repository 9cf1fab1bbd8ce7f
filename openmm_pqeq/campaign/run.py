"""A campaign: every run of a study that is not finished yet goes to a worker, until none is left.

Nothing is kept in memory that a folder does not have, so a campaign that was killed goes on where its
runs are: finished ones are left alone, others resumed. A run that fails is named, and the others go
on.

    campaign/study.toml        the study as it was last
    campaign/facts.json        what was done, with which versions
    campaign/runs/NAME/        ordinary folders of openmm-pqeq run
    campaign/results.parquet   settings and averages, a row a run
    campaign/results.png       averages against a setting
"""

import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

from openmm_pqeq.campaign import results, worker
from openmm_pqeq.campaign.cluster import DEVICE, Workers, import_dask, workers_of
from openmm_pqeq.campaign.record import State, describe, forget_failure, set_failed, state_of
from openmm_pqeq.campaign.study import RUNS, PlannedRun, Study
from openmm_pqeq.jobs import facts, folder
from openmm_pqeq.jobs.failure import RunFailure
from openmm_pqeq.jobs.files import write_text
from openmm_pqeq.jobs.stop import StopSignals

COPY = "study.toml"
KIND = folder.Kind("campaign", (COPY, *results.FILES), resumes_from=COPY)
BETWEEN_LOOKS = 0.5
BETWEEN_REVIVALS = 60.0
STOP_WITHIN = 120.0
"""Seconds; runs that are asked to stop do so after their present step."""


class News(NamedTuple):
    """News of a campaign.

    states : of all runs by name
    running : the latest news of those that run, by name
    link : of the dashboard
    """

    states: dict[str, State]
    running: dict[str, dict[str, Any]]
    link: str


Watch = Callable[[News], None]


class Result(NamedTuple):
    """The outcome of a campaign.

    states : of all runs, by name
    interrupted : whether it was asked to stop
    files : results that were written
    """

    states: dict[str, State]
    interrupted: bool
    files: list[Path]


def states_of(study: Study) -> dict[str, State]:
    """The states of a study's runs, by name."""
    return {run.name: state_of(run.folder, run.config.n_steps) for run in study.runs}


def others_in(study: Study) -> list[str]:
    """Runs in the campaign's folder that the study, as it is now, does not have."""
    place = study.folder / RUNS
    found = [path.name for path in place.iterdir() if path.is_dir()] if place.is_dir() else []
    return sorted(set(found) - {run.name for run in study.runs})


def campaign(study: Study, watch: Watch, retry: bool = False) -> Result:
    """Do the runs of a study that are not finished.

    Parameters
    ----------
    study : from `read_study`
    watch : called with news, twice a second at most
    retry : also do those again that failed

    Raises
    ------
    ImportError
        without Dask
    FileExistsError
        where another process works on the same campaign, or its folder is something else's
    RunFailure
        where the scheduler is lost on the way
    """
    import_dask()
    with folder.owned(study.folder, KIND, resume=(study.folder / COPY).is_file()):
        _note(study)
        states = states_of(study)
        if retry:
            states = {name: _again(study, name, state) for name, state in states.items()}
        todo = [run for run in study.runs if states[run.name].name in ("new", "begun")]
        for run in todo:
            describe(run.config)
        interrupted = False
        if todo:
            with StopSignals() as stop, _lost(study):
                with workers_of(study.settings.where, len(todo)) as workers:
                    _Course(study, states, watch).follow(todo, workers, stop)
                interrupted = stop.requested
        files = results.write_results(study, states)
        return Result(states, interrupted, files)


def _note(study: Study) -> None:
    """Facts and a copy of the study."""
    text = study.file.read_text(encoding="utf-8")
    described = {
        "study": str(study.file.absolute()),
        "skip": study.settings.skip,
        "runs": [run.name for run in study.runs],
    }
    if (study.folder / COPY).is_file():
        facts.add_resumption(study.folder, KIND.name, described)
    else:
        facts.write_facts(study.folder, KIND.name, facts.facts_of(described))
    write_text(study.folder / COPY, text)


def _again(study: Study, name: str, state: State) -> State:
    if state.name != "failed":
        return state
    run = next(run for run in study.runs if run.name == name)
    forget_failure(run.folder)
    return state_of(run.folder, run.config.n_steps)


@contextmanager
def _lost(study: Study) -> Iterator[None]:
    """What Dask says where its scheduler is gone, for people."""
    try:
        yield
    except OSError as error:
        raise RunFailure(
            f"the scheduler cannot be reached ({error or type(error).__name__}). What has been done "
            f"is in {study.folder}; it goes on with: openmm-pqeq campaign {study.file}"
        ) from error


class _Course:
    """A campaign under way."""

    def __init__(self, study: Study, states: dict[str, State], watch: Watch):
        self.study, self.states, self.watch = study, states, watch
        self.name = uuid.uuid4().hex
        self.running: dict[str, dict[str, Any]] = {}
        self.open: set[str] = set()

    def follow(self, todo: list[PlannedRun], workers: Workers, stop: StopSignals) -> None:
        """Give all to the workers, and look until they are done or asked to stop."""
        client = workers.client
        runs = {run.name: run for run in todo}
        self.open = set(runs)
        client.subscribe_topic(worker.TOPIC, self._hear)
        futures = {
            run.name: client.submit(
                worker.carry_out,
                worker.Task(self.name, run.name, str(run.folder), workers.threads, workers.devices),
                key=f"{run.name}-{self.name}",
                pure=False,
                resources=DEVICE,
            )
            for run in todo
        }
        revived = time.monotonic()
        asked = 0.0
        while futures:
            for name in [name for name, future in futures.items() if future.done()]:
                self._end(runs[name], futures.pop(name))
            self.watch(News(self.states, dict(self.running), workers.link))
            if stop.requested and not asked:
                asked = time.monotonic()
                client.run(worker.stop, self.name)
            if asked and time.monotonic() - asked > STOP_WITHIN:
                return
            if time.monotonic() - revived > BETWEEN_REVIVALS and not asked:
                workers.revive()
                revived = time.monotonic()
            time.sleep(BETWEEN_LOOKS)

    def _hear(self, event: tuple[float, dict[str, Any]]) -> None:
        """News of a worker."""
        _, news = event
        if news.get("campaign") == self.name and news["run"] in self.open:
            self.running[news["run"]] = news

    def _end(self, run: PlannedRun, future: Any) -> None:
        """A run has come to an end, whichever; OSError where the scheduler has forgotten it."""
        if future.status in ("cancelled", "lost"):
            raise OSError("it has forgotten its runs")
        self.open.discard(run.name)
        self.running.pop(run.name, None)
        if future.status == "error":
            with suppress(OSError):
                set_failed(run.folder, f"its workers failed: {future.exception()}")
        self.states[run.name] = state_of(run.folder, run.config.n_steps)
