"""Output of `openmm-pqeq energy --response`: polarizability, ε∞ and Born charges, and phonopy's
file BORN."""

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms

from openmm_pqeq.analysis import born, dielectric
from openmm_pqeq.conditions import by_bonds
from openmm_pqeq.jobs.files import whole
from openmm_pqeq.units import BOHR, HARTREE


def of(atoms: Atoms) -> dict[str, Any]:
    """Responses of atoms with a calculator: polarizability, born_charges and, in a crystal,
    dielectric_constant."""
    properties = ("polarizability", "born_charges")
    if absent := [name for name in properties if name not in atoms.calc.implemented_properties]:
        raise ValueError(
            f"response: this potential has no charges (no PQEq term), and so no {absent[0]}; leave "
            "out --response"
        )
    results: dict[str, Any] = {name: atoms.calc.get_property(name, atoms) for name in properties}
    if atoms.pbc.all():
        results["dielectric_constant"] = dielectric.high_frequency(
            results["polarizability"], atoms.get_volume()
        )
    return results


def write_born_file(
    path: str, atoms: Atoms, results: dict[str, Any], overwrite: bool = False
) -> None:
    """Write BORN; ValueError for what is no crystal, a warning where charges flow freely."""
    if "dielectric_constant" not in results:
        raise ValueError(
            "born_file: phonopy's BORN is for crystals, and this structure is not periodic in "
            "three directions"
        )
    if not by_bonds(atoms.calc.potential):
        warnings.warn(
            "born_file: the charges of this model flow freely. ε∞ and Born charges in BORN are those of a "
            "uniform field; longer waves of these charges are screened as in a metal, and split "
            "longitudinal and transverse phonons in none of the model's own forces. BORN is for "
            "phonons from forces without long range, such as a network's; else use a model whose "
            "charges flow along bonds (charge_flow='bonds')",
            stacklevel=2,
        )
    independent = born.independent_atoms(atoms.cell.array, atoms.positions, atoms.numbers.tolist())
    neutral = born.with_sum_rule(results["born_charges"])
    with whole(Path(path), overwrite) as part:
        born.write_born(part, results["dielectric_constant"], neutral.born_charges, independent)


def rows(results: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Name, value and unit of each line of the table."""
    alpha, charges = results["polarizability"], results["born_charges"]
    atomic_units = np.trace(alpha) / 3 * HARTREE / BOHR**2
    yield (
        "polarizability",
        f"{np.trace(alpha) / 3:.4f}",
        f"e²Å²/eV (mean of xx, yy, zz; {atomic_units:.3f} a.u.)",
    )
    if "dielectric_constant" in results:
        tensor = results["dielectric_constant"]
        yield (
            "ε∞ xx yy zz",
            " ".join(f"{value:.3f}" for value in np.diag(tensor)),
            f"mean {np.trace(tensor) / 3:.3f}",
        )
    symbols = np.array(results["symbols"])
    for symbol in sorted(set(results["symbols"])):
        mine = charges[symbols == symbol]
        mean = np.trace(mine, axis1=1, axis2=2) / 3
        diagonal = np.diagonal(mine, axis1=1, axis2=2)
        yield (
            f"Born charge of {symbol}",
            f"{mean.mean():.4f}",
            f"e (diagonal elements {diagonal.min():.4f} to {diagonal.max():.4f})",
        )
    yield (
        "sum of Born charges",
        f"{np.abs(born.with_sum_rule(charges).residual).max():.1e}",
        "e, the largest element",
    )
