"""`openmm-pqeq analyze polarization`: local polarization of the cells of a perovskite."""

import argparse
from pathlib import Path

import numpy as np

from openmm_pqeq.cli.analyses.outcome import Outcome, Value, write_outcome
from openmm_pqeq.cli.analyses.trajectory import add_trajectory, trajectory_of
from openmm_pqeq.jobs import values

HELP = "Local polarization of the cells of a perovskite ABO3, from Born charges."

EPILOG = """examples:
  openmm-pqeq analyze polarization out --sites Ba Ti O --born Ba=2.77 Ti=5.70 O=-2.823 --skip 2ps

Born charges (mean of the diagonal, e) come from openmm-pqeq energy FILE --model MODEL --response. polarization.json and
polarization.png are written beside the input, or into --output."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The trajectory, the sites, the charges."""
    add_trajectory(parser)
    parser.add_argument(
        "--sites", nargs=3, required=True, metavar="ELEMENT", help="on A, B and X, such as Ba Ti O"
    )
    parser.add_argument(
        "--born", nargs=3, required=True, metavar="ELEMENT=Z", help="Born charge of each, e"
    )


def command(options: argparse.Namespace, folder: Path) -> None:
    """Mean and local polarization, against time and as a distribution."""
    from openmm_pqeq.analysis import perovskite
    from openmm_pqeq.analysis.blocks import average
    from openmm_pqeq.analysis.paths import fractions
    from openmm_pqeq.report.graphs import Graph, Line, plot_graphs
    from openmm_pqeq.units import E_PER_SQUARE_ANGSTROM_IN_MICROCOULOMB_PER_SQUARE_CM as UNIT

    given = trajectory_of(options)
    cells = given.periodic("sites")
    charges = _born(options.born)
    if set(charges) != set(options.sites):
        raise ValueError(
            f"born: expected charges of {', '.join(options.sites)}; got {options.born}"
        )
    for element in options.sites:
        given.atoms_of("sites", element)
    paths = fractions(given.positions, cells)
    found = perovskite.neighborhood(paths[0], cells[0], given.symbols.tolist(), *options.sites)
    born = np.array([charges.get(symbol, 0.0) for symbol in given.symbols.tolist()])
    local = UNIT * perovskite.local_polarization(paths, cells, found, born)
    mean = local.mean(axis=1)
    size = np.linalg.norm(local, axis=2).mean(axis=1)
    print(f"{len(found.centers)} cells, {given.describe()}")
    results = {}
    for k, name in enumerate("xyz"):
        one = average(mean[:, k])
        results[f"mean polarization along {name}"] = Value(one.mean, one.error, "µC/cm²")
    for label, series in (
        ("size of the mean polarization", np.linalg.norm(mean, axis=1)),
        ("mean size of the local polarization", size),
    ):
        one = average(series)
        results[label] = Value(one.mean, one.error, "µC/cm²")
    most = 1.1 * float(np.abs(local).max())
    edges = np.linspace(-most, most, 61)
    middle = 0.5 * (edges[1:] + edges[:-1])
    spread = [np.histogram(local[..., k], edges, density=True)[0] for k in range(3)]
    graphs = [
        Graph(
            "Mean over the cells", "time (ps)", "P (µC/cm²)",
            [Line(f"$P_{name}$", given.times, mean[:, k]) for k, name in enumerate("xyz")],
        ),
        Graph(
            "Distribution over cells and time", "local P (µC/cm²)", "density (cm²/µC)",
            [Line(f"$P_{name}$", middle, spread[k]) for k, name in enumerate("xyz")],
        ),
    ]  # fmt: skip
    title = "Local polarization: mean size " + str(results["mean size of the local polarization"])
    note = f"Born charges {', '.join(options.born)} e; {given.describe()}."
    columns = {
        "time (ps)": given.times,
        "mean P (µC/cm²)": mean,
        "mean size of the local P (µC/cm²)": size,
        "local P (µC/cm²)": middle,
        "density of P_x, P_y, P_z (cm²/µC)": np.stack(spread, axis=1),
        "local P of each cell, mean over time (µC/cm²)": local.mean(axis=0),
    }
    settings = {"sites": options.sites, "born charges (e)": charges}
    outcome = Outcome(settings, results, columns, plot_graphs(graphs, title, note))
    write_outcome(folder, "polarization", outcome)


def _born(given: list[str]) -> dict[str, float]:
    """Born charges (e) by element."""
    pairs = [values.halves("born", each, "ELEMENT=Z") for each in given]
    return {element: values.number("born", value) for element, value in pairs}
