"""Is `brine` a liquid like salt water? Shells, diffusion, dipoles, ε and conductivity, 4 NaCl in 56 H2O.

    python studies/brine/run.py [--short | --here | --full] [--data FOLDER]

3.96 mol/kg in 12.42 Å, the composition of the published frames that the model was never trained on;
--data FOLDER with `brine_held_out.extxyz` (validation/brine_frames.py) adds the shells of those.

What is said is of the time after the first 6 ps. Masses
are those of nature, 0.5 fs a step, 1/ps of friction: an ion's own, kT/mD, is some eighty times that.
The pressure is that of the model's stress at the density of the labelled frames; a barostat is not
for this model.
"""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import ase
import ase.build
import mdtraj
import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parent))
import beside
import liquid
import study as studies
from dynamics import Run
from liquid import MODEL, TEMPERATURE, Value

from openmm_pqeq.analysis.diffusion import Window
from openmm_pqeq.builders.solution import Component, solution

EXPERIMENT = {
    "O–O": "2.80 Å (pure water, X-rays: Skinner et al., J. Chem. Phys. 138, 074506 (2013))",
    "Na–O": "2.38 Å, 5.5 oxygens (Galib et al., J. Chem. Phys. 146, 084504 (2017))",
    "Cl–O": "3.1 to 3.2 Å, some 6 (Ohtaki and Radnai, Chem. Rev. 93, 1157 (1993))",
    "D of O": "0.23 in pure water, a quarter less here (Kim et al., J. Phys. Chem. B 116, 12007 (2012))",
    "D of Na": "0.133, dilute (CRC Handbook)",
    "D of Cl": "0.203, dilute (CRC Handbook)",
    "ε∞": "1.78, pure water; 1.80 to 1.82 here (refractive index)",
    "ε": "some 48 (Buchner, Hefter and May, J. Phys. Chem. A 103, 1 (1999))",
    "σ": "0.20 (20 °C, CRC Handbook)",
    "μ": "some 2.9, ab initio water (Silvestrelli and Parrinello, Phys. Rev. Lett. 82, 3308 (1999))",
    "ρ": "1.14 (19 % NaCl, CRC Handbook)",
}


class Size(NamedTuple):
    """Pairs of ions, molecules of water, edge (Å) of a box; seeds of boxes; ps of a run, and of it
    left out at the beginning; ps, lags between which the mean square displacement is fitted."""

    n_pairs: int
    n_waters: int
    edge: float
    seeds: tuple[int, ...]
    length: float
    left_out: float
    window: tuple[float, float]


SIZES = {
    "short": Size(1, 8, 8.0, (1,), 0.3, 0.06, (0.04, 0.12)),
    "here": Size(4, 56, 12.42, (1,), 29.32, 6.0, (1.0, 5.0)),
    "full": Size(32, 448, 24.84, (1, 2, 3), 1000.0, 50.0, (5.0, 50.0)),
}


def cost(size: Size) -> studies.Cost:
    n_steps = len(size.seeds) * liquid.steps_of(size.length)
    return studies.Cost(2 * size.n_pairs + 3 * size.n_waters, n_steps, 140)


def filled(size: Size, seed: int) -> ase.Atoms:
    components = [
        Component(ase.build.molecule("H2O"), size.n_waters),
        *(Component(ase.Atoms(symbol), size.n_pairs) for symbol in liquid.IONS),
    ]
    return solution(components, [size.edge] * 3, seed=seed)


def shells(runs: Sequence[Run], labelled: dict[str, Any], add) -> dict[str, liquid.Radial]:
    """Rows of the first shells of runs of one composition, taken together; oxygens are counted to
    where the frames of DFT have their minimum, if they are there."""
    frames = mdtraj.join([run.frames for run in runs]) if len(runs) > 1 else runs[0].frames
    found = liquid.shells_of(frames, runs[0].symbols)
    for name, radial in found.items():
        peak, height, minimum, within = liquid.first_of(radial)
        dft = labelled.get(name)
        if dft:
            minimum, within = dft["minimum"], Value(*radial.within(dft["minimum"]))
        add(f"{name}, first peak, Å", Value(peak, np.nan), EXPERIMENT[name])
        add(f"{name}, its height", Value(height, np.nan))
        add(f"{name}, oxygens within {minimum:.2f} Å", within)
        if dft:
            add(f"{name}, first peak of DFT, Å", Value(dft["peak"], np.nan), labelled["source"])
            add(f"{name}, its height", Value(dft["height"], np.nan))
            add(f"{name}, oxygens within {minimum:.2f} Å", Value(dft["within"], np.nan))
    return found


