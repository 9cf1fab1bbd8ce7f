"""Mean square displacement, its diffusive window, and the diffusion coefficient.

    MSD(t) = ⟨|r_i(t₀ + t) − r_i(t₀)|²⟩_{i, t₀} ,     β(t) = log₂ MSD(2t)/MSD(t) ,     D = (1/2d) dMSD/dt

over all origins t₀. The diffusive window is the longest stretch of lags where |β − 1| is small: β =
2 where atoms fly, 0 where they rattle. D is the slope of a line through the window. Its error comes
twice:

    blocks    the spread of D of consecutive parts of the series
    hops      δD/D = 3.43/√N_eff + 0.04 ,    N_eff = Σ_i 6 D (0.7 T)/a²     effective hops over a distance a

N_eff is the total mean square displacement at the longest lag that He et al. use, 0.7 of the run T,
by a². He, Zhu, Epstein, Mo, npj Comput. Mater. 4, 18 (2018), doi:10.1038/s41524-018-0074-y. Units: Å, ps,
Å²/ps = 1e-4 cm²/s.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from openmm_pqeq.analysis.blocks import autocorrelation, blocks, error_of_mean

Array = NDArray[np.float64]

HOPS_SPREAD, HOPS_FLOOR, HOPS_LAG = 3.43, 0.04, 0.7
"""Of the relative error by effective hops, fitted by He et al. to ab initio trajectories; and the
lag, a part of the run, at which these are counted."""

ATOMS_AT_ONCE = 256
"""Whose transforms are in memory together."""


FEWEST_BLOCKS = 3
"""Two have a spread that says nothing."""


class Window(NamedTuple):
    """Lags (ps) between which the motion is diffusive, and the exponent β over all of it."""

    start: float
    stop: float
    exponent: float


class Diffusion(NamedTuple):
    """A diffusion coefficient.

    coefficient : Å²/ps, mean of x, y and z
    error : Å²/ps, standard error by blocks; NaN where the series is too short for three
    components, components_error : (3,) Å²/ps along x, y and z
    intercept : Å², where the line meets lag 0
    effective_hops : N_eff
    hops_error : Å²/ps, standard error by effective hops
    window : of the fit
    """

    coefficient: float
    error: float
    components: Array
    components_error: Array
    intercept: float
    effective_hops: float
    hops_error: float
    window: Window


def mean_square_displacement(path: ArrayLike, n_lags: int | None = None) -> Array:
    """(n_lags, 3) Å² along x, y and z, mean over atoms and origins, for lags of 0, 1, ... frames.

    path : (n_frames, n_atoms, 3) Å, continuous (see paths.py)
    n_lags : default: half of the frames
    """
    given = _path(path)
    n, n_atoms = given.shape[:2]
    lags = max(2, n // 2) if n_lags is None else n_lags
    if not 1 <= lags <= n:
        raise ValueError(f"n_lags: expected 1 to {n}, the number of frames, got {n_lags!r}")
    total = np.zeros((lags, 3))
    counts = (n - np.arange(lags))[:, None]
    for first in range(0, n_atoms, ATOMS_AT_ONCE):
        some = given[:, first : first + ATOMS_AT_ONCE]
        some = some - some.mean(axis=0)
        running = np.concatenate([np.zeros((1, 3)), np.cumsum((some**2).sum(axis=1), axis=0)])
        ends = running[n - np.arange(lags)] + running[n] - running[np.arange(lags)]
        total += ends / counts - 2 * autocorrelation(some, lags).sum(axis=1)
    return np.clip(total / n_atoms, 0.0, None)


def diffusive_window(
    lags: ArrayLike,
    msd: ArrayLike,
    tolerance: float = 0.2,
    smallest: float = 0.0,
    octaves: float = 1.5,
) -> Window | None:
    """The longest stretch of lags, on a logarithmic scale, where MSD grows as the first power of
    time; None where there is none.

    Parameters
    ----------
    lags : (n,) ps, from 0 at equal intervals
    msd : (n,) Å², sum of x, y and z
    tolerance : of the exponent over each octave, |β − 1|
    smallest : Å², where the window may begin; half of the square of a hop keeps rattling out
    octaves : the shortest window, log₂(stop/start)

    Where the stretch goes on, the window ends at a fifth of the longest lag or four times its
    beginning, whichever is later: short lags have the better statistics.
    """
    times, values = np.asarray(lags, dtype=float), np.asarray(msd, dtype=float)
    if times.shape != values.shape or times.ndim != 1 or len(times) < 3:
        raise ValueError(
            "lags, msd: expected two series of one length, at least 3, got shapes "
            f"{times.shape} and {values.shape}"
        )
    last = len(times) - 1
    starts = sorted({round(2 ** (k / 2)) for k in range(2 * int(np.log2(last)) + 1)})
    starts = [start for start in starts if 2 * start <= last and values[start] > 0]
    good = [
        values[start] >= smallest
        and abs(np.log2(max(values[2 * start], 1e-300) / values[start]) - 1) <= tolerance
        for start in starts
    ]
    best: Window | None = None
    longest = 0.0
    for i in range(len(starts)):
        j = i
        while j < len(starts) and good[j]:
            j += 1
        if j == i:
            continue
        begin, end = starts[i], 2 * starts[j - 1]
        if j == len(starts):
            end = last
        length = np.log2(end / begin)
        if length >= max(octaves, longest + 1e-9):
            longest = length
            enough = max(4 * begin, last // 5)
            end = min(end, enough)
            exponent = float(np.log2(values[end] / values[begin]) / np.log2(end / begin))
            best = Window(float(times[begin]), float(times[end]), exponent)
    return best


def exponents(lags: ArrayLike, msd: ArrayLike) -> tuple[Array, Array]:
    """Lags t (m,) ps and exponents β (m,) of MSD between t and 2t."""
    times, values = np.asarray(lags, dtype=float), np.asarray(msd, dtype=float)
    index = np.arange(1, (len(times) - 1) // 2 + 1)
    index = index[values[index] > 0]
    return times[index], np.log2(np.maximum(values[2 * index], 1e-300) / values[index])


def diffusion(
    path: ArrayLike,
    interval: float,
    window: Window | None,
    hop_length: float = 3.0,
    n_blocks: int = 5,
) -> Diffusion:
    """The diffusion coefficient of the atoms of a path.

    Parameters
    ----------
    path : (n_frames, n_atoms, 3) Å, continuous
    interval : ps, from one frame to the next
    window : of `diffusive_window`, or another
    hop_length : Å, the a of effective hops: the distance of neighbouring sites
    n_blocks : for the error by blocks; fewer are taken where they would be shorter than two windows

    Raises ValueError where there is no window, or it holds fewer than three lags.
    """
    given = _path(path)
    if window is None:
        raise ValueError(
            "window: the mean square displacement has no diffusive window; run longer or hotter, "
            "or give a window by hand"
        )
    for name, value in (("interval", interval), ("hop_length", hop_length)):
        if not 0 < value < np.inf:
            raise ValueError(f"{name}: expected a positive number, got {value!r}")
    start, stop = round(window.start / interval), round(window.stop / interval)
    if start < 1 or stop - start < 2 or stop >= len(given):
        raise ValueError(
            f"window: expected at least three lags of {interval:g} ps, up to "
            f"{(len(given) - 1) * interval:g} ps, got {window.start:g} to {window.stop:g} ps"
        )
    msd = mean_square_displacement(given, stop + 1)
    line = _line(msd, interval, start)
    parts = _by_blocks(given, interval, start, stop, n_blocks)
    coefficient = float(line[0].mean() / 2)
    longest = HOPS_LAG * interval * (len(given) - 1)
    hops = len(given[0]) * 6 * max(coefficient, 0.0) * longest / hop_length**2
    return Diffusion(
        coefficient,
        float("nan") if parts is None else float(error_of_mean(parts.mean(axis=1))),
        line[0] / 2,
        np.full(3, np.nan) if parts is None else error_of_mean(parts),
        float(line[1].sum()),
        hops,
        abs(coefficient) * (HOPS_SPREAD / np.sqrt(max(hops, 1e-300)) + HOPS_FLOOR),
        window,
    )


def _by_blocks(path: Array, interval: float, start: int, stop: int, n_blocks: int) -> Array | None:
    """(n, 3) Å²/ps, D of each block; None where no three blocks are long enough."""
    if n_blocks < FEWEST_BLOCKS:
        raise ValueError(f"n_blocks: expected at least {FEWEST_BLOCKS}, got {n_blocks!r}")
    for n in range(n_blocks, FEWEST_BLOCKS - 1, -1):
        last = min(stop, len(path) // n // 2)
        if last >= max(2 * start, start + 2):
            parts = [mean_square_displacement(block, last + 1) for block in blocks(path, n)]
            return np.stack([_line(part, interval, start)[0] / 2 for part in parts])
    return None


def _line(msd: Array, interval: float, start: int) -> Array:
    """(2, 3): slope Å²/ps and value at lag 0, Å², of lines through MSD from a lag on."""
    lags = interval * np.arange(start, len(msd))
    return np.asarray(np.polyfit(lags, msd[start:], 1))


def _path(path: ArrayLike) -> Array:
    given = np.asarray(path, dtype=float)
    if given.ndim != 3 or given.shape[2] != 3 or len(given) < 4 or not given.shape[1]:
        raise ValueError(
            f"path: expected at least 4 frames of shape (n_frames, n_atoms, 3), got {given.shape}"
        )
    return given
