"""`openmm-pqeq analyze conductivity`: ionic conductivity, or the drift of ions in a field."""

import argparse
from typing import Any

import numpy as np

from openmm_pqeq.cli.analyses.diffusion import add_motion, graphs_of, motion_of, path_of
from openmm_pqeq.cli.analyses.outcome import Value, write_outcome
from openmm_pqeq.cli.analyses.trajectory import (
    Trajectory,
    add_trajectory,
    folder_for,
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


def command(options: argparse.Namespace) -> int:
    """Conductivities without a field, drift in one."""
    given, folder = trajectory_of(options), folder_for(options)
    charges = _ions(options.ions)
    atoms = {element: given.atoms_of("ions", element) for element in charges}
    every = np.concatenate(list(atoms.values()))
    path = path_of(given, options.drift, every)
    field = _field(options.field, given)
    blocks = values.positive_count("blocks", options.blocks)
    known = {"ions": charges, "drift": options.drift, "volume (Å³)": given.volume()}
    numbers = ", ".join(f"{len(atoms[e])} {e} of {z:+g} e" for e, z in charges.items())
    print(f"{numbers}; {given.describe()}")
    carried = np.concatenate([np.full(len(atoms[e]), z) for e, z in charges.items()])
    work = Work(given, path, atoms, charges, every, carried, blocks)
    if field.any():
        outcome = _in_field(work, field, known)
        code = 0
    else:
        outcome, code = _without(options, work, known)
    write_outcome(folder, "conductivity", *outcome)
    return code


class Work:
    """The ions of a run: their paths, numbers and charges."""

    def __init__(
        self, given: Trajectory, path: Any, atoms: dict[str, Any], charges: dict[str, float],
        every: Any, carried: Any, blocks: int,
    ):  # fmt: skip
        self.given, self.path, self.atoms, self.charges = given, path, atoms, charges
        self.every, self.carried, self.blocks = every, carried, blocks


def _without(
    options: argparse.Namespace, work: Work, known: dict[str, Any]
) -> tuple[tuple[Any, ...], int]:
    from openmm_pqeq.analysis import conductivity as c
    from openmm_pqeq.analysis.diffusion import diffusion, mean_square_displacement
    from openmm_pqeq.report.graphs import Graph, Line, plot_graphs
    from openmm_pqeq.units import SQUARE_ANGSTROM_PER_PS_IN_SQUARE_CM_PER_S as UNIT

    given = work.given
    temperature, volume = given.temperature(options.temperature), known["volume (Å³)"]
    motions = {e: motion_of(options, given, work.path, own) for e, own in work.atoms.items()}
    lost = [element for element, motion in motions.items() if motion.window is None]
    results: dict[str, Value] = {}
    graphs: list[Any] = []
    found = {}
    for element, motion in motions.items():
        if motion.window is not None:
            found[element] = diffusion(motion.path, given.interval, motion.window, motion.hop_length, work.blocks)  # fmt: skip
            error = np.nanmax([found[element].error, found[element].hops_error])
            results[f"D of {element}"] = Value(found[element].coefficient * UNIT, float(error) * UNIT, "cm²/s")  # fmt: skip
        first = graphs_of(element, motion, found.get(element))[0]
        graphs.append(first._replace(title=f"Mean square displacement of {element}"))
    moved = c.charge_displacement(work.path[:, work.every], work.carried)
    together = mean_square_displacement(moved).sum(axis=1)[1:]
    lags = next(iter(motions.values())).lags[1 : len(together) + 1]
    graphs.append(
        Graph(
            "Of the charge of all",
            "lag (ps)",
            "⟨|Σ zΔr|²⟩ (e²Å²)",
            [Line("all", lags, together)],
            "xy",
        )
    )
    if lost:
        title = f"No diffusive window: {', '.join(lost)}"
        print(
            f"  no diffusive window for {', '.join(lost)}: run longer or hotter, or give --window"
        )
    else:
        separate = c.nernst_einstein(
            list(found.values()), [len(own) for own in work.atoms.values()],
            list(work.charges.values()), volume, temperature,
        )  # fmt: skip
        start = max(motion.window.start for motion in motions.values())
        stop = min(motion.window.stop for motion in motions.values())
        window = next(iter(motions.values())).window
        if start < stop:
            window = window._replace(start=start, stop=stop)
        joint = c.collective(
            work.path[:, work.every], work.carried, given.interval, window, volume, temperature, work.blocks
        )  # fmt: skip
        both = c.conductivity(separate, joint)
        results |= {
            "σ, Nernst–Einstein": Value(both.nernst_einstein, both.nernst_einstein_error, "S/cm"),
            "σ, collective": Value(both.collective, both.collective_error, "S/cm"),
            "Haven ratio": Value(both.haven_ratio, both.haven_ratio_error, ""),
        }
        title = f"σ = {results['σ, collective']} (Nernst–Einstein {results['σ, Nernst–Einstein']})"
    note = f"{temperature:.0f} K, {volume:.0f} Å³; {given.describe()}."
    settings = known | {"temperature (K)": temperature}
    columns = {"lag (ps)": lags, "⟨|Σ zΔr|²⟩ (e²Å²)": together}
    return (settings, results, columns, plot_graphs(graphs, title, note)), 1 if lost else 0


def _in_field(work: Work, field: Any, known: dict[str, Any]) -> tuple[Any, ...]:
    from openmm_pqeq.analysis import conductivity as c
    from openmm_pqeq.report.graphs import Graph, Line, plot_graphs
    from openmm_pqeq.units import SQUARE_ANGSTROM_PER_PS_IN_SQUARE_CM_PER_S as UNIT

    given = work.given
    along = field / np.linalg.norm(field)
    results: dict[str, Value] = {}
    lines = []
    columns: dict[str, Any] = {"time (ps)": given.times}
    for element, own in work.atoms.items():
        drift = c.drift_velocity(work.path[:, own], given.interval, work.blocks)
        value, error = c.mobility(drift, field)
        speed, spread = float(drift.velocity @ along), float(np.sqrt(drift.error**2 @ along**2))
        results[f"drift velocity of {element}"] = Value(speed, spread, "Å/ps")
        results[f"mobility of {element}"] = Value(value * UNIT, error * UNIT, "cm²/(V s)")
        moved = (work.path[:, own].mean(axis=1) - work.path[0, own].mean(axis=0)) @ along
        lines.append(Line(element, given.times, moved))
        columns[f"way of {element} along the field (Å)"] = moved
    value, error = c.drift_conductivity(
        work.path[:, work.every], work.carried, given.interval, known["volume (Å³)"], field, work.blocks
    )  # fmt: skip
    results["σ, drift"] = Value(value, error, "S/cm")
    graph = Graph("Way along the field, mean of the ions", "time (ps)", "Å", lines)
    note = f"Field ({', '.join(f'{each:g}' for each in field)}) V/Å; {given.describe()}."
    figure = plot_graphs([graph], f"σ = {results['σ, drift']}", note)
    return known | {"field (V/Å)": field}, results, columns, figure


def _ions(given: list[str]) -> dict[str, float]:
    """Charges (e) by element."""
    found: dict[str, float] = {}
    for each in given:
        element, value = values.halves("ions", each, "ELEMENT=Z")
        found[element] = values.within(values.number, -20, 20, "e")("ions", value)
        if not found[element]:
            raise ValueError(f"ions: expected charges that are not zero, got {each!r}")
    return found


def _field(given: list[str] | None, trajectory: Trajectory) -> Any:
    """(3,) V/Å; ValueError for one that changes with time."""
    components = given if given is not None else trajectory.settings.get("field", [0.0, 0.0, 0.0])
    try:
        return np.array([values.number("field", each) for each in components])
    except ValueError:
        raise ValueError(
            f"field: expected a constant field (V/Å), got {components}; a drift has no meaning in "
            "one that changes"
        ) from None
