"""Dipole, polarization and field of a running simulation, as a CSV file.

    μ = Σ (q r − Z s) ,      dP = [Σ q dr − d(Σ Z s)] / V

Of charges by bonds both have Q⁰ in place of q, and Σ_b p_b d_b besides (pqeq/bonds.py).
Units: e Å, µC/cm², V/Å, ps.
"""

import os
from typing import Any

import numpy as np
from openmm import app

from openmm_pqeq.analysis.polarization import Array, Frame, dipole_change
from openmm_pqeq.reporters.observer import Observation, Observer
from openmm_pqeq.reporters.table import RowReporter, vector_columns
from openmm_pqeq.units import E_PER_SQUARE_ANGSTROM_IN_MICROCOULOMB_PER_SQUARE_CM


class DipoleReporter(RowReporter):
    """Write dipole, polarization and field to a CSV file.

    Columns: step, time_ps, field_{x,y,z}_V_per_A, dipole_{x,y,z}_eA and, where all directions are
    periodic, polarization_{x,y,z}_uC_per_cm2.

    The dipole is Σ (q r − Z s) at the images that OpenMM holds; in a crystal it depends on these
    images. The polarization is its change since this reporter first saw the simulation, summed from
    row to row as Σ q dr − d(Σ Z s), which equals Σ Z*·dr with the Born charges Z* and does not
    depend on images; no atom may move by half a cell vector between two rows.

    Parameters
    ----------
    file : path; an existing file is replaced unless `append`
    interval : steps from one row to the next
    append : continue an existing file; the polarization continues from its last row
    """

    def __init__(self, file: str | os.PathLike[str], interval: int, append: bool = False):
        super().__init__(file, interval, append)
        self._polarization = PolarizationSum(
            _polarization_of(self._table.last_row()) if append else None
        )

    def describeNextReport(self, simulation: app.Simulation) -> dict[str, Any]:
        """Steps to the next row, as OpenMM asks its reporters; the first call takes the reference
        of the polarization."""
        if not self._polarization.started:
            self._polarization.add(Observer.of(simulation).observe(simulation))
        return super().describeNextReport(simulation)

    def report(self, simulation: app.Simulation, state: Any) -> None:
        """Append a row."""
        now = Observer.of(simulation).observe(simulation)
        self._polarization.add(now)
        row = vector_columns("field", now.field, "V_per_A") | vector_columns(
            "dipole", now.dipole, "eA"
        )
        if now.volume > 0:
            row |= vector_columns(
                "polarization", self._polarization.microcoulomb_per_square_cm(now), "uC_per_cm2"
            )
        self._write(now, row)


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
        frame = Frame(now.positions, now.cell, now.carried, now.shell_dipole)
        if self._frame is not None:
            self._change = self._change + dipole_change(self._frame, frame)
        self._frame = frame

    def microcoulomb_per_square_cm(self, now: Observation) -> Array:
        """(3,) polarization, the change of the dipole by the present volume."""
        return (
            self._offset
            + self._change / now.volume * E_PER_SQUARE_ANGSTROM_IN_MICROCOULOMB_PER_SQUARE_CM
        )

    def state(self) -> dict[str, Array]:
        """The state from which `restore` continues."""
        arrays = {"offset": self._offset, "change": self._change}
        return arrays if self._frame is None else arrays | self._frame._asdict()

    def restore(self, state: dict[str, Array]) -> None:
        """Continue from what `state` gave, or from nothing; ValueError for anything else."""
        if not state:
            return
        n_atoms = len(np.atleast_1d(state.get("charges", np.zeros(0))))
        shapes: dict[str, tuple[int, ...]] = {"offset": (3,), "change": (3,)}
        if len(state) > len(shapes):
            of_atoms = {"positions": (n_atoms, 3), "cell": (3, 3), "charges": (n_atoms,)}
            shapes |= of_atoms | {"shell_dipole": (3,)}
        for name in (*shapes, *state):
            there = state.get(name, np.empty(0))
            if there.shape != shapes.get(name) or there.dtype != np.float64:
                raise ValueError(
                    f"polarization: {name}: expected numbers of shape {shapes.get(name)}, got "
                    f"{there.dtype} of shape {there.shape}"
                )
            if not np.isfinite(there).all():
                raise ValueError(f"polarization: {name}: expected finite numbers")
        self._offset, self._change = state["offset"], state["change"]
        if "positions" in state:
            self._frame = Frame(*(state[name] for name in Frame._fields))


def _polarization_of(row: dict[str, str]) -> Array | None:
    names = [f"polarization_{axis}_uC_per_cm2" for axis in "xyz"]
    return np.array([float(row[name]) for name in names]) if names[0] in row else None
