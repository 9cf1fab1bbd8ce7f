"""CSV files that grow by whole rows, and what every reporter does with its interval.

A row is one write to a file without a buffer of its own: it is there, or (where the process was
killed in that very moment) it is cut off and has no line end. A file that is continued is first cut
back to its last whole row.
"""

import csv
import io
import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from openmm import app

from openmm_pqeq.jobs import values
from openmm_pqeq.reporters.observer import Observation
from openmm_pqeq.reporters.writers import GrowingFile, refuse_second, require_there

Array = NDArray[np.float64]


class Table(GrowingFile):
    """A CSV file whose columns are those of its first row.

    Parameters
    ----------
    file : path; an existing file is replaced unless `append`
    append : continue an existing file
    """

    def __init__(self, file: str | os.PathLike[str], append: bool = False):
        path = path_of(file, append)
        self.header: list[str] | None = cut_back(path) if append else None
        super().__init__(path, append)

    def write(self, row: dict[str, float]) -> None:
        """Append a row; ValueError where the file has other columns."""
        text = ",".join(f"{value:.10g}" for value in row.values()) + "\n"
        if self.header is None:
            self.header = list(row)
            text = ",".join(row) + "\n" + text
        elif self.header != list(row):
            raise ValueError(
                f"file: {self.path} has columns {', '.join(self.header)}, and these rows have "
                f"{', '.join(row)}; use another file"
            )
        require_there(self.path)
        self._out.write(text.encode("utf-8"))

    def last_row(self) -> dict[str, str]:
        """The last row as text; empty where there is none."""
        rows = list(csv.DictReader(self.path.read_text(encoding="utf-8").splitlines()))
        return rows[-1] if rows else {}


class RowReporter:
    """A reporter that writes rows to a CSV file, each beginning with step and time_ps; its `report`
    says what else is in them.

    Parameters
    ----------
    file : path; an existing file is replaced unless `append`
    interval : steps from one row to the next
    append : continue an existing file
    """

    def __init__(self, file: str | os.PathLike[str], interval: int, append: bool = False):
        self._interval = positive_interval(interval)
        self._table = Table(file, append)

    def describeNextReport(self, simulation: app.Simulation) -> dict[str, Any]:
        """Steps to the next row, as OpenMM asks its reporters."""
        return next_report(simulation, self._interval)

    def _write(self, now: Observation, columns: dict[str, float]) -> None:
        self._table.write({"step": now.step, "time_ps": round(now.time, 9)} | columns)

    def close(self) -> None:
        """Close the file."""
        self._table.close()


def path_of(file: str | os.PathLike[str], append: bool) -> Path:
    """The path of a file to write; FileNotFoundError where one is to be continued that is not
    there, ValueError where another reporter writes it."""
    path = values.new_file("file", file)
    refuse_second(path)
    if append and not path.is_file():
        raise FileNotFoundError(
            f"file: {path} does not exist and so cannot be appended to; use append=False"
        )
    return path


def cut_back(path: Path) -> list[str] | None:
    """Remove a last line without an end from a CSV file; its header, None where it has none yet."""
    text = path.read_bytes()
    with open(path, "r+b") as file:
        file.truncate(text.rfind(b"\n") + 1)
    return next(csv.reader(io.StringIO(text[: text.rfind(b"\n") + 1].decode("utf-8"))), None)


def vector_columns(name: str, values: Array, units: str) -> dict[str, float]:
    """Three columns of a table: name_x_units, name_y_units, name_z_units."""
    return {f"{name}_{axis}_{units}": float(value) for axis, value in zip("xyz", values)}


def positive_interval(interval: int) -> int:
    """The interval, or ValueError where it is not a positive whole number of steps."""
    whole = values.is_finite(interval) and interval == int(interval)
    if not whole or not 1 <= interval <= values.LARGEST_COUNT:
        raise ValueError(f"interval: expected a positive number of steps, got {interval!r}")
    return int(interval)


def next_report(simulation: app.Simulation, interval: int) -> dict[str, Any]:
    """Steps to the next multiple of the interval, as OpenMM asks its reporters; its DCD and XTC
    reporters have the same frames."""
    return {"steps": interval - simulation.currentStep % interval, "periodic": False, "include": []}
