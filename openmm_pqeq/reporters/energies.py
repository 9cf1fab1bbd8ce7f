"""Energy of the potential and of its terms as a CSV file. Units: eV, ps, V/Å."""

import os
from typing import Any

from openmm import app

from openmm_pqeq.reporters.observer import Observer
from openmm_pqeq.reporters.table import RowReporter, vector_columns
from openmm_pqeq.reporters.work import FieldWork, work_columns


class EnergyReporter(RowReporter):
    """Write the energies of the potential's terms to a CSV file.

    Columns: step, time_ps, field_{x,y,z}_V_per_A, one for each term of the potential, such
    as gnn_eV, pqeq_eV and d3_eV, and sum_eV. The sum is the energy of the potential's force, solved anew: it
    differs from OpenMM's by the tolerance of the charges. The energy of the field is in pqeq_eV. A
    potential without charges will do.

    Of charges by bonds also work_eV, what the field has done since this reporter first saw the
    simulation and no energy has (see work.py), and where nothing else changes the energy (NVE),
    conserved_eV, OpenMM's potential and kinetic energy less that work. Charges that flow freely have
    neither: with coupling `shell` nothing is conserved in a field.

    Parameters
    ----------
    file : path; an existing file is replaced unless `append`
    interval : steps from one row to the next
    append : continue an existing file; the work continues from its last row
    """

    def __init__(self, file: str | os.PathLike[str], interval: int, append: bool = False):
        super().__init__(file, interval, append)
        last = self._table.last_row() if append else {}
        self._before = float(last.get("work_eV", 0.0))
        self._started = False

    def describeNextReport(self, simulation: app.Simulation) -> dict[str, Any]:
        """Steps to the next row, as OpenMM asks its reporters; the work counts from the first
        call."""
        if not self._started and (work := FieldWork.of(simulation)) is not None:
            work.look(simulation)
            self._before -= work.value
        self._started = True
        return super().describeNextReport(simulation)

    def report(self, simulation: app.Simulation, state: Any) -> None:
        """Append a row."""
        now = Observer.of(simulation).observe(simulation, charges=False)
        terms = {f"{name}_eV": energy for name, energy in now.energies.items()}
        self._write(
            now,
            vector_columns("field", now.field, "V_per_A")
            | terms
            | {"sum_eV": sum(now.energies.values())}
            | work_columns(simulation, self._before),
        )
