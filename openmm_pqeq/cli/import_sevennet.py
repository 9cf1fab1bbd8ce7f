"""`openmm-pqeq import-sevennet`: a published SevenNet as a model file of this package."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from openmm_pqeq.jobs import values
from openmm_pqeq.jobs.folder import owned_file

if TYPE_CHECKING:
    from openmm_pqeq.potential import Potential

HELP = "Convert a published SevenNet (checkpoint_*.pth) to a model file."

EPILOG = """examples:
  openmm-pqeq import-sevennet checkpoint_sevennet_0.pth -o sevennet.pt
  openmm-pqeq import-sevennet checkpoint_sevennet_mf_0.pth -o mf-pbe.pt --modality PBE
  openmm-pqeq energy LLZO.vasp --model sevennet.pt

The checkpoint is read without running anything in it, and sevenn is not needed. Energies, forces and stress are those of sevenn
to rounding. SevenNet-0 and SevenNet-l3i5 need no import: openmm-pqeq energy LLZO.vasp --model sevennet-0 fetches its checkpoint
the first time."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The checkpoint, the output, and the modality."""
    parser.add_argument("checkpoint", metavar="CHECKPOINT", help="checkpoint_*.pth of SevenNet")
    parser.add_argument(
        "--output", "-o", metavar="FILE", required=True, help="model file to write, such as my.pt"
    )
    parser.add_argument(
        "--modality",
        metavar="NAME",
        help="of a model with several, such as PBE or R2SCAN of SevenNet-MF-0",
    )
    parser.add_argument(
        "--overwrite", action="store_true", help="replace the model file if it exists"
    )


def command(options: argparse.Namespace) -> int:
    """Convert and print what was imported."""
    from openmm_pqeq.published.sevennet import convert_sevennet

    path, inputs = values.path("output", options.output), [options.checkpoint]
    with owned_file(path, "import", options.overwrite, inputs=inputs):
        _print(convert_sevennet(options.checkpoint, path, options.modality), path)
    return 0


def _print(potential: "Potential", output: Path) -> None:
    from rich.console import Console
    from rich.table import Table

    from openmm_pqeq import checkpoint

    gnn, card = potential.config["gnn"], checkpoint.card(output)
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="bold", vertical="top", no_wrap=True)
    table.add_column()
    facts = {
        "model": card["title"],
        "level of theory": card["level_of_theory"],
        "licence": card["licence"],
        "elements": f"{len(potential.species)}: {' '.join(potential.species)}",
        "layers": gnn["layers"],
        "hidden irreps": gnn["hidden_irreps"],
        "weights": f"{card['weights']:,}".replace(",", " "),
        "cutoff": f"{gnn['r_max']:g} Å",
        "written": f"{output} ({output.stat().st_size / 1e6:.1f} MB)",
    }
    for name, value in facts.items():
        table.add_row(name, str(value))
    console = Console(highlight=False, markup=False)
    console.print(table)
    console.print(f"openmm-pqeq energy STRUCTURE --model {output} evaluates it.", soft_wrap=True)
