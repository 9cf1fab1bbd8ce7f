"""OpenMM reporters of charges, shells, dipole and polarization.

    simulation.reporters.append(ChargeReporter("charges.h5", 100))
    simulation.reporters.append(DipoleReporter("dipole.csv", 10))

They find the potential in the Simulation's System and solve its charges again at the frames they write (see observer.py). After
each frame the file is complete on disk. Units: e, Å, e Å, V/Å, ps, µC/cm².
"""

import csv
import io
import os
from pathlib import Path
from typing import Any, TextIO

import h5py
import numpy as np
from openmm import app

from openmm_pqeq.analysis.polarization import Array, Frame, dipole_change
from openmm_pqeq.observer import Observation, Observer
from openmm_pqeq.units import E_PER_SQUARE_ANGSTROM_IN_MICROCOULOMB_PER_SQUARE_CM


class ChargeReporter:
    """Write charges and shells to an HDF5 file.

    Datasets, with their units as attributes:

    step       (n_frames,)
    time       (n_frames,) ps
    field      (n_frames, 3) V/Å
    charges    (n_frames, n_atoms) e: the atom's net charge; its core has q + Z and its shell −Z
    shells     (n_frames, n_atoms, 3) Å: displacement of the shell from its core
    dipole     (n_frames, 3) e Å, Σ (q r − Z s) at the images that OpenMM holds
    numbers    (n_atoms,) atomic numbers
    particles  (n_atoms,) index of each atom among the particles of the System

    Parameters
    ----------
    file : path; an existing file is replaced unless `append`
    interval : steps from one frame to the next
    append : continue an existing file of the same atoms
    """

    def __init__(self, file: str | os.PathLike[str], interval: int, append: bool = False):
        self._path = Path(file)
        self._interval = positive_interval(interval)
        self._append = append
        self._file: h5py.File | None = None
        if append and not self._path.is_file():
            raise FileNotFoundError(f"file: {self._path} does not exist and so cannot be appended to; use append=False")
        if not append:
            h5py.File(self._path, "w").close()

    def describeNextReport(self, simulation: app.Simulation) -> dict[str, Any]:
        """Steps to the next frame, as OpenMM asks its reporters."""
        return {"steps": self._interval - simulation.currentStep % self._interval, "periodic": False, "include": []}

    def report(self, simulation: app.Simulation, state: Any) -> None:
        """Append the present charges."""
        observer = Observer.of(simulation)
        if self._file is None:
            self._file = self._open(observer)
        now = observer.observe(simulation)
        frame = len(self._file["step"])
        values = {
            "charges": now.charges,
            "shells": now.shells,
            "dipole": now.dipole,
            "field": now.field,
            "time": now.time,
            "step": now.step,
        }
        for name, value in values.items():
            dataset = self._file[name]
            dataset.resize(frame + 1, axis=0)
            dataset[frame] = value
        self._file.flush()

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def __del__(self) -> None:
        if getattr(self, "_file", None) is not None:
            self.close()

    def _open(self, observer: Observer) -> h5py.File:
        file = h5py.File(self._path, "a")
        if "step" not in file:
            _create_datasets(file, observer)
        elif not np.array_equal(file["numbers"][:], observer.numbers):
            atoms = len(file["numbers"])
            file.close()
            raise ValueError(f"file: {self._path} has {atoms} other atoms than this simulation; use another file or append=False")
        return file


