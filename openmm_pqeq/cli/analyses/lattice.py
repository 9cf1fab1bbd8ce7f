"""`openmm-pqeq analyze lattice`: lattice parameters of a run, or of several against temperature."""

import argparse
from pathlib import Path
from typing import Any

import numpy as np

from openmm_pqeq.cli.analyses.outcome import Outcome, Value, write_outcome
from openmm_pqeq.cli.analyses.trajectory import (
    Trajectory,
    add_trajectory,
    trajectory_of,
)
from openmm_pqeq.jobs import values

HELP = "Lattice parameters of a run, or of several runs against temperature."

EPILOG = """examples:
  openmm-pqeq analyze lattice out --skip 5ps
  openmm-pqeq analyze lattice run100 run200 run300 --skip 5ps --output heating

Lengths are those of the file's cell: run.toml says how often it was repeated, or --repeats. lattice.json and lattice.png are
written beside the first input, or into --output."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The runs."""
    add_trajectory(parser, several=True)
    parser.add_argument(
        "--repeats", nargs=3, metavar="N", help="of the cell along its vectors (default: the run's)"
    )


def command(options: argparse.Namespace, folder: Path) -> None:
    """Parameters with errors; against time for one run, against temperature for several."""
    from openmm_pqeq.analysis import lattice
    from openmm_pqeq.report.graphs import plot_graphs

    runs = [trajectory_of(options, name) for name in options.run]
    found = [lattice.averages(run.periodic("run"), _repeats(options.repeats, run)) for run in runs]
    if len(runs) == 1:
        (run,) = runs
        print(run.describe())
        results = {
            name: Value(one.mean, one.error, unit)
            for name, unit, one in zip(lattice.NAMES, lattice.UNITS, found[0])
        }
        series = lattice.parameters(run.periodic("run"), _repeats(options.repeats, run))
        columns: dict[str, Any] = {"time (ps)": run.times}
        columns |= {
            f"{name} ({unit})": series[:, k]
            for k, (name, unit) in enumerate(zip(lattice.NAMES, lattice.UNITS))
        }
        graphs = _graphs(run.times, "time (ps)", series, None)
        title = f"a, b, c = {results['a']}, {results['b']}, {results['c']}"
        note = f"{run.describe()}."
    else:
        kelvin = np.array([run.temperature(None) for run in runs])
        order = np.argsort(kelvin)
        kelvin = kelvin[order]
        means = np.array([[one.mean for one in found[k]] for k in order])
        errors = np.array([[one.error for one in found[k]] for k in order])
        results = {}
        columns = {"temperature (K)": kelvin}
        for k, (name, unit) in enumerate(zip(lattice.NAMES, lattice.UNITS)):
            columns |= {f"{name} ({unit})": means[:, k], f"{name} error ({unit})": errors[:, k]}
            for row, temperature in enumerate(kelvin):
                label = f"{name} at {temperature:.0f} K"
                results[label] = Value(means[row, k], errors[row, k], unit)
        slope = lattice.expansion(kelvin, means[:, 6], errors[:, 6])
        results["thermal expansion of the volume"] = Value(slope.value, slope.error, "1/K")
        graphs = _graphs(kelvin, "T (K)", means, errors)
        title = f"Lattice parameters, {kelvin[0]:.0f} to {kelvin[-1]:.0f} K"
        note = f"{len(runs)} runs of {', '.join(f'{run.length:g}' for run in runs)} ps. Bars: standard errors."
    settings = {"runs": options.run, "repeats": [_repeats(options.repeats, run) for run in runs]}
    outcome = Outcome(settings, results, columns, plot_graphs(graphs, title, note))
    write_outcome(folder, "lattice", outcome)


def _graphs(x: Any, label: str, values_: Any, errors: Any) -> list[Any]:
    """Lengths, angles, volume."""
    from openmm_pqeq.report.graphs import Graph, Line

    def line(name: str, k: int) -> Line:
        kind = "line" if errors is None else "points"
        return Line(name, x, values_[:, k], None if errors is None else errors[:, k], kind)

    return [
        Graph("Lengths", label, "Å", [line(name, k) for k, name in enumerate("abc")]),
        Graph("Angles", label, "degrees", [line(name, k + 3) for k, name in enumerate("αβγ")]),
        Graph("Volume", label, "Å³", [line("", 6)]),
    ]


def _repeats(given: list[str] | None, run: Trajectory) -> tuple[int, int, int]:
    """How often the cell was repeated."""
    said = given if given is not None else run.settings.get("supercell", [1, 1, 1])
    repeats = values.counts("repeats", said)
    cells, n_atoms = repeats[0] * repeats[1] * repeats[2], run.frames.n_atoms
    if n_atoms % cells:
        raise ValueError(
            f"repeats: {n_atoms} atoms are not {cells} times the same cell; expected how often the "
            f"cell was repeated, got {repeats}"
        )
    return repeats
