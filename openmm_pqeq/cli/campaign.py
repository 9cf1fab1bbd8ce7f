"""`openmm-pqeq campaign`: all runs of a study file, many at a time, here or on a cluster."""

import argparse
import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

from openmm_pqeq.jobs.settings import add_flags, configured, flags_given
from openmm_pqeq.jobs.times import clock

if TYPE_CHECKING:
    from openmm_pqeq.campaign.record import State
    from openmm_pqeq.campaign.run import News
    from openmm_pqeq.campaign.study import Study

HELP = "Run all combinations of structures, models, temperatures, fields, seeds: many at a time, here or on a cluster."

EPILOG = """examples:
  openmm-pqeq campaign study.toml --dry-run         the runs, and what they will take
  openmm-pqeq campaign study.toml                   do them, or go on with them
  openmm-pqeq campaign study.toml --workers 4
  openmm-pqeq campaign study.toml --cluster slurm --workers 20 --queue gpu --walltime 12:00:00 --directives "--gres=gpu:1"
  openmm-pqeq campaign study.toml --scheduler tcp://node1:8786
  openmm-pqeq campaign study.toml --retry           those that failed once more

study.toml:
  [run]                             # settings of openmm-pqeq run, of every run
  model = "batio3"
  time = "10ps"
  [vary]                            # all combinations
  structure = ["crystals/*.cif"]
  temperature = [200, 250, 300]
  field = [[0, 0, 0], [0, 0, 0.01]]
  seed = [1, 2]

Each run is an ordinary folder of openmm-pqeq run in study/runs/. The same command goes on after Ctrl-C, a kill or a crash:
finished runs are left alone, others are resumed. An edited study adds its new runs. study/results.parquet has settings and
averages, study/results.png shows them; openmm-pqeq report study makes a page of it. Needs the extra: pip install
openmm-pqeq[campaign]."""

MOST_SHOWN = 8
"""Runs under way, in the progress."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The study, and where its runs go."""
    from openmm_pqeq.campaign.settings import Where

    parser.add_argument("study", metavar="STUDY.toml", help="what to run")
    parser.add_argument(
        "--dry-run", action="store_true", help="list the runs and their cost; nothing is written"
    )
    parser.add_argument(
        "--retry", action="store_true", help="do those that failed once more, from where they were"
    )
    add_flags(parser, Where)


def command(options: argparse.Namespace) -> int:
    """Run what is not finished, and say what came of it."""
    from rich.console import Console

    from openmm_pqeq.campaign.run import campaign, others_in
    from openmm_pqeq.campaign.study import read_study

    study = _with_flags(read_study(Path(options.study)), options)
    console = Console(highlight=False, markup=False)
    if options.dry_run:
        return _dry_run(console, study)
    if others := others_in(study):
        console.print(
            f"{study.folder} has {_runs(len(others))} that {study.file.name} does not describe any "
            "more; they stay, and are not in its results",
            soft_wrap=True,
        )
    with _Progress(console, study) as progress:
        result = campaign(study, progress.show, options.retry)
    return _summary(console, study, result)


def _with_flags(study: "Study", options: argparse.Namespace) -> "Study":
    """The study with what the command line says of where to run."""
    from openmm_pqeq.campaign.settings import Where

    given = flags_given(Where, options)
    described = {
        one.name: getattr(study.settings.where, one.name) for one in dataclasses.fields(Where)
    }
    where = configured(Where, described | given, "where.")
    return study._replace(settings=dataclasses.replace(study.settings, where=where))


def _runs(number: int) -> str:
    return f"{number} run{'' if number == 1 else 's'}"


