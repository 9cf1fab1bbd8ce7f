"""The plot of a run: field, polarization (or dipole) with the components along the field before the
others, temperature, and volume where it changes."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from openmm import app

from openmm_pqeq.jobs.files import whole
from openmm_pqeq.jobs.values import shown
from openmm_pqeq.md.settings import RunConfig
from openmm_pqeq.report.plots import Curve, Panel, plot_panels

AXES = "xyz"


def read_table(path: Path, growing: bool = False) -> dict[str, NDArray[np.float64]]:
    """The columns of a table, (n_rows,) each; ValueError names file and line of what is none.

    growing : leave out a last line without its end, which a run is writing, or was when it was killed
    """
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            lines = file.readlines()
        if growing and lines and not lines[-1].endswith("\n"):
            lines.pop()
        names, *rows = csv.reader(lines) if lines else [[]]
    except (ValueError, csv.Error) as error:  # not UTF-8, no text
        raise ValueError(f"file: {path} is not a table of numbers ({error})") from None
    if not names:
        raise ValueError(f"file: {path} is empty; expected a line of names, and numbers")
    values = np.empty((len(rows), len(names)))
    for line, row in enumerate(rows):
        try:
            values[line] = row
        except ValueError:
            raise ValueError(
                f"file: {path}, line {line + 2}: expected {len(names)} numbers, got "
                f"{shown(','.join(row))}"
            ) from None
    return dict(zip(names, values.T))


def plot_run(config: RunConfig, table: Path, plot: Path, topology: app.Topology) -> None:
    """Draw the table of a run into a PNG file."""
    columns = read_table(table)
    field = [columns[f"field_{axis}_V_per_A"] for axis in AXES]
    along = [bool(np.any(component)) for component in field]
    panels = []
    if any(along):
        curves = [
            Curve(f"$F_{axis}$", component if on else None)
            for axis, component, on in zip(AXES, field, along)
        ]
        panels.append(Panel("Electric field", "F (V/Å)", curves))
    if "polarization_x_uC_per_cm2" in columns:
        curves = _components(columns, "polarization_{}_uC_per_cm2", "P", along)
        panels.append(Panel("Change of polarization since the start", "ΔP (µC/cm²)", curves))
    elif "dipole_x_eA" in columns:
        panels.append(Panel("Dipole", "μ (e Å)", _components(columns, "dipole_{}_eA", "μ", along)))
    target = (
        None if config.ensemble == "NVE" else (config.temperature, f"set: {config.temperature:g} K")
    )
    panels.append(Panel("Temperature", "T (K)", [Curve("", columns["temperature_K"])], target))
    if config.ensemble == "NPT":
        panels.append(Panel("Volume of the cell", "V (Å³)", [Curve("", columns["volume_A3"])]))
    figure = plot_panels(
        columns["time_ps"], "time (ps)", panels, _title(config, topology), _note(config)
    )
    with whole(plot) as part:
        figure.savefig(part, format="png")


def _components(
    columns: Mapping[str, NDArray[np.float64]], column: str, symbol: str, along: Sequence[bool]
) -> list[Curve]:
    """The three components of a column, those across the field faint; without a field none is."""
    return [
        Curve(f"${symbol}_{axis}$" + (" ∥ F" if on else ""), columns[column.format(axis)], faint)
        for axis, on, faint in zip(AXES, along, [any(along) and not on for on in along])
    ]


def _title(config: RunConfig, topology: app.Topology) -> str:
    field = ", ".join(value if isinstance(value, str) else f"{value:g}" for value in config.field)
    name = Path(config.structure).stem.removeprefix("input-")
    conditions = (
        "NVE" if config.ensemble == "NVE" else f"{config.ensemble} at {config.temperature:g} K"
    )
    return f"{name}, {topology.getNumAtoms()} atoms, {conditions}, field ({field}) V/Å"


def _note(config: RunConfig) -> str:
    return f"Model {Path(config.model).name}, time step {config.timestep:g} fs. ΔP = ∫ Σ q dr − Δ(Σ Z s), divided by the volume."
