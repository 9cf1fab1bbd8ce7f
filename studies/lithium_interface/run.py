"""Does an electrolyte last beside lithium metal? Li3PS4(010) and Li6PS5Cl(100) on Li(100).

    python studies/lithium_interface/run.py [--short | --here | --full]

Built by the package's builders from published crystals; NVT, model `electrolytes` without a field. Of
each: which share of the PS4 is left against time, the composition along the normal at first and at
the end, and how many lithiums S and P have around them.
"""

import sys
from pathlib import Path
from typing import NamedTuple

import ase
import ase.build
import numpy as np
from ase.spacegroup import crystal

sys.path.insert(0, str(Path(__file__).parents[1]))
import study as studies
from dynamics import Run, dynamics

from openmm_pqeq.analysis.composition import centers, densities
from openmm_pqeq.analysis.polyhedra import coordination, polyhedra_left
from openmm_pqeq.builders.interface import interface
from openmm_pqeq.builders.slab import slab

TIMESTEP = 2.0  # fs
P_S, LI_X = 2.6, 3.0  # Å, within which P has S, and S or P has Li
MILLER = {"Li3PS4": (0, 1, 0), "Li6PS5Cl": (1, 0, 0)}
COLOURS = {"Li": studies.GREY, "P": studies.ORANGE, "S": studies.BLUE, "Cl": studies.GREEN}


class Size(NamedTuple):
    """Which electrolytes; thickness of each slab, Å; largest area, Å², strain of the lithium, and
    repeats of the common cell; temperature, K; steps of 2 fs."""

    electrolytes: tuple[str, ...]
    thickness: float
    area: float
    strain: float
    repeats: tuple[int, int, int]
    temperature: int
    n_steps: int


SIZES = {
    "short": Size(("Li3PS4",), 6, 130, 0.08, (1, 1, 1), 500, 30),
    "here": Size(("Li3PS4", "Li6PS5Cl"), 12, 220, 0.05, (1, 1, 1), 500, 500),
    "full": Size(("Li3PS4", "Li6PS5Cl"), 90, 220, 0.05, (2, 3, 1), 300, 2_000_000),
}


def cost(size: Size) -> studies.Cost:
    """Of the largest one, for each."""
    n_atoms = max(len(beside_lithium(name, size)) for name in size.electrolytes)
    return studies.Cost(n_atoms, size.n_steps * len(size.electrolytes), 450)


def electrolyte(name: str) -> ase.Atoms:
    """γ-Li3PS4, Pmn21, ordered: Homma et al., Solid State Ionics 182, 53 (2011), doi:10.1016/j.ssi.2010.10.001
    (the paper's is β, whose lithium is disordered). Li6PS5Cl, F-43m, with lithium in the middle of its
    pairs of half-occupied sites: Kraft et al., J. Am. Chem. Soc. 139, 10909 (2017), doi:10.1021/jacs.7b06327."""
    if name == "Li3PS4":
        lithium = [(0.244, 0.330, 0.988), (0, 0.152, 0.492)]
        sulfur = [(0.2219, 0.6654, 0.885), (0, 0.1151, 0.8886), (0, 0.8, 0.3306)]
        places = [*lithium, (0, 0.8184, 0), *sulfur]
        cell = [7.708, 6.535, 6.136, 90, 90, 90]
        return crystal(["Li", "Li", "P", "S", "S", "S"], places, spacegroup=31, cellpar=cell)
    quarter = (0.25, 0.25, 0.25)
    places = [(0.018, 0.25, 0.25), (0.5, 0.5, 0.5), (0.62, 0.62, 0.62), quarter, (0, 0, 0)]
    cell = [9.85, 9.85, 9.85, 90, 90, 90]
    return crystal(["Li", "P", "S", "S", "Cl"], places, spacegroup=216, cellpar=cell)


def beside_lithium(name: str, size: Size) -> ase.Atoms:
    """Both interfaces of a slab of electrolyte and one of lithium, stacked along z."""
    lithium = ase.build.bulk("Li", "bcc", a=3.51, cubic=True)
    below = slab(electrolyte(name), MILLER[name], size.thickness, unbroken={("P", "S"): P_S})
    above = slab(lithium, (1, 0, 0), size.thickness)
    return interface(below.atoms, above.atoms, size.strain, size.area).atoms.repeat(size.repeats)


def neighbours(run: Run, center: str, ligand: str, cutoff: float) -> np.ndarray:
    """(n_frames, n_centers)."""
    first, second = (np.flatnonzero(run.symbols == symbol) for symbol in (center, ligand))
    return coordination(run.frames, first, second, cutoff)


def profiles(run: Run, frames: slice, n_slabs: int = 20):
    """Å, and (n_slabs,) atoms by Å³ of each element, mean of some frames."""
    cells = run.cells[frames]
    found = {
        symbol: densities(
            run.positions[frames], cells, (run.symbols == symbol).astype(float), 2, n_slabs
        ).mean(axis=0)
        for symbol in COLOURS
        if symbol in run.symbols
    }
    return centers(cells, 2, n_slabs), found


def main() -> None:
    study, size = studies.begin(__file__, __doc__, SIZES, cost)
    figure, axes = studies.axes_of(2, len(size.electrolytes))
    rows = []
    for (left, right), name in zip(np.atleast_2d(axes), size.electrolytes):
        atoms = beside_lithium(name, size)
        every = max(1, size.n_steps // 100)
        settings = {
            "model": "electrolytes",
            "temperature": size.temperature,
            "timestep": TIMESTEP,
            "friction": 10.0,
            "steps": size.n_steps,
            "table_interval": every,
            "trajectory_interval": every,
            "charges_interval": 0,
        }
        run = dynamics(study, name, atoms, settings)
        share = polyhedra_left(neighbours(run, "P", "S", P_S), 4).share
        around = [neighbours(run, center, "Li", LI_X).mean(axis=1) for center in ("S", "P")]
        left.plot(run.times, 100 * share, color=studies.BLUE)
        left.set(title=f"{name} | Li", xlabel="time, ps", ylabel="PS₄ left, %", ylim=(0, 105))
        tenth = max(1, len(run.times) // 10)
        for frames, dash in ((slice(0, tenth), ":"), (slice(-tenth, None), "-")):
            z, found = profiles(run, frames)
            for symbol, density in found.items():
                label = symbol if dash == "-" else None
                right.plot(z, density, dash, color=COLOURS[symbol], lw=1.2, label=label)
        right.set(xlabel="along the normal, Å", ylabel="atoms by Å³, first (dots) and last")
        right.margins(y=0.15)
        right.legend(frameon=False, fontsize=8, ncols=4, loc="upper left")
        rows.append([name, len(atoms), float(run.times[-1]), *(100 * float(x) for x in (share[0], share[-1])),
                     *(float(x) for series in around for x in (series[0], series[-1]))])  # fmt: skip
    study.table(
        ["electrolyte", "atoms", "time, ps", "PS4 at first, %", "at the end, %",
         "Li about S at first", "at the end", "Li about P at first", "at the end"],
        rows,
    )  # fmt: skip
    note = f"electrolytes, NVT, {size.temperature} K"
    study.picture(figure, "Electrolytes beside lithium", note)


if __name__ == "__main__":
    main()
