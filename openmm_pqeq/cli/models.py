"""`openmm-pqeq models`: the models that ship, and their cards."""

import argparse
from typing import Any

HELP = "List the models that ship with the package, or show the card of one."

EPILOG = """examples:
  openmm-pqeq models              list
  openmm-pqeq models batio3       data, licence, level of theory, errors, and what it must not be used for
  openmm-pqeq models my-model.pt  the card of a file"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The name of a model."""
    parser.add_argument("name", nargs="?", metavar="MODEL", help="name of a model that ships, or path to a .pt file")


def command(options: argparse.Namespace) -> int:
    """Print the list or a card."""
    from rich.console import Console
    from rich.table import Table

    from openmm_pqeq import checkpoint

    console = Console(highlight=False)
    if options.name is None:
        table = Table("model", "elements", "about")
        for name in checkpoint.available_models():
            table.add_row(name, " ".join(checkpoint.load(name).species), str(checkpoint.card(name).get("title", "")))
        console.print(table)
        console.print("openmm-pqeq models MODEL shows the card of a model.")
        return 0
    potential, card = checkpoint.load(options.name), checkpoint.card(options.name)
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="bold", vertical="top")
    table.add_column()
    facts = {"model": options.name, **card, "elements": potential.species, "terms": list(potential.config)}
    for name, value in facts.items():
        table.add_row(name.replace("_", " "), _text(value))
    console.print(table)
    return 0


def _text(value: Any, indent: int = 0) -> str:
    """A value of a card as text, nested mappings indented."""
    if isinstance(value, dict):
        lines = [f"{' ' * indent}{str(name).replace('_', ' ')}: {_text(item, indent + 2)}" for name, item in value.items()]
        return ("\n" if indent else "") + "\n".join(lines)
    if isinstance(value, (list, tuple)):
        return ", ".join(_text(item) for item in value)
    return f"{value:.6g}" if isinstance(value, float) else str(value)
