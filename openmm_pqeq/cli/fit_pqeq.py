"""`openmm-pqeq fit-pqeq`: PQEq parameters from Born charges, polarizabilities, ε∞, dipoles or
charges."""

import argparse
from pathlib import Path

from openmm_pqeq.fitting.crystals.settings import CrystalSettings, crystal_settings
from openmm_pqeq.fitting.settings import RunSettings, fit_settings
from openmm_pqeq.jobs.progress import Progress as News
from openmm_pqeq.jobs.settings import add_existing, add_flags, flags_given, read_toml
from openmm_pqeq.jobs.values import shown

INTERRUPTED = 130

HELP = "Fit PQEq parameters to Born charges, polarizabilities, ε∞, dipoles or charges in the data."

EPILOG = """examples:
  openmm-pqeq fit-pqeq batio3.extxyz --held-out 12 --frames 4 --output fitted
  openmm-pqeq fit-pqeq sio2.extxyz --fit Si:all --fit O:radius,spring_constant --bounds radius=0.4:1.6
  openmm-pqeq fit-pqeq qm7b.xyz --cluster --target polarizability=pol:bohr3 --held-out 200 --frames 100
  openmm-pqeq fit-pqeq batio3.extxyz --held-out 12 --frames 4 --output fitted --resume
  openmm-pqeq fit-pqeq crystals.toml --output response

The data (anything ASE reads) has born_charge (n, 9) [atom, 3·field + force] in e, polarizability (3, 3) in e²Å²/eV, dielectric
(3, 3), or charges, by these names or by --target NAME=KEY:UNIT; units: polarizability bohr3, A3; dipole eA, debye, au.

A TOML file in place of DATA has the same settings, data = [...] among them; flags win over it. Flags that take a list
may be given several times. A TOML file with crystals = [...] fits thousands of small crystals at once, with
charges by bonds or free flow: its settings are crystals, charge_flow, parameters, most_atoms, held_out (a share of
the chemical systems), seed, least, prior, prior_of_types, guard and iterations (docs/fitting.md). The output folder
has fit.toml with all settings, facts.json, parameters.csv, card.json, errors.txt and parity.png; afterwards
  pq.build({"pqeq": {"protocol": "ewald", "parameters": "fitted/parameters.csv"}})"""


LISTS = {"targets": "--target", "scales": "--scale", "fit": "--fit", "bounds": "--bounds"}
"""Settings whose flag may be given several times."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Data, what to fit, limits, and where to write."""
    parser.add_argument(
        "data", nargs="+", metavar="DATA", help="labelled structures, or a TOML file"
    )
    parser.add_argument(
        "--output",
        "-o",
        default="pqeq_fit",
        metavar="FOLDER",
        help="folder for what is written (default: pqeq_fit)",
    )
    add_existing(parser, "fit")
    add_flags(parser, RunSettings, skip=("data",), several=LISTS)


def settings_of(options: argparse.Namespace) -> RunSettings | CrystalSettings:
    """The fit that the command line describes."""
    given = flags_given(RunSettings, options)
    first = Path(options.data[0])
    if len(options.data) == 1 and first.suffix.lower() == ".toml":
        described = read_toml(first)
        files = "crystals" if "crystals" in described else "data"
        named = described.get(files, [])
        named = [named] if isinstance(named, str) else named
        if not isinstance(named, list):
            raise ValueError(f"{files}: expected names of files, got {shown(named)}")
        beside = [str(first.parent / file) if isinstance(file, str) else file for file in named]
        given = described | {name: given[name] for name in given if name != "data"}
        given[files] = beside
        if files == "crystals":
            return crystal_settings(given)
    return fit_settings(given)


def command(options: argparse.Namespace) -> int:
    """Fit, measure, and write everything."""
    from rich.console import Console
    from rich.progress import Progress

    from openmm_pqeq.fitting.crystals import run as crystals
    from openmm_pqeq.fitting.run import run

    settings = settings_of(options)
    console = Console(highlight=False, markup=False)
    with Progress(console=console, transient=True) as progress:
        bar = progress.add_task("frames", total=1)

        def watch(news: News) -> None:
            progress.update(bar, completed=news.step, total=news.n_steps)

        def say(line: str = "") -> None:
            console.print(line, soft_wrap=True)  # names of files stay in one piece

        place = (options.output, options.overwrite, options.resume, say, watch)
        if isinstance(settings, CrystalSettings):
            finished = crystals.run(settings, *place)
        else:
            finished = run(settings, *place)
    return 0 if finished else INTERRUPTED