def _create_datasets(file: h5py.File, observer: Observer) -> None:
    n_atoms = len(observer.numbers)
    shapes: dict[str, tuple[tuple[int, ...], str, str]] = {
        "step": ((), "i8", "1"),
        "time": ((), "f8", "ps"),
        "field": ((3,), "f8", "V/Å"),
        "charges": ((n_atoms,), "f8", "e"),
        "shells": ((n_atoms, 3), "f8", "Å"),
        "dipole": ((3,), "f8", "e Å"),
    }
    for name, (shape, dtype, units) in shapes.items():
        frames = max(1, 65536 // (8 * max(1, int(np.prod(shape)))))
        dataset = file.create_dataset(name, (0, *shape), dtype, maxshape=(None, *shape), chunks=(min(frames, 1024), *shape))
        dataset.attrs["units"] = units
    file["numbers"] = observer.numbers
    file["particles"] = observer.particles


class DipoleReporter:
    """Write dipole, polarization and field to a CSV file.

    Columns: step, time_ps, field_{x,y,z}_V_per_A, dipole_{x,y,z}_eA and, where all directions are periodic,
    polarization_{x,y,z}_uC_per_cm2.

    The dipole is Σ (q r − Z s) at the images that OpenMM holds; in a crystal it depends on these images. The polarization
    is its change since this reporter first saw the simulation, summed from row to row as Σ q dr − d(Σ Z s), which equals Σ Z*·dr
    with the Born charges Z* and does not depend on images; no atom may move by half a cell vector between two rows.

    Parameters
    ----------
    file : path; an existing file is replaced unless `append`
    interval : steps from one row to the next
    append : continue an existing file; the polarization continues from its last row
    """

    def __init__(self, file: str | os.PathLike[str], interval: int, append: bool = False):
        self._path = Path(file)
        self._interval = positive_interval(interval)
        self._out, header = open_table(self._path, append)
        self._header_written = header is not None
        self._polarization = PolarizationSum(_last_polarization(self._path) if header is not None else None)

    def describeNextReport(self, simulation: app.Simulation) -> dict[str, Any]:
        """Steps to the next row, as OpenMM asks its reporters; the first call takes the reference of the polarization."""
        if not self._polarization.started:
            self._polarization.add(Observer.of(simulation).observe(simulation))
        return {"steps": self._interval - simulation.currentStep % self._interval, "periodic": False, "include": []}

    def report(self, simulation: app.Simulation, state: Any) -> None:
        """Append a row."""
        now = Observer.of(simulation).observe(simulation)
        self._polarization.add(now)
        row: dict[str, float] = {"step": now.step, "time_ps": round(now.time, 9)}
        row |= vector_columns("field", now.field, "V_per_A")
        row |= vector_columns("dipole", now.dipole, "eA")
        if now.volume > 0:
            row |= vector_columns("polarization", self._polarization.microcoulomb_per_square_cm(now), "uC_per_cm2")
        if not self._header_written:
            self._out.write(",".join(row) + "\n")
            self._header_written = True
        self._out.write(",".join(f"{value:.10g}" for value in row.values()) + "\n")
        self._out.flush()

    def close(self) -> None:
        """Close the file."""
        self._out.close()

    def __del__(self) -> None:
        if hasattr(self, "_out"):
            self._out.close()


class PolarizationSum:
    """Change of the dipole of a simulation since the first frame, from one frame to the next.

    Parameters
    ----------
    offset : (3,) µC/cm², the polarization at the first frame; None: zero
    """

    def __init__(self, offset: Array | None = None):
        self._offset = np.zeros(3) if offset is None else offset
        self._frame: Frame | None = None
        self._change = np.zeros(3)

    @property
    def started(self) -> bool:
        """Whether there is a first frame."""
        return self._frame is not None

    def add(self, now: Observation) -> None:
        """Add the change from the latest frame to this one; the first frame is the reference."""
        frame = Frame(now.positions, now.cell, now.charges, now.shell_dipole)
        if self._frame is not None:
            self._change = self._change + dipole_change(self._frame, frame)
        self._frame = frame

    def microcoulomb_per_square_cm(self, now: Observation) -> Array:
        """(3,) polarization, the change of the dipole by the present volume."""
        return self._offset + self._change / now.volume * E_PER_SQUARE_ANGSTROM_IN_MICROCOULOMB_PER_SQUARE_CM

    def state(self) -> dict[str, Array]:
        """What `restore` needs to continue."""
        arrays = {"offset": self._offset, "change": self._change}
        return arrays if self._frame is None else arrays | self._frame._asdict()

    def restore(self, state: dict[str, Array]) -> None:
        """Continue from what `state` gave."""
        self._offset, self._change = state["offset"], state["change"]
        if "positions" in state:
            self._frame = Frame(*(state[name] for name in Frame._fields))


def vector_columns(name: str, values: Array, units: str) -> dict[str, float]:
    """Three columns of a table: name_x_units, name_y_units, name_z_units."""
    return {f"{name}_{axis}_{units}": float(value) for axis, value in zip("xyz", values)}


def positive_interval(interval: int) -> int:
    """The interval, or ValueError where it is not a positive whole number of steps."""
    if isinstance(interval, bool) or int(interval) != interval or interval < 1:
        raise ValueError(f"interval: expected a positive number of steps, got {interval!r}")
    return int(interval)


def open_table(path: Path, append: bool) -> tuple[TextIO, list[str] | None]:
    """Open a CSV file and give its header line, None where it has none yet; a last line that was cut off is removed."""
    if not append:
        return open(path, "w", encoding="utf-8", newline=""), None
    if not path.is_file():
        raise FileNotFoundError(f"file: {path} does not exist and so cannot be appended to; use append=False")
    text = path.read_bytes()
    with open(path, "r+b") as file:
        file.truncate(text.rfind(b"\n") + 1)
    header = next(csv.reader(io.StringIO(text.decode("utf-8"))), None)
    return open(path, "a", encoding="utf-8", newline=""), header


def _last_polarization(path: Path) -> Array | None:
    rows = list(csv.DictReader(path.read_text(encoding="utf-8").splitlines()))
    names = [f"polarization_{axis}_uC_per_cm2" for axis in "xyz"]
    if not rows or names[0] not in rows[-1]:
        return None
    return np.array([float(rows[-1][name]) for name in names])
