"""Does an electrolyte last beside lithium metal? Li3PS4(010) and Li6PS5Cl(100) on Li(100).

    python studies/lithium_interface/run.py [--short | --here | --full]

Built by the package's builders from published crystals; NVT, model `electrolytes` without a field,
several seeds. Of each: which share of the PS4 is left against time; of the first seed, at first and at
the end, composition and charges along the normal, and lithium about S and P.

Charges are those of PQEq (the paper's parameters, all images) for frames of the run: what flows to
whom when atoms share one chemical potential. `electrolytes` itself computes none without a field.
"""

import sys
from pathlib import Path
from typing import Any, NamedTuple

import ase
import ase.build
import numpy as np
from ase.spacegroup import crystal

sys.path.insert(0, str(Path(__file__).parents[1]))
import study as studies
from dynamics import Run, dynamics

import openmm_pqeq as pq
from openmm_pqeq.analysis.composition import centers, densities
from openmm_pqeq.analysis.polyhedra import coordination, polyhedra_left
from openmm_pqeq.analysis.radial import radial_distribution
from openmm_pqeq.builders.interface import interface
from openmm_pqeq.builders.slab import slab

TIMESTEP, EVERY = 2.0, 5  # fs; steps between frames
P_S, LI_X = 2.6, 3.0  # Å, within which P has S, and S or P has Li
MILLER = {"Li3PS4": (0, 1, 0), "Li6PS5Cl": (1, 0, 0)}
N_SLABS = 20
SEEDS = (studies.BLUE, studies.ORANGE, studies.GREEN)
COLOURS = {"Li": studies.GREY, "P": studies.ORANGE, "S": studies.BLUE, "Cl": studies.GREEN}


class Size(NamedTuple):
    """Which electrolytes; thickness of each slab, Å; largest area, Å², strain of the lithium, and
    repeats of the common cell; temperature, K; steps of 2 fs; runs of each."""

    electrolytes: tuple[str, ...]
    thickness: float
    area: float
    strain: float
    repeats: tuple[int, int, int]
    temperature: int
    n_steps: int
    n_seeds: int


SIZES = {
    "short": Size(("Li3PS4",), 6, 130, 0.08, (1, 1, 1), 500, 30, 1),
    "here": Size(("Li3PS4", "Li6PS5Cl"), 12, 220, 0.05, (1, 1, 1), 500, 1_250, 2),
    "full": Size(("Li3PS4", "Li6PS5Cl"), 90, 220, 0.05, (2, 3, 1), 300, 2_000_000, 3),
}


def cost(size: Size) -> studies.Cost:
    """Of the largest one, for each."""
    n_atoms = max(len(beside_lithium(name, size)) for name in size.electrolytes)
    return studies.Cost(n_atoms, size.n_steps * size.n_seeds * len(size.electrolytes), 450)


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


