"""`openmm-pqeq analyze conductivity`: ionic conductivity, or the drift of ions in a field."""

import argparse
from pathlib import Path
from typing import Any

import numpy as np

from openmm_pqeq.cli.analyses.diffusion import (
    NO_WINDOW,
    Motion,
    add_motion,
    graphs_of,
    motion_of,
)
from openmm_pqeq.cli.analyses.ion_drift import drift_in
from openmm_pqeq.cli.analyses.ions import Ions, field_of, ions_of
from openmm_pqeq.cli.analyses.outcome import Outcome, Value, write_outcome
from openmm_pqeq.cli.analyses.trajectory import (
    add_trajectory,
    trajectory_of,
)
from openmm_pqeq.jobs import values

HELP = (
    "Ionic conductivity (Nernst–Einstein, collective, Haven ratio); drift and mobility in a field."
)

EPILOG = """examples:
  openmm-pqeq analyze conductivity out --ions Li=1 --temperature 1000
  openmm-pqeq analyze conductivity brine --ions Na=1 Cl=-1 --skip 20ps
  openmm-pqeq analyze conductivity brine_in_field --ions Na=1 Cl=-1     a run with a constant field: drift, mobility, conductivity

--ions gives the charges that the ions carry. conductivity.json and conductivity.png are written beside the input, or
into --output."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The trajectory, the ions, the field."""
    add_trajectory(parser)
    parser.add_argument(
        "--ions",
        nargs="+",
        required=True,
        metavar="ELEMENT=Z",
        help="what moves, and its charge, e",
    )
    parser.add_argument("--temperature", metavar="T", help="K (default: the mean of the run's)")
    parser.add_argument(
        "--field", nargs=3, metavar="F", help="V/Å (default: as run.toml says, or none)"
    )
    add_motion(parser)


def command(options: argparse.Namespace, folder: Path) -> int:
    """Conductivities without a field, drift in one."""
    run = trajectory_of(options)
    ions, field = ions_of(options, run), field_of(options.field, run)
    blocks = values.positive_count("blocks", options.blocks)
    print(ions.describe())
    if field.any():
        outcome, code = drift_in(field, ions, blocks), 0
    else:
        outcome, code = _einstein(options, ions, blocks)
    known = {"ions": ions.charges, "drift": options.drift, "volume (Å³)": ions.volume}
    write_outcome(folder, "conductivity", outcome._replace(settings=known | dict(outcome.settings)))
    return code


def _einstein(options: argparse.Namespace, ions: Ions, blocks: int) -> tuple[Outcome, int]:
    """From self-diffusion and from the displacement of all charge; exit code 1 where an ion has no
    diffusive window."""
    from openmm_pqeq.analysis import conductivity as formulae
    from openmm_pqeq.analysis.diffusion import mean_square_displacement
    from openmm_pqeq.report.graphs import Graph, Line, plot_graphs

    run, temperature = ions.run, ions.run.temperature(options.temperature)
    motions = {e: motion_of(options, run, ions.path, own) for e, own in ions.atoms.items()}
    moved = formulae.charge_displacement(ions.carriers, ions.carried)
    together = mean_square_displacement(moved).sum(axis=1)[1:]
    lags = run.interval * np.arange(1, len(together) + 1)
    found = {e: _diffusion(each, run.interval, blocks) for e, each in motions.items()}
    graphs = [
        graphs_of(e, motions[e], found[e])[0]._replace(title=f"Mean square displacement of {e}")
        for e in motions
    ]
    label = "⟨|Σ zΔr|²⟩ (e²Å²)"
    graphs.append(
        Graph("Of the charge of all", "lag (ps)", label, [Line("all", lags, together)], "xy")
    )
    lost = ", ".join(e for e, each in found.items() if each is None)
    if lost:
        results, title = {}, f"No diffusive window: {lost}"
        print(f"  no diffusive window for {lost}: run longer or hotter, or give --window")
    else:
        results = _conductivities(found, ions, temperature, blocks)
        title = f"σ = {results['σ, collective']} (Nernst–Einstein {results['σ, Nernst–Einstein']})"
    note = f"{temperature:.0f} K, {ions.volume:.0f} Å³; {run.describe()}."
    outcome = Outcome(
        {"temperature (K)": temperature},
        results,
        {"lag (ps)": lags, label: together},
        plot_graphs(graphs, title, note),
    )
    return outcome, NO_WINDOW if lost else 0


def _diffusion(motion: Motion, interval: float, blocks: int) -> Any:
    """Diffusion of some ions; None where there is no window."""
    from openmm_pqeq.analysis.diffusion import diffusion

    if motion.window is None:
        return None
    return diffusion(motion.path, interval, motion.window, motion.hop_length, blocks)


def _conductivities(
    found: dict[str, Any], ions: Ions, temperature: float, blocks: int
) -> dict[str, Value]:
    """Self-diffusion of each kind, σ of both formulae, and the Haven ratio. The charge of all is
    fitted where the windows of all kinds overlap, or in the first one."""
    from openmm_pqeq.analysis import conductivity as formulae
    from openmm_pqeq.units import SQUARE_ANGSTROM_PER_PS_IN_SQUARE_CM_PER_S as UNIT

    results = {}
    for element, one in found.items():
        error = float(np.nanmax([one.error, one.hops_error]))
        results[f"D of {element}"] = Value(one.coefficient * UNIT, error * UNIT, "cm²/s")
    kinds = list(found.values())
    numbers = [len(own) for own in ions.atoms.values()]
    separate = formulae.nernst_einstein(
        kinds, numbers, list(ions.charges.values()), ions.volume, temperature
    )
    start = max(each.window.start for each in kinds)
    stop = min(each.window.stop for each in kinds)
    window = kinds[0].window
    if start < stop:
        window = window._replace(start=start, stop=stop)
    together = formulae.collective(
        ions.carriers, ions.carried, ions.run.interval, window, ions.volume, temperature, blocks
    )
    both = formulae.conductivity(separate, together)
    return results | {
        "σ, Nernst–Einstein": Value(both.nernst_einstein, both.nernst_einstein_error, "S/cm"),
        "σ, collective": Value(both.collective, both.collective_error, "S/cm"),
        "Haven ratio": Value(both.haven_ratio, both.haven_ratio_error, ""),
    }
