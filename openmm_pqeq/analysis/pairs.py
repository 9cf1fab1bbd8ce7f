"""Distances of the atoms of two groups, in pieces that fit into memory. Å."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from openmm_pqeq.units import ANGSTROM_PER_NM

Array = NDArray[np.float64]

DISTANCES_AT_ONCE = 10_000_000
"""In memory together, 4 bytes each."""


def pair_distances(
    frames: Any, first: NDArray[Any], second: NDArray[Any]
) -> Iterator[tuple[int, NDArray[Any], NDArray[Any]]]:
    """Nearest-image distances of every atom of one group to every other of another.

    frames : mdtraj's Trajectory
    first, second : (n,), (m,) indices

    Yields the index of a first frame, pairs (n_pairs, 2) and their distances (n_frames, n_pairs) Å
    in the frames from there on; an atom is no pair with itself.
    """
    import mdtraj

    frames_at_once = max(1, DISTANCES_AT_ONCE // (len(first) * len(second)))
    atoms_at_once = max(1, DISTANCES_AT_ONCE // len(second))
    for start in range(0, len(frames), frames_at_once):
        some = frames[start : start + frames_at_once]
        for begin in range(0, len(first), atoms_at_once):
            part = first[begin : begin + atoms_at_once]
            pairs = np.stack(np.meshgrid(part, second, indexing="ij"), axis=-1).reshape(-1, 2)
            pairs = pairs[pairs[:, 0] != pairs[:, 1]]
            if len(pairs):
                yield start, pairs, ANGSTROM_PER_NM * mdtraj.compute_distances(some, pairs)
