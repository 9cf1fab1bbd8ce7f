"""Paths of atoms: continuous across the edges of the cell, and without the drift of the whole.

    Δs = s(t + 1) − s(t) − round(s(t + 1) − s(t)) ,     r(t + 1) = r(t) + Δs · ½(h(t) + h(t + 1))

s are fractions of the cell h (rows). A change of the cell by itself moves no atom, so that a
barostat does not diffuse them (von Bülow, Bullerjahn, Hummer, J. Chem. Phys. 153, 021101 (2020),
doi:10.1063/5.0008316). No atom may move by half a cell vector between two frames. Units: Å.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]


def unwrapped(positions: ArrayLike, cells: ArrayLike | None = None) -> Array:
    """Paths (n_frames, n_atoms, 3) Å that start at the first frame's positions.

    Parameters
    ----------
    positions : (n_frames, n_atoms, 3) Å, any images
    cells : (n_frames, 3, 3) or (3, 3) Å, rows; None: nothing is periodic

    Raises ValueError for shapes that are not these, and numbers that are not finite.
    """
    given = _checked(positions)
    if cells is None:
        return given.copy()
    rows = np.broadcast_to(np.asarray(cells, dtype=float), (len(given), 3, 3))
    steps = np.diff(fractions(given, rows), axis=0) @ (0.5 * (rows[1:] + rows[:-1]))
    return np.concatenate([given[:1], given[0] + np.cumsum(steps, axis=0)])


def fractions(positions: ArrayLike, cells: ArrayLike) -> Array:
    """Paths as fractions of the cell, (n_frames, n_atoms, 3), continuous: s(t).

    positions, cells : as for `unwrapped`
    """
    given = _checked(positions)
    rows = np.broadcast_to(np.asarray(cells, dtype=float), (len(given), 3, 3))
    wrapped = given @ np.linalg.inv(rows)
    steps = np.diff(wrapped, axis=0)
    steps -= np.round(steps)
    return np.concatenate([wrapped[:1], wrapped[0] + np.cumsum(steps, axis=0)])


def _checked(positions: ArrayLike) -> Array:
    given = np.asarray(positions, dtype=float)
    if given.ndim != 3 or given.shape[2] != 3 or not np.isfinite(given).all():
        raise ValueError(
            "positions: expected finite numbers of shape (n_frames, n_atoms, 3), got shape "
            f"{given.shape}"
        )
    return given


def largest_step(path: ArrayLike, cells: ArrayLike) -> float:
    """The longest way of an atom from one frame to the next, as a part of the shortest distance of
    opposite faces of the cell. Above 0.4, atoms may have been taken for their images."""
    steps = np.diff(np.asarray(path, dtype=float), axis=0)
    if not steps.size:
        return 0.0
    rows = np.asarray(cells, dtype=float).reshape(-1, 3, 3)
    return float(np.sqrt((steps**2).sum(axis=2).max()) / shortest_width(rows))


def shortest_width(cells: ArrayLike) -> float:
    """Å: the shortest distance of opposite faces of the cells (..., 3, 3) Å."""
    return float((1 / np.linalg.norm(np.linalg.inv(np.asarray(cells, dtype=float)), axis=-2)).min())


def without_drift(path: ArrayLike, weights: ArrayLike) -> Array:
    """Paths (n_frames, n_atoms, 3) Å less the way of a weighted mean of the atoms.

    weights : (n_atoms,) masses for the centre of mass, 1 and 0 for the atoms of a framework
    """
    given, shares = np.asarray(path, dtype=float), np.asarray(weights, dtype=float)
    if shares.shape != given.shape[1:2] or not shares.sum() > 0:
        raise ValueError(
            f"weights: expected {given.shape[1]} numbers, not all zero, got shape {shares.shape}"
        )
    center = np.einsum("tia,i->ta", given, shares / shares.sum())
    return np.asarray(given - (center - center[0])[:, None])
