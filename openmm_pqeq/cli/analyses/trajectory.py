"""The trajectory that a run has written, as analyses read it."""

import argparse
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from openmm_pqeq.cli.analyses.run_files import files_of, interval_of, loaded, settings_of
from openmm_pqeq.jobs import quantities, values

Array = NDArray[np.float64]

LEAST_FRAMES = 4


class Trajectory:
    """Frames of a run.

    frames : mdtraj's Trajectory (nm)
    interval : ps, from one frame to the next
    settings : of run.toml; empty where the input is no folder of a run
    source : the folder of the run, or the file
    first : index in the file of the first frame that is kept
    stride : every so many frames
    """

    def __init__(
        self,
        frames: Any,
        interval: float,
        settings: dict[str, Any],
        source: Path,
        first: int,
        stride: int,
    ):
        self.frames, self.interval, self.settings = frames, interval, settings
        self.source, self.first, self.stride = source, first, stride

    @cached_property
    def positions(self) -> Array:
        """(n_frames, n_atoms, 3) Å, as the file has them."""
        from openmm_pqeq.units import ANGSTROM_PER_NM

        return np.asarray(self.frames.xyz, dtype=float) * ANGSTROM_PER_NM

    @cached_property
    def cells(self) -> Array | None:
        """(n_frames, 3, 3) Å, rows; None where nothing is periodic."""
        from openmm_pqeq.units import ANGSTROM_PER_NM

        if self.frames.unitcell_vectors is None:
            return None
        return np.asarray(self.frames.unitcell_vectors, dtype=float) * ANGSTROM_PER_NM

    @cached_property
    def symbols(self) -> NDArray[np.str_]:
        """(n_atoms,) of the elements."""
        return np.array([atom.element.symbol for atom in self.frames.topology.atoms])

    @cached_property
    def masses(self) -> Array:
        """(n_atoms,) amu."""
        return np.array([atom.element.mass for atom in self.frames.topology.atoms], dtype=float)

    @property
    def times(self) -> Array:
        """(n_frames,) ps since the beginning of the file."""
        steps = self.first + 1 + self.stride * np.arange(len(self.frames))
        return np.asarray(self.interval / self.stride * steps)

    @property
    def length(self) -> float:
        """ps, from the first frame to the last."""
        return self.interval * (len(self.frames) - 1)

    def periodic(self, name: str) -> Array:
        """The cells; ValueError where there are none."""
        if self.cells is None:
            raise ValueError(f"{name}: needs a periodic cell, and {self.source} has none")
        return self.cells

    def volume(self) -> float:
        """Å³, mean over the frames."""
        return float(np.abs(np.linalg.det(self.periodic("volume"))).mean())

    def atoms_of(self, name: str, element: str) -> NDArray[np.int64]:
        """Indices of the atoms of an element; ValueError where there are none. `name` is that of
        the argument."""
        found = np.flatnonzero(self.symbols == element)
        if not len(found):
            present = ", ".join(sorted(set(self.symbols.tolist())))
            raise ValueError(f"{name}: expected one of {present}; got {element!r}")
        return found

    def temperature(self, given: str | None) -> float:
        """K: what the command line says, or else the mean of table.csv from the first frame on, or
        the setting of the run."""
        if given is not None:
            return values.within(values.positive, 1e-6, 1e6)("temperature", given)
        table = self.source / "table.csv"
        if self.source.is_dir() and table.is_file():
            from openmm_pqeq.md.plot import read_table

            columns = read_table(table)
            chosen = columns["time_ps"] >= self.times[0] - 1e-9
            if chosen.any() and "temperature_K" in columns:
                return float(columns["temperature_K"][chosen].mean())
        if "temperature" in self.settings:
            return float(self.settings["temperature"])
        raise ValueError(f"temperature: {self.source} has none; give --temperature (K)")

    def describe(self) -> str:
        """A line about it."""
        return (
            f"{len(self.frames)} frames of {self.frames.n_atoms} atoms, {self.length:g} ps, every "
            f"{1000 * self.interval:g} fs"
        )


def add_trajectory(parser: argparse.ArgumentParser, several: bool = False) -> None:
    """The input that analyses of a trajectory share."""
    parser.add_argument(
        "run",
        nargs="+" if several else None,
        metavar="RUN",
        help="folder of a run, or a trajectory that mdtraj reads (then with --topology)",
    )
    parser.add_argument(
        "--topology",
        metavar="FILE",
        help="PDB file with the atoms, where RUN is no folder of a run",
    )
    parser.add_argument(
        "--interval",
        metavar="TIME",
        help="time between two frames of the file (default: as run.toml says)",
    )
    parser.add_argument(
        "--skip",
        metavar="TIME",
        default="0",
        help="leave out the beginning, such as 1ps (default: nothing)",
    )
    parser.add_argument(
        "--stride", metavar="N", default="1", help="take every Nth frame (default: every)"
    )
    parser.add_argument(
        "--output", "-o", metavar="FOLDER", help="where to write (default: beside the input)"
    )


def trajectory_of(options: argparse.Namespace, run: str | None = None) -> Trajectory:
    """The trajectory that the command line names, from --skip on."""
    source = Path(options.run if run is None else run)
    stride = values.positive_count("stride", options.stride)
    skip = quantities.picoseconds_or_zero("skip", options.skip)
    settings = settings_of(source)
    path, topology = files_of(source, settings, options.topology)
    interval = interval_of(options.interval, settings)
    frames = loaded(path, topology)
    first = max(0, int(np.ceil(skip / interval - 1e-9)) - 1)
    frames = frames[first::stride]
    if len(frames) < LEAST_FRAMES:
        raise ValueError(
            f"skip: {path} has {len(frames)} frames after --skip and --stride; expected at least "
            f"{LEAST_FRAMES}"
        )
    return Trajectory(frames, interval * stride, settings, source, first, stride)
