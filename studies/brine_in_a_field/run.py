"""Sodium chloride in water, in a field: how fast do ions drift, and does their shell of water change?

    python studies/brine_in_a_field/run.py [--short | --here | --full]

Model `brine`, NVT at 300 K, a box that the script fills. The field is along z; with it and without,
ions are followed against the water. Conductivity from the drift; of the whole current, so that
cations and anions count together.
"""

import sys
from pathlib import Path
from typing import NamedTuple

import ase
import ase.build
import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))
import study as studies
from dynamics import Run, dynamics

from openmm_pqeq.analysis.conductivity import drift_conductivity, drift_velocity, mobility
from openmm_pqeq.analysis.paths import unwrapped, without_drift
from openmm_pqeq.analysis.radial import radial_distribution
from openmm_pqeq.builders.solution import Component, solution

TIMESTEP = 0.5  # fs
EVERY = 20  # steps between frames
TEMPERATURE = 300  # K
CHARGES = {"Na": 1.0, "Cl": -1.0}  # e, that the ions carry


class Size(NamedTuple):
    """Pairs of ions; molecules of water; edge of the box, Å; fields, V/Å; ps of equilibration, and
    steps of 0.5 fs after it."""

    n_pairs: int
    n_waters: int
    edge: float
    fields: tuple[float, ...]
    equilibration: float
    n_steps: int


SIZES = {
    "short": Size(1, 8, 8.0, (0.2,), 0.0, 200),
    "here": Size(6, 52, 12.42, (0.0, 0.2), 0.2, 1000),
    "full": Size(48, 416, 24.84, (0.0, 0.02), 20.0, 2_000_000),
}
"""That of `--here` is one of the cells of the training."""


def cost(size: Size) -> studies.Cost:
    """The time is that of 12 ps without a field (docs/models.md)."""
    n_atoms = 2 * size.n_pairs + 3 * size.n_waters
    steps = size.n_steps + round(1e3 * size.equilibration / TIMESTEP)
    return studies.Cost(n_atoms, len(size.fields) * steps, 140)


def box(study: studies.Study, size: Size) -> ase.Atoms:
    components = [
        Component(ase.build.molecule("H2O"), size.n_waters),
        *(Component(ase.Atoms(symbol), size.n_pairs) for symbol in CHARGES),
    ]
    return solution(components, [size.edge] * 3, seed=study.seed)


def paths(run: Run) -> dict[str, np.ndarray]:
    """(n_frames, n_ions, 3) Å of each sort, continuous, against the oxygens."""
    path = unwrapped(run.positions, run.cells)
    path = without_drift(path, (run.symbols == "O").astype(float))
    return {symbol: path[:, run.symbols == symbol] for symbol in CHARGES}


def main() -> None:
    study, size = studies.begin(__file__, __doc__, SIZES, cost)
    atoms = box(study, size)
    figure, (left, right) = studies.axes_of(2)
    interval = 1e-3 * TIMESTEP * EVERY
    rows = []
    for strength, dash in zip(size.fields, (":", "-")):
        field = np.array([0.0, 0.0, strength])
        settings = {
            "model": "brine",
            "temperature": TEMPERATURE,
            "timestep": TIMESTEP,
            "friction": 5.0,
            "minimize": True,
            "equilibrate": size.equilibration,
            "field": tuple(field.tolist()),
            "steps": size.n_steps,
            "table_interval": EVERY,
            "trajectory_interval": EVERY,
            "charges_interval": 0,
        }
        run = dynamics(study, f"{strength:g}V", atoms, settings)
        moved = paths(run)
        row = [strength, len(atoms), float(run.times[-1]), float(run.table["temperature_K"].mean())]
        for (symbol, path), colour in zip(moved.items(), (studies.ORANGE, studies.GREEN)):
            label = f"{symbol}, {strength:g} V/Å"
            along = path[:, :, 2].mean(axis=1)
            left.plot(run.times, along - along[0], dash, color=colour, label=label)
            drift = drift_velocity(path, interval)
            row += [float(drift.velocity[2]), float(drift.error[2])]
            if strength:
                found = mobility(drift, field)
                study.say(f"mobility of {symbol}: {found[0]:.2f} ± {found[1]:.2f} 10⁻⁴ cm²/(V s)")
            first, oxygens = (np.flatnonzero(run.symbols == x) for x in (symbol, "O"))
            radial = radial_distribution(run.frames, first, oxygens)
            right.plot(
                radial.r, radial.g, dash, color=colour, label=f"{symbol}–O, {strength:g} V/Å"
            )
        ions = np.concatenate(list(moved.values()), axis=1)
        charges = np.repeat(list(CHARGES.values()), size.n_pairs)
        row += [None, None]
        if strength:
            volume = float(np.linalg.det(run.cells[0]))
            row[-2:] = drift_conductivity(ions, charges, interval, volume, field)
        rows.append(row)
    left.set(xlabel="time, ps", ylabel="mean way along the field, Å")
    right.set(xlabel="r, Å", ylabel="g(r)", xlim=(1.5, None))
    for axes in (left, right):
        axes.legend(frameon=False, fontsize=8)
    study.table(
        ["field, V/Å", "atoms", "time, ps", "T, K", "v of Na, Å/ps", "error", "v of Cl, Å/ps", "error",
         "conductivity, S/cm", "error"],
        rows,
    )  # fmt: skip
    study.picture(
        figure,
        "Sodium chloride in water, in a field",
        f"brine, NVT, {TEMPERATURE} K, {len(atoms)} atoms",
    )


if __name__ == "__main__":
    main()
