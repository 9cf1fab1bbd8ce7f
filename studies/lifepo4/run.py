"""Is LiFePO4 stable at 300 and 600 K?

    python studies/lifepo4/run.py [--short | --here | --full]

NPT at 1 bar, an anisotropic cell, model `electrolytes` without a field: a network that sees some 5 Å
a layer, and so the paper's case "without long range", by another network. Volume, and how many
oxygens iron and phosphorus have.
"""

import sys
from pathlib import Path
from typing import NamedTuple

import ase
import numpy as np
from ase.spacegroup import crystal

sys.path.insert(0, str(Path(__file__).parents[1]))
import study as studies
from dynamics import Run, dynamics

from openmm_pqeq.analysis.blocks import average
from openmm_pqeq.analysis.polyhedra import coordination, polyhedra_left

TIMESTEP = 2.0  # fs
OCTAHEDRON, TETRAHEDRON = 2.75, 2.1  # Å, within which oxygens count for Fe and P


class Size(NamedTuple):
    """Repeats of the cell of 28 atoms; temperatures, K; steps of 2 fs."""

    repeats: tuple[int, int, int]
    temperatures: tuple[int, ...]
    n_steps: int


SIZES = {
    "short": Size((1, 1, 1), (300,), 20),
    "here": Size((1, 2, 2), (300, 600), 10_000),
    "full": Size((2, 3, 4), (300, 600), 10_000),
}


def cost(size: Size) -> studies.Cost:
    """Without the moves of the barostat: the time is that of the same model at lithium_interface."""
    n_atoms = 28 * int(np.prod(size.repeats))
    return studies.Cost(n_atoms, size.n_steps * len(size.temperatures), 450)


def lithium_iron_phosphate() -> ase.Atoms:
    """Triphylite, Pnma: Streltsov et al., Acta Cryst. B 49, 147 (1993), doi:10.1107/S0108768192004701."""
    sites = {
        "Li": [(0, 0, 0)],
        "Fe": [(0.28222, 0.25, 0.97472)],
        "P": [(0.09486, 0.25, 0.41820)],
        "O": [(0.09678, 0.25, 0.74279), (0.4571, 0.25, 0.2060), (0.16558, 0.04646, 0.28478)],
    }
    symbols = [symbol for symbol, places in sites.items() for _ in places]
    places = [place for group in sites.values() for place in group]
    cell = [10.332, 6.010, 4.692, 90, 90, 90]
    return crystal(symbols, places, spacegroup=62, cellpar=cell)


def intact(run: Run, center: str, cutoff: float, ligands: int) -> np.ndarray:
    """(n_frames,) share of centres that have so many oxygens."""
    first, second = (np.flatnonzero(run.symbols == symbol) for symbol in (center, "O"))
    return polyhedra_left(coordination(run.frames, first, second, cutoff), ligands).share


def main() -> None:
    study, size = studies.begin(__file__, __doc__, SIZES, cost)
    atoms = lithium_iron_phosphate().repeat(size.repeats)
    figure, (left, right) = studies.axes_of(2)
    rows = []
    for temperature, colour in zip(size.temperatures, (studies.BLUE, studies.ORANGE)):
        settings = {
            "model": "electrolytes",
            "ensemble": "NPT",
            "barostat": "anisotropic",
            "barostat_interval": 10,
            "temperature": temperature,
            "timestep": TIMESTEP,
            "friction": 5.0,
            "steps": size.n_steps,
            "table_interval": max(1, size.n_steps // 100),
            "trajectory_interval": max(1, size.n_steps // 100),
            "charges_interval": 0,
        }
        run = dynamics(study, f"{temperature}K", atoms, settings)
        volume = 100 * (run.table["volume_A3"] / atoms.get_volume() - 1)
        polyhedra = {
            "FeO₆": intact(run, "Fe", OCTAHEDRON, 6),
            "PO₄": intact(run, "P", TETRAHEDRON, 4),
        }
        left.plot(run.table["time_ps"], volume, color=colour, label=f"{temperature} K")
        for (name, share), dash in zip(polyhedra.items(), ("-", "--")):
            right.plot(run.times, 100 * share, dash, color=colour, label=f"{name}, {temperature} K")
        later = average(volume[len(volume) // 2 :])
        shares = [float(100 * each[len(each) // 2 :].mean()) for each in polyhedra.values()]
        rows.append(
            [temperature, len(atoms), float(run.times[-1]), later.mean, later.error, *shares]
        )
    left.set(xlabel="time, ps", ylabel="volume − experiment, %")
    right.set(xlabel="time, ps", ylabel="intact, %", ylim=(0, 105))
    for axes in (left, right):
        axes.legend(frameon=False, fontsize=9)
    study.table(
        ["T, K", "atoms", "time, ps", "volume − experiment, %", "error", "FeO6, %", "PO4, %"], rows
    )
    study.picture(
        figure,
        "LiFePO₄ at constant pressure",
        f"electrolytes, {len(atoms)} atoms, 1 bar; the table has second halves",
    )


if __name__ == "__main__":
    main()
