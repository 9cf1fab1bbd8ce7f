"""Lattice parameters of a crystal, along a run and against temperature.

a, b, c are the lengths of the cell vectors by the number of repeats, α, β, γ the angles between
them (α of b and c), V the volume of one cell; each a mean in time with an error that knows of
correlations (blocks.py). Thermal expansion is the slope of a weighted line, α_V = (1/V) dV/dT.
Å, degrees, Å³, 1/K.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from openmm_pqeq.analysis.blocks import Average, average

Array = NDArray[np.float64]

NAMES = ("a", "b", "c", "alpha", "beta", "gamma", "volume")
UNITS = ("Å", "Å", "Å", "°", "°", "°", "Å³")


class Slope(NamedTuple):
    """Relative change by K, and its standard error."""

    value: float
    error: float


def parameters(cells: ArrayLike, repeats: Sequence[int] = (1, 1, 1)) -> Array:
    """(n, 7) a, b, c Å, α, β, γ degrees, V Å³ of cells (n, 3, 3) Å, rows, that repeat a smaller one
    so often."""
    rows = np.asarray(cells, dtype=float)
    if rows.ndim != 3 or rows.shape[1:] != (3, 3) or len(repeats) != 3 or min(repeats) < 1:
        raise ValueError(
            f"cells, repeats: expected (n, 3, 3) and three numbers above zero, got {rows.shape} and "
            f"{tuple(repeats)}"
        )
    single = rows / np.asarray(repeats, dtype=float)[:, None]
    lengths = np.linalg.norm(single, axis=2)
    unit = single / lengths[:, :, None]
    cosines = np.stack(
        [(unit[:, i] * unit[:, j]).sum(axis=1) for i, j in ((1, 2), (0, 2), (0, 1))], axis=1
    )
    angles = np.degrees(np.arccos(np.clip(cosines, -1.0, 1.0)))
    volumes = np.abs(np.linalg.det(single))[:, None]
    return np.concatenate([lengths, angles, volumes], axis=1)


def averages(cells: ArrayLike, repeats: Sequence[int] = (1, 1, 1)) -> list[Average]:
    """Mean and error of each of `NAMES`."""
    return [average(column) for column in parameters(cells, repeats).T]


def expansion(temperatures: ArrayLike, values: ArrayLike, errors: ArrayLike) -> Slope:
    """(1/x) dx/dT at the mean temperature, from a line weighted with the errors.

    temperatures : (n,) K, at least two that differ
    values, errors : (n,), of a length or volume; errors that are zero weigh all points the same
    """
    kelvin, x = np.asarray(temperatures, dtype=float), np.asarray(values, dtype=float)
    spread = np.asarray(errors, dtype=float)
    if kelvin.ndim != 1 or kelvin.shape != x.shape or len(set(kelvin.tolist())) < 2:
        raise ValueError(f"temperatures: expected at least two that differ, got {kelvin.tolist()}")
    weights = 1 / spread**2 if (spread > 0).all() else np.ones_like(x)
    center = float(weights @ kelvin / weights.sum())
    size = float(weights @ x / weights.sum())
    square = float(weights @ (kelvin - center) ** 2)
    slope = float(weights @ ((kelvin - center) * x)) / square
    error = 1 / np.sqrt(square) if (spread > 0).all() else np.nan
    return Slope(slope / size, float(error / size))
