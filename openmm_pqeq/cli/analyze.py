"""`openmm-pqeq analyze NAME`: one analysis of what a run has written, or of a crystal with a model."""

import argparse

from openmm_pqeq.cli.analyses import ANALYSES
from openmm_pqeq.jobs import values
from openmm_pqeq.jobs.folder import kept_if_used

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
    """Analyse, print and plot; a folder that is made for it and stays empty is removed again."""
    if options.output is None:
        return ANALYSES[options.analysis].command(options) or 0
    with kept_if_used(values.path("output", options.output)):
        return ANALYSES[options.analysis].command(options) or 0