def ends_of(run: Run) -> dict[str, slice]:
    """The first and the last tenth of the frames, by the line in which they are drawn."""
    tenth = max(2, len(run.times) // 10)
    return {":": slice(0, tenth), "-": slice(-tenth, None)}


def along_normal(run: Run, frames: slice, weights: np.ndarray) -> np.ndarray:
    """(N_SLABS,) 1/Å³, mean of some frames, of weights (n_atoms,) or (n_frames, n_atoms)."""
    cells = run.cells[frames]
    return densities(run.positions[frames], cells, weights, 2, N_SLABS).mean(axis=0)


def charges_of(run: Run, frames: slice) -> np.ndarray:
    """(n, n_atoms) e, by PQEq, of the frames between which all of them lie."""
    calculator = pq.PQEqCalculator(pq.build({"pqeq": {"protocol": "pme", "parameters": "reaxnet"}}))
    which = range(len(run.times))[frames]
    return np.array([calculator.get_property("charges", run.atoms(k)) for k in which])


def draw(run: Run, axes: Any) -> dict[str, list[float]]:
    """Composition, charges and lithium about S and P, at first and at the end; the mean charges of
    the elements, e."""
    composition, charge, radial = axes
    found: dict[str, list[float]] = {symbol: [] for symbol in COLOURS if symbol in run.symbols}
    for dash, frames in ends_of(run).items():
        z = centers(run.cells[frames], 2, N_SLABS)
        charges = charges_of(run, frames)
        for symbol, means in found.items():
            own = (run.symbols == symbol).astype(float)
            number = along_normal(run, frames, own)
            label = symbol if dash == "-" else None
            composition.plot(z, number, dash, color=COLOURS[symbol], lw=1.2, label=label)
            with np.errstate(invalid="ignore"):
                mean = along_normal(run, frames, own * charges) / number
            charge.plot(z, mean, dash, marker=".", ms=3, color=COLOURS[symbol], lw=1.0, label=label)
            means.append(float(charges[:, run.symbols == symbol].mean()))
        for symbol in ("S", "P"):
            pair = (np.flatnonzero(run.symbols == x) for x in (symbol, "Li"))
            g = radial_distribution(run.frames[frames], *pair, n_blocks=2)
            label = f"Li about {symbol}" if dash == "-" else None
            radial.plot(g.r, g.g, dash, color=COLOURS[symbol], lw=1.2, label=label)
    composition.set(xlabel="along the normal, Å", ylabel="atoms by Å³")
    charge.set(xlabel="along the normal, Å", ylabel="mean charge, e")
    radial.set(xlabel="r, Å", ylabel="g(r)", xlim=(1.5, None))
    for each in axes:
        each.margins(y=0.2)
        each.set_ylim(bottom=0.0 if each is not charge else None)
        each.legend(frameon=False, fontsize=8, ncols=4, loc="upper left")
    return found


def main() -> None:
    study, size = studies.begin(__file__, __doc__, SIZES, cost)
    figure, axes = studies.axes_of(len(size.electrolytes), 4)
    rows: list[list[Any]] = []
    for name, (left, *below) in zip(size.electrolytes, np.atleast_2d(axes.T)):
        atoms = beside_lithium(name, size)
        settings = {
            "model": "electrolytes",
            "temperature": size.temperature,
            "timestep": TIMESTEP,
            "friction": 10.0,
            "steps": size.n_steps,
            "table_interval": EVERY,
            "trajectory_interval": EVERY,
            "charges_interval": 0,
        }
        charges: dict[str, list[float]] = {}
        for k in range(size.n_seeds):
            seed = study.seed + k
            run = dynamics(study, f"{name}_{seed}", atoms, settings, seed)
            share = polyhedra_left(neighbours(run, "P", "S", P_S), 4).share
            left.plot(run.times, 100 * share, color=SEEDS[k], label=f"seed {seed}")
            if not k:
                charges = draw(run, below)
                study.say(f"{name}: mean charges {charges}")
            around = [neighbours(run, center, "Li", LI_X).mean(axis=1) for center in ("S", "P")]
            rows.append([name, seed, len(atoms), float(run.times[-1]),
                         *(100 * float(share[x]) for x in (0, -1)),
                         *(float(series[x]) for series in around for x in (0, -1)),
                         *(charges[symbol][x] if not k else None for symbol in ("S", "P") for x in (0, -1))])  # fmt: skip
        left.set(title=f"{name} | Li", xlabel="time, ps", ylabel="PS₄ left, %", ylim=(0, 105))
        left.legend(frameon=False, fontsize=8)
    study.table(
        ["electrolyte", "seed", "atoms", "time, ps", "PS4 at first, %", "at the end, %",
         "Li about S at first", "at the end", "Li about P at first", "at the end",
         "charge of S at first, e", "at the end", "charge of P at first, e", "at the end"],
        rows,
    )  # fmt: skip
    note = f"electrolytes, NVT, {size.temperature} K; dotted: first tenth, lines: last tenth of the run"
    study.picture(figure, "Electrolytes beside lithium", note)


if __name__ == "__main__":
    main()
