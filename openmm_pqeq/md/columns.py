"""Names of the columns that the table of a run may have (md/table.py writes it)."""

import re

from openmm_pqeq.structure import SYMBOLS

_VECTORS = ("field_{}_V_per_A", "dipole_{}_eA", "polarization_{}_uC_per_cm2")
COLUMNS = (
    *("step", "time_ps", "potential_energy_eV", "kinetic_energy_eV", "total_energy_eV"),
    *("temperature_K", "volume_A3", "density_g_per_cm3", "work_eV", "conserved_eV"),
    *(vector.format(axis) for vector in _VECTORS for axis in "xyz"),
)
"""Those beside the mean charges of elements."""


def is_column(name: str) -> bool:
    """Whether a table may have a column of this name.

    >>> is_column("charge_O_e"), is_column("charge_Q_e"), is_column("temperature")
    (True, False, False)
    """
    charge = re.fullmatch(r"charge_([A-Z][a-z]?)_e", name)
    return name in COLUMNS or (charge is not None and charge[1] in SYMBOLS[1:])
