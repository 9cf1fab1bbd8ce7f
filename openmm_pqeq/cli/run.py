"""`openmm-pqeq run`: molecular dynamics from a structure file and flags, or from a TOML file."""

import argparse
from pathlib import Path
from typing import Any

from openmm_pqeq.md.config import SETTINGS, RunConfig, read_toml, run_config

HELP = "Molecular dynamics of a structure, from flags or from one TOML file that describes the whole run."

EPILOG = """examples:
  openmm-pqeq run BaTiO3.cif --model batio3 --temperature 300 --time 1ps --field 0 0 0.01 --output out
  openmm-pqeq run BaTiO3.cif --model batio3 --supercell 3 3 3 --ensemble NPT --barostat flexible --steps 1000 --output out
  openmm-pqeq run BaTiO3.cif --model batio3 --time 20ps --field 0 0 "0.02*sin(2*pi*t/10)" --output loop
  openmm-pqeq run out --resume                   continue after Ctrl-C, a kill or a crash
  openmm-pqeq run out --resume --time 10ps       the same, with a new end
  openmm-pqeq run out/run.toml --output again    repeat a run
  openmm-pqeq run BaTiO3.cif --model batio3 --time 1ps --output out --profile

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
    groups: dict[str, Any] = {}
    for name, setting in SETTINGS.items():
        if name == "structure":
            continue
        about = setting.metadata
        if about["section"] not in groups:
            groups[about["section"]] = parser.add_argument_group(about["section"])
        flags = [f"--{name.replace('_', '-')}"] + (["-o"] if name == "output" else [])
        options: dict[str, Any] = {"dest": name, "default": None, "help": _help(name)}
        if isinstance(setting.default, bool):
            options["action"] = argparse.BooleanOptionalAction
        elif choices := getattr(about["parse"], "choices", None):
            options["metavar"] = "{" + ",".join(choices) + "}"
        else:
            options["metavar"] = about["metavar"]
        if about["nargs"] is not None:
            options["nargs"] = about["nargs"]
        groups[about["section"]].add_argument(*flags, **options)
    parser.add_argument(
        "--profile",
        action="store_true",
        help="first show where the time of a step goes (20 steps of a copy); profile.json and "
        "profile.png in the output folder",
    )
    existing = parser.add_mutually_exclusive_group()
    existing.add_argument(
        "--overwrite", action="store_true", help="replace the run that is in the output folder"
    )
    existing.add_argument(
        "--resume", action="store_true", help="continue the run that is in the output folder"
    )


def _help(name: str) -> str:
    default, text = SETTINGS[name].default, SETTINGS[name].metadata["help"]
    if default in (None, "") or isinstance(default, bool):
        return str(text)
    shown = " ".join(f"{value:g}" if isinstance(value, float) else str(value).lower() for value in default) if isinstance(
        default, tuple
    ) else f"{default:g}" if isinstance(default, float) else default  # fmt: skip
    return f"{text} (default: {shown})"


def configuration(options: argparse.Namespace) -> RunConfig:
    """The run that the command line describes."""
    flags = {
        name: getattr(options, name)
        for name in SETTINGS
        if getattr(options, name, None) is not None
    }
    source = Path(options.input) if options.input is not None else None
    from_toml = source is not None and source.suffix.lower() == ".toml"
    described: dict[str, Any] = {}
    if source is not None and from_toml:
        described = read_toml(source)
    if options.resume:
        from openmm_pqeq.md.run import resumed_config

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
        _profile(config, check=not (options.overwrite or options.resume))
    columns = (
        TextColumn("[bold]{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[news]}"),
    )
    tenths = -1
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task("reading", total=None, news="model and structure")

        def watch(news: md.Progress) -> None:
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


def _profile(config: RunConfig, check: bool) -> None:
    from openmm_pqeq.cli import bench
    from openmm_pqeq.md import output
    from openmm_pqeq.timing import run as profile

    if check:
        output.refuse_existing(config)
    measured = profile.profile_run(config)
    structure = Path(config.structure).stem.removeprefix("input-")
    bench.show(measured, config, structure)
    profile.write_profile(measured, config, structure, Path(config.output), "profile")


def _news(news: Any) -> str:
    if news.ns_per_day == 0:
        return ""
    parts = [
        f"{news.step}/{news.n_steps} steps",
        f"{news.ns_per_day:.3g} ns/day",
        f"{_clock(news.remaining)} left",
    ]
    if "temperature_K" in news.row:
        parts.append(f"{news.row['temperature_K']:.0f} K")
    return "  ".join(parts)


def _clock(seconds: float) -> str:
    hours, rest = divmod(int(seconds), 3600)
    minutes, seconds = divmod(rest, 60)
    return f"{hours:d}:{minutes:02d}:{seconds:02d}"


def _summary(console: Any, config: RunConfig, result: Any) -> None:
    """Where everything is and what came of it."""
    from rich.table import Table

    files = result.files
    if result.interrupted:
        console.print(
            f"Stopped at step {result.step} of {result.n_steps}. Continue with: openmm-pqeq run "
            f"{config.output} --resume"
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
        files.restart: "restart file",
        files.plot: "plot of polarization and temperature against time",
        files.toml: "all settings; repeats the run",
    }
    for path, what in rows.items():
        if path.is_file():
            table.add_row(f"  {path}", what)
    console.print(table)
