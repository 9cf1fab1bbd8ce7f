"""How well do PQEq's charges and shells give the polarizability of molecules?

    python studies/polarizabilities/run.py [--short | --here | --full] [--data FOLDER]

Isotropic polarizabilities, a third of the trace of −∂²E/∂F∂F, of

    --data    FOLDER/qm7b_train.xyz: 361 molecules of QM7b, coupled cluster (Yang et al., Sci. Data
              6, 152 (2019), doi:10.1038/s41597-019-0157-8)
    else      14 small molecules, in geometries of ASE's g2, against experiment (Olney et al., Chem.
              Phys. 223, 59 (1997), doi:10.1016/S0301-0104(97)00145-6)

untouched   PQEq as published, set `reaxnet`, coupling `shell`
in full     the same, coupling `full`: charges see the field, as in plain charge equilibration
fitted      charges by bonds, set `molecules`; 261 of the 361 were fitted, so the last 100 of the
            split of validation/molecules_fit.py count (--data alone)
"""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import ase.build
import ase.io
import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))
import study as studies

import openmm_pqeq as pq
from openmm_pqeq.units import COULOMB

BOHR3 = 0.529177210903**3  # Å³
MEASURED = {
    "H2": 0.787, "N2": 1.710, "CO": 1.953, "CO2": 2.507, "H2O": 1.501, "NH3": 2.103, "CH4": 2.448,
    "C2H2": 3.487, "C2H4": 4.188, "C2H6": 4.226, "CH3OH": 3.210, "SH2": 3.631, "C6H6": 9.959,
    "HCl": 2.515,
}  # fmt: skip
"""Å³, dipole oscillator strengths."""
HELD_OUT = 100


class Size(NamedTuple):
    """At most so many molecules."""

    n_molecules: int


SIZES = {"short": Size(14), "here": Size(361), "full": Size(7211)}


class Molecules(NamedTuple):
    """Structures, reference polarizabilities (n,) bohr³, and those that nothing was fitted to."""

    atoms: Sequence[ase.Atoms]
    alpha: np.ndarray
    unseen: np.ndarray
    source: str


def molecules(study: studies.Study, most: int) -> Molecules:
    if study.data is None:
        atoms = [ase.build.molecule(name) for name in MEASURED]
        alpha = np.array(list(MEASURED.values())) / BOHR3
        return Molecules(atoms, alpha, np.ones(len(atoms), bool), "experiment")
    atoms = ase.io.read(study.data / "qm7b_train.xyz", ":")
    alpha = np.array([np.trace(np.reshape(a.info["pol"], (3, 3))) / 3 for a in atoms])
    unseen = np.zeros(len(atoms), bool)
    unseen[np.random.default_rng(0).permutation(len(atoms))[:HELD_OUT]] = True
    for each in atoms:
        each.pbc = False  # the file's cell of 100 Å means none
    return Molecules(atoms[:most], alpha[:most], unseen[:most], "coupled cluster")


def isotropic(name: str, potential: pq.Potential, atoms: ase.Atoms) -> float:
    """bohr³."""
    if name == "fitted":
        calculator = pq.PQEqCalculator(potential, reference_charges=[0] * len(atoms))
    else:
        coupling = "full" if name == "in full" else "shell"
        calculator = pq.PQEqCalculator(potential, coupling=coupling)
    return float(np.trace(calculator.get_property("polarizability", atoms))) / 3 * COULOMB / BOHR3


def polarizabilities(
    study: studies.Study, name: str, potential: pq.Potential, given: Molecules
) -> list[float]:
    """Of all molecules, bohr³; kept every twenty."""
    kept = {} if study.setting == "short" else study.kept("runs/alpha")
    found = kept.get(f"{name}, {given.source}", [])
    for k in range(len(found), len(given.atoms)):
        found.append(round(isotropic(name, potential, given.atoms[k]), 4))
        if len(found) % 20 == 0 or len(found) == len(given.atoms):
            study.keep("runs/alpha", kept | {f"{name}, {given.source}": found})
            study.say(f"{name}: {len(found)} of {len(given.atoms)} molecules")
    return found


def main() -> None:
    study, size = studies.begin(__file__, __doc__, SIZES)
    given = molecules(study, size.n_molecules)
    figure, (near, far) = studies.axes_of(2)
    styles = {
        "untouched": (near, "o", studies.ORANGE),
        "in full": (far, "^", studies.GREEN),
        "fitted": (near, "s", studies.BLUE),
    }
    pqeq = {"protocol": "direct", "parameters": "reaxnet", "tolerance": 1e-9}
    free = pq.build({"pqeq": pqeq})
    bonds = pq.build({"pqeq": {**pqeq, "parameters": "molecules", "charge_flow": "bonds"}})
    rows, n = [], len(given.atoms)
    for name, potential in (("untouched", free), ("in full", free), ("fitted", bonds)):
        found = np.array(polarizabilities(study, name, potential, given))
        counted = given.unseen if name == "fitted" else np.ones(n, bool)
        x, y = given.alpha[counted], found[counted]
        errors = y - x
        axes, marker, colour = styles[name]
        axes.plot(x, y, marker, color=colour, ms=3.5, mfc="none", label=name)
        mean, bias, relative = abs(errors).mean(), errors.mean(), 100 * (abs(errors) / x).mean()
        rows.append([name, len(x), float(mean), float(bias), float(relative)])
    ends = np.array([given.alpha.min(), given.alpha.max()])
    for axes in (near, far):
        axes.plot(ends, ends, color=studies.GREY, lw=0.8)
        axes.set(xlabel=f"{given.source}, bohr³", ylabel="model, bohr³")
        axes.legend(frameon=False, fontsize=9)
    study.table(["", "molecules", "MAE, bohr³", "mean error, bohr³", "mean |error|, %"], rows)
    study.picture(
        figure, "Isotropic polarizabilities", f"{n} molecules; fitted: those not fitted to"
    )


if __name__ == "__main__":
    main()
