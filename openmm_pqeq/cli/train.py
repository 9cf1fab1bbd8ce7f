"""`openmm-pqeq train`: a model from labelled structures."""

import argparse
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from openmm_pqeq.jobs.settings import add_existing, add_flags, flags_given
from openmm_pqeq.training.settings import DataSettings, StartSettings, TrainingSettings

HELP = "Train a model on labelled structures, as a TOML file describes it."

EPILOG = """examples:
  openmm-pqeq train batio3.toml
  openmm-pqeq train batio3.toml --resume
  openmm-pqeq train batio3.toml --ablate-long-range
  openmm-pqeq train batio3.toml --epochs 50 --seed 1 -o short

The flags are the keys of the tables [data], [start] and [training] of the file, with - in place of _, and win over it.
[data] also has held_out = { seed, n } or { files }; [start], a model to go on from, takes the place of [potential].

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
    add_existing(parser, "training")
    for kind, other in TABLES.values():
        add_flags(parser, kind, skip=other)


TABLES: dict[str, tuple[Any, tuple[str, ...]]] = {
    "data": (DataSettings, ("files", "held_out")),
    "start": (StartSettings, ("model",)),
    "training": (TrainingSettings, ()),
}
"""The tables of a training file, and what they have that is no flag."""


def command(options: argparse.Namespace) -> int:
    """Train and write the model."""
    with training("train") as say:
        from openmm_pqeq.training.ablation import ablate
        from openmm_pqeq.training.config import config_of, read_table
        from openmm_pqeq.training.run import fit

        path = Path(options.config)
        table = read_table(path)
        for name, (kind, _) in TABLES.items():
            given, described = flags_given(kind, options), table.get(name, {})
            if given and isinstance(described, dict):
                table[name] = described | given
        if options.output is not None:
            table["output"] = options.output
        config = config_of(table, path.parent, default_output=path.stem)
        do = ablate if options.ablate_long_range else fit
        do(config, Path(config.output), options.overwrite, options.resume, say)
    return 0


@contextmanager
def training(command: str) -> Iterator[Callable[[str], None]]:
    """Around the imports and the work of a command that trains; gives the function that prints a
    line of its progress.

    Raises ImportError with the remedy where the extra `train` is missing.
    """
    from rich.console import Console

    console = Console(highlight=False, soft_wrap=True, markup=False)
    try:
        yield console.print
    except ModuleNotFoundError as error:
        raise ImportError(
            f"{command}: {error.name} is not installed, and training needs it: pip install "
            '"openmm-pqeq[train]"'
        ) from None
