"""`openmm-pqeq analyze rdf`: radial distribution and coordination number of two elements."""

import argparse
from pathlib import Path

from openmm_pqeq.cli.analyses.outcome import Outcome, Value, write_outcome
from openmm_pqeq.cli.analyses.trajectory import add_trajectory, trajectory_of
from openmm_pqeq.jobs import values

HELP = "Radial distribution function and coordination number of two elements."

EPILOG = """examples:
  openmm-pqeq analyze rdf out --pair Na Cl --skip 5ps
  openmm-pqeq analyze rdf out --pair P S --cutoff 2.6 --longest 8
  openmm-pqeq analyze rdf traj.xtc --topology start.pdb --interval 0.1ps --pair O O

The first element is the centre. rdf.json and rdf.png are written beside the input, or into --output."""

_length = values.within(values.positive, 1e-3, 1e4, "Å")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The trajectory, the pair and the grid."""
    add_trajectory(parser)
    parser.add_argument(
        "--pair", nargs=2, required=True, metavar="ELEMENT", help="the centre and its neighbours"
    )
    parser.add_argument(
        "--longest", metavar="R", help="Å (default: what the cell allows, at most 10)"
    )
    parser.add_argument("--bin-width", metavar="DR", default="0.05", help="Å (default: 0.05)")
    parser.add_argument(
        "--cutoff", metavar="R", help="Å, of the coordination number (default: the first minimum)"
    )
    parser.add_argument(
        "--blocks", metavar="N", default="5", help="for the standard errors (default: 5)"
    )


def command(options: argparse.Namespace, folder: Path) -> None:
    """g(r) and n(r), the first shell, a plot."""
    from openmm_pqeq.analysis import radial
    from openmm_pqeq.report.graphs import Graph, Line, plot_graphs

    given = trajectory_of(options)
    given.periodic("pair")
    center, other = options.pair
    longest = None if options.longest is None else _length("longest", options.longest)
    found = radial.radial_distribution(
        given.frames,
        given.atoms_of("pair", center),
        given.atoms_of("pair", other),
        longest,
        _length("bin_width", options.bin_width),
        values.positive_count("blocks", options.blocks),
    )
    peak, minimum = radial.first_shell(found)
    cutoff = minimum if options.cutoff is None else _length("cutoff", options.cutoff)
    number, error = found.within(cutoff)
    name = f"{center}–{other}"
    print(f"{name}, {given.describe()}")
    results = {
        "highest peak": Value(peak, float(found.r[0]), "Å"),
        "height of the peak": Value(
            float(found.g.max()), float(found.g_error[found.g.argmax()]), ""
        ),
        "end of the first shell": Value(cutoff, None, "Å"),
        f"{other} about {center}": Value(number, error, ""),
    }
    graphs = [
        Graph(
            "Radial distribution", "r (Å)", "g(r)", [Line("g", found.r, found.g, found.g_error)],
            marks=[(cutoff, f"{cutoff:.2f} Å")],
        ),
        Graph(
            f"{other} within r of {center}", "r (Å)", "n(r)",
            [Line("n", found.edges, found.coordination, found.coordination_error)],
            marks=[(cutoff, f"n = {number:.2f}")],
        ),
    ]  # fmt: skip
    note = f"{given.describe()}. Bands: standard errors from {options.blocks} blocks."
    outcome = Outcome(
        {"pair": [center, other], "frames": len(given.frames)},
        results,
        {
            "r (Å)": found.r,
            "g": found.g,
            "g error": found.g_error,
            "outer edge (Å)": found.edges,
            "n": found.coordination,
            "n error": found.coordination_error,
        },
        plot_graphs(graphs, f"{name}: {other} about {center} {number:.2f}", note),
    )
    write_outcome(folder, "rdf", outcome)
