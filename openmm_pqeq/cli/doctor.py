"""`openmm-pqeq doctor`: what is installed, which route works, and what to install for the others.

Versions are compared with the table of versions.py, and then each route is really tried, with one
step of a small crystal, in a process of its own: a wheel that crashes does not take the doctor with
it.
"""

import argparse
import json
import platform
import shutil
import subprocess
import sys
from typing import Any, NamedTuple

HELP = "Show versions, platforms, plugins and GPU, and try each route to OpenMM."

EPILOG = """examples:
  openmm-pqeq doctor
  openmm-pqeq doctor --quick     versions only, nothing is tried"""

SECONDS = 300
"""A trial that takes longer is given up."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Whether to try."""
    parser.add_argument("--quick", action="store_true", help="do not try the routes")


def command(options: argparse.Namespace) -> int:
    """Print the report; 0 where a route works, 1 where none does."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from openmm_pqeq import versions

    console = Console(highlight=False)
    console.print(
        f"[bold]System[/bold]   Python {platform.python_version()}, {escape(platform.platform())}"
    )
    table = Table(
        title="Packages",
        title_justify="left",
        box=None,
        pad_edge=False,
        title_style="bold",
        show_header=False,
    )
    for package, version in versions.installed_versions().items():
        table.add_row(package, version or "not installed")
    console.print(table)
    console.print(f"[bold]Native operators[/bold]   {escape(_native())}")
    console.print(f"[bold]Start cache[/bold]   {escape(_start_cache())}")
    gpu = _gpu()
    console.print(f"[bold]GPU[/bold]   {escape(gpu)}")
    works, platforms = False, set()
    failures: list[str] = []
    for name, route in versions.ROUTES.items():
        console.print(f'\n[bold]Route {route.title}[/bold] (backend="{name}")')
        problems = versions.problems(name)
        for problem in problems:
            console.print(f"  {escape(problem)}")
        if options.quick:
            works |= not problems
        else:
            tried = trial(name)
            failures = tried.plugin_failures or failures
            for outcome in tried.outcomes:
                console.print(f"  {escape(outcome.sentence)}")
                works |= outcome.works
                platforms |= {outcome.platform}
        if problems:
            console.print(f"  To have it: {escape(route.remedy)}")
    if failures:
        console.print(
            "\n[bold]OpenMM plugins that did not load[/bold] (normal for platforms that this "
            "machine does not have)"
        )
        for failure in failures:
            console.print(f"  {escape(_shortened(failure))}", soft_wrap=True)
    if not options.quick and not gpu.startswith("n") and "CUDA" not in platforms:
        console.print(
            '\nThe GPU is not used by OpenMM. To have it: pip install "openmm-pqeq[cuda12]"',
            markup=False,
        )
    return 0 if works else 1


class Outcome(NamedTuple):
    """The trial of one platform: its name, a sentence, and whether it worked."""

    platform: str
    sentence: str
    works: bool


class Trial(NamedTuple):
    """The trial of a route, and which plugins OpenMM could not load."""

    outcomes: list[Outcome]
    plugin_failures: list[str]


def trial(backend: str) -> Trial:
    """Try a route on each OpenMM platform, in a process of its own."""
    command = [sys.executable, "-m", "openmm_pqeq.cli.trial", backend]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
    except subprocess.TimeoutExpired:
        return Trial([Outcome("", f"gave no answer within {SECONDS} s", False)], [])
    outcomes: list[Outcome] = []
    failures: list[str] = []
    for line in done.stdout.splitlines():
        if not line.startswith("{"):
            continue
        news: dict[str, Any] = json.loads(line)
        if "energy" in news:
            sentence = (
                f"{news['platform']}: works (8 atoms of NaCl: "
                f"{news['energy']:.4f} eV, {1000 * news['seconds']:.0f} ms a step)"
            )
            outcomes.append(Outcome(news["platform"], sentence, True))
        elif "error" in news:
            outcomes.append(
                Outcome(
                    news["platform"], f"{news['platform']}: does not work: {news['error']}", False
                )
            )
        else:
            failures = news["plugin_failures"]
    if done.returncode != 0:
        reason = (
            f"signal {-done.returncode}"
            if done.returncode < 0
            else (done.stderr.strip().splitlines() or ["no message"])[-1]
        )
        outcomes.append(
            Outcome("", f"the trial ended with exit code {done.returncode}: {reason}", False)
        )
    return Trial(outcomes, failures)


def _shortened(failure: str) -> str:
    """A failure of OpenMM's without the folders in it."""
    return " ".join(
        word.rsplit("/", 1)[-1] for word in failure.removeprefix("Error loading library ").split()
    )


def _native() -> str:
    from openmm_pqeq import ops

    return str(ops.status())


def _start_cache() -> str:
    """Where a start keeps what takes long, and how much."""
    from openmm_pqeq.start import cache

    place = cache.folder()
    if place is None:
        return f"none: each process makes tables and compiles anew ({cache.VARIABLE})"
    sizes = [path.stat().st_size for path in place.iterdir()]
    return f"{place}, {len(sizes)} entries, {sum(sizes) / 1e6:.0f} MB"


def _gpu() -> str:
    if shutil.which("nvidia-smi") is None:
        return "none found (no nvidia-smi)"
    query = ["nvidia-smi", "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader"]
    try:
        done = subprocess.run(query, capture_output=True, text=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return "nvidia-smi does not answer"
    return done.stdout.strip() or "none found"
