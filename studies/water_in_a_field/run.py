"""A water molecule lies in the yz-plane, and a field points along x, across it. What does it cost?

    python studies/water_in_a_field/run.py [--short | --here | --full]

E(F) = E(0) − μ·F − ½ α F². By symmetry μ_x = 0, so all is α_xx, and charges that sit on atoms in the
plane cannot make any of it: plain charge equilibration (QEq) is flat. Shells and dipoles can.

PQEq       shells (set pqeq1; coupling `shell`)
QEq        the same without shells, in the coupling `full`, where charges see the field
by bonds   charges by bonds with linear dipoles (set `molecules`, fitted to α of other molecules)
PBE        PySCF, def2-TZVPD
"""

import sys
from pathlib import Path
from typing import NamedTuple

import ase
import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))
import references
import study as studies

import openmm_pqeq as pq
from openmm_pqeq.units import COULOMB

EXPERIMENT = 1.415 / COULOMB
"""e²Å²/eV, α across the plane: Murphy, J. Chem. Phys. 67, 5831 (1977), doi:10.1063/1.434794."""


class Size(NamedTuple):
    """How many fields from −1 to 1 V/Å, and whether PBE is computed where PySCF is installed."""

    n_fields: int
    reference: bool


SIZES = {"short": Size(5, False), "here": Size(11, True), "full": Size(41, True)}


def water() -> ase.Atoms:
    """In its experimental geometry (0.9572 Å, 104.52°), in the yz-plane."""
    half = np.deg2rad(104.52) / 2
    y, z = 0.9572 * np.sin(half), 0.9572 * np.cos(half)
    return ase.Atoms("OH2", [[0, 0, 0], [0, y, z], [0, -y, z]])


def models() -> dict[str, tuple[pq.Potential, dict[str, str]]]:
    """Potentials, with what they need to be told about a field."""
    pqeq = {"protocol": "direct", "parameters": "pqeq1", "tolerance": 1e-10}
    bonds = {**pqeq, "parameters": "molecules", "charge_flow": "bonds"}
    return {
        "PQEq": (pq.build({"pqeq": pqeq}), {"coupling": "shell"}),
        "QEq": (pq.build({"pqeq": {**pqeq, "polarizable": False}}), {"coupling": "full"}),
        "by bonds": (pq.build({"pqeq": bonds}), {"reference_charges": {"O": 0, "H": 0}}),
    }


def energies(potential: pq.Potential, settings: dict, fields) -> np.ndarray:
    """(n,) eV at fields along x, V/Å."""
    found = []
    for field in fields:
        calculator = pq.PQEqCalculator(potential, field=(field, 0, 0), **settings)
        found.append(calculator.get_property("energy", water()))
    return np.array(found)


def reference(study: studies.Study, fields, wanted: bool) -> dict[str, float]:
    """PBE, {field: eV}, kept."""
    kept = study.kept("pbe")
    if not wanted or not references.available():
        study.say(f"PBE: {len(kept)} fields, kept from before")
        return kept
    for field in fields:
        if f"{field:.3f}" not in kept:
            kept[f"{field:.3f}"] = references.pbe(water(), field=(field, 0, 0)).energy
            study.keep("pbe", kept)
            study.say(f"PBE at {field:+.2f} V/Å")
    return kept


def polarizability(fields, energy) -> float:
    """e²Å²/eV: α of E₀ − ½ α F² by least squares."""
    return float(-2 * np.polyfit(np.square(fields), energy, 1)[0])


def main() -> None:
    study, size = studies.begin(__file__, __doc__, SIZES)
    fields = np.linspace(-1, 1, size.n_fields)
    figure, axes = studies.axes_of(1)
    curves = {name: (fields, energies(*model, fields)) for name, model in models().items()}
    if pbe := reference(study, fields, size.reference):
        curves["PBE"] = np.array([[float(field), pbe[field]] for field in sorted(pbe, key=float)]).T
    styles = {
        "PQEq": ("-", studies.ORANGE),
        "QEq": ("--", studies.GREEN),
        "by bonds": ("-.", studies.BLUE),
        "PBE": ("o", studies.BLACK),
    }
    rows = []
    for name, (at, energy) in curves.items():
        dash, colour = styles[name]
        change = 1e3 * (energy - energy[len(energy) // 2])
        axes.plot(at, change, dash, color=colour, label=name, ms=4)
        alpha = polarizability(at, energy)
        rows.append([name, alpha * COULOMB, float(change[-1]), float(change[0] - change[-1])])
    rows.append(["experiment", EXPERIMENT * COULOMB, -500 * EXPERIMENT, None])
    axes.set(xlabel="field across the plane, V/Å", ylabel="E(F) − E(0), meV")
    axes.legend(frameon=False, fontsize=9)
    study.table(
        ["", "α_xx, Å³", "E(1 V/Å) − E(0), meV", "E(−1 V/Å) − E(1 V/Å), meV"],
        rows,
    )
    study.picture(figure, "Water, and a field across its plane", "PBE/def2-TZVPD by PySCF")


if __name__ == "__main__":
    main()
