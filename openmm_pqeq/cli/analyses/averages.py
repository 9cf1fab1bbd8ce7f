"""`openmm-pqeq analyze averages`: density and all other columns of a run's table, with errors."""

import argparse
from pathlib import Path

import numpy as np

from openmm_pqeq.cli.analyses.outcome import Outcome, Value, write_outcome
from openmm_pqeq.cli.analyses.run_files import table_of
from openmm_pqeq.jobs import quantities

HELP = (
    "Averages of a run's table (density, energies, temperature) with errors and correlation times."
)

EPILOG = """examples:
  openmm-pqeq analyze averages out --skip 20ps
  openmm-pqeq analyze averages out --skip 20ps --columns density_g_per_cm3 volume_A3

averages.json and averages.png are written beside the input, or into --output."""

FEWEST = 50
"""Independent samples, below which an error is not to be trusted."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The table."""
    parser.add_argument("file", metavar="FILE", help="folder of a run, or its table.csv")
    parser.add_argument(
        "--skip", metavar="TIME", default="0", help="leave out the beginning (default: nothing)"
    )
    parser.add_argument(
        "--columns",
        nargs="+",
        metavar="NAME",
        help="of the table (default: all; plotted: the first three)",
    )
    parser.add_argument("--output", "-o", metavar="FOLDER", help="where to write")


def command(options: argparse.Namespace, folder: Path) -> None:
    """Means, errors, correlation times; running means in a plot."""
    from openmm_pqeq.analysis.blocks import average
    from openmm_pqeq.report.graphs import Graph, Line, plot_graphs

    source = Path(options.file)
    path, columns = table_of(source)
    chosen = columns["time_ps"] >= quantities.picoseconds_or_zero("skip", options.skip)
    if chosen.sum() < 4:
        raise ValueError(f"skip: {path} has {chosen.sum()} rows after it; expected at least 4")
    times = columns["time_ps"][chosen]
    names = options.columns or [name for name in columns if name not in ("step", "time_ps")]
    if missing := [name for name in names if name not in columns]:
        raise ValueError(f"columns: {path} has no {missing[0]}; it has {', '.join(columns)}")
    interval = float(np.diff(times).mean())
    found = {name: average(columns[name][chosen]) for name in names}
    print(f"{len(times)} rows, {times[-1] - times[0]:g} ps")
    results = {name: Value(one.mean, one.error, "") for name, one in found.items()}
    short = [name for name, one in found.items() if one.independent < FEWEST and one.error > 0]
    if short:
        print(f"  fewer than {FEWEST} independent samples, so that errors may be too small: {', '.join(short)}")  # fmt: skip
    first = ("density_g_per_cm3", "potential_energy_eV", "temperature_K")
    moving = [name for name, one in found.items() if one.error > 0]
    drawn = options.columns[:3] if options.columns else [name for name in first if name in moving]
    graphs = []
    for name in drawn or (moving or names)[:3]:
        series = columns[name][chosen]
        running = np.cumsum(series) / np.arange(1, len(series) + 1)
        graphs.append(
            Graph(
                f"{name}: {results[name]}", "time (ps)", name,
                [Line("value", times, series), Line("mean so far", times, running)],
            )
        )  # fmt: skip
    settings = {
        "correlation time (ps)": {
            name: 0.5 * interval * one.inefficiency for name, one in found.items()
        },
        "independent samples": {name: one.independent for name, one in found.items()},
    }
    note = f"{len(times)} rows, {times[-1] - times[0]:g} ps."
    table = {"time (ps)": times}
    outcome = Outcome(
        settings, results, table, plot_graphs(graphs, path.parent.name or "run", note)
    )
    write_outcome(folder, "averages", outcome)
