"""Interfaces of two crystals: the smallest common cell of two slabs within a strain.

    A' = P_A A ,   B' = P_B B ,   B' F = A'         rows of surface vectors, integers P, F = rotation times stretch

All sublattices of both up to an area are listed in Hermite's normal form and reduced (Gauss); pairs
whose principal stretches are within the largest strain are kept, and of these the one with the
fewest atoms, then the least strain, is taken. The upper slab is turned and strained to the lower
one. Zur and McGill, J. Appl. Phys. 55, 378 (1984), doi:10.1063/1.333084. Å.
"""

from itertools import product
from typing import NamedTuple

import ase
import numpy as np
from ase.build import make_supercell
from numpy.typing import NDArray

Array = NDArray[np.float64]
Integers = NDArray[np.int64]

UNIMODULAR = np.array(
    [[[a, b], [c, d]] for a, b, c, d in product((-1, 0, 1), repeat=4) if a * d - b * c == 1]
)
"""Other bases of a lattice that is reduced, among them all that are as short."""


class Match(NamedTuple):
    """Two sublattices that fit.

    lower, upper : (2, 2) integers P_A and P_B
    strain : largest principal stretch less 1, of the upper one
    n_atoms : of both
    """

    lower: Integers
    upper: Integers
    strain: float
    n_atoms: int


class Interface(NamedTuple):
    """atoms (tags 0: lower, 1: upper), and the match."""

    atoms: ase.Atoms
    match: Match


def interface(
    lower: ase.Atoms,
    upper: ase.Atoms,
    largest_strain: float = 0.03,
    largest_area: float = 400.0,
    gap: float = 2.5,
    vacuum: float | None = None,
) -> Interface:
    """Put one slab upon another.

    Parameters
    ----------
    lower, upper : slabs, surface vectors in the plane of x and y, as `slab` makes them
    largest_strain : of the upper one, in any direction of the plane
    largest_area : Å² of the common cell
    gap : Å between the outermost planes of both
    vacuum : Å above the upper slab; None: the gap again, so that there are two interfaces

    Raises ValueError where nothing fits.
    """
    found = best_match(lower, upper, largest_strain, largest_area)
    for name, value in (("gap", gap), ("vacuum", gap if vacuum is None else vacuum)):
        if not 0 < value < np.inf:
            raise ValueError(f"{name}: expected a length (Å), got {value!r}")
    below, above = (_repeated(*pair) for pair in ((lower, found.lower), (upper, found.upper)))
    cell = below.cell.array.copy()
    stretched = above.cell.array.copy()
    stretched[:2] = cell[:2]
    above.set_cell(stretched, scale_atoms=True)
    below.set_tags(0)
    above.set_tags(1)
    below.positions[:, 2] -= below.positions[:, 2].min()
    above.positions[:, 2] += below.positions[:, 2].max() + gap - above.positions[:, 2].min()
    atoms = below + above
    atoms.info = {}
    top = float(above.positions[:, 2].max())
    atoms.set_cell([*cell[:2], [0.0, 0.0, top + (gap if vacuum is None else vacuum)]])
    atoms.pbc = (True, True, vacuum is None)
    atoms.wrap(pbc=(True, True, False))
    return Interface(atoms, found)


def best_match(
    lower: ase.Atoms, upper: ase.Atoms, largest_strain: float, largest_area: float
) -> Match:
    """The common cell of two slabs with the fewest atoms; see `interface`."""
    if not 0 < largest_strain < 0.5 or not largest_area > 0:
        raise ValueError(
            "largest_strain, largest_area: expected up to 0.5 and a positive area (Å²), got "
            f"{largest_strain!r} and {largest_area!r}"
        )
    bases = [_surface(name, atoms) for name, atoms in (("lower", lower), ("upper", upper))]
    below, above = (_sublattices(basis, largest_area) for basis in bases)
    others = np.einsum("uab,kbc->kuac", UNIMODULAR, above)
    inverses = np.linalg.inv(others @ bases[1])
    lengths = np.linalg.norm(above @ bases[1], axis=2)
    numbers = np.array([_times(matrix) for matrix in above]) * len(upper)
    best: Match | None = None
    for matrix in below:
        wanted = matrix @ bases[0]
        n_atoms = _times(matrix) * len(lower) + numbers
        near = (np.abs(lengths / np.linalg.norm(wanted, axis=1) - 1) < 2 * largest_strain).all(
            axis=1
        )
        near &= n_atoms <= (np.inf if best is None else best.n_atoms)
        if not near.any():
            continue
        rows = np.flatnonzero(near)
        strains = _strains(inverses[rows], wanted)
        for row, k in zip(strains, rows):
            turned = int(np.argmin(row))
            found = (int(n_atoms[k]), float(row[turned]))
            if found[1] <= largest_strain and (best is None or found < (best.n_atoms, best.strain)):
                best = Match(matrix, others[k, turned], found[1], found[0])
    if best is None:
        raise ValueError(
            f"largest_strain: no common cell up to {largest_area:g} Å² within {largest_strain:.1%}; "
            "allow a larger area or strain"
        )
    return best


def _surface(name: str, atoms: ase.Atoms) -> Array:
    """(2, 2) Å surface vectors, a right-handed pair."""
    cell = atoms.cell.array
    if np.abs(cell[:2, 2]).max() > 1e-6 or np.abs(cell[2, :2]).max() > 1e-6:
        raise ValueError(
            f"{name}: expected a slab with two cell vectors in the plane of x and y and the third "
            f"along z, got {cell.tolist()} (Å)"
        )
    if np.linalg.det(cell[:2, :2]) <= 0:
        raise ValueError(f"{name}: expected a right-handed pair of surface vectors")
    return np.asarray(cell[:2, :2])


def _sublattices(basis: Array, largest_area: float) -> Integers:
    """(n, 2, 2) integers of each sublattice up to an area, reduced and right-handed."""
    most = int(largest_area / abs(np.linalg.det(basis)) + 1e-9)
    found = [
        _reduced(np.array([[p, q], [0, size // p]]), basis)
        for size in range(1, most + 1)
        for p in range(1, size + 1)
        if size % p == 0
        for q in range(size // p)
    ]
    return np.array(found, dtype=np.int64).reshape(-1, 2, 2)


def _reduced(matrix: Integers, basis: Array) -> Integers:
    """Gauss's reduction: the same lattice by its two shortest vectors, the shortest first."""
    (a, b), short = matrix.copy(), False
    while not short:
        one, two = a @ basis, b @ basis
        if two @ two < one @ one - 1e-9:
            a, b, one, two = b, a, two, one
        part = float(one @ two / (one @ one))
        shift = round(part) if abs(part) > 0.5 + 1e-9 else 0  # of ½ and −½ either is reduced
        b, short = b - shift * a, shift == 0
    rows = np.array([a, b])
    return rows if np.linalg.det(rows) > 0 else np.array([a, -b])


def _strains(inverses: Array, wanted: Array) -> Array:
    """Largest principal stretch, less 1, of the maps that take pairs of vectors, given by their
    inverses (..., 2, 2), to another pair; infinite where one turns the plane over."""
    stretches = inverses @ wanted
    found = np.abs(np.linalg.svd(stretches, compute_uv=False) - 1).max(axis=-1)
    return np.where(np.linalg.det(stretches) > 0, found, np.inf)


def _times(matrix: Integers) -> int:
    return abs(round(float(np.linalg.det(matrix))))


def _repeated(atoms: ase.Atoms, matrix: Integers) -> ase.Atoms:
    whole = np.eye(3, dtype=int)
    whole[:2, :2] = matrix
    return make_supercell(atoms, whole)
