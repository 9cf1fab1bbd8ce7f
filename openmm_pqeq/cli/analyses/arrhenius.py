"""`openmm-pqeq analyze arrhenius`: activation energy from coefficients at several temperatures."""

import argparse
import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from openmm_pqeq.cli.analyses.outcome import Outcome, Value, write_outcome
from openmm_pqeq.jobs import values

HELP = "Activation energy from diffusion coefficients at several temperatures, and extrapolation."

EPILOG = """examples:
  openmm-pqeq analyze arrhenius run800 run1000 run1200 --at 300       folders with diffusion.json
  openmm-pqeq analyze arrhenius table.csv                             columns temperature_K, value and, if known, error

The error of each point is that by effective hops where it is the larger one. arrhenius.json and arrhenius.png are written into
the present folder, or into --output."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The points, and where to extrapolate to."""
    parser.add_argument(
        "files", nargs="+", metavar="FILE", help="folders with diffusion.json, or one table"
    )
    parser.add_argument(
        "--at", nargs="+", default=[], metavar="T", help="K, temperatures to give the value at"
    )
    parser.add_argument(
        "--unit", default="cm²/s", metavar="UNIT", help="of the table's values (default: cm²/s)"
    )
    parser.add_argument("--output", "-o", default=".", metavar="FOLDER", help="where to write")


def command(options: argparse.Namespace, folder: Path) -> None:
    """Fit, extrapolation, plot."""
    from openmm_pqeq.analysis.arrhenius import arrhenius
    from openmm_pqeq.report.graphs import Graph, Line, plot_graphs
    from openmm_pqeq.units import BOLTZMANN

    kelvin, value, error = _points([Path(name) for name in options.files])
    asked = [values.within(values.positive, 1, 1e6, "K")("at", each) for each in options.at]
    found = arrhenius(kelvin, value, error)
    print(f"{len(kelvin)} temperatures, {kelvin.min():g} to {kelvin.max():g} K")
    results = {
        "activation energy": Value(found.activation_energy, found.activation_energy_error, "eV"),
        "ln of the prefactor": Value(found.log_prefactor, found.log_prefactor_error, ""),
        "χ² by degrees of freedom": Value(found.chi_squared, None, ""),
    }
    for temperature in asked:
        at, spread = found.at([temperature])
        results[f"at {temperature:g} K"] = Value(float(at[0]), float(spread[0]), options.unit)
    if not np.isfinite(found.chi_squared):
        del results["χ² by degrees of freedom"]
    inverse = np.linspace(1000 / max([*kelvin, *asked]), 1000 / min([*kelvin, *asked]), 100)
    line, band = found.at(1000 / inverse)
    relative = None if error is None else error / value / np.log(10)
    graph = Graph(
        "Arrhenius' law", "1000/T (1/K)", f"log₁₀ of the value ({options.unit})",
        [
            Line("values", 1000 / kelvin, np.log10(value), relative, "points"),
            Line("fit", inverse, np.log10(line), band / line / np.log(10)),
        ],
    )  # fmt: skip
    title = f"Eₐ = {results['activation energy']}"
    note = f"{len(kelvin)} temperatures; k = {BOLTZMANN:.6g} eV/K. The band is the standard error of the fit."
    columns = {"temperature (K)": kelvin, f"value ({options.unit})": value}
    if error is not None:
        columns[f"error ({options.unit})"] = error
    outcome = Outcome({"files": options.files}, results, columns, plot_graphs([graph], title, note))
    write_outcome(folder, "arrhenius", outcome)


Points = tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64] | None]


def _points(paths: list[Path]) -> Points:
    """Temperatures, values and, where all have them, errors."""
    if len(paths) == 1 and paths[0].is_file() and paths[0].suffix != ".json":
        return _table(paths[0])
    rows = np.array([_point(path) for path in paths])
    errors = rows[:, 2] if np.isfinite(rows[:, 2]).all() else None
    return rows[:, 0], rows[:, 1], errors


def _table(path: Path) -> Points:
    from openmm_pqeq.md.plot import read_table

    columns = read_table(path)
    if "temperature_K" not in columns or "value" not in columns:
        raise ValueError(
            f"files: {path} has columns {', '.join(columns)}; expected temperature_K, value and "
            "perhaps error"
        )
    return columns["temperature_K"], columns["value"], columns.get("error")


def _point(path: Path) -> tuple[float, float, float]:
    """Temperature, D and its larger error of a diffusion.json."""
    file = path / "diffusion.json" if path.is_dir() else path
    if not file.is_file():
        raise FileNotFoundError(
            f"files: there is no {file}; run openmm-pqeq analyze diffusion there first"
        )
    try:
        read = json.loads(file.read_text(encoding="utf-8-sig"))
        temperature, results = read["settings"]["temperature (K)"], read["results"]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"files: {file} is no result of analyze diffusion ({error!r})") from None
    if "D" not in results:
        raise ValueError(f"files: {file} has no D: there was no diffusive window; leave it out")
    if temperature is None:
        raise ValueError(f"files: {file} has no temperature; analyze with --temperature")
    errors = [results[name]["error"] or 0.0 for name in ("D", "D, error by effective hops")]
    return float(temperature), float(results["D"]["value"]), float(max(errors) or np.nan)
