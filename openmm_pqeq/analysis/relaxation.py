"""Relaxation of the dipole of a sample, and the correlation of molecular dipoles.

    φ(t) = ⟨δM(0)·δM(t)⟩/⟨δM²⟩ ,      τ = ∫₀ φ dt                 relaxation time, to the first zero of φ
    g_K  = ⟨M²⟩/(N μ²)                                            Kirkwood factor: 1 where dipoles do not know each other

Dipoles that turn by rotational diffusion have φ = exp(−2 D_r t), τ = 1/2D_r (Debye). M is that of a
sample with conducting surroundings. Errors: blocks for τ (each block with its own φ, so blocks have
to be many τ long), g from blocks.py for g_K. ps, e Å.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from openmm_pqeq.analysis.blocks import autocorrelation, average, blocks, error_of_mean

Array = NDArray[np.float64]


class Relaxation(NamedTuple):
    """Autocorrelation of a dipole.

    lags : (n,) ps
    correlation : (n,) φ
    time, time_error : ps, τ and its standard error; NaN where a block does not reach zero
    ended : whether φ came to zero within the longest lag; if not, τ is a lower bound
    """

    lags: Array
    correlation: Array
    time: float
    time_error: float
    ended: bool


def relaxation(
    dipole: ArrayLike,
    interval: float,
    longest_lag: float | None = None,
    n_blocks: int = 5,
    mean: ArrayLike | None = None,
) -> Relaxation:
    """φ and τ of a dipole in equilibrium.

    Parameters
    ----------
    dipole : (n, 3) e Å, at equal intervals
    interval : ps
    longest_lag : ps; default: a tenth of the series
    n_blocks : for the error
    mean : (3,) e Å, where symmetry gives it (zeros for a liquid); default: that of the series
    """
    series = np.asarray(dipole, dtype=float)
    if series.ndim != 2 or series.shape[1] != 3 or len(series) < 20:
        raise ValueError(
            f"dipole: expected at least 20 moments with three components, got {series.shape}"
        )
    if not np.isfinite(series).all() or not 0 < interval < np.inf:
        raise ValueError("dipole, interval: expected finite numbers and a positive time (ps)")
    lags = len(series) // 10 if longest_lag is None else round(longest_lag / interval)
    if not 2 <= lags < len(series):
        raise ValueError(
            f"longest_lag: expected {2 * interval:g} to {(len(series) - 1) * interval:g} ps, got "
            f"{longest_lag!r}"
        )
    deviation = series - (series.mean(axis=0) if mean is None else np.asarray(mean, dtype=float))
    phi = _normalised(deviation, lags)
    time, ended = _integral(phi, interval)
    parts = []
    for block in blocks(deviation, n_blocks) if n_blocks > 1 else []:
        if len(block) > lags:
            parts.append(_integral(_normalised(block, lags), interval)[0])
    enough = len(parts) == n_blocks and n_blocks > 1
    error = float(error_of_mean(np.array(parts))) if enough else float("nan")
    return Relaxation(np.asarray(interval * np.arange(lags, dtype=float)), phi, time, error, ended)


def kirkwood_factor(dipole: ArrayLike, n_molecules: int, moment: float) -> tuple[float, float]:
    """g_K and its error.

    dipole : (n, 3) e Å, of the sample
    n_molecules : N
    moment : e Å, μ of one molecule; in a polarizable liquid the root of the mean square
    """
    series = np.asarray(dipole, dtype=float)
    if series.ndim != 2 or series.shape[1] != 3 or n_molecules < 1 or not moment > 0:
        raise ValueError(
            "dipole, n_molecules, moment: expected (n, 3) moments, a number of molecules and a "
            f"positive moment, got {series.shape}, {n_molecules!r} and {moment!r}"
        )
    found = average((series**2).sum(axis=1) / (n_molecules * moment**2))
    return found.mean, found.error


def _normalised(deviation: Array, n_lags: int) -> Array:
    sums = autocorrelation(deviation, n_lags).sum(axis=1)
    return sums / sums[0] if sums[0] > 0 else np.ones(n_lags)


def _integral(phi: Array, interval: float) -> tuple[float, bool]:
    """∫φ dt by trapezes up to its first zero, and whether there is one."""
    zeros = np.flatnonzero(phi <= 0)
    part = phi[: zeros[0] + 1] if len(zeros) else phi
    return float(interval * np.trapezoid(np.maximum(part, 0.0))), bool(len(zeros))
