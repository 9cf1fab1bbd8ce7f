"""How fast does lithium diffuse in cubic Li7La3Zr2O12, and what does a hop cost?

    python studies/llzo/run.py [--short | --here | --full]

NVT in the cell of experiment (12.97 Å), model `electrolytes_fast`; one arrangement of lithium on its
partly occupied sites, by a low Ewald energy. Arrhenius' law over the temperatures, beside a potential
trained on DFT (tutorials of GPUMD: 0.804, 0.967, 1.293, 1.655 ×10⁻⁵ cm²/s at 950, 1000, 1100, 1200 K).
The first fifth of each run is left out; lithium moves against the framework.
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

from openmm_pqeq.analysis.arrhenius import arrhenius
from openmm_pqeq.analysis.diffusion import (
    Diffusion,
    diffusion,
    diffusive_window,
    mean_square_displacement,
)
from openmm_pqeq.analysis.paths import unwrapped, without_drift
from openmm_pqeq.builders.ordering import ordered

MODEL = "electrolytes_fast"
TIMESTEP = 2.0  # fs
EVERY = 10  # steps between frames
A = 12.97  # Å
HOP = 1.7  # Å, between neighbouring lithium sites
UNIT = 10.0  # 10⁻⁵ cm²/s of Å²/ps
REFERENCE = {950: 0.804, 1000: 0.967, 1100: 1.293, 1200: 1.655}  # 10⁻⁵ cm²/s
SITES = {
    "La": ((1 / 8, 0, 1 / 4), 1.0),
    "Zr": ((0, 0, 0), 1.0),
    "O": ((0.9682, 0.0549, 0.1494), 1.0),
    "Li tetrahedral": ((3 / 8, 0, 1 / 4), 13 / 24),
    "Li octahedral": ((0.0965, 0.6853, 0.5754), 43 / 96),
}
"""Ia-3d, with occupancies: Awaka et al., Chem. Lett. 40, 60 (2011), doi:10.1246/cl.2011.60; those of
lithium rounded to 56 in a cell."""


class Size(NamedTuple):
    """Repeats of the cell of 192 atoms; temperatures, K; steps of 2 fs."""

    repeats: int
    temperatures: tuple[int, ...]
    n_steps: int


SIZES = {
    "short": Size(1, (1000,), 100),
    "here": Size(1, (1000, 1200, 1400, 1700), 20_000),
    "full": Size(2, (800, 1000, 1200, 1400, 1600, 1800), 250_000),
}


def cost(size: Size) -> studies.Cost:
    return studies.Cost(192 * size.repeats**3, size.n_steps * len(size.temperatures), 65)


def garnet(study: studies.Study) -> ase.Atoms:
    """Li56La24Zr16O96, its lithium put in order."""
    columns = ("label", "type_symbol", "fract_x", "fract_y", "fract_z", "occupancy")
    lines = ["data_LLZO", *[f"_cell_length_{x} {A}" for x in "abc"]]
    lines += [f"_cell_angle_{x} 90" for x in ("alpha", "beta", "gamma")]
    lines += [
        "_symmetry_space_group_name_H-M 'P 1'",
        "loop_",
        *[f"_atom_site_{x}" for x in columns],
    ]
    for name, (place, occupancy) in SITES.items():
        element = name.split()[0]
        cell = crystal(element, [place], spacegroup=230, cellpar=[A, A, A, 90, 90, 90])
        for x, y, z in cell.get_scaled_positions():
            lines.append(f"{element} {element} {x:.6f} {y:.6f} {z:.6f} {occupancy:.6f}")
    file = study.output / "runs" / "llzo.cif"
    file.parent.mkdir(exist_ok=True)
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    charges = {"Li": 1.0, "La": 3.0, "Zr": 4.0, "O": -2.0}
    return ordered(file, charges, seed=study.seed, closest=2.0)[0].atoms


def path_of_lithium(run: Run) -> np.ndarray:
    """(n_frames, n_lithium, 3) Å, continuous, against the framework."""
    lithium = run.symbols == "Li"
    path = without_drift(unwrapped(run.positions, run.cells), (~lithium).astype(float))
    return path[len(path) // 5 :, lithium]


def lithium_diffusion(path: np.ndarray):
    """Lags ps, mean square displacements Å², and the diffusion where a stretch of lags is
    diffusive, else None."""
    interval = 1e-3 * TIMESTEP * EVERY
    msd = mean_square_displacement(path).sum(axis=1)
    lags = interval * np.arange(len(msd))
    window = diffusive_window(lags, msd, smallest=0.5 * HOP**2)
    found = None if window is None else diffusion(path, interval, window, hop_length=HOP)
    return lags, msd, found


def error_of(found: Diffusion) -> float:
    """The larger one of that by blocks and that by effective hops."""
    return float(np.nanmax([found.error, found.hops_error]))


def main() -> None:
    study, size = studies.begin(__file__, __doc__, SIZES, cost)
    atoms = garnet(study).repeat(size.repeats)
    figure, (left, right) = studies.axes_of(2)
    rows, points = [], []
    colours = (studies.BLUE, studies.GREEN, studies.ORANGE, studies.PURPLE, studies.GREY, "k")
    for temperature, colour in zip(size.temperatures, colours):
        settings = {
            "model": MODEL,
            "temperature": temperature,
            "timestep": TIMESTEP,
            "friction": 2.0,
            "steps": size.n_steps,
            "table_interval": EVERY,
            "trajectory_interval": EVERY,
            "charges_interval": 0,
        }
        run = dynamics(study, f"{temperature}K", atoms, settings)
        lags, msd, found = lithium_diffusion(path_of_lithium(run))
        left.plot(lags[1:], msd[1:], color=colour, label=f"{temperature} K")
        row = [temperature, len(atoms), float(run.times[-1]), float(msd[-1])]
        if found is None:
            study.say(f"{temperature} K: no stretch of lags is diffusive, so there is no D")
            rows.append([*row, None, None, None, None])
            continue
        value, error = UNIT * found.coefficient, UNIT * error_of(found)
        points.append((temperature, value, error))
        window = f"{found.window.start:.2f} to {found.window.stop:.2f}"
        rows.append([*row, window, found.effective_hops, value, error])
    slope = 6 * REFERENCE[1200] / UNIT * lags
    left.plot(lags, slope, ":", color=studies.BLACK, label="6Dt, trained on DFT, 1200 K")
    left.set(xlabel="lag, ps", ylabel="mean square displacement of Li, Å²")
    left.legend(frameon=False, fontsize=9)
    _arrhenius_plot(right, points)
    if len(points) > 1:
        law = arrhenius(*np.array(points).T)
        barrier = [law.activation_energy, law.activation_energy_error]
        rows.append(["E_a, eV", *[None] * 5, *barrier])
        reference = arrhenius(list(REFERENCE), list(REFERENCE.values()))
        study.say(f"E_a {barrier[0]:.3f} ± {barrier[1]:.3f} eV; reference {reference.activation_energy:.3f}")  # fmt: skip
    study.table(
        ["T, K", "atoms", "time, ps", "last MSD, Å²", "diffusive lags, ps", "effective hops",
         "D, 10⁻⁵ cm²/s", "error"],
        rows,
    )  # fmt: skip
    study.picture(figure, "Lithium in cubic LLZO", f"{MODEL}, NVT, {len(atoms)} atoms")


def _arrhenius_plot(axes, points) -> None:
    x = [1e3 / t for t in REFERENCE]
    axes.plot(x, list(REFERENCE.values()), "o-", color=studies.BLACK, ms=4, label="trained on DFT")
    if points:
        t, d, e = np.array(points).T
        axes.errorbar(1e3 / t, d, e, fmt="s", color=studies.BLUE, ms=5, capsize=3, label=MODEL)  # fmt: skip
    axes.set(xlabel="1000 K / T", ylabel="D, 10⁻⁵ cm²/s", yscale="log", ylim=(0.5, 10))
    axes.set_yticks([0.5, 1, 2, 5, 10], ["0.5", "1", "2", "5", "10"])
    axes.minorticks_off()
    axes.legend(frameon=False, fontsize=9)


if __name__ == "__main__":
    main()