def motion(runs: Sequence[Run], window: Window, add) -> None:
    """Rows of diffusion and conductivity."""
    found = [liquid.diffusions(run, window) for run in runs]
    for symbol in found[0]:
        each = [Value(f[symbol].coefficient, liquid.error_of(f[symbol])) for f in found]
        add(f"D of {symbol}, Å²/ps", liquid.together(each), EXPERIMENT[f"D of {symbol}"])
    both = [liquid.conductivities(run, window, TEMPERATURE) for run in runs]
    single, joint = (liquid.together(values) for values in zip(*both))
    add("σ of Nernst and Einstein, S/cm", single, EXPERIMENT["σ"])
    add("σ of the current, S/cm", joint)


def response(study: studies.Study, runs: dict[str, Run], add) -> None:
    """Rows of molecular dipoles, ε∞ and ε."""
    moments, spreads, fast, static = [], [], [], []
    for name, run in runs.items():
        dipoles = liquid.dipoles(run, study.output / "runs" / name / "charges.h5")
        mean, spread = liquid.moment(dipoles)
        moments.append(mean)
        spreads.append(spread)
        fast.append(liquid.fast(run, MODEL))
        static.append(liquid.static(run, dipoles, fast[-1].mean, TEMPERATURE))
    add("dipole of a molecule, D", liquid.together(moments), EXPERIMENT["μ"])
    add("its spread, D", Value(float(np.mean(spreads)), np.nan))
    add("ε∞", liquid.together(fast), EXPERIMENT["ε∞"])
    add("ε of the water, from fluctuations", liquid.together(static), EXPERIMENT["ε"])


def main() -> None:
    study, size = studies.begin(__file__, __doc__, SIZES, cost)
    whole = {
        f"box{seed}": liquid.followed(study, f"box{seed}", filled(size, seed), size.length)
        for seed in size.seeds
    }
    first = next(iter(whole.values()))
    same = {name: liquid.later(run, size.left_out) for name, run in whole.items()}
    rows: list[list[Any]] = []

    def add(name: str, value: Value, beside: str = "") -> None:
        error = None if np.isnan(value.error) else value.error
        rows.append([name, value.mean, error, beside])

    for name, run in whole.items():
        shortest, longest = liquid.bonds(run)
        times = f"{len(run.symbols)} atoms, {run.times[-1]:.2f} ps"
        note = f"{times}, O–H {shortest:.2f} to {longest:.2f} Å"
        late = run.table["temperature_K"][run.table["time_ps"] > size.left_out]
        if late.size:
            add(f"T of {name}, K", Value(float(late.mean()), float(late.std())), note)
    labelled = beside.frames(study) if size == SIZES["here"] else {}
    radials = shells(list(same.values()), labelled, add)
    motion(list(same.values()), Window(*size.window, np.nan), add)
    response(study, same, add)
    pressures = [liquid.pressure(run, MODEL, TEMPERATURE) for run in same.values()]
    density = float(first.table["density_g_per_cm3"][-1])
    note = f"at {density:.3f} g/cm³; experiment has 1 bar at {EXPERIMENT['ρ']}"
    add("pressure, GPa", liquid.together(pressures), note)
    picture(study, same, radials, labelled)
    study.table(["quantity", "value", "error", "beside"], rows)


def picture(study, same, radials, labelled) -> None:
    """g(r) beside that of DFT, and mean square displacements."""
    figure, (left, right) = studies.axes_of(2)
    colours = (studies.BLUE, studies.ORANGE, studies.GREEN)
    for (name, radial), colour in zip(radials.items(), colours):
        left.plot(radial.r, radial.g, color=colour, label=name)
        if name in labelled:
            left.plot(labelled[name]["r"], labelled[name]["g"], ":", color=colour)
    for k, run in enumerate(same.values()):
        for (symbol, msd), colour in zip(liquid.displacements(run).items(), colours):
            lags = liquid.interval_of(run) * np.arange(len(msd))
            right.plot(lags, msd, color=colour, label=None if k else symbol)
    left.set(xlabel="r, Å", ylabel="g(r)", xlim=(2.0, None))
    right.set(xlabel="lag, ps", ylabel="mean square displacement, Å²")
    for axes in (left, right):
        axes.legend(frameon=False, fontsize=9)
    note = "brine, NVT, 300 K. Dotted: frames of revPBE0-D3"
    study.picture(figure, "Sodium chloride in water", note)


if __name__ == "__main__":
    main()
