"""`openmm-pqeq analyze profile`: composition and charge along an axis, against time."""

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

HELP = "Composition and charge along an axis of the cell, against time (interfaces, slabs)."

EPILOG = """examples:
  openmm-pqeq analyze profile out --axis z
  openmm-pqeq analyze profile out --axis z --elements Li S --slabs 80 --times 40

Charges come from the run's charges.h5, where it has one. profile.json and profile.png are written beside the input, or into
--output."""

Profile = tuple[Any, Any, Any, Any]
"""Of the plots' maps and of the mean: times, map, mean, error."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The trajectory and the grid."""
    add_trajectory(parser)
    parser.add_argument(
        "--axis",
        default="z",
        metavar="{x,y,z}",
        help="cell vector, the first to third (default: z)",
    )
    parser.add_argument("--elements", nargs="+", metavar="ELEMENT", help="to show (default: all)")
    parser.add_argument("--slabs", default="100", metavar="N", help="(default: 100)")
    parser.add_argument(
        "--times", default="50", metavar="N", help="points on the axis of time (default: 50)"
    )
    parser.add_argument(
        "--blocks", metavar="N", default="5", help="for the standard error of the mean (default: 5)"
    )


def command(options: argparse.Namespace, folder: Path) -> None:
    """Profiles, and maps of them against time."""
    from openmm_pqeq.analysis import composition
    from openmm_pqeq.report.graphs import Graph, Line, Map, plot_graphs

    given = trajectory_of(options)
    cells = given.periodic("axis")
    axis = "xyz".index(values.choice("x", "y", "z")("axis", options.axis))
    n_slabs = values.within(values.positive_count, 2, 10_000)("slabs", options.slabs)
    blocks = values.positive_count("blocks", options.blocks)
    elements = options.elements or sorted(set(given.symbols.tolist()))
    places = composition.centers(cells, axis, n_slabs)

    def profile_of(times: Any, positions: Any, boxes: Any, weights: Any) -> Profile:
        rows = composition.densities(positions, boxes, weights, axis, n_slabs)
        n_times = min(values.positive_count("times", options.times), len(rows))
        when, over_time = composition.against_time(rows, times, n_times)
        return when, over_time, *composition.mean_profile(rows, blocks)

    print(f"along {options.axis}, {given.describe()}")
    label = f"{options.axis} (Å)"
    columns: dict[str, Any] = {label: places}
    maps, lines = [], []
    for element in elements:
        weights = np.zeros(len(given.symbols))
        weights[given.atoms_of("elements", element)] = 1.0
        when, over_time, mean, error = profile_of(given.times, given.positions, cells, weights)
        lines.append(Line(element, places, mean, error))
        columns |= {f"{element} (1/Å³)": mean, f"{element} error (1/Å³)": error}
        columns |= {"time (ps)": when, f"{element} against time (1/Å³)": over_time}
        maps.append(Map(element, when, places, over_time.T, "time (ps)", label, "atoms/Å³"))
    graphs: list[Any] = [Graph("Composition, mean over time", label, "atoms/Å³", lines), *maps]
    results: dict[str, Value] = {}
    charged = charges_of(given)
    if charged is not None:
        frames, charges = charged
        when, over_time, mean, error = profile_of(
            given.times[frames], given.positions[frames], cells[frames], charges
        )
        columns |= {"charge (e/Å³)": mean, "charge error (e/Å³)": error}
        columns |= {"time of charges (ps)": when, "charge against time (e/Å³)": over_time}
        graphs += [
            Graph("Charge, mean over time", label, "e/Å³", [Line("charge", places, mean, error)]),
            Map("Charge", when, places, over_time.T, "time (ps)", label, "e/Å³", signed=True),
        ]
        largest = int(np.abs(mean).argmax())
        results["largest charge density"] = Value(
            float(mean[largest]), float(error[largest]), "e/Å³"
        )
        results["where"] = Value(float(places[largest]), float(places[1] - places[0]) / 2, "Å")
    note = f"{given.describe()}. Bands: standard errors from {blocks} blocks."
    title = f"Profiles along {options.axis}"
    settings = {"axis": options.axis, "elements": elements, "slabs": n_slabs}
    outcome = Outcome(settings, results, columns, plot_graphs(graphs, title, note))
    write_outcome(folder, "profile", outcome)


def charges_of(given: Trajectory) -> tuple[Any, Any] | None:
    """Frames of which the run has charges, and the charges (n_frames, n_atoms) e; None where there
    are none."""
    from openmm_pqeq.reporters.frames import hdf5

    file = given.source / "charges.h5"
    if not given.source.is_dir() or not file.is_file():
        return None
    with hdf5(file) as read:
        if "step" not in read or not len(read["step"]):
            return None
        times, charges = read["time"][()], read["charges"][()]
        particles = read["particles"][()]
    moments = np.round(given.times / given.interval * given.stride).astype(int)
    written = times / given.interval * given.stride
    near = np.abs(written - np.round(written)) < 1e-3
    rows = {round(when): k for k, when in enumerate(written) if near[k]}
    frames = [k for k, moment in enumerate(moments.tolist()) if moment in rows]
    if len(frames) < 2:
        print("  charges.h5 has no two of these frames; charges are left out")
        return None
    ordered = np.zeros((len(frames), given.frames.n_atoms))
    ordered[:, particles] = charges[[rows[int(moments[k])] for k in frames]]
    return np.array(frames), ordered
