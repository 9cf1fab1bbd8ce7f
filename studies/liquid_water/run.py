"""What does a field do to liquid water? Polarization, molecular dipoles, shells and diffusion.

    python studies/liquid_water/run.py [--short | --here | --full]

Model `brine`, NVT at 300 K and 1 g/cm³, a box that the script fills, field along z. The model was
trained on water with 1 to 9 mol/kg of NaCl: pure water is where it has to go on from there.

In tin foil the field of the run is the macroscopic one, so that one run is one point of P(F), and

    ε = 1 + 4π k_e ⟨M_z⟩/(V F)      M of all molecules, of nuclei and electrons

tends to the ε of fluctuations as F → 0, and falls as molecules are turned already.
"""

import sys
from pathlib import Path
from typing import Any, NamedTuple

import ase
import ase.build
import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))
import liquid
import study as studies
from ase.units import Debye
from dynamics import Run
from liquid import MODEL, TEMPERATURE

from openmm_pqeq.analysis.blocks import average
from openmm_pqeq.analysis.diffusion import Window
from openmm_pqeq.builders.solution import Component, solution
from openmm_pqeq.units import COULOMB
from openmm_pqeq.units import E_PER_SQUARE_ANGSTROM_IN_MICROCOULOMB_PER_SQUARE_CM as MICROCOULOMB

EXPERIMENT = 77.7
"""ε of water at 300 K: Fernández et al., J. Phys. Chem. Ref. Data 26, 1125 (1997), doi:10.1063/1.555997."""


class Size(NamedTuple):
    """Molecules, edge of the box, Å; fields, V/Å; ps left out, and ps after them; ps, lags between
    which the mean square displacement is fitted."""

    n_waters: int
    edge: float
    fields: tuple[float, ...]
    left_out: float
    length: float
    window: tuple[float, float]


SIZES = {
    "short": Size(8, 6.5, (0.1,), 0.0, 0.2, (0.04, 0.1)),
    "here": Size(64, 12.42, (0.0, 0.03, 0.1), 2.0, 6.0, (0.5, 2.0)),
    "full": Size(512, 24.84, (0.0, 0.003, 0.01, 0.03, 0.1), 20.0, 500.0, (5.0, 50.0)),
}


def cost(size: Size) -> studies.Cost:
    return studies.Cost(3 * size.n_waters, len(size.fields) * liquid.steps_of(_length(size)), 140)


def followed(study: studies.Study, size: Size, field: float) -> Run:
    """The run in a field, without its beginning."""
    water = [Component(ase.build.molecule("H2O"), size.n_waters)]
    box = solution(water, [size.edge] * 3, seed=study.seed)
    run = liquid.followed(study, _name(field), box, _length(size), field=(0.0, 0.0, field))
    return liquid.later(run, size.left_out)


def _length(size: Size) -> float:
    return size.left_out + size.length


def _name(field: float) -> str:
    return f"{field:g}V"


def row_of(study: studies.Study, size: Size, field: float, run: Run) -> tuple[list[Any], Any]:
    """Numbers of a run, and its polarization along the field, µC/cm²."""
    moments = liquid.dipoles(run, study.output / "runs" / _name(field) / "charges.h5")
    volume = float(np.linalg.det(run.cells[0]))
    found = average(moments[:, :, 2].sum(axis=1))
    along = np.array([found.mean, found.error]) / volume
    sizes = np.linalg.norm(moments, axis=2)
    if field:
        epsilon = 4 * np.pi * COULOMB * along / field + [1, 0]
    else:
        epsilon = liquid.static(run, moments, liquid.fast(run, MODEL).mean, TEMPERATURE)
    late = run.table["temperature_K"][run.table["time_ps"] > size.left_out]
    peak, height, _, _ = liquid.first_of(liquid.shells_of(run.frames, run.symbols)["O–O"])
    motion = liquid.diffusions(run, Window(*size.window, np.nan))["O"]
    polarization = (MICROCOULOMB * along).tolist()
    row = [
        field,
        float(late.mean()),
        *polarization,
        *map(float, epsilon),
        float((moments[:, :, 2] / sizes).mean()),
        float(sizes.mean() / Debye),
        peak,
        height,
        motion.coefficient,
        liquid.error_of(motion),
    ]
    return row, polarization


def main() -> None:
    study, size = studies.begin(__file__, __doc__, SIZES, cost)
    figure, (left, right) = studies.axes_of(2)
    rows, points = [], []
    for field, colour in zip(size.fields, _colours()):
        run = followed(study, size, field)
        row, polarization = row_of(study, size, field, run)
        rows.append(row)
        points.append((field, *polarization))
        radial = liquid.shells_of(run.frames, run.symbols)["O–O"]
        right.plot(radial.r, radial.g, color=colour, label=f"{field:g} V/Å")
    strengths, means, errors = np.array(points).T
    left.errorbar(strengths, means, errors, fmt="o", color=studies.BLUE, capsize=3, label=MODEL)
    weak = np.array([0.0, 0.4 * strengths.max()])
    linear = MICROCOULOMB * (EXPERIMENT - 1) * weak / (4 * np.pi * COULOMB)
    left.plot(weak, linear, ":", color=studies.GREY, label=f"ε = {EXPERIMENT}, experiment")
    left.set(xlabel="field, V/Å", ylabel="polarization, µC/cm²")
    right.set(xlabel="r, Å", ylabel="g(r) of O–O", xlim=(2.0, None))
    for axes in (left, right):
        axes.legend(frameon=False, fontsize=9)
    header = ["field, V/Å", "T, K", "P, µC/cm²", "error", "ε", "error", "⟨cos θ⟩", "μ, D"]
    header += ["O–O peak, Å", "height", "D, Å²/ps", "error"]
    study.table(header, rows)
    note = f"brine, NVT, {TEMPERATURE} K, {3 * size.n_waters} atoms"
    study.picture(figure, "Liquid water in a field", note)


def _colours() -> tuple[str, ...]:
    return (studies.BLACK, studies.BLUE, studies.ORANGE, studies.GREEN, studies.PURPLE)


if __name__ == "__main__":
    main()
