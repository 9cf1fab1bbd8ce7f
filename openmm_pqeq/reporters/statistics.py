"""Charges and shells of each element of a running simulation, as a CSV file. Units: e, Å, ps."""

from typing import Any

import numpy as np
from openmm import app

from openmm_pqeq.reporters.observer import Observer
from openmm_pqeq.reporters.table import RowReporter


class ChargeStatisticsReporter(RowReporter):
    """Write mean, spread and extremes of each element's charges, and the lengths of its shells, to
    a CSV file.

    Columns: step, time_ps, and for each element X, in alphabetical order, charge_mean_X_e,
    charge_std_X_e (over the atoms of the moment), charge_min_X_e, charge_max_X_e, shell_mean_X_A
    and shell_max_X_A.

    Parameters
    ----------
    file : path; an existing file is replaced unless `append`
    interval : steps from one row to the next
    append : continue an existing file
    """

    def report(self, simulation: app.Simulation, state: Any) -> None:
        """Append a row."""
        observer = Observer.of(simulation)
        now = observer.observe(simulation)
        symbols, lengths = np.array(observer.symbols), np.linalg.norm(now.shells, axis=1)
        row: dict[str, float] = {}
        for symbol in sorted(set(observer.symbols)):
            mine = symbols == symbol
            for name, function in (
                ("mean", np.mean),
                ("std", np.std),
                ("min", np.min),
                ("max", np.max),
            ):
                row[f"charge_{name}_{symbol}_e"] = float(function(now.charges[mine]))
            row[f"shell_mean_{symbol}_A"] = float(lengths[mine].mean())
            row[f"shell_max_{symbol}_A"] = float(lengths[mine].max())
        self._write(now, row)
