"""BaTiO3 in a field along c that goes back and forth: the loop of polarization against field, and
how the coercive field depends on the frequency.

    python studies/batio3_hysteresis/run.py [--short | --here | --full]

Model `batio3_bonds`, in the fixed tetragonal cell that it was trained in; 300 K. The field is a
triangle in time. A cell of a few Å switches as a whole and in picoseconds: the fields are a hundred
times those of a crystal with domain walls, and fall as the field gets slower and the cell larger.
"""

import sys
from pathlib import Path
from typing import NamedTuple

import ase
import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))
import study as studies
from dynamics import dynamics

from openmm_pqeq.analysis.hysteresis import hysteresis
from openmm_pqeq.units import E_PER_SQUARE_ANGSTROM_IN_MICROCOULOMB_PER_SQUARE_CM as MICROCOULOMB

TIMESTEP = 2.0  # fs


class Size(NamedTuple):
    """Repeats of the cell; periods, ps; cycles of each; amplitude, V/Å."""

    repeats: int
    periods: tuple[float, ...]
    cycles: float
    amplitude: float


SIZES = {
    "short": Size(1, (0.2,), 1.25, 0.2),
    "here": Size(2, (1.0, 2.0, 4.0), 1.75, 0.25),
    "full": Size(10, (2.0, 8.0, 32.0, 128.0), 4.25, 0.1),
}


def n_steps(size: Size, period: float) -> int:
    return round(1e3 * period * size.cycles / TIMESTEP)


def cost(size: Size) -> studies.Cost:
    steps = sum(n_steps(size, period) for period in size.periods)
    return studies.Cost(5 * size.repeats**3, steps, 600)


def triangle(amplitude: float, period: float, cycles: float) -> str:
    """A field (V/Å) of the time t (ps) that goes up and down at a constant rate, from zero."""
    turns = (period * (k + 0.5) / 2 for k in range(int(2 * cycles + 0.5)))
    kinks = "".join(f"{'+-'[k % 2 == 0]}2*max(0,t-{turn:g})" for k, turn in enumerate(turns))
    return f"{4 * amplitude / period:g}*(t{kinks})"


def barium_titanate(repeats: int) -> ase.Atoms:
    """Tetragonal, polar along +c: the mean of the PBE frames behind the model (examples/BaTiO3.cif)."""
    z = (0.0, 0.524, 0.9447, 0.4706, 0.4706)
    xy = ((0, 0), (0.5, 0.5), (0.5, 0.5), (0.5, 0.0), (0.0, 0.5))
    places = [(*plane, height) for plane, height in zip(xy, z)]
    cell = [3.9661, 3.9661, 4.304]
    return ase.Atoms("BaTiO3", scaled_positions=places, cell=cell, pbc=True).repeat(repeats)


def main() -> None:
    study, size = studies.begin(__file__, __doc__, SIZES, cost)
    atoms = barium_titanate(size.repeats)
    figure, axes = studies.axes_of(len(size.periods))
    rows = []
    for ax, period in zip(np.atleast_1d(axes), size.periods):
        settings = {
            "model": "batio3_bonds",
            "temperature": 300,
            "friction": 10.0,
            "timestep": TIMESTEP,
            "steps": n_steps(size, period),
            "field": (0, 0, triangle(size.amplitude, period, size.cycles)),
            "field_interval": 2,
            "table_interval": 5,
            "trajectory_interval": 50,
            "charges_interval": 0,
        }
        table = dynamics(study, f"{period:g}ps", atoms, settings).table
        field, polarization = table["field_z_V_per_A"], table["polarization_z_uC_per_cm2"]
        warmest = float(table["temperature_K"].max())
        try:
            loop = hysteresis(field, polarization / MICROCOULOMB)
        except ValueError as error:
            study.say(f"{period} ps: no loop, {error}")
            rows.append([period, len(atoms), *[None] * 4, warmest])
        else:
            polarization = loop.polarization * MICROCOULOMB
            rows.append([period, len(atoms), loop.coercive, loop.coercive_error,
                         loop.remanent * MICROCOULOMB, loop.branches, warmest])  # fmt: skip
        ax.plot(field, polarization, color=studies.BLUE, lw=1)
        ax.axhline(0, color=studies.GREY, lw=0.6)
        ax.axvline(0, color=studies.GREY, lw=0.6)
        ax.set(title=f"period {period:g} ps", xlabel="field along c, V/Å")
    np.atleast_1d(axes)[0].set_ylabel("polarization along c, µC/cm²")
    study.table(
        ["period, ps", "atoms", "coercive field, V/Å", "error", "remanent polarization, µC/cm²",
         "branches", "warmest, K"],
        rows,
    )  # fmt: skip
    note = f"batio3_bonds, 300 K, {len(atoms)} atoms in the fixed cell of the training"
    study.picture(figure, "BaTiO3 in an alternating field", note)


if __name__ == "__main__":
    main()