def _dry_run(console: Any, study: "Study") -> int:
    """The runs, their state and their cost."""
    from rich.table import Table

    from openmm_pqeq.campaign.cost import costs_of
    from openmm_pqeq.campaign.run import states_of

    states = states_of(study)
    table = Table("run", "atoms", "steps", "takes", "state", box=None, pad_edge=False)
    total, found = 0.0, {run.name: cost for run, cost in costs_of(study)}
    for run in study.runs:
        cost, state = found[run.name], states[run.name].name
        left = state in ("new", "begun")
        total += cost.seconds * left
        table.add_row(
            run.name, str(cost.n_atoms), str(run.config.n_steps), clock(cost.seconds), state
        )
    console.print(table, soft_wrap=True)
    todo = sum(state.name in ("new", "begun") for state in states.values())
    how = "from finished runs" if all(cost.from_runs for cost in found.values()) else (
        "from a few steps here"
    )  # fmt: skip
    console.print(
        f"{_runs(todo)} of {len(study.runs)} to do: {clock(total)} on a worker like this machine, "
        f"{how}, with all its threads",
        soft_wrap=True,
    )
    where = study.settings.where
    if where.cluster != "local" and where.scheduler is None:
        from openmm_pqeq.campaign.cluster import import_dask, queue_cluster

        import_dask()
        with queue_cluster(where) as cluster:
            console.print(f"A job of {where.cluster}:\n{cluster.job_script()}", soft_wrap=True)
    return 0


class _Progress:
    """How far a campaign is: a bar for all runs and a line for each of those under way; without a
    terminal a line for each that ends."""

    def __init__(self, console: Any, study: "Study"):
        from rich.progress import BarColumn, Progress, TextColumn

        self.console, self.n_runs = console, len(study.runs)
        columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[news]}"))
        self.bar = Progress(*columns, console=console, disable=not console.is_terminal)
        self.tasks: dict[str, Any] = {}
        self.ended: set[str] | None = None
        self.link = ""

    def __enter__(self) -> "_Progress":
        self.bar.start()
        self.all = self.bar.add_task("all runs", total=self.n_runs, news="workers are started")
        return self

    def __exit__(self, *exception: object) -> None:
        self.bar.stop()

    def show(self, news: "News") -> None:
        """Show news."""
        if news.link != self.link:
            self.link = news.link
            self.console.print(f"Dashboard: {news.link}", soft_wrap=True)
        ended = {
            name for name, state in news.states.items() if state.name in ("finished", "failed")
        }
        for name in sorted(ended - (ended if self.ended is None else self.ended)):
            state = news.states[name]
            self.console.print(
                f"{len(ended)}/{self.n_runs} {state.name} {name} {state.message.splitlines()[0] if state.message else ''}".rstrip(),
                soft_wrap=True,
            )
        self.ended = ended
        parts = [one.get("step", 0) / (one.get("n_steps") or 1) for one in news.running.values()]
        failed = sum(state.name == "failed" for state in news.states.values())
        text = f"{len(ended) - failed}/{self.n_runs} finished" + (
            f", {failed} failed" if failed else ""
        )
        self.bar.update(self.all, completed=len(ended) + sum(parts), news=text)
        self._lines(news)

    def _lines(self, news: "News") -> None:
        shown = dict(list(news.running.items())[:MOST_SHOWN])
        for name in set(self.tasks) - set(shown):
            self.bar.remove_task(self.tasks.pop(name))
        for name, one in shown.items():
            if name not in self.tasks:
                self.tasks[name] = self.bar.add_task(name, total=None, news="")
            text = one.get("stage", "")
            if one.get("ns_per_day"):
                text += f" {one['ns_per_day']:.3g} ns/day  {clock(one.get('remaining', 0.0))} left"
            self.bar.update(
                self.tasks[name],
                completed=one.get("step", 0),
                total=one.get("n_steps") or None,
                news=text,
            )


def _summary(console: Any, study: "Study", result: Any) -> int:
    """What came of it, the failures by name."""
    from openmm_pqeq.campaign.record import STATES

    counts = {name: 0 for name in STATES}
    for state in result.states.values():
        counts[state.name] += 1
    for name, state in result.states.items():
        if state.name == "failed":
            console.print(f"failed: {name}\n  {_indented(state)}", soft_wrap=True)
    told = ", ".join(f"{number} {name}" for name, number in counts.items() if number)
    console.print(f"{_runs(len(study.runs))}: {told}")
    for path in result.files:
        console.print(f"  {path}", soft_wrap=True)
    if result.interrupted:
        console.print(f"Stopped. Continue with: openmm-pqeq campaign {study.file}")
        return 130
    return 1 if counts["failed"] else 0


def _indented(state: "State") -> str:
    return state.message.replace("\n", "\n  ")
