"""`openmm-pqeq analyze diffusion`: mean square displacement and diffusion coefficient."""

import argparse
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from openmm_pqeq.cli.analyses.outcome import Outcome, Value, write_outcome
from openmm_pqeq.cli.analyses.trajectory import (
    Trajectory,
    add_trajectory,
    trajectory_of,
)
from openmm_pqeq.jobs import quantities, values

HELP = "Mean square displacement, its diffusive window, and the diffusion coefficient."

EPILOG = """examples:
  openmm-pqeq analyze diffusion out --element Li --skip 10ps
  openmm-pqeq analyze diffusion out --element Li --drift others --hop-length 2.0
  openmm-pqeq analyze diffusion out --element Li --window 20ps 200ps

The window is the longest stretch of lags where the displacement grows with the first power of time; where there is none, no
coefficient is given (exit code 1). diffusion.json and diffusion.png are written beside the input, or into --output."""

DRIFTS = ("mass", "others", "none")
NO_WINDOW = 1


class Motion(NamedTuple):
    """Paths of the ions of an element, how far they move, and where that is diffusive."""

    path: Any
    lags: Any
    msd: Any
    hop_length: float
    window: Any


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The trajectory, and of what and how."""
    add_trajectory(parser)
    parser.add_argument("--element", required=True, metavar="ELEMENT", help="what moves")
    parser.add_argument("--temperature", metavar="T", help="K, for the record (default: the run's)")
    add_motion(parser)


def add_motion(parser: argparse.ArgumentParser) -> None:
    """How displacements are taken and the window is found."""
    parser.add_argument(
        "--drift",
        default="mass",
        metavar="{" + ",".join(DRIFTS) + "}",
        help="what is taken to be at rest: the centre of mass, the atoms of all other elements, or "
        "nothing (default: mass)",
    )
    parser.add_argument(
        "--hop-length",
        metavar="A",
        help="Å, distance of neighbouring sites (default: of neighbouring ions at the start)",
    )
    parser.add_argument(
        "--window", nargs=2, metavar="TIME", help="lags of the fit (default: found)"
    )
    parser.add_argument(
        "--blocks", metavar="N", default="5", help="for the standard error (default: 5)"
    )


def path_of(given: Trajectory, drift: str, moving: Any) -> Any:
    """(n_frames, n_atoms, 3) Å of all atoms, continuous, without drift."""
    from openmm_pqeq.analysis import paths

    path = paths.unwrapped(given.positions, given.cells)
    if given.cells is not None and paths.largest_step(path[:, moving], given.cells) > 0.4:
        print(
            "warning: atoms move by more than 0.4 of the cell between two frames, and may have "
            "been taken for their images; write frames more often"
        )
    kind = values.choice(*DRIFTS)("drift", drift)
    if kind == "none":
        return path
    weights = given.masses.copy()
    if kind == "others":
        weights[moving] = 0.0
        if not weights.any():
            raise ValueError("drift: others: there are no atoms of another element")
    return paths.without_drift(path, weights)


def motion_of(options: argparse.Namespace, given: Trajectory, path: Any, moving: Any) -> Motion:
    """Displacement of some atoms of a path, and its diffusive window; None where there is none."""
    from openmm_pqeq.analysis import diffusion

    own = path[:, moving]
    msd = diffusion.mean_square_displacement(own)
    lags = given.interval * np.arange(len(msd))
    hop = _hop_length(options.hop_length, given, moving)
    if options.window is None:
        window = diffusion.diffusive_window(lags, msd.sum(axis=1), smallest=0.5 * hop**2)
    else:
        start, stop = (quantities.picoseconds("window", each) for each in options.window)
        if not given.interval <= start < stop <= given.length:
            raise ValueError(
                f"window: expected two lags from {given.interval:g} to {given.length:g} ps, got "
                f"{start:g} and {stop:g} ps"
            )
        msd = diffusion.mean_square_displacement(
            own, max(len(msd), round(stop / given.interval) + 1)
        )
        lags = given.interval * np.arange(len(msd))
        first, last = round(start / given.interval), round(stop / given.interval)
        total = msd.sum(axis=1)
        exponent = float(np.log(total[last] / total[first]) / np.log(last / first)) if total[first] > 0 else 0.0  # fmt: skip
        window = diffusion.Window(start, stop, exponent)
    return Motion(own, lags, msd, hop, window)


def _hop_length(given: str | None, trajectory: Trajectory, moving: Any) -> float:
    """Å: as given, or the mean distance of an ion to its nearest in the first frame."""
    if given is not None:
        return values.within(values.positive, 1e-3, 100, "Å")("hop_length", given)
    if len(moving) < 2:
        return 3.0
    import mdtraj

    from openmm_pqeq.units import ANGSTROM_PER_NM

    nearest = []
    for atom in moving[:500]:
        pairs = np.array([(atom, other) for other in moving if other != atom])
        nearest.append(mdtraj.compute_distances(trajectory.frames[0], pairs).min())
    return float(ANGSTROM_PER_NM * np.mean(nearest))


def graphs_of(element: str, motion: Motion, found: Any) -> list[Any]:
    """Displacement with the window and the line, and its exponent."""
    from openmm_pqeq.analysis.diffusion import exponents
    from openmm_pqeq.report.graphs import Graph, Line

    lags, total = motion.lags[1:], motion.msd.sum(axis=1)[1:]
    lines = [Line(element, lags, total)]
    shaded = None
    if found is not None:
        window = found.window
        inside = lags[(lags >= window.start - 1e-9) & (lags <= window.stop + 1e-9)]
        fit = found.intercept + 6 * found.coefficient * inside
        lines.append(Line("fit", inside, fit, kind="dashed"))
        shaded = (window.start, window.stop, "window")
    times, beta = exponents(motion.lags, motion.msd.sum(axis=1))
    one = Line("diffusive", [times[0], times[-1]], [1, 1], kind="dashed") if len(times) else None
    return [
        Graph("Mean square displacement", "lag (ps)", "MSD (Å²)", lines, "xy", shaded),
        Graph(
            "Its exponent, from each lag to the double", "lag (ps)", "β",
            [Line("β", times, beta), *([one] if one else [])], "x", shaded,
        ),
    ]  # fmt: skip


def command(options: argparse.Namespace, folder: Path) -> int:
    """Displacement, window, coefficient with two errors, plot."""
    from openmm_pqeq.analysis import diffusion
    from openmm_pqeq.report.graphs import plot_graphs
    from openmm_pqeq.units import SQUARE_ANGSTROM_PER_PS_IN_SQUARE_CM_PER_S as UNIT

    blocks = values.positive_count("blocks", options.blocks)
    given = trajectory_of(options)
    moving = given.atoms_of("element", options.element)
    motion = motion_of(options, given, path_of(given, options.drift, moving), moving)
    print(f"{len(moving)} {options.element}, {given.describe()}")
    found = None
    results: dict[str, Value] = {}
    if motion.window is None:
        title = f"{options.element}: no diffusive window"
        print("  no diffusive window: run longer or hotter, or give --window; no D is given")
    else:
        found = diffusion.diffusion(
            motion.path, given.interval, motion.window, motion.hop_length, blocks
        )
        results = {
            "D": Value(found.coefficient * UNIT, found.error * UNIT, "cm²/s"),
            "D, error by effective hops": Value(
                found.coefficient * UNIT, found.hops_error * UNIT, "cm²/s"
            ),
        }
        for axis, value, error in zip("xyz", found.components, found.components_error):
            results[f"D along {axis}"] = Value(value * UNIT, error * UNIT, "cm²/s")
        results["effective hops"] = Value(found.effective_hops, None, "")
        results["exponent in the window"] = Value(found.window.exponent, None, "")
        title = f"{options.element}: D = {results['D']}"
        print(f"  window {found.window.start:g} to {found.window.stop:g} ps")
    settings = {
        "element": options.element,
        "temperature (K)": _temperature(given, options.temperature),
        "hop length (Å)": motion.hop_length,
        "drift": options.drift,
        "window (ps)": None if found is None else [found.window.start, found.window.stop],
    }
    columns = {"lag (ps)": motion.lags, "MSD along x, y, z (Å²)": motion.msd}
    figure = plot_graphs(graphs_of(options.element, motion, found), title, given.describe() + ".")
    outcome = Outcome(settings, results, columns, figure)
    write_outcome(folder, "diffusion", outcome)
    return 0 if found is not None else NO_WINDOW


def _temperature(given: Trajectory, said: str | None) -> float | None:
    """K, None where nothing says it."""
    if said is None and not given.settings:
        return None
    return given.temperature(said)
