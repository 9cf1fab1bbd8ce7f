"""BaTiO3 from cold to hot and back: which phases, by the cell and by the polarization of its cells?

    python studies/batio3_heating/run.py [--short | --here | --full]

Model `batio3_bonds`, constant pressure (1 atm), edges and angles free (the flexible barostat). The
crystal begins rhombohedral, relaxed, is heated and cooled again; each temperature goes on from where
the one before has ended, and of each the last three quarters count. Polarization is that of each Ti's octahedron and cube of
Ba, with the Born charges that the model gives the cubic crystal, means of the diagonals.

A component of the mean polarization is there where its size in time is more than half of that of
the coldest crystal: three of them rhombohedral, two orthorhombic, one tetragonal, none cubic.
"""

import sys
from pathlib import Path
from typing import NamedTuple

import ase
import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))
import study as studies
from dynamics import Run, dynamics

import openmm_pqeq as pq
from openmm_pqeq.analysis import lattice, perovskite
from openmm_pqeq.analysis.born import with_sum_rule
from openmm_pqeq.analysis.paths import fractions
from openmm_pqeq.relaxation import relax
from openmm_pqeq.units import E_PER_SQUARE_ANGSTROM_IN_MICROCOULOMB_PER_SQUARE_CM as MICROCOULOMB

MODEL = "batio3_bonds"
TIMESTEP = 2.0  # fs
FRAME = 0.04  # ps, between frames
WINDOW = 1.0  # ps, over which the mean polarization is averaged before its components are told
PHASES = ("cubic", "tetragonal", "orthorhombic", "rhombohedral")
"""By how many components of the polarization are there."""


class Size(NamedTuple):
    """Repeats of the cell; temperatures of heating, K, and of cooling in reverse; of each so many
    ps."""

    repeats: int
    temperatures: tuple[int, ...]
    duration: float

    @property
    def path(self) -> list[tuple[int, str]]:
        """K and the way, "up" or "down", in the order in which they are done."""
        up = [(kelvin, "up") for kelvin in self.temperatures]
        return up + [(kelvin, "down") for kelvin in self.temperatures[-2::-1]]


SIZES = {
    "short": Size(1, (50, 400), 0.2),
    "here": Size(2, (50, 100, 150, 200, 300, 400), 3.0),
    "full": Size(10, tuple(range(25, 525, 25)), 100.0),
}


class Heated(NamedTuple):
    """Of one temperature: edges (Å), angles (degrees) and volume (Å³) of a cell of five atoms as
    `lattice.averages`; the mean polarization (n_windows, 3), that of the cells (n_frames, n_cells,
    3), µC/cm²; the temperature that there was, K."""

    cell: list
    windows: np.ndarray
    local: np.ndarray
    kelvin: float

    @property
    def components(self) -> np.ndarray:
        """(3,) sizes of the components, the smallest first in every window."""
        return np.sort(np.abs(self.windows), axis=1).mean(axis=0)


def n_steps(size: Size) -> int:
    return round(1e3 * size.duration / TIMESTEP)


def cost(size: Size) -> studies.Cost:
    return studies.Cost(5 * size.repeats**3, n_steps(size) * len(size.path), 500)


def cold(repeats: int, calculator: pq.PQEqCalculator) -> ase.Atoms:
    """The rhombohedral crystal, relaxed in a cell of five atoms."""
    half, low = 0.52, 0.98
    places = [(0, 0, 0), (half,) * 3, (0.5, 0.5, low), (0.5, low, 0.5), (low, 0.5, 0.5)]
    cell = [4.063, 4.063, 4.063, 89.69, 89.69, 89.69]
    atoms = ase.Atoms("BaTiO3", scaled_positions=places, cell=cell, pbc=True)
    atoms.calc = calculator
    for _ in relax(atoms, cell="free", largest_force=0.005, steps=200):
        pass
    atoms.calc = None
    return atoms.repeat(repeats)


def born_charges(calculator: pq.PQEqCalculator) -> dict[str, float]:
    """e, of the cubic crystal, by element; they add up to zero."""
    sites = [(0, 0, 0), (0.5, 0.5, 0.5), (0.5, 0.5, 0), (0.5, 0, 0.5), (0, 0.5, 0.5)]
    cubic = ase.Atoms("BaTiO3", scaled_positions=sites, cell=[4.024] * 3, pbc=True)
    tensors = with_sum_rule(calculator.get_property("born_charges", cubic)).born_charges
    diagonal = np.trace(tensors, axis1=1, axis2=2) / 3
    return {"Ba": diagonal[0], "Ti": diagonal[1], "O": diagonal[2:].mean()}


