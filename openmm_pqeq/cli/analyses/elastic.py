"""`openmm-pqeq analyze elastic`: elastic tensor and moduli of a crystal."""

import argparse
from pathlib import Path

import numpy as np

from openmm_pqeq.cli.analyses.outcome import Outcome, Value, write_outcome
from openmm_pqeq.cli.analyses.structure import (
    add_structure,
    crystal_of,
    force_of,
    say_what_is_not_relaxed,
)
from openmm_pqeq.jobs import values

HELP = "Elastic tensor of a relaxed crystal, and bulk and shear moduli by Voigt, Reuss and Hill."

EPILOG = """examples:
  openmm-pqeq relax MgO.cif --model sevennet-0 --cell free -o relaxed
  openmm-pqeq analyze elastic relaxed/relaxed.cif --model sevennet-0

Symmetry (spglib) says which strains are needed. elastic.json and elastic.png are written beside the input, or into --output."""

NAMES = ("xx", "yy", "zz", "yz", "xz", "xy")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The crystal, and how it is strained."""
    add_structure(parser)
    parser.add_argument("--strain", default="0.005", metavar="E", help="largest (default: 0.005)")
    parser.add_argument("--no-symmetry", action="store_true", help="make all six strains")


def command(options: argparse.Namespace, folder: Path) -> None:
    """Tensor, moduli, their errors, a picture of the tensor."""
    from openmm_pqeq.analysis import elasticity

    strain = values.within(values.positive, 1e-5, 0.1)("strain", options.strain)
    force = force_of(options)
    atoms = crystal_of(options)
    say_what_is_not_relaxed(atoms, force)
    found = elasticity.elastic_tensor(atoms, strain, force, None if options.no_symmetry else 1e-3)
    made = ", ".join(NAMES[k] for k in found.strains)
    print(f"{atoms.get_chemical_formula()}, strains {made} of ±{strain:g} and half of it")
    results = {}
    for a in range(6):
        for b in range(a, 6):
            if abs(found.tensor[a, b]) > 1e-3 * abs(found.tensor).max():
                results[f"C{a + 1}{b + 1}"] = Value(found.tensor[a, b], found.error[a, b], "GPa")
    lowest = float(np.linalg.eigvalsh(found.tensor).min())
    results["lowest eigenvalue"] = Value(lowest, None, "GPa")
    if lowest > 0:
        means, errors = elasticity.moduli(found.tensor), elasticity.moduli_errors(found)
        units = {"poisson": "", "anisotropy": ""}
        results |= {
            name.replace("_", " "): Value(value, error, units.get(name, "GPa"))
            for name, value, error in zip(means._fields, means, errors)
        }
        title = f"Bulk {results['bulk hill']}, shear {results['shear hill']} (Hill)"
    else:
        title = "Not stable: an eigenvalue is negative"
        print("  an eigenvalue is negative: this crystal is not stable, and has no moduli")
    figure = _picture(
        found.tensor, title, f"{atoms.get_chemical_formula()}, model {options.model}."
    )
    settings = {"model": options.model, "strains": made, "largest strain": strain}
    columns = {"tensor (GPa)": found.tensor, "error (GPa)": found.error}
    outcome = Outcome(settings, results, columns, figure)
    write_outcome(folder, "elastic", outcome)


def _picture(tensor, title, note):  # type: ignore[no-untyped-def]  # matplotlib's Figure
    """The tensor as squares with numbers."""
    from matplotlib.figure import Figure

    from openmm_pqeq.report.plots import TEXT, finish

    figure = Figure(figsize=(6.0, 5.2), layout="constrained", dpi=150)
    ax = figure.subplots()
    most = float(abs(tensor).max())
    image = ax.imshow(tensor, cmap="RdBu_r", vmin=-most, vmax=most)
    for a in range(6):
        for b in range(6):
            dark = abs(tensor[a, b]) > 0.6 * most
            ax.text(
                b, a, f"{tensor[a, b] + 0.0:.1f}".replace("-0.0", "0.0"),
                ha="center", va="center", fontsize=9, color="white" if dark else TEXT,
            )  # fmt: skip
    ax.set_xticks(range(6), NAMES)
    ax.set_yticks(range(6), NAMES)
    ax.tick_params(colors=TEXT, length=0)
    ax.spines[:].set_visible(False)
    bar = figure.colorbar(image, ax=ax)
    bar.set_label("GPa", fontsize=9.5, color=TEXT)
    bar.outline.set_visible(False)
    ax.set_xlabel("strain", fontsize=10, color=TEXT)
    ax.set_ylabel("stress", fontsize=10, color=TEXT)
    finish(figure, title, note)
    return figure
