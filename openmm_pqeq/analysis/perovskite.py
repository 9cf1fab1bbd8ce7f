"""Local polarization of the cells of a perovskite ABO₃.

    P_B = (1/V_c) [Z*_B r_B + (1/8) Σ_{8 A} Z*_A r_A + (1/2) Σ_{6 O} Z*_O r_O]

The cell of a B is its octahedron and the cube of A around it; with Z*_A + Z*_B + 3 Z*_O = 0 the
origin does not matter. Neighbours are those of a reference structure and remain. The mean over all
cells is the polarization of the crystal, ∆P = Σ Z* u/V, from the structure in which every B is in
the middle. Meyer and Vanderbilt, Phys. Rev. B 65, 104111 (2002), doi:10.1103/PhysRevB.65.104111.
Units: Å, e, e/Å².
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]


class Neighborhood(NamedTuple):
    """The atoms of the cell of each B.

    centers : (n_cells,) indices of B
    atoms : (n_cells, 15): B, 8 A, 6 O
    images : (n_cells, 15, 3) cell vectors to add to the atoms' fractions
    """

    centers: NDArray[np.int64]
    atoms: NDArray[np.int64]
    images: NDArray[np.int64]


SHARES = np.array([1.0] + [1 / 8] * 8 + [1 / 2] * 6)
"""Of each atom in the cell of a B."""


def neighborhood(
    fractions: ArrayLike, cell: ArrayLike, symbols: Sequence[str], a: str, b: str, x: str
) -> Neighborhood:
    """Find the cells of a perovskite.

    Parameters
    ----------
    fractions : (n_atoms, 3) of the cell, of a structure in which they can be told, such as the first
        frame
    cell : (3, 3) Å, rows
    symbols : (n_atoms,)
    a, b, x : elements on the three sites, such as "Ba", "Ti", "O"

    Raises ValueError where the numbers of atoms are not 1 : 1 : 3, or an A or O does not belong to 8
    or 2 cells.
    """
    kinds, places = np.asarray(symbols), np.asarray(fractions, dtype=float)
    rows = np.asarray(cell, dtype=float)
    sites = {element: np.flatnonzero(kinds == element) for element in (a, b, x)}
    n = len(sites[b])
    if not n or len(sites[a]) != n or len(sites[x]) != 3 * n:
        raise ValueError(
            f"symbols: expected {a}, {b} and {x} as 1 : 1 : 3, got "
            + " : ".join(str(len(sites[element])) for element in (a, b, x))
        )
    atoms, images = np.empty((n, 15), dtype=np.int64), np.zeros((n, 15, 3), dtype=np.int64)
    for k, center in enumerate(sites[b]):
        atoms[k, 0] = center
        for element, begin, end in ((a, 1, 9), (x, 9, 15)):
            found, shifts = _nearest(places, rows, int(center), sites[element], end - begin)
            atoms[k, begin:end], images[k, begin:end] = found, shifts
    for element, begin, end, expected in ((a, 1, 9, 8), (x, 9, 15, 2)):
        times = np.bincount(atoms[:, begin:end].ravel(), minlength=len(kinds))[sites[element]]
        if (times != expected).any():
            raise ValueError(
                f"fractions: this is no perovskite that can be told: {element} atom "
                f"{int(sites[element][np.argmax(times != expected)])} is near "
                f"{int(times[times != expected][0])} {b} and not {expected}; begin with a colder "
                "structure"
            )
    return Neighborhood(sites[b], atoms, images)


def _nearest(
    places: Array, cell: Array, center: int, others: NDArray[np.int64], count: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The nearest images of some atoms: their indices, and the cell vectors to add."""
    apart = places[others] - places[center]
    home = -np.round(apart).astype(np.int64)
    around = np.stack(np.meshgrid(*[[-1, 0, 1]] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    shifts = home[:, None] + around
    distances = np.linalg.norm((apart[:, None] + shifts) @ cell, axis=2)
    order = np.argsort(distances, axis=None)[:count]
    atom, image = np.unravel_index(order, distances.shape)
    return others[atom], shifts[atom, image]


def local_polarization(
    fractions: ArrayLike, cells: ArrayLike, found: Neighborhood, born_charges: ArrayLike
) -> Array:
    """(n_frames, n_cells, 3) e/Å².

    Parameters
    ----------
    fractions : (n_frames, n_atoms, 3) of the cell, continuous since the structure of `found` (see
        paths.py)
    cells : (n_frames, 3, 3) Å, rows
    found : the cells
    born_charges : (n_atoms,) e, or (n_atoms, 3, 3) e, [atom, field, force]

    Raises ValueError where the charges of a cell do not add up to zero within 0.01 e.
    """
    charges = np.asarray(born_charges, dtype=float)
    if charges.ndim == 1:
        charges = charges[:, None, None] * np.eye(3)
    weights = SHARES[None, :, None, None] * charges[found.atoms]
    if (excess := float(np.abs(weights.sum(axis=1)).max())) > 0.01:
        raise ValueError(
            f"born_charges: the charges of a cell add up to {excess:.3g} e and not to zero; take "
            "their mean out (born.with_sum_rule)"
        )
    places = np.asarray(fractions, dtype=float)
    rows = np.broadcast_to(np.asarray(cells, dtype=float), (len(places), 3, 3))
    polarization = np.empty((len(places), len(found.centers), 3))
    for frame, (each, cell) in enumerate(zip(places, rows)):
        apart = (each[found.atoms] + found.images - each[found.centers][:, None]) @ cell
        volume = abs(np.linalg.det(cell)) / len(found.centers)
        polarization[frame] = np.einsum("knab,knb->ka", weights, apart) / volume
    return polarization
