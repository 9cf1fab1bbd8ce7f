"""Charges and shells of a running simulation: an HDF5 file, or extended XYZ with the positions.

Units: e, Å, e Å, V/Å, ps.
"""

import os
from pathlib import Path
from typing import Any

import numpy as np
from openmm import app

from openmm_pqeq.reporters.frames import FrameFile, Quantity
from openmm_pqeq.reporters.observer import Observation, Observer
from openmm_pqeq.reporters.table import next_report, path_of, positive_interval
from openmm_pqeq.reporters.writers import GrowingFile

XYZ = (".xyz", ".extxyz")


class ChargeReporter:
    """Write charges and shells to an HDF5 file, or (file names ending in .xyz or .extxyz) to
    extended XYZ.

    HDF5 datasets, with their units as attributes:

    step       (n_frames,)
    time       (n_frames,) ps
    field      (n_frames, 3) V/Å
    charges    (n_frames, n_atoms) e: the atom's net charge; its core has q + Z and its shell −Z
    shells     (n_frames, n_atoms, 3) Å: displacement of the shell from its core
    dipole     (n_frames, 3) e Å, Σ (q r − Z s) at the images that OpenMM holds
    numbers    (n_atoms,) atomic numbers
    particles  (n_atoms,) index of each atom among the particles of the System

    Extended XYZ has the columns species, pos (Å, the images that OpenMM holds), charges (e) and
    shells (Å), and in the second line Lattice (Å), pbc, step, time (ps), field (V/Å) and dipole (e
    Å); ASE reads it, charges and dipole as results of a calculator.

    Both may be read while they grow, from another process: h5py.File("charges.h5") sees the frames
    that were there when it was opened. An HDF5 file is not locked; where it was opened in the midst
    of a write and cannot be read, open it again.

    Frames are those of OpenMM's DCDReporter and XTCReporter with the same interval.

    Parameters
    ----------
    file : path; an existing file is replaced unless `append`
    interval : steps from one frame to the next
    append : continue an existing file of the same atoms; what a kill left of a last frame is
        removed
    """

    def __init__(self, file: str | os.PathLike[str], interval: int, append: bool = False):
        self._interval = positive_interval(interval)
        text = path_of(file, append).suffix.lower() in XYZ
        self._file: XYZFile | ChargeFile = (
            XYZFile(file, append) if text else ChargeFile(file, append)
        )

    def describeNextReport(self, simulation: app.Simulation) -> dict[str, Any]:
        """Steps to the next frame, as OpenMM asks its reporters."""
        return next_report(simulation, self._interval)

    def report(self, simulation: app.Simulation, state: Any) -> None:
        """Append the present charges."""
        observer = Observer.of(simulation)
        observer.require_charges()
        self._file.check(observer)
        self._file.write(observer, observer.observe(simulation))

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class ChargeFile:
    """HDF5 behind a ChargeReporter."""

    def __init__(self, file: str | os.PathLike[str], append: bool):
        self._frames = FrameFile(file, append)

    def check(self, observer: Observer) -> None:
        """ValueError where an existing file is one of other atoms."""
        self._frames.open(self._quantities(observer), self._fixed(observer))

    def write(self, observer: Observer, now: Observation) -> None:
        """Append a frame."""
        names = ("time", "field", "charges", "shells", "dipole", "step")
        self._frames.write({name: getattr(now, name) for name in names})

    def close(self) -> None:
        """Close the file."""
        self._frames.close()

    def _quantities(self, observer: Observer) -> dict[str, Quantity]:
        n_atoms = len(observer.numbers)
        return {
            "step": Quantity((), "i8", "1"),
            "time": Quantity((), "f8", "ps"),
            "field": Quantity((3,), "f8", "V/Å"),
            "charges": Quantity((n_atoms,), "f8", "e"),
            "shells": Quantity((n_atoms, 3), "f8", "Å"),
            "dipole": Quantity((3,), "f8", "e Å"),
        }

    def _fixed(self, observer: Observer) -> dict[str, Any]:
        return {"numbers": observer.numbers, "particles": observer.particles}


class XYZFile(GrowingFile):
    """Extended XYZ behind a ChargeReporter."""

    def __init__(self, file: str | os.PathLike[str], append: bool):
        path = path_of(file, append)
        self._symbols: list[str] | None = cut_back_xyz(path) if append else None
        super().__init__(path, append)

    def check(self, observer: Observer) -> None:
        """ValueError where an existing file is one of other atoms."""
        if self._symbols is not None and self._symbols != observer.symbols:
            raise ValueError(
                f"file: {self.path} has {len(self._symbols)} other atoms than this simulation; "
                "use another file or append=False"
            )

    def write(self, observer: Observer, now: Observation) -> None:
        """Append a frame, in one write."""
        self._symbols = observer.symbols
        rows = np.column_stack([now.positions, now.charges, now.shells])
        atoms = [
            f"{symbol:<2s} " + " ".join(f"{value:.8f}" for value in row)
            for symbol, row in zip(self._symbols, rows.tolist())
        ]
        self._out.write(
            "\n".join([str(len(atoms)), comment_line(observer, now), *atoms, ""]).encode("utf-8")
        )


def comment_line(observer: Observer, now: Observation) -> str:
    """Second line of a frame of extended XYZ."""

    def quoted(values: Any, form: str = ".10g") -> str:
        return '"' + " ".join(format(float(value), form) for value in np.ravel(values)) + '"'

    periodic = " ".join("T" if value else "F" for value in observer.periodic)
    lattice = f"Lattice={quoted(now.cell)} " if observer.periodic.any() else ""
    return (
        f'{lattice}Properties=species:S:1:pos:R:3:charges:R:1:shells:R:3 pbc="{periodic}" '
        f"step={now.step} time={now.time:.9g}"
        f" field={quoted(now.field)} dipole={quoted(now.dipole)}"
    )


def cut_back_xyz(path: Path) -> list[str] | None:
    """Remove a last frame that is not whole from a file of equal frames; the symbols of its atoms,
    None where it has no frame.

    Raises ValueError, and changes nothing, where the file does not begin with a number of atoms.
    """
    with open(path, "r+b") as file:
        first = file.readline()
        if not first:
            return None
        if not first.strip().isdigit():
            raise ValueError(f"file: {path} is not extended XYZ; use another file or append=False")
        n_lines, size, symbols = int(first) + 2, 0, []
        file.seek(0)
        while True:
            lines = [file.readline() for _ in range(n_lines)]
            if not lines[-1].endswith(b"\n"):
                break
            size = file.tell()
            symbols = [line.split()[0].decode("ascii") for line in lines[2:]]
        file.truncate(size)
    return symbols or None
