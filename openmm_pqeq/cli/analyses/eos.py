"""`openmm-pqeq analyze eos`: equation of state of a crystal."""

import argparse
from pathlib import Path

import numpy as np

from openmm_pqeq.cli.analyses.outcome import Outcome, Value, write_outcome
from openmm_pqeq.cli.analyses.structure import (
    add_structure,
    crystal_of,
    force_of,
)
from openmm_pqeq.jobs import values

HELP = "Equation of state of a crystal: volume, bulk modulus and its derivative (Birch–Murnaghan)."

EPILOG = """examples:
  openmm-pqeq analyze eos NaCl.cif --model sevennet-0
  openmm-pqeq analyze eos NaCl.cif --model sevennet-0 --strain 0.04 --volumes 11

The cell keeps its shape. eos.json and eos.png are written beside the input, or into --output."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The crystal and the volumes."""
    add_structure(parser)
    parser.add_argument(
        "--strain", default="0.02", metavar="E", help="largest, of lengths (default: 0.02)"
    )
    parser.add_argument("--volumes", default="7", metavar="N", help="how many (default: 7)")


def command(options: argparse.Namespace, folder: Path) -> None:
    """Energies, fit, plot."""
    from openmm_pqeq.analysis import equation_of_state as eos
    from openmm_pqeq.report.graphs import Graph, Line, plot_graphs

    strain = values.within(values.positive, 1e-4, 0.2)("strain", options.strain)
    number = values.within(values.positive_count, 5, 1000)("volumes", options.volumes)
    force = force_of(options)
    atoms = crystal_of(options)
    volumes, energies = eos.energies_of_volumes(atoms, strain, number, force)
    found = eos.equation_of_state(volumes, energies)
    formula, n_atoms = atoms.get_chemical_formula(), len(atoms)
    print(f"{formula}, {number} volumes")
    results = {
        "volume": Value(found.volume, found.volume_error, "Å³"),
        "energy": Value(found.energy, found.energy_error, "eV"),
        "bulk modulus": Value(found.bulk_modulus, found.bulk_modulus_error, "GPa"),
        "its derivative by pressure": Value(found.derivative, found.derivative_error, ""),
        "lengths, by those of the file": Value(
            (found.volume / atoms.get_volume()) ** (1 / 3),
            found.volume_error / (3 * found.volume),
            "",
        ),
    }
    fine = np.linspace(volumes.min(), volumes.max(), 200)
    graph = Graph(
        "Energy from its minimum", "V (Å³ by atom)", "E (meV by atom)",
        [
            Line(formula, volumes / n_atoms, 1000 * (energies - found.energy) / n_atoms, kind="points"),
            Line("fit", fine / n_atoms, 1000 * (found.at(fine) - found.energy) / n_atoms),
        ],
    )  # fmt: skip
    title = f"B = {results['bulk modulus']}"
    figure = plot_graphs([graph], title, f"{formula}, model {options.model}; Birch–Murnaghan.")
    columns = {"volume (Å³)": volumes, "energy (eV)": energies}
    outcome = Outcome({"model": options.model}, results, columns, figure)
    write_outcome(folder, "eos", outcome)
