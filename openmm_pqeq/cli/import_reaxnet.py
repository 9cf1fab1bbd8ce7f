"""`openmm-pqeq import-reaxnet`: a published ReaxNet model as a model file of this package."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from openmm_pqeq.jobs import values
from openmm_pqeq.jobs.folder import owned_file

if TYPE_CHECKING:
    from openmm_pqeq.potential import Potential

HELP = "Convert a published ReaxNet model (params.pickle, model_config.yaml, mapping.yaml) to a model file."

EPILOG = """examples:
  openmm-pqeq import-reaxnet params.pickle model_config.yaml mapping.yaml -o reaxnet-mp.pt
  openmm-pqeq import-reaxnet params.pickle model_config.yaml mapping.yaml -o reaxnet-mp.pt --edge-sign notebook --d3
  openmm-pqeq energy LLZO.vasp --model reaxnet-mp.pt

The pickle is read without running anything in it. By default energies, forces and charges are those of the authors: edges as in
their training, forces with charges and shells held fixed. Such forces are not the gradient of the energy; --no-stop-gradient gives
forces that are."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The three files, the output, and the choices of an import."""
    parser.add_argument("parameters", metavar="PARAMS", help="the weights, params.pickle")
    parser.add_argument(
        "config", metavar="CONFIG", help="the size of the network, model_config.yaml"
    )
    parser.add_argument("mapping", metavar="MAPPING", help="the elements, mapping.yaml")
    parser.add_argument(
        "--output",
        "-o",
        metavar="FILE",
        required=True,
        help="model file to write, such as reaxnet-mp.pt",
    )
    add_choices(parser)


def add_choices(parser: argparse._ActionsContainer) -> None:
    """Choices that a published model leaves open."""
    parser.add_argument(
        "--edge-sign",
        choices=("training", "notebook"),
        default="training",
        help="direction of the edges: as in the authors' training (default), or as in their "
        "molecular dynamics notebook",
    )
    parser.add_argument(
        "--stop-gradient",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="forces with charges and shells held fixed, as published (default); "
        "--no-stop-gradient: the gradient of the energy",
    )
    parser.add_argument(
        "--d3",
        action=argparse.BooleanOptionalAction,
        default=False,
        help="add D3 with zero damping, PBE (default: without)",
    )
    parser.add_argument(
        "--overwrite", action="store_true", help="replace the model file if it exists"
    )


def command(options: argparse.Namespace) -> int:
    """Convert and print what was imported."""
    inputs = [options.parameters, options.config, options.mapping]
    path = values.path("output", options.output)
    with owned_file(path, "import", options.overwrite, inputs=inputs):
        convert(options, options.parameters, options.config, options.mapping, path)
    return 0


def convert(
    options: argparse.Namespace, parameters: Any, config: Any, mapping: Any, output: Path
) -> None:
    """Convert with the choices of the command line, and print a table."""
    from openmm_pqeq.published.reaxnet import convert_reaxnet

    potential = convert_reaxnet(
        parameters,
        config,
        mapping,
        output,
        edge_sign=options.edge_sign,
        stop_gradient=options.stop_gradient,
        d3=options.d3,
    )
    _print(potential, output)


def _print(potential: "Potential", output: Path) -> None:
    from rich.console import Console
    from rich.table import Table

    from openmm_pqeq import checkpoint

    gnn, pqeq = potential.config["gnn"], potential.config["pqeq"]
    card = checkpoint.card(output)
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="bold", vertical="top", no_wrap=True)
    table.add_column()
    edges = {
        "training": "as in training (sender − receiver)",
        "notebook": "as in the notebook (receiver − sender)",
    }
    facts = {
        "elements": f"{len(potential.species)}: {' '.join(potential.species)}",
        "layers": gnn["layers"],
        "hidden irreps": gnn["hidden_irreps"],
        "spherical harmonics": gnn["sh_irreps"],
        "self-connection": "yes" if gnn["self_connection"] else "no",
        "weights": f"{card['weights']:,} in the file".replace(",", " "),
        "cutoff": f"{gnn['r_max']:g} Å (network), {pqeq['cutoff']:g} Å (charges)",
        "scale, shift": f"{gnn['scale']:g}, {gnn['shift']:g} eV",
        "edges": edges[gnn["edge_sign"]],
        "charges": f"PQEq, protocol {pqeq['protocol']}, {pqeq['sweeps']} sweeps",
        "forces": card["forces"],
        "dispersion": card["dispersion"],
        "written": f"{output} ({output.stat().st_size / 1e6:.1f} MB)",
    }
    for name, value in facts.items():
        table.add_row(name, str(value))
    console = Console(highlight=False, markup=False)
    console.print(table)
    console.print(f"openmm-pqeq energy STRUCTURE --model {output} evaluates it.", soft_wrap=True)
