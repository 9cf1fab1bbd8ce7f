"""ε∞ and Born charges as phonopy reads them: the file BORN, for the splitting of longitudinal and
transverse phonons.

    line 1   unit conversion factor: k_e in eV Å, so distances are Å and force constants eV/Å² (phonopy's own, VASP's, units)
    line 2   ε∞: xx xy xz yx yy yz zx zy zz
    then     Z* of each symmetry-independent atom, in the same order

Convention. phonopy contracts the wave vector with the first index of Z* and the polarization of the
atom with the second (D_ij ∝ (q·Z_i)(q·Z_j)/(q·ε∞·q)). That is [field, force] of this package,
∂(force_b)/∂F_a, with the same sign: positive for cations. Nothing is transposed.

Acoustic sum rule: Σ_i Z*_i = 0 in a neutral crystal. Gonze and Lee, Phys. Rev. B 55, 10355 (1997),
doi:10.1103/PhysRevB.55.10355.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from openmm_pqeq.analysis.symmetry import symmetry_of
from openmm_pqeq.units import COULOMB

Array = NDArray[np.float64]


class Neutral(NamedTuple):
    """Born charges (n_atoms, 3, 3) e whose sum is zero, and the sum that was taken out, (3, 3)
    e."""

    born_charges: Array
    residual: Array


def with_sum_rule(born_charges: ArrayLike) -> Neutral:
    """Born charges (n_atoms, 3, 3) e less their mean."""
    charges = _charges(born_charges)
    return Neutral(charges - charges.mean(axis=0), charges.sum(axis=0))


def independent_atoms(
    cell: ArrayLike, positions: ArrayLike, numbers: Sequence[int], symmetry_precision: float = 1e-5
) -> list[int]:
    """Indices of one atom of each kind that symmetry distinguishes, as phonopy chooses them: the
    first of each.

    cell : (3, 3) Å, rows
    positions : (n_atoms, 3) Å
    symmetry_precision : Å
    Raises ImportError where spglib is not installed, ValueError where it finds no symmetry.
    """
    found = symmetry_of(cell, positions, numbers, symmetry_precision, "independent")
    return sorted({int(atom) for atom in found.equivalent_atoms})


def write_born(
    file: str | os.PathLike[str],
    high_frequency: ArrayLike,
    born_charges: ArrayLike,
    independent: Sequence[int],
) -> None:
    """Write phonopy's BORN; an existing file is replaced.

    Parameters
    ----------
    file : path
    high_frequency : (3, 3) ε∞
    born_charges : (n_atoms, 3, 3) e, [atom, field, force], of the primitive cell in phonopy's order
        of atoms
    independent : indices of the atoms to write, see `independent_atoms`
    """
    charges, infinite = _charges(born_charges), np.asarray(high_frequency, dtype=float)
    if infinite.shape != (3, 3):
        raise ValueError(f"high_frequency: expected a tensor of shape (3, 3), got {infinite.shape}")
    if not len(independent) or not all(0 <= atom < len(charges) for atom in independent):
        raise ValueError(
            f"independent: expected indices from 0 to {len(charges) - 1}, got {list(independent)}"
        )
    tensors = [infinite, *(charges[atom] for atom in independent)]
    lines = [
        f"{COULOMB:.6f}",
        *(
            " ".join(f"{value:13.8f}" for value in np.round(tensor.ravel(), 8) + 0.0)
            for tensor in tensors
        ),
    ]
    Path(file).write_text("\n".join(lines) + "\n", encoding="ascii")


def _charges(born_charges: ArrayLike) -> Array:
    charges = np.asarray(born_charges, dtype=float)
    if charges.ndim != 3 or charges.shape[1:] != (3, 3) or not np.isfinite(charges).all():
        raise ValueError(
            "born_charges: expected finite numbers of shape (n_atoms, 3, 3), got shape "
            f"{charges.shape}"
        )
    return charges
