"""What a run's table shows: energies, temperature, polarization or dipole, density, charges."""

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from openmm_pqeq.md.plot import AXES
from openmm_pqeq.md.settings import RunConfig
from openmm_pqeq.report.plots import Curve, Panel, plot_panels

MOST_POINTS = 4000
"""Of a curve; more rows are thinned evenly."""
ENERGIES = {
    "potential_energy_eV": "potential",
    "total_energy_eV": "total",
    "conserved_eV": "total − work",
}
Columns = Mapping[str, NDArray[np.float64]]


def curves(config: RunConfig, columns: Columns) -> Figure:
    """A figure of all that a table has that changes."""
    every = max(1, len(columns["time_ps"]) // MOST_POINTS)
    columns = {name: values[::every] for name, values in columns.items()}
    panels = [_energies(columns), _temperature(config, columns), _field(columns)]
    panels += [_vector(columns, *what) for what in VECTORS if _has(columns, what[0])][:1]
    for name, title, label in (
        ("density_g_per_cm3", "Density", "ρ (g/cm³)"),
        ("volume_A3", "Volume of the cell", "V (Å³)"),
        ("work_eV", "Work of the field that no energy has", "W (eV)"),
    ):
        if name in columns and np.ptp(columns[name]) > 1e-9 * np.abs(columns[name]).max():
            panels.append(Panel(title, label, [Curve("", columns[name])]))
    panels.append(_charges(columns))
    shown = [panel for panel in panels if panel is not None]
    return plot_panels(columns["time_ps"], "time (ps)", shown, "")


VECTORS = (
    ("polarization_{}_uC_per_cm2", "Change of polarization since the start", "ΔP (µC/cm²)", "P"),
    ("dipole_{}_eA", "Dipole", "μ (e Å)", "μ"),
)


def _has(columns: Columns, column: str) -> bool:
    return column.format("x") in columns


def _energies(columns: Columns) -> Panel:
    found = [
        Curve(name, columns[column] - columns[column][0])
        for column, name in ENERGIES.items()
        if column in columns
    ]
    return Panel("Energies since the first row", "ΔE (eV)", found)


def _temperature(config: RunConfig, columns: Columns) -> Panel:
    wanted = (config.temperature, f"set: {config.temperature:g} K")
    curve = Curve("", columns["temperature_K"])
    return Panel("Temperature", "T (K)", [curve], None if config.ensemble == "NVE" else wanted)


def _field(columns: Columns) -> Panel | None:
    """Where it changes."""
    found = [(axis, columns[f"field_{axis}_V_per_A"]) for axis in AXES]
    if all(np.ptp(values) == 0 for _, values in found):
        return None
    curves = [Curve(f"$F_{axis}$", values if values.any() else None) for axis, values in found]
    return Panel("Electric field", "F (V/Å)", curves)


def _vector(columns: Columns, column: str, title: str, label: str, symbol: str) -> Panel:
    curves = [Curve(f"${symbol}_{axis}$", columns[column.format(axis)]) for axis in AXES]
    return Panel(title, label, curves)


def _charges(columns: Columns) -> Panel | None:
    """Of the three elements whose mean charge changes most."""
    found = {
        name.removeprefix("charge_").removesuffix("_e"): values
        for name, values in columns.items()
        if name.startswith("charge_")
    }
    most = sorted(found, key=lambda symbol: -float(np.ptp(found[symbol])))[:3]
    if not most:
        return None
    curves = [Curve(symbol, found[symbol] - found[symbol][0]) for symbol in sorted(most)]
    return Panel("Mean charges of elements since the first row", "Δq (e)", curves)
