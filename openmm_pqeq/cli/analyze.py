"""`openmm-pqeq analyze NAME`: one analysis of what a run has written, or of a crystal with a model."""

import argparse
from pathlib import Path

from openmm_pqeq.cli.analyses import ANALYSES
from openmm_pqeq.jobs import values
from openmm_pqeq.jobs.folder import check_file, kept_if_used, made
from openmm_pqeq.jobs.lock import locked_file

HELP = "Analyse what a run has written (diffusion, structure, response), or a crystal with a model."

EPILOG = """examples:
  openmm-pqeq analyze rdf out --pair Na Cl --skip 5ps
  openmm-pqeq analyze diffusion out --element Li --skip 10ps
  openmm-pqeq analyze averages out --skip 10ps
  openmm-pqeq analyze infrared out --skip 1ps
  openmm-pqeq analyze dielectric out --skip 10ps --eps-inf 4.9
  openmm-pqeq analyze elastic relaxed/relaxed.cif --model sevennet-0

Values are printed with units and standard errors; NAME.json and NAME.png are written beside the input. Each analysis
has its own --help: openmm-pqeq analyze infrared --help"""

INPUTS = ("files", "file", "run", "structure")
"""What an analysis calls what it reads; one of them."""
ENDINGS = ("json", "png", "csv")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """A parser for each analysis."""
    analyses = parser.add_subparsers(dest="analysis", metavar="NAME", required=True)
    for name, module in ANALYSES.items():
        one = analyses.add_parser(
            name,
            help=module.HELP,
            description=module.HELP,
            epilog=module.EPILOG,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        one.add_argument(
            "--debug", action="store_true", default=argparse.SUPPRESS, help=argparse.SUPPRESS
        )
        module.add_arguments(one)


def command(options: argparse.Namespace) -> int:
    """Analyse, print and plot, while nobody else writes the same; a folder that is made for it and
    stays empty is removed again."""
    name, folder, inputs = options.analysis, *_places(options)
    for ending in ENDINGS:
        check_file(folder / f"{name}.{ending}", overwrite=True, inputs=inputs)
    with kept_if_used(folder), locked_file(made(folder) / name, f"{name} analysis"):
        return ANALYSES[name].command(options, folder) or 0


def _places(options: argparse.Namespace) -> tuple[Path, list[str]]:
    """The folder to write into - that of --output, else the first input or the one that it is in -
    and the inputs."""
    name = next(name for name in INPUTS if name in vars(options))
    found = vars(options)[name]
    inputs = [found] if isinstance(found, str) else found
    if options.output is not None:
        return values.path("output", options.output), inputs
    first = values.path(name, inputs[0])
    return first if first.is_dir() else first.parent, inputs
