"""Composition and charge along an axis of the cell, against time.

    n(z, t) = (1/AΔz) Σ_{i in slab} 1 ,      ρ(z, t) = (1/AΔz) Σ_{i in slab} q_i ,      q̄(z, t) = ρ/n

Slabs are parts of the cell vector, so that they follow a barostat; z is measured along the normal
of the other two vectors. axis_profiles.py has smooth charge densities with field and potential, of
one frame. Errors are standard errors over the frames' blocks. Å, e, 1/Å³, e/Å³.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from openmm_pqeq.analysis.axis_profiles import axis_of
from openmm_pqeq.analysis.blocks import blocks, error_of_mean

Array = NDArray[np.float64]


def densities(
    positions: ArrayLike, cells: ArrayLike, weights: ArrayLike, axis: int = 2, n_slabs: int = 100
) -> Array:
    """(n_frames, n_slabs) sum of the weights of the atoms of each slab, by its volume (1/Å³).

    Parameters
    ----------
    positions : (n_frames, n_atoms, 3) Å, any images
    cells : (n_frames, 3, 3) or (3, 3) Å, rows
    weights : (n_atoms,) or (n_frames, n_atoms): ones for a composition, charges for a charge density
    axis : 0, 1 or 2, the cell vector that is divided
    n_slabs : how often
    """
    given = np.asarray(positions, dtype=float)
    if given.ndim != 3 or given.shape[2] != 3 or axis not in (0, 1, 2) or n_slabs < 1:
        raise ValueError(
            "positions, axis, n_slabs: expected (n_frames, n_atoms, 3), 0 to 2 and a number above "
            f"zero, got {given.shape}, {axis!r} and {n_slabs!r}"
        )
    rows = np.broadcast_to(np.asarray(cells, dtype=float), (len(given), 3, 3))
    shares = np.broadcast_to(np.asarray(weights, dtype=float), given.shape[:2])
    found = np.empty((len(given), n_slabs))
    for frame, (places, cell) in enumerate(zip(given, rows)):
        part = (places @ np.linalg.inv(cell))[:, axis] % 1.0
        slab = np.minimum((part * n_slabs).astype(int), n_slabs - 1)
        sums = np.bincount(slab, weights=shares[frame], minlength=n_slabs)
        found[frame] = sums * n_slabs / abs(np.linalg.det(cell))
    return found


def centers(cells: ArrayLike, axis: int, n_slabs: int) -> Array:
    """(n_slabs,) Å: the middles of the slabs, in the mean of the cells (n_frames, 3, 3) Å."""
    mean = np.asarray(cells, dtype=float).reshape(-1, 3, 3).mean(axis=0)
    return np.asarray((np.arange(n_slabs) + 0.5) * (axis_of(mean, axis).length / n_slabs))


def against_time(profiles: ArrayLike, times: ArrayLike, n_times: int) -> tuple[Array, Array]:
    """Times (n_times,) ps and profiles (n_times, n_slabs), each the mean of consecutive frames of
    profiles (n_frames, n_slabs)."""
    rows, when = np.asarray(profiles, dtype=float), np.asarray(times, dtype=float)
    if not 1 <= n_times <= len(rows) or len(rows) != len(when):
        raise ValueError(f"n_times: expected 1 to {len(rows)} frames, got {n_times!r}")
    parts = [part.mean(axis=0) for part in blocks(rows, n_times)]
    return np.array([part.mean() for part in blocks(when, n_times)]), np.stack(parts)


def mean_profile(profiles: ArrayLike, n_blocks: int = 5) -> tuple[Array, Array]:
    """(n_slabs,) mean over all frames of profiles (n_frames, n_slabs), and its standard error by
    blocks."""
    rows = np.asarray(profiles, dtype=float)
    if n_blocks < 2 or len(rows) < n_blocks:
        raise ValueError(f"n_blocks: expected 2 to {len(rows)}, got {n_blocks!r}")
    parts = np.stack([part.mean(axis=0) for part in blocks(rows, n_blocks)])
    return rows.mean(axis=0), error_of_mean(parts)
