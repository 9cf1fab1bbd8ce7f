"""`openmm-pqeq bench`: how fast a model is here, and where the time of a step goes."""

import argparse
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from openmm_pqeq.jobs import values
from openmm_pqeq.md.config import RunConfig, run_config

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


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What to measure, and how."""
    parser.add_argument(
        "structure",
        nargs="?",
        metavar="FILE",
        help="structure file, anything ASE reads (default: BaTiO3)",
    )
    parser.add_argument(
        "--model",
        metavar="MODEL",
        default="batio3",
        help="name of a model or path to a .pt file (default: batio3)",
    )
    parser.add_argument(
        "--supercell",
        metavar="N",
        nargs=3,
        help="repeat the cell along its three vectors (default: 1 1 1; without FILE 6 6 6)",
    )
    parser.add_argument(
        "--protocol",
        metavar="NAME",
        help="protocol of the charges (default: the model's; without FILE pme)",
    )
    parser.add_argument(
        "--precision", metavar="{double,mixed,single}", default="mixed", help="(default: mixed)"
    )
    parser.add_argument(
        "--backend", metavar="{torchscript,python}", default="torchscript", help="route to OpenMM"
    )
    parser.add_argument(
        "--platform", metavar="NAME", help="OpenMM platform (default: OpenMM's choice)"
    )
    parser.add_argument("--threads", metavar="N", help="CPU threads (default: all)")
    parser.add_argument(
        "--steps",
        metavar="N",
        default="20",
        help="steps that count (default: 20); eight more come before them",
    )
    parser.add_argument(
        "--timestep", metavar="DT", default="0.5", help="time step, fs (default: 0.5)"
    )
    parser.add_argument(
        "--temperature",
        metavar="T",
        default="300",
        help="of the velocities at the start, K (default: 300)",
    )
    parser.add_argument("--seed", metavar="N", default="1", help="of the velocities (default: 1)")
    parser.add_argument(
        "--reference",
        action="store_true",
        help="compare with the potential as it was trained, scripted",
    )
    parser.add_argument(
        "--output",
        "-o",
        metavar="FOLDER",
        default="bench",
        help="for bench.json and bench.png (default: bench)",
    )
    parser.add_argument(
        "--overwrite", action="store_true", help="replace the files of an earlier measurement"
    )


def command(options: argparse.Namespace) -> int:
    """Measure, print, write and plot."""
    n_steps = values.positive_count("steps", options.steps)
    with tempfile.TemporaryDirectory() as folder:
        config = configuration(options, Path(folder))
        _check_output(Path(config.output), options.overwrite)
        from openmm_pqeq.timing.run import profile_run, write_profile

        profile = profile_run(config, n_steps, options.reference)
    structure = Path(config.structure).stem
    show(profile, config, structure)
    written = write_profile(profile, config, structure, Path(config.output), "bench")
    print(f"written: {', '.join(str(path) for path in written)}")
    return 0


def configuration(options: argparse.Namespace, folder: Path) -> RunConfig:
    """What to measure, as the description of a run; the built-in structure is written into
    `folder`."""
    described = {
        name: getattr(options, name)
        for name in (
            *(
                "structure",
                "model",
                "supercell",
                "protocol",
                "precision",
                "backend",
                "platform",
                "threads",
                "steps",
            ),
            *("timestep", "temperature", "seed", "output"),
        )
    }
    if options.structure is None:
        from ase import Atoms

        symbols = [symbol for symbol, places in PLACES.items() for _ in places]
        places = [place for some in PLACES.values() for place in some]
        path = folder / "BaTiO3.extxyz"
        Atoms(symbols, cell=CELL, scaled_positions=places, pbc=True).write(path)
        described["structure"] = str(path)
        described["supercell"] = options.supercell or (6, 6, 6)
        described["protocol"] = options.protocol or _protocol(options.model)
    return run_config(described | {"ensemble": "NVE"})


def _protocol(model: str) -> str | None:
    """pme, for a model made for a sum over all images."""
    from openmm_pqeq import checkpoint
    from openmm_pqeq.potential import CONVERGED_PROTOCOLS

    pqeq = checkpoint.load(model).pqeq
    return "pme" if pqeq is not None and pqeq.protocol in CONVERGED_PROTOCOLS else None


def _check_output(folder: Path, overwrite: bool) -> None:
    if folder.exists() and not folder.is_dir():
        raise FileExistsError(f"output: {folder} is a file; expected the name of a folder")
    existing = [name for name in ("bench.json", "bench.png") if (folder / name).exists()]
    if existing and not overwrite:
        raise FileExistsError(
            f"output: {folder} already has {' and '.join(existing)}; give another folder with "
            "--output, or --overwrite"
        )


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
