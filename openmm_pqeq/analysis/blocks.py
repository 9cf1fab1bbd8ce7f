"""Averages of correlated series, and their errors.

    g  = 1 + 2 Σ_{k≥1} (1 − k/n) C(k)/C(0)                 samples that count as one
    δ² = C(0) g/n                                          variance of the mean
    δ² = s²(means of blocks)/n_blocks                      the same from consecutive blocks

C(k) is the autocorrelation of the deviation from the mean; its sum ends at the first k where C(k) +
C(k + 1) ≤ 0 (Geyer's initial positive sequence, doi:10.1214/ss/1177011137). Blocks have to be
longer than the correlation time, g from the autocorrelation needs some 50 g samples: with fewer,
both errors are too small. Flyvbjerg and Petersen, J. Chem. Phys. 91, 461 (1989),
doi:10.1063/1.457480. Units are those of the series.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]


class Average(NamedTuple):
    """A mean with its standard error.

    mean, error : in the series' unit
    inefficiency : g, samples that count as one
    independent : n/g, samples that count
    """

    mean: float
    error: float
    inefficiency: float
    independent: float


def average(series: ArrayLike) -> Average:
    """Mean of a series (n,) in equilibrium, with an error that knows of its correlations."""
    values = finite_series("series", series, 2)
    if np.ptp(values) <= 1e-12 * np.abs(values).max():  # a constant, but for rounding
        return Average(float(values.mean()), 0.0, 1.0, float(len(values)))
    g = statistical_inefficiency(values)
    error = float(np.sqrt(values.var() * g / len(values)))
    return Average(float(values.mean()), error, g, len(values) / g)


def statistical_inefficiency(series: ArrayLike) -> float:
    """g of a series (n,): 1 where samples are independent, (1 + e^(−1/τ))/(1 − e^(−1/τ)) where
    they forget within τ samples; at least 1, and 1 for a constant."""
    values = finite_series("series", series, 2)
    n = len(values)
    correlation = autocorrelation(values - values.mean(), n)
    if not correlation[0] > 1e-28 * max(float(np.abs(values).max()) ** 2, 1e-300):
        return 1.0
    pairs = correlation[1:-1:2] + correlation[2::2]
    ends = np.flatnonzero(pairs <= 0)
    last = 2 * int(ends[0]) if len(ends) else 2 * len(pairs)
    lags = np.arange(1, last + 1)
    g = 1 + 2 * ((1 - lags / n) * correlation[1 : last + 1]).sum() / correlation[0]
    return float(min(max(g, 1.0), n))


def autocorrelation(series: ArrayLike, n_lags: int) -> Array:
    """(n_lags, ...) mean of x(t) x(t + lag) over all t that the series (n, ...) has; component by
    component."""
    values = np.asarray(series, dtype=float)
    n = len(values)
    transform = np.fft.rfft(values, 2 * n, axis=0)
    sums = np.fft.irfft(np.abs(transform) ** 2, 2 * n, axis=0)[:n_lags]
    counts = (n - np.arange(n_lags)).reshape(-1, *[1] * (values.ndim - 1))
    return np.asarray(sums / counts)


def block_error(values: ArrayLike, n_blocks: int) -> Array:
    """Standard error of the mean over the first axis, (...), from the means of `n_blocks`
    consecutive blocks."""
    series = np.asarray(values, dtype=float)
    if n_blocks < 2 or len(series) < n_blocks:
        raise ValueError(
            f"n_blocks: expected 2 to {len(series)} blocks of a series of {len(series)} moments, "
            f"got {n_blocks!r}"
        )
    return error_of_mean(np.stack([block.mean(axis=0) for block in blocks(series, n_blocks)]))


def blocks(series: Array, n_blocks: int) -> list[Array]:
    """Consecutive blocks of equal length; what does not fit is left out at the beginning."""
    length = len(series) // n_blocks
    start = len(series) - n_blocks * length
    return [series[start + k * length : start + (k + 1) * length] for k in range(n_blocks)]


def error_of_mean(samples: Array) -> Array:
    """Standard error (...) of the mean of independent samples (n, ...)."""
    return np.asarray(samples.std(axis=0, ddof=1) / np.sqrt(len(samples)))


def finite_series(name: str, series: ArrayLike, least: int) -> Array:
    """A series (n,) of at least so many finite numbers; ValueError where it is none."""
    values = np.asarray(series, dtype=float)
    if values.ndim != 1 or len(values) < least or not np.isfinite(values).all():
        raise ValueError(
            f"{name}: expected at least {least} finite numbers in a row, got shape {values.shape}"
            + ("" if np.isfinite(values).all() else " with NaN or infinity")
        )
    return values
