"""The drift of ions in a constant field: the part of `analyze conductivity` for runs in one."""

from typing import Any

import numpy as np

from openmm_pqeq.cli.analyses.ions import Ions
from openmm_pqeq.cli.analyses.outcome import Outcome, Value


def drift_in(field: Any, ions: Ions, blocks: int) -> Outcome:
    """Velocity and mobility of each kind of ions, the conductivity of all, and their way."""
    from openmm_pqeq.analysis import conductivity as formulae
    from openmm_pqeq.report.graphs import Graph, Line, plot_graphs
    from openmm_pqeq.units import SQUARE_ANGSTROM_PER_PS_IN_SQUARE_CM_PER_S as UNIT

    run, along = ions.run, field / np.linalg.norm(field)
    results: dict[str, Value] = {}
    columns: dict[str, Any] = {"time (ps)": run.times}
    lines = []
    for element, own in ions.atoms.items():
        drift = formulae.drift_velocity(ions.path[:, own], run.interval, blocks)
        mobility, error = formulae.mobility(drift, field)
        speed, spread = float(drift.velocity @ along), float(np.sqrt(drift.error**2 @ along**2))
        results[f"drift velocity of {element}"] = Value(speed, spread, "Å/ps")
        results[f"mobility of {element}"] = Value(mobility * UNIT, error * UNIT, "cm²/(V s)")
        way = (ions.path[:, own] - ions.path[0, own]).mean(axis=1) @ along
        lines.append(Line(element, run.times, way))
        columns[f"way of {element} along the field (Å)"] = way
    sigma, error = formulae.drift_conductivity(
        ions.carriers, ions.carried, run.interval, ions.volume, field, blocks
    )
    results["σ, drift"] = Value(sigma, error, "S/cm")
    graph = Graph("Way along the field, mean of the ions", "time (ps)", "Å", lines)
    note = f"Field ({', '.join(f'{each:g}' for each in field)}) V/Å; {run.describe()}."
    figure = plot_graphs([graph], f"σ = {results['σ, drift']}", note)
    return Outcome({"field (V/Å)": field}, results, columns, figure)
