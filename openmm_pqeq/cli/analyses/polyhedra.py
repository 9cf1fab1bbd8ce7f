"""`openmm-pqeq analyze polyhedra`: coordination polyhedra left and fragments, against time."""

import argparse
from collections import Counter
from pathlib import Path

import numpy as np

from openmm_pqeq.cli.analyses.outcome import Outcome, Value, write_outcome
from openmm_pqeq.cli.analyses.trajectory import add_trajectory, trajectory_of
from openmm_pqeq.jobs import values

HELP = (
    "Coordination polyhedra that are left (PS4), and the fragments that they became, against time."
)

EPILOG = """examples:
  openmm-pqeq analyze polyhedra out --center P --ligand S --ligands 4 --cutoff 2.6
  openmm-pqeq analyze polyhedra out --center P --ligand S --ligands 4 --cutoff 2.6 --bond P Li 2.9

Fragments are what the cutoff, and those of --bond, hold together. polyhedra.json and polyhedra.png are written beside the input,
or into --output."""

_length = values.within(values.positive, 1e-3, 100, "Å")
MOST_SHOWN = 6
"""Kinds of fragments in the plot."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The trajectory, and what a polyhedron is."""
    add_trajectory(parser)
    parser.add_argument("--center", required=True, metavar="ELEMENT", help="in the middle")
    parser.add_argument("--ligand", required=True, metavar="ELEMENT", help="at the corners")
    parser.add_argument("--ligands", required=True, metavar="N", help="corners of a whole one")
    parser.add_argument("--cutoff", required=True, metavar="R", help="Å, of a bond")
    parser.add_argument(
        "--bond",
        nargs=3,
        action="append",
        default=[],
        metavar=("ELEMENT", "ELEMENT", "R"),
        help="a further bond that holds fragments together; may be repeated",
    )


def command(options: argparse.Namespace, folder: Path) -> None:
    """Coordination, share of whole polyhedra, fragments, plot."""
    from openmm_pqeq.analysis import polyhedra
    from openmm_pqeq.analysis.blocks import average
    from openmm_pqeq.report.graphs import Graph, Line, plot_graphs

    cutoff = _length("cutoff", options.cutoff)
    corners = values.positive_count("ligands", options.ligands)
    given = trajectory_of(options)
    centers = given.atoms_of("center", options.center)
    others = given.atoms_of("ligand", options.ligand)
    bonds = {(options.center, options.ligand): cutoff}
    for one, two, reach in options.bond:
        for element in (one, two):
            given.atoms_of("bond", element)
        bonds[one, two] = _length("bond", reach)
    counts = polyhedra.coordination(given.frames, centers, others, cutoff)
    left = polyhedra.polyhedra_left(counts, corners)
    found = polyhedra.fragments(given.frames, given.symbols.tolist(), bonds)
    name = f"{options.center}{options.ligand}{corners}"
    mean = average(counts.mean(axis=1))
    print(f"{len(centers)} {options.center}, {given.describe()}")
    results = {
        f"{name} at the start": Value(float(left.share[0]), float(left.error[0]), ""),
        f"{name} at the end": Value(float(left.share[-1]), float(left.error[-1]), ""),
        f"{options.ligand} about {options.center}, mean": Value(mean.mean, mean.error, ""),
    }
    common = [formula for formula, _ in sum(found, Counter[str]()).most_common(MOST_SHOWN)]
    series = {formula: np.array([each[formula] for each in found]) for formula in common}
    for formula, number in series.items():
        results[f"fragments {formula} at the end"] = Value(float(number[-1]), None, "")
    time = "time (ps)"
    graphs = [
        Graph(
            f"{options.center} with {corners} {options.ligand}", time, "share",
            [Line(name, given.times, left.share, left.error)],
        ),
        Graph(
            f"Coordination of {options.center} by {options.ligand}", time, "mean number",
            [Line("mean", given.times, counts.mean(axis=1))],
        ),
        Graph(
            "Fragments", time, "number",
            [Line(formula, given.times, number) for formula, number in series.items()],
        ),
    ]  # fmt: skip
    title = f"{name} left: {results[f'{name} at the end']}"
    note = f"Bonds to {cutoff:g} Å; {given.describe()}. Band: binomial standard error."
    columns = {
        time: given.times,
        f"share of {name}": left.share,
        "its error": left.error,
        f"{options.ligand} about {options.center}": counts.mean(axis=1),
        **{f"fragments {formula}": number for formula, number in series.items()},
    }
    settings = {"bonds (Å)": {"–".join(pair): reach for pair, reach in bonds.items()}}
    outcome = Outcome(settings, results, columns, plot_graphs(graphs, title, note))
    write_outcome(folder, "polyhedra", outcome)
