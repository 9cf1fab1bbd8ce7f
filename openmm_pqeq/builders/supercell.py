"""Supercells of a wanted size that are as nearly cubic as the crystal allows.

    h' = P h ,     P = round(L h⁻¹)               the integer matrix nearest to a cube of edge L

for edges L about that of the wanted volume, and the crystal turned or not: of all P with about as
many atoms as wanted, the one whose cell has the largest sphere for its volume (the shortest
distance of opposite faces) is taken. Å.
"""

from typing import NamedTuple

import ase
import numpy as np
from ase.build import make_supercell
from numpy.typing import NDArray


class Supercell(NamedTuple):
    """atoms, and the integer matrix (3, 3) whose rows are the new cell vectors in the old ones."""

    atoms: ase.Atoms
    matrix: NDArray[np.int64]


def near_cubic(atoms: ase.Atoms, n_atoms: int, tolerance: float = 0.2) -> Supercell:
    """The supercell of a crystal nearest to a cube, with about so many atoms.

    Parameters
    ----------
    atoms : a crystal, periodic along all three directions
    n_atoms : wanted
    tolerance : how far from it the number may be, a part of it

    Raises ValueError where no such cell is found; the message names the nearest number.
    """
    if not atoms.pbc.all() or not abs(np.linalg.det(atoms.cell.array)) > 0:
        raise ValueError("atoms: expected a crystal, periodic along all three directions")
    if n_atoms < len(atoms) * (1 - tolerance) or not 0 < tolerance < 1:
        raise ValueError(
            f"n_atoms: expected at least {len(atoms)}, those of the crystal, got {n_atoms!r}"
        )
    wanted = n_atoms / len(atoms)
    edge = (wanted * atoms.get_volume()) ** (1 / 3)
    inverse = np.linalg.inv(atoms.cell.array)
    candidates = {_key(np.round(edge * scale * inverse)) for scale in np.linspace(0.7, 1.3, 121)}
    lengths = atoms.cell.lengths()
    diagonal = {_key(np.diag(np.maximum(1, np.round(edge * scale / lengths)))) for scale in np.linspace(0.7, 1.3, 121)}  # fmt: skip
    matrices = [np.array(each).reshape(3, 3) for each in candidates | diagonal]
    matrices = [matrix for matrix in matrices if np.linalg.det(matrix) > 0.5]
    sizes = np.array([round(np.linalg.det(matrix)) for matrix in matrices])
    near = np.flatnonzero(np.abs(sizes / wanted - 1) <= tolerance)
    if not len(near):
        nearest = len(atoms) * int(sizes[np.argmin(np.abs(sizes - wanted))])
        raise ValueError(
            f"n_atoms: no supercell within {tolerance:.0%} of {n_atoms}; the nearest has {nearest}"
        )
    best = max(near, key=lambda k: (_roundness(matrices[k] @ atoms.cell.array), -abs(sizes[k] - wanted)))  # fmt: skip
    found = make_supercell(atoms, matrices[best])
    return Supercell(found, matrices[best].astype(np.int64))


def _key(matrix: NDArray[np.float64]) -> tuple[int, ...]:
    return tuple(int(each) for each in matrix.ravel())


def _roundness(cell: NDArray[np.float64]) -> float:
    """Shortest distance of opposite faces, by the edge of a cube of the same volume; rounded, so
    that cells of one shape are told apart by their size."""
    widths = 1 / np.linalg.norm(np.linalg.inv(cell), axis=0)
    return round(float(widths.min() / abs(np.linalg.det(cell)) ** (1 / 3)), 3)
