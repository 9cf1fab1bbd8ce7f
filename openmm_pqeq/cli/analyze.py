"""`openmm-pqeq analyze NAME`: one analysis of what a run has written."""

import argparse

from openmm_pqeq.cli.analyses import ANALYSES

HELP = "Analyse what a run has written: infrared spectrum, static dielectric constant."

EPILOG = """examples:
  openmm-pqeq analyze infrared out --skip 1ps
  openmm-pqeq analyze dielectric out --skip 10ps --eps-inf 4.9

Each analysis has its own --help: openmm-pqeq analyze infrared --help"""


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
    """Analyse, print and plot."""
    return ANALYSES[options.analysis].command(options) or 0
