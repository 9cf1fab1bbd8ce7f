"""`openmm-pqeq bench`: how fast a model is here, and where the time of a step goes."""

import argparse
import dataclasses
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from openmm_pqeq.jobs import values
from openmm_pqeq.jobs.facts import facts_of
from openmm_pqeq.jobs.folder import Kind, begin, owned
from openmm_pqeq.jobs.settings import add_existing, add_flags, flags_given, settings_of
from openmm_pqeq.md.config import run_config
from openmm_pqeq.md.settings import RunConfig

if TYPE_CHECKING:
    from openmm_pqeq.timing.step import StepProfile

HELP = "Measure a step of molecular dynamics part by part: neighbours, network, charges, dispersion, OpenMM."

EPILOG = """examples:
  openmm-pqeq bench
  openmm-pqeq bench --reference                       also against the potential as it was trained
  openmm-pqeq bench BaTiO3.cif --model batio3 --supercell 4 4 4 --protocol pme --output out
  openmm-pqeq bench --supercell 3 3 3 --steps 50 --threads 1 --precision double

Without a structure: tetragonal BaTiO3, 6 × 6 × 6 cells (1,080 atoms), model batio3, protocol pme. The table, bench.json (machine,
versions, all times) and bench.png tell where the time goes. The steps are real ones, of the same velocities for the same seed.
Percentages are of processor time, which others on the machine change least; ns/day is by the clock. Parts are timed one by one:
where they take longer by themselves than together, "units, checks, sums" is below zero."""

CELL = (3.9661, 3.9661, 4.3040)
"""Å: of tetragonal BaTiO3, as in examples/BaTiO3.cif, mean of the frames that batio3 was trained
on."""
PLACES = {
    "Ba": [(0.0, 0.0, 0.0)],
    "Ti": [(0.5, 0.5, 0.5240)],
    "O": [(0.5, 0.5, 0.9447), (0.5, 0.0, 0.4706), (0.0, 0.5, 0.4706)],
}
"""In parts of the cell vectors."""


KIND = Kind("measurement", ("bench.json", "bench.png"), marks=("bench.json",))
"""What it leaves in its folder."""
SETTINGS = (
    *("model", "supercell", "protocol", "precision", "backend", "platform", "threads"),
    *("timestep", "temperature", "seed", "output"),
)
"""Settings of a run that a measurement has, too."""
DEFAULTS = {"model": "batio3", "timestep": 0.5, "seed": 1, "output": "bench"}
"""That a measurement has in place of a run's."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The run to measure, and its length."""
    parser.add_argument(
        "structure",
        nargs="?",
        metavar="FILE",
        help="structure file, anything ASE reads (default: BaTiO3)",
    )
    parser.add_argument(
        "--steps",
        metavar="N",
        default="20",
        help="steps that count (default: 20); eight more come before them",
    )
    parser.add_argument(
        "--reference",
        action="store_true",
        help="compare with the potential as it was trained, scripted",
    )
    add_existing(parser, "measurement", resume=False)
    others = [name for name in settings_of(RunConfig) if name not in SETTINGS]
    add_flags(parser, RunConfig, skip=others, defaults=DEFAULTS)


def command(options: argparse.Namespace) -> int:
    """Measure, print, write and plot."""
    n_steps = values.positive_count("steps", options.steps)
    with tempfile.TemporaryDirectory() as made:
        config = configuration(options, Path(made))
        folder = Path(config.output)
        with owned(folder, KIND, options.overwrite):
            from openmm_pqeq.timing.run import profile_run, write_profile

            profile = profile_run(config, n_steps, options.reference)
            structure = Path(config.structure).stem
            show(profile, config, structure)
            begin(folder, KIND, facts_of(dataclasses.asdict(config), config.seed))
            written = write_profile(profile, config, structure, folder, "bench")
    print(f"written: {', '.join(str(path) for path in written)}")
    return 0


def configuration(options: argparse.Namespace, folder: Path) -> RunConfig:
    """The run to measure; the built-in structure is written into
    `folder`."""
    described: dict[str, Any] = DEFAULTS | flags_given(RunConfig, options)
    if options.structure is None:
        from ase import Atoms

        symbols = [symbol for symbol, places in PLACES.items() for _ in places]
        places = [place for some in PLACES.values() for place in some]
        path = folder / "BaTiO3.extxyz"
        Atoms(symbols, cell=CELL, scaled_positions=places, pbc=True).write(path)
        described = {"supercell": (6, 6, 6)} | described | {"structure": str(path)}
    config = run_config(described | {"ensemble": "NVE"})
    if options.structure is None and config.protocol is None:
        config = dataclasses.replace(config, protocol=_protocol(config.model))
    return config


def _protocol(model: str) -> str | None:
    """pme, for a model made for a sum over all images."""
    from openmm_pqeq import checkpoint
    from openmm_pqeq.pqeq import CONVERGED_PROTOCOLS

    pqeq = checkpoint.load(model).pqeq
    return "pme" if pqeq is not None and pqeq.protocol in CONVERGED_PROTOCOLS else None


def show(profile: "StepProfile", config: RunConfig, structure: str) -> None:
    """The profile as a table."""
    from rich.console import Console
    from rich.table import Table

    from openmm_pqeq.jobs.machine import machine
    from openmm_pqeq.timing.run import FASTEST_TIMESTEP

    console = Console(highlight=False, markup=False)
    title = f"A step of {structure}, {profile.n_atoms:,} atoms, model {Path(config.model).name}"
    table = Table(
        "",
        "energy",
        "forces",
        "together",
        "share",
        title=title,
        title_justify="left",
        box=None,
        pad_edge=False,
    )
    for column in table.columns[1:]:
        column.justify = "right"
    for row in profile.rows:
        cells = [
            f"{1000 * row.energy.processor:.2f}",
            f"{1000 * row.forces.processor:.2f}" if row in profile.parts else "",
        ]
        together = f"{1000 * row.processor:.2f}"
        table.add_row(row.name, *cells, together, f"{row.processor / profile.step.processor:.1%}")
    table.add_row("step", "", "", f"{1000 * profile.step.processor:.2f}", "100.0%", style="bold")
    console.print(table)
    where = machine()
    threads = f"{where['threads']} thread{'s' if where['threads'] > 1 else ''}"
    console.print(
        f"ms of processor time, medians of {profile.n_steps} steps; {threads}, {where['processor']}"
    )
    if profile.products:
        console.print(f"charges: {profile.products:g} products a solution")
    every = f"{profile.searches} searches in {profile.n_steps} steps"
    console.print(
        f"neighbours and OpenMM: {profile.neighbors_and_openmm:.1%} of the step, searches included "
        f"({every})",
        soft_wrap=True,
    )
    if profile.reference is not None:
        console.print(
            f"as trained, energy and forces take {1000 * profile.reference.processor:.1f} ms: "
            f"{profile.speedup:.1f} times a step"
        )
    console.print(
        f"{1000 * profile.step.wall:.1f} ms by the clock: "
        f"{profile.n_atoms / profile.step.wall:,.0f} atoms × steps per second, "
        f"{profile.ns_per_day(FASTEST_TIMESTEP):.3g} ns/day at {FASTEST_TIMESTEP} fs"
    )
