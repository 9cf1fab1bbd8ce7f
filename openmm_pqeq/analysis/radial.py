"""Radial distribution and coordination numbers.

    g_AB(r)  = V/(N_A N_B) ⟨Σ_ij δ(r − r_ij)⟩/4πr²              1 where B does not feel A
    n_AB(r)  = (1/N_A) ⟨Σ_ij θ(r − r_ij)⟩                     the B's within r of an A, counted, not integrated

mdtraj finds the distances, nearest images of any cell; r goes at most to half of the shortest
distance of opposite faces. The first shell ends at the first minimum of g behind its highest peak.
Errors are standard errors over consecutive blocks of frames. Å.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from openmm_pqeq.analysis.blocks import blocks, error_of_mean
from openmm_pqeq.analysis.pairs import pair_distances
from openmm_pqeq.analysis.paths import shortest_width
from openmm_pqeq.units import ANGSTROM_PER_NM

Array = NDArray[np.float64]


class Radial(NamedTuple):
    """Functions of r.

    r : (n,) Å, centres of the bins
    g, g_error : (n,)
    edges : (n,) Å, outer edges of the bins
    coordination, coordination_error : (n,) B's within an outer edge
    """

    r: Array
    g: Array
    g_error: Array
    edges: Array
    coordination: Array
    coordination_error: Array

    def within(self, cutoff: float) -> tuple[float, float]:
        """Coordination number within a cutoff (Å), and its error."""
        if not self.edges[0] <= cutoff <= self.edges[-1]:
            raise ValueError(
                f"cutoff: expected {self.edges[0]:g} to {self.edges[-1]:g} Å, got {cutoff:g} Å"
            )
        return (
            float(np.interp(cutoff, self.edges, self.coordination)),
            float(np.interp(cutoff, self.edges, self.coordination_error)),
        )


def radial_distribution(
    frames: Any,
    centers: ArrayLike,
    others: ArrayLike,
    longest: float | None = None,
    bin_width: float = 0.05,
    n_blocks: int = 5,
) -> Radial:
    """g(r) of `others` about `centers`, and how many there are.

    Parameters
    ----------
    frames : mdtraj's Trajectory, periodic
    centers, others : indices of atoms; an atom is not its own neighbour
    longest : Å; default: all that the cell allows, at most 10 Å
    bin_width : Å
    n_blocks : for the errors
    """
    first, second = (np.unique(np.asarray(each, dtype=int)) for each in (centers, others))
    if frames.unitcell_vectors is None:
        raise ValueError("frames: a radial distribution needs a density, and there is no cell")
    if not len(first) or not len(second) or (len(first) == len(second) == 1 and first == second):
        raise ValueError("centers, others: expected atoms that make at least one pair")
    if n_blocks < 2 or len(frames) < n_blocks:
        raise ValueError(f"n_blocks: expected 2 to {len(frames)}, got {n_blocks!r}")
    most = 0.5 * ANGSTROM_PER_NM * shortest_width(frames.unitcell_vectors)
    reach = min(most, 10.0) if longest is None else longest
    if not 0 < reach <= most * (1 + 1e-6):
        raise ValueError(
            f"longest: expected a distance up to {most:.4g} Å, half of the shortest distance of "
            f"opposite faces, got {longest!r}"
        )
    if not 0 < bin_width <= reach / 2:
        raise ValueError(f"bin_width: expected up to {reach / 2:g} Å, got {bin_width!r}")
    n_bins = int(reach / bin_width + 1e-9)
    grid: Array = bin_width * np.arange(n_bins + 1, dtype=np.float64)
    counts, volumes = _counts(frames, first, second, grid), _volumes(frames)
    shells = 4 / 3 * np.pi * np.diff(grid**3)
    pairs = len(first) * len(second) - len(np.intersect1d(first, second))
    parts = [
        (block.mean(axis=0), (1 / density).mean())
        for block, density in zip(blocks(counts, n_blocks), blocks(volumes, n_blocks))
    ]
    g = np.stack([count / (pairs * inverse * shells) for count, inverse in parts])
    n = np.stack([np.cumsum(count) / len(first) for count, _ in parts])
    return Radial(
        grid[:-1] + 0.5 * bin_width,
        counts.mean(axis=0) / (pairs * (1 / volumes).mean() * shells),
        error_of_mean(g),
        grid[1:],
        np.cumsum(counts.mean(axis=0)) / len(first),
        error_of_mean(n),
    )


def first_shell(radial: Radial) -> tuple[float, float]:
    """Å: the highest peak of g, and the first minimum behind it (within 1.8 times that distance),
    of g smoothed over three bins."""
    g = np.convolve(radial.g, np.ones(3) / 3, mode="same")
    peak = int(np.argmax(radial.g))
    behind = slice(peak, max(peak + 1, int(np.searchsorted(radial.r, 1.8 * radial.r[peak]))))
    return float(radial.r[peak]), float(radial.r[peak + int(np.argmin(g[behind]))])


def _counts(frames: Any, first: NDArray[Any], second: NDArray[Any], grid: Array) -> Array:
    """(n_frames, n_bins) ordered pairs by distance."""
    counts = np.zeros((len(frames), len(grid) - 1))
    for start, _, distances in pair_distances(frames, first, second):
        for k, row in enumerate(distances):
            counts[start + k] += np.histogram(row, grid)[0]
    return counts


def _volumes(frames: Any) -> Array:
    return np.abs(np.linalg.det(np.asarray(frames.unitcell_vectors, float))) * ANGSTROM_PER_NM**3
