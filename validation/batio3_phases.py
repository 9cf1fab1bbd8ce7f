"""What a model of BaTiO3 makes of its phases: energies, cells, elasticity and vibrations.

    python validation/batio3_phases.py batio3_bonds universal sevennet-l3i5 [--output FILE.json]

For each model, in cells of five atoms relaxed with it (validation/batio3_frames.py writes where they begin):

energies : of the tetragonal, orthorhombic and rhombohedral phase, meV a formula unit from the cubic one
cells : Å and degrees, of five atoms; polar: by how much Ti is away from the centre of its O, Å
moduli : GPa, of the cubic phase, by its equation of state and by stress; atoms keep their fractions
vibrations : cm⁻¹ of the cubic phase: transverse modes at Γ, imaginary ones negative, and longitudinal ones at a
    small q, 1/8 of the way to the next Γ along z, as the forces of a column of eight cells have them, and with the
    splitting of Born charges and ε∞ at Γ where the model knows them

phonopy and spglib: pip install "openmm-pqeq[analysis]". Everything is at 0 K.
"""

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

import ase
import numpy as np
from batio3_frames import PHASES, phase

import openmm_pqeq as pq
from openmm_pqeq.analysis import born, elasticity, equation_of_state, phonons
from openmm_pqeq.relaxation import relax
from openmm_pqeq.units import COULOMB

COLUMN = 8
"""Cells of a column along z, for vibrations at a small q."""


def relaxed(name: str, network: pq.PQEqCalculator) -> ase.Atoms:
    """The phase in its own cell; it keeps the symmetry that it begins with."""
    atoms = phase(PHASES[name])
    atoms.calc = network
    for _ in relax(atoms, cell="free", largest_force=0.002, steps=300):
        pass
    return atoms


def polar(atoms: ase.Atoms) -> list[float]:
    """Å by which Ti is away from the centre of its O, along x, y, z."""
    sites = atoms.get_scaled_positions(wrap=False)
    moved = sites[1] - 1 / 2 - (sites[2:].mean(axis=0) - 1 / 3)
    return [float(x) for x in moved @ atoms.cell.array]


def phases(network: pq.PQEqCalculator) -> dict[str, Any]:
    """Energy, cell and polar displacement of each."""
    found = {name: relaxed(name, network) for name in PHASES}
    cubic = found["C"].get_potential_energy()
    return {
        name: {
            "energy_meV": 1000 * (atoms.get_potential_energy() - cubic),
            "cell": atoms.cell.cellpar().tolist(),
            "volume": atoms.get_volume(),
            "polar": polar(atoms),
        }
        for name, atoms in found.items()
    }


def moduli(cubic: ase.Atoms) -> dict[str, float]:
    """GPa. Atoms keep their fractions: the cubic phase is a saddle point, and would leave it."""
    curve = equation_of_state.equation_of_state(
        *equation_of_state.energies_of_volumes(cubic, largest_force=None)
    )
    tensor = elasticity.elastic_tensor(cubic, largest_force=None).tensor
    average = elasticity.moduli(tensor)
    return {
        "bulk_of_curve": curve.bulk_modulus,
        "bulk": average.bulk_hill,
        "C11": tensor[0, 0],
        "C12": tensor[0, 1],
        "C44": tensor[3, 3],
    }


def born_file(cubic: ase.Atoms, file: Path) -> dict[str, float]:
    """Writes BORN; ε∞ and Born charges of Ba, Ti and O (along Ti–O and across)."""
    calc = cubic.calc
    charges = born.with_sum_rule(calc.get_property("born_charges", cubic)).born_charges
    alpha = np.asarray(calc.get_property("polarizability", cubic))
    infinite = np.eye(3) + 4 * np.pi * COULOMB * alpha / cubic.get_volume()
    kinds = born.independent_atoms(cubic.cell.array, cubic.positions, cubic.numbers.tolist(), 1e-3)
    born.write_born(file, infinite, charges, kinds)
    return {
        "epsilon": float(np.trace(infinite)) / 3,
        "Ba": charges[0, 0, 0],
        "Ti": charges[1, 0, 0],
        "O_along": charges[2, 2, 2],
        "O_across": charges[2, 0, 0],
    }


def vibrations(cubic: ase.Atoms) -> dict[str, Any]:
    """Frequencies, cm⁻¹, without the three acoustic ones at Γ."""
    one = phonons.phonons_of(cubic, (1, 1, 1), primitive=False)
    modes = phonons.frequencies(one, np.zeros(3))[0]
    column = phonons.phonons_of(cubic, (1, 1, COLUMN), primitive=False)
    found: dict[str, Any] = {
        "gamma": without_acoustic(modes),
        "small_q": phonons.frequencies(column, [0, 0, 1 / COLUMN])[0].tolist(),
    }
    if "born_charges" in cubic.calc.implemented_properties:
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "BORN"
            found["response"] = born_file(cubic, file)
            split = phonons.phonons_of(cubic, (1, 1, 1), primitive=False, born=file)
        found["gamma_split"] = without_acoustic(
            phonons.frequencies(split, np.zeros(3), [0, 0, 1])[0]
        )
    return found


def without_acoustic(modes: np.ndarray) -> list[float]:
    """The frequencies but the three nearest to zero."""
    return sorted(float(modes[i]) for i in np.argsort(np.abs(modes))[3:])


def main() -> None:
    """Measure each model, print a line, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="+", help="names or files")
    parser.add_argument("--output", type=Path, help="JSON")
    given = parser.parse_args()
    results = {}
    for model in given.models:
        network = pq.PQEqCalculator(model, dtype="float64", tolerance=1e-8)
        cubic = relaxed("C", network)
        results[model] = {
            "phases": phases(network),
            "moduli": moduli(cubic),
            "vibrations": vibrations(cubic),
        }
        print(model, json.dumps(results[model], indent=1), flush=True)
        if given.output:
            given.output.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
