"""Energy of the potential and of its terms as a CSV file. Units: eV, ps, V/Å."""

from typing import Any

from openmm import app

from openmm_pqeq.reporters.observer import Observer
from openmm_pqeq.reporters.table import RowReporter, vector_columns


class EnergyReporter(RowReporter):
    """Write the energies of the potential's terms to a CSV file.

    Columns: step, time_ps, field_{x,y,z}_V_per_A, one for each term of the potential, such
    as gnn_eV, pqeq_eV and d3_eV, and sum_eV. The sum is the energy of the potential's force, solved anew: it
    differs from OpenMM's by the tolerance of the charges. The energy of the field is in pqeq_eV. A
    potential without charges will do.

    Parameters
    ----------
    file : path; an existing file is replaced unless `append`
    interval : steps from one row to the next
    append : continue an existing file
    """

    def report(self, simulation: app.Simulation, state: Any) -> None:
        """Append a row."""
        now = Observer.of(simulation).observe(simulation, charges=False)
        terms = {f"{name}_eV": energy for name, energy in now.energies.items()}
        self._write(
            now,
            vector_columns("field", now.field, "V_per_A")
            | terms
            | {"sum_eV": sum(now.energies.values())},
        )
