"""`openmm-pqeq run`: molecular dynamics from a structure file and flags, or from a TOML file."""

import argparse
from pathlib import Path
from typing import Any

from openmm_pqeq.jobs import settings as tables
from openmm_pqeq.jobs.progress import Progress as News
from openmm_pqeq.jobs.settings import add_existing
from openmm_pqeq.jobs.times import clock
from openmm_pqeq.md.config import read_toml, run_config
from openmm_pqeq.md.settings import RunConfig

HELP = "Molecular dynamics of a structure, from flags or from one TOML file that describes the whole run."

EPILOG = """examples:
  openmm-pqeq run BaTiO3.cif --model batio3 --temperature 300 --time 1ps --field 0 0 0.01 --output out
  openmm-pqeq run BaTiO3.cif --model sevennet-0 --supercell 3 3 3 --ensemble NPT --barostat flexible --steps 1000 --output out
  openmm-pqeq run BaTiO3.cif --model batio3 --time 20ps --field 0 0 "0.02*sin(2*pi*t/10)" --output loop
  openmm-pqeq run out --resume                   continue after Ctrl-C, a kill or a crash
  openmm-pqeq run out --resume --time 10ps       the same, with a new end
  openmm-pqeq run out/run.toml --output again    repeat a run
  openmm-pqeq run BaTiO3.cif --model batio3 --time 1ps --output out --profile
  openmm-pqeq run LLZO.cif --model one.pt --committee two.pt three.pt --committee-save-above 0.3 --time 1ps --output out

A TOML file has the same settings with _ in place of -; flags given beside it win:
  structure = "BaTiO3.cif"
  model = "batio3"
  ensemble = "NVT"
  temperature = 300
  time = "1ps"
  field = [0, 0, "0.02*sin(2*pi*t/10)"]
  output = "out"
The output folder gets run.toml with all settings, and their meaning."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The settings of a run as flags."""
    parser.add_argument(
        "input",
        nargs="?",
        metavar="INPUT",
        help="structure file, TOML file, or with --resume the folder of a run",
    )
    tables.add_flags(parser, RunConfig, skip=("structure",))
    parser.add_argument(
        "--profile",
        action="store_true",
        help="first show where the time of a step goes (20 steps of a copy); profile.json and "
        "profile.png in the output folder",
    )
    add_existing(parser, "run")


def configuration(options: argparse.Namespace) -> RunConfig:
    """The run that the command line describes."""
    flags = tables.flags_given(RunConfig, options)
    source = Path(options.input) if options.input is not None else None
    from_toml = source is not None and source.suffix.lower() == ".toml"
    described: dict[str, Any] = {}
    if source is not None and from_toml:
        described = read_toml(source)
    if options.resume:
        from openmm_pqeq.md.resume import resumed_config

        folder = (
            flags.get("output")
            or described.get("output")
            or (source if source is not None and not source.is_file() else None)
        )
        if folder is None:
            raise ValueError("resume: which run? Give its folder: openmm-pqeq run out --resume")
        return resumed_config(
            Path(folder), (described if _another(source, Path(folder)) else {}) | flags
        )
    if source is not None and not from_toml:
        if source.is_dir():
            raise ValueError(
                f"input: {source} is a folder; expected a structure or TOML file, or --resume to "
                "continue the run in it"
            )
        described = {"structure": str(source)}
    if "time" in flags or "steps" in flags:
        described = {
            name: value for name, value in described.items() if name not in ("time", "steps")
        }
    return run_config(described | flags)


def _another(source: Path | None, folder: Path) -> bool:
    """Whether the TOML file is not the one that the run itself has written."""
    return (
        source is not None
        and source.suffix.lower() == ".toml"
        and source.resolve() != (folder / "run.toml").resolve()
    )


def command(options: argparse.Namespace) -> int:
    """Run, with a progress bar, and say where things are."""
    config = configuration(options)
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn

    from openmm_pqeq.md import run as md

    console = Console(highlight=False, markup=False)
    if options.profile:
        _profile(config, options.overwrite, options.resume)
    columns = (
        TextColumn("[bold]{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[news]}"),
    )
    tenths = -1
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task("reading", total=None, news="model and structure")

        def watch(news: News) -> None:
            nonlocal tenths
            line = _news(news)
            bar.update(
                task,
                description=news.stage,
                completed=news.step,
                total=news.n_steps or None,
                news=line,
            )
            if (
                not console.is_terminal
                and news.n_steps
                and tenths != (tenths := 10 * news.step // news.n_steps)
            ):
                console.print(f"{news.stage} {line}", soft_wrap=True)

        result = md.run(config, overwrite=options.overwrite, resume=options.resume, watch=watch)
    _summary(console, config, result)
    return 130 if result.interrupted else 0


def _profile(config: RunConfig, overwrite: bool, resume: bool) -> None:
    """Where the time goes, while nobody else works in the folder."""
    from openmm_pqeq.cli import bench
    from openmm_pqeq.jobs import folder
    from openmm_pqeq.md import output
    from openmm_pqeq.timing import run as profile

    place = Path(config.output)
    with folder.owned(place, output.kind_of(config), overwrite, resume):
        measured = profile.profile_run(config)
        structure = Path(config.structure).stem.removeprefix("input-")
        bench.show(measured, config, structure)
        profile.write_profile(measured, config, structure, place, "profile")


def _news(news: News) -> str:
    if news.ns_per_day == 0:
        return ""
    parts = [
        f"{news.step}/{news.n_steps} steps",
        f"{news.ns_per_day:.3g} ns/day",
        f"{clock(news.remaining)} left",
    ]
    if "temperature_K" in news.row:
        parts.append(f"{news.row['temperature_K']:.0f} K")
    return "  ".join(parts)


def _summary(console: Any, config: RunConfig, result: Any) -> None:
    """Where everything is and what came of it."""
    from rich.table import Table

    files = result.files
    if result.interrupted:
        console.print(
            f"Stopped at step {result.step} of {result.n_steps}. Continue with: openmm-pqeq run "
            f"{config.output} --resume"
        )
    elif result.ns_per_day == 0:
        console.print(
            f"It was finished: {result.step} steps are done, and {result.n_steps} wanted. A longer run: "
            f"openmm-pqeq run {config.output} --resume --steps N",
            soft_wrap=True,
        )
    else:
        console.print(
            f"Finished: {result.step} steps of {config.timestep:g} fs at {result.ns_per_day:.3g} "
            "ns/day."
        )
    table = Table(box=None, show_header=False, pad_edge=False)
    rows = {
        files.trajectory: "trajectory (topology.pdb beside it)",
        files.table: "energies, temperature, volume, field, dipole, polarization, mean charges",
        files.charges: "charges and shells of every atom",
        files.committee: "how far the models of the committee agree",
        files.uncertain: "frames where they do not",
        files.restart: "restart file",
        files.plot: "plot of polarization and temperature against time",
        files.toml: "all settings; repeats the run",
    }
    for path, what in rows.items():
        if path.is_file():
            table.add_row(f"  {path}", what)
    console.print(table)
