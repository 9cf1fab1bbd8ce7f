"""`openmm-pqeq analyze relaxation`: autocorrelation and relaxation time of the dipole of a run."""

import argparse
from pathlib import Path

import numpy as np

from openmm_pqeq.cli.analyses.outcome import Outcome, Value, write_outcome
from openmm_pqeq.cli.analyses.series import add_series, all_series
from openmm_pqeq.jobs import quantities, values

HELP = "Autocorrelation of the dipole of a run, its relaxation time, and the Kirkwood factor."

EPILOG = """examples:
  openmm-pqeq analyze relaxation out --skip 10ps --longest-lag 20ps
  openmm-pqeq analyze relaxation water --molecules 216 --moment 0.55     also the Kirkwood factor

relaxation.json and relaxation.png are written beside the input, or into --output."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The dipole, and how far to look."""
    add_series(parser)
    parser.add_argument("--longest-lag", metavar="TIME", help="(default: a tenth of the series)")
    parser.add_argument(
        "--blocks", metavar="N", default="5", help="for the standard error (default: 5)"
    )
    parser.add_argument("--molecules", metavar="N", help="how many, for the Kirkwood factor")
    parser.add_argument("--moment", metavar="MU", help="dipole of one of them, e Å")


def command(options: argparse.Namespace, folder: Path) -> None:
    """φ(t), τ, g_K, plot."""
    from openmm_pqeq.analysis.relaxation import kirkwood_factor, relaxation
    from openmm_pqeq.report.graphs import Graph, Line, plot_graphs

    (given,) = all_series(options, 1)
    interval = float(np.diff(given.times).mean())
    lag = options.longest_lag
    found = relaxation(
        given.dipole,
        interval,
        None if lag is None else quantities.picoseconds("longest_lag", lag),
        values.positive_count("blocks", options.blocks),
    )
    length = f"{len(given.times)} moments, {given.times[-1] - given.times[0]:g} ps"
    print(length)
    results = {"relaxation time": Value(found.time, found.time_error, "ps")}
    if not found.ended:
        print(
            "  φ does not come to zero: the relaxation time is a lower bound; --longest-lag, or a longer run"
        )
    if (options.molecules is None) != (options.moment is None):
        raise ValueError("molecules, moment: the Kirkwood factor needs both, or neither")
    if options.molecules is not None:
        number = values.positive_count("molecules", options.molecules)
        moment = values.within(values.positive, 1e-6, 1e3, "e Å")("moment", options.moment)
        # counted from its mean: a polarization begins at zero wherever the run began
        factor, error = kirkwood_factor(given.dipole - given.dipole.mean(axis=0), number, moment)
        results["Kirkwood factor"] = Value(factor, error, "")
    shown = found.lags <= max(8 * found.time, found.lags[min(20, len(found.lags) - 1)])
    lags = found.lags[shown]
    graph = Graph(
        "Autocorrelation of the dipole", "lag (ps)", "φ",
        [Line("φ", lags, found.correlation[shown]),
         Line("exp(−t/τ)", lags, np.exp(-lags / max(found.time, 1e-12)), kind="dashed")],
    )  # fmt: skip
    figure = plot_graphs([graph], f"τ = {results['relaxation time']}", f"{length}.")
    columns = {"lag (ps)": found.lags, "φ": found.correlation}
    settings = {"reached zero": found.ended}
    outcome = Outcome(settings, results, columns, figure)
    write_outcome(folder, "relaxation", outcome)
