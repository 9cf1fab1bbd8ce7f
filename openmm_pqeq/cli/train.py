"""`openmm-pqeq train`: a model from labelled structures."""

import argparse
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

HELP = "Train a model on labelled structures, as a TOML file describes it."

EPILOG = """examples:
  openmm-pqeq train batio3.toml
  openmm-pqeq train batio3.toml --resume
  openmm-pqeq train batio3.toml --ablate-long-range

batio3.toml:
  output = "batio3"

  [data]
  files = ["batio3_pbe_59.xyz"]
  energy_key = "total_energy"
  held_out = { seed = 0, n = 12 }

  [potential.pqeq]
  protocol = "ewald"

  [potential.gnn]
  species = ["O", "Ti", "Ba"]
  hidden_irreps = "32x0e + 16x1o + 8x2e"
  sh_irreps = "1x0e + 1x1o + 1x2e"
  layers = 2
  r_max = 5.0

  [training]
  max_time = "02:00:00"
  seed = 0"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The training file and where to write."""
    parser.add_argument(
        "config", metavar="CONFIG", help="TOML file that describes data, potential and training"
    )
    parser.add_argument(
        "--output",
        "-o",
        metavar="FOLDER",
        help="folder for everything that is written (default: the file's)",
    )
    parser.add_argument(
        "--ablate-long-range",
        action="store_true",
        help="the same once more without PQEq and D3, and a table of both",
    )
    existing = parser.add_mutually_exclusive_group()
    existing.add_argument(
        "--overwrite", action="store_true", help="replace the training that is in the output folder"
    )
    existing.add_argument(
        "--resume", action="store_true", help="continue the training that is in the output folder"
    )


def command(options: argparse.Namespace) -> int:
    """Train and write the model."""
    with training("train") as say:
        from openmm_pqeq.training import ablate, read_config, train

        if options.ablate_long_range:
            config = read_config(options.config)
            ablate(
                config,
                Path(options.output or config.output),
                options.overwrite,
                options.resume,
                say,
            )
        else:
            train(options.config, options.output, options.overwrite, options.resume, say)
    return 0


@contextmanager
def training(command: str) -> Iterator[Callable[[str], None]]:
    """Around the imports and the work of a command that trains; gives the function that prints a
    line of its progress.

    Raises ImportError with the remedy where the extra `train` is missing, RunFailure where the
    training fails on its way.
    """
    from rich.console import Console

    from openmm_pqeq.md import RunFailure

    console = Console(highlight=False, soft_wrap=True, markup=False)
    try:
        yield console.print
    except ModuleNotFoundError as error:
        raise ImportError(
            f"{command}: {error.name} is not installed, and training needs it: pip install "
            '"openmm-pqeq[train]"'
        ) from None
    except RuntimeError as error:
        raise RunFailure(str(error)) from error