def heated(run: Run, start: ase.Atoms, repeats: int, born: dict[str, float]) -> Heated:
    """The last three quarters of a run that began as `start`, from which its neighbours are told."""
    positions = np.concatenate([start.positions[None], run.positions])
    cells = np.concatenate([start.cell.array[None], run.cells])
    paths, symbols = fractions(positions, cells), run.symbols.tolist()
    found = perovskite.neighborhood(paths[0], cells[0], symbols, "Ba", "Ti", "O")
    charges = np.array([born[symbol] for symbol in symbols])
    first = 1 + len(run.cells) // 4
    local = MICROCOULOMB * perovskite.local_polarization(
        paths[first:], cells[first:], found, charges
    )
    mean = local.mean(axis=1)
    n_windows = max(1, round(len(mean) * FRAME / WINDOW))
    windows = np.array([part.mean(axis=0) for part in np.array_split(mean, n_windows)])
    kelvin = run.table["temperature_K"]
    return Heated(
        lattice.averages(cells[first:], (repeats,) * 3),
        windows,
        local,
        float(kelvin[len(kelvin) // 4 :].mean()),
    )


def phase(components: np.ndarray, coldest: float) -> str:
    return PHASES[int((components > 0.5 * coldest).sum())]


COLOURS = (studies.BLUE, studies.GREEN, studies.ORANGE)
WAYS = {"up": {"ls": "-", "marker": "o"}, "down": {"ls": ":", "marker": "o", "mfc": "white"}}


def against_temperature(axes, size: Size, every: list[Heated], way: str) -> None:
    """Edges and components of the polarization, heated or cooled."""
    which = [k for k, (_, found) in enumerate(size.path) if found == way]
    kelvin, some = [size.path[k][0] for k in which], [every[k] for k in which]
    edges = [np.sort([one.mean for one in each.cell[:3]]) for each in some]
    errors = [max(one.error for one in each.cell[:3]) for each in some]
    look = {"ms": 4, "lw": 1, **WAYS[way]}
    for k, colour in enumerate(COLOURS):
        axes[0].errorbar(kelvin, [e[k] for e in edges], errors, color=colour, **look)
        label = ("smallest", "middle", "largest")[k] if way == "up" else None
        share = [each.components[k] for each in some]
        axes[1].plot(kelvin, share, color=colour, label=label, **look)


def against_time(axes, size: Size, every: list[Heated]) -> None:
    """The mean polarization, one temperature after the other."""
    for n, ((kelvin, _), each) in enumerate(zip(size.path, every)):
        begin = size.duration * n
        steps = begin + 0.25 * size.duration + FRAME * np.arange(len(each.local))
        for k, colour in enumerate(COLOURS):
            axes.plot(steps, each.local[:, :, k].mean(axis=1), lw=0.7, color=colour,
                      label=None if n else "xyz"[k])  # fmt: skip
        axes.axvline(begin, color=studies.GREY, lw=0.4)
        axes.text(begin + 0.5 * size.duration, 60, f"{kelvin}", ha="center", va="top", fontsize=7)
    axes.set(title="P; numbers are temperatures, K", xlabel="time, ps", ylabel="µC/cm²")
    axes.set_ylim(-60, 62)
    axes.legend(frameon=False, fontsize=8, ncols=3, loc="lower left")


def drawn(size: Size, every: list[Heated]) -> studies.Figure:
    figure, axes = studies.axes_of(3)
    for way in WAYS:
        against_temperature(axes, size, every, way)
    up = every[: len(size.temperatures)]
    own = [float(np.linalg.norm(each.local, axis=2).mean()) for each in up]
    axes[1].plot(size.temperatures, own, "--", color=studies.BLACK, lw=1, label="a cell's own")
    axes[0].set(title="edges, shortest to longest", xlabel="T, K", ylabel="Å")
    axes[1].set(title=f"|P| by component, {WINDOW:g} ps", xlabel="T, K", ylabel="µC/cm²")
    axes[1].set_ylim(0, 1.5 * max(own))
    axes[1].legend(frameon=False, fontsize=8, ncols=2, loc="upper center")
    against_time(axes[2], size, every)
    return figure


def main() -> None:
    study, size = studies.begin(__file__, __doc__, SIZES, cost)
    calculator = pq.PQEqCalculator(pq.load(MODEL))
    born = born_charges(calculator)
    start = cold(size.repeats, calculator)
    every: list[Heated] = []
    for kelvin, way in size.path:
        settings = {
            "model": MODEL,
            "ensemble": "NPT",
            "barostat": "flexible",
            "barostat_interval": 5,
            "temperature": kelvin,
            "friction": 5.0,
            "timestep": TIMESTEP,
            "steps": n_steps(size),
            "table_interval": 10,
            "trajectory_interval": round(1e3 * FRAME / TIMESTEP),
            "charges_interval": 0,
        }
        run = dynamics(study, f"{kelvin}K_{way}", start, settings)
        every.append(heated(run, start, size.repeats, born))
        start = run.atoms(-1)
    coldest = float(every[0].components.mean())
    rows = []
    for (kelvin, way), each in zip(size.path, every):
        numbers = [one.mean for one in each.cell]
        spread = float(np.linalg.norm(each.local, axis=2).mean())
        rows.append([kelvin, way, each.kelvin, *numbers, max(one.error for one in each.cell[:3]),
                     *each.components.tolist(), spread, phase(each.components, coldest)])  # fmt: skip
    header = ["T, K", "way", "mean T, K", "a, Å", "b, Å", "c, Å", "alpha", "beta", "gamma",
              "volume, Å³", "error of edges, Å", "smallest |P|, µC/cm²", "middle |P|", "largest |P|",
              "|P| of a cell", "by components"]  # fmt: skip
    study.table(header, rows)
    note = f"{MODEL}, {5 * size.repeats**3} atoms, {size.duration:g} ps each; open, dotted: cooled"
    study.picture(drawn(size, every), "BaTiO3, heated and cooled", note)


if __name__ == "__main__":
    main()
