"""Coordination polyhedra and fragments against time: what is left of the PS₄ of an electrolyte, and
what it became.

    N_i(t)  = Σ_j θ(r_c − r_ij(t))                         ligands within a cutoff of a centre
    x(t)    = (1/N) Σ_i [N_i(t) = n]                        polyhedra left; error √(x(1 − x)/N), each by itself
    fragments of a frame: connected components of atoms, bonded within the cutoffs of their elements

Formulae of fragments name centres and ligands in the order of the bonds given: P₂S₆ where two
centres share ligands. Å.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from openmm_pqeq.analysis.pairs import pair_distances

Array = NDArray[np.float64]


class Left(NamedTuple):
    """A share of polyhedra, (n_frames,), with its standard errors (n_frames,)."""

    share: Array
    error: Array


def coordination(
    frames: Any, centers: ArrayLike, ligands: ArrayLike, cutoff: float
) -> NDArray[np.int64]:
    """(n_frames, n_centers) ligands within `cutoff` Å of each centre.

    frames : mdtraj's Trajectory
    centers, ligands : indices of atoms, no atom in both
    """
    first, second = np.asarray(centers, dtype=int), np.asarray(ligands, dtype=int)
    _check(first, second, cutoff)
    counts = np.zeros((len(frames), len(first)), dtype=np.int64)
    row_of = {int(atom): k for k, atom in enumerate(first)}
    for start, pairs, distances in pair_distances(frames, first, second):
        near = (distances < cutoff).reshape(len(distances), -1, len(second)).sum(axis=2)
        columns = [row_of[int(atom)] for atom in pairs[:: len(second), 0]]
        counts[start : start + len(distances), columns] += near
    return counts


def polyhedra_left(counts: ArrayLike, ligands: int) -> Left:
    """Share of centres that have exactly so many ligands, of counts (n_frames, n_centers)."""
    share = (np.asarray(counts) == ligands).mean(axis=1)
    return Left(share, np.sqrt(share * (1 - share) / np.asarray(counts).shape[1]))


def fragments(
    frames: Any, symbols: Sequence[str], bonds: Mapping[tuple[str, str], float]
) -> list[Counter[str]]:
    """How many fragments of each formula there are, frame by frame.

    frames : mdtraj's Trajectory
    symbols : (n_atoms,) of the elements
    bonds : cutoff in Å by two elements, such as {("P", "S"): 2.6}; atoms of other elements do not
        count
    """
    elements = list(dict.fromkeys(element for pair in bonds for element in pair))
    kinds = np.asarray(symbols)
    edges: list[list[NDArray[Any]]] = [[] for _ in range(len(frames))]
    for (one, two), cutoff in bonds.items():
        first, second = np.flatnonzero(kinds == one), np.flatnonzero(kinds == two)
        _check(first, second, cutoff)
        for start, pairs, distances in pair_distances(frames, first, second):
            for k, row in enumerate(distances):
                edges[start + k].append(pairs[row < cutoff])
    members = np.flatnonzero(np.isin(kinds, elements))
    return [_formulae(np.concatenate(each), kinds, members, elements) for each in edges]


def _formulae(
    edges: NDArray[Any], kinds: NDArray[Any], members: NDArray[Any], elements: Sequence[str]
) -> Counter[str]:
    n = len(kinds)
    graph = coo_array((np.ones(len(edges)), (edges[:, 0], edges[:, 1])), shape=(n, n))
    labels = connected_components(graph, directed=False)[1][members]
    names, where = np.unique(labels, return_inverse=True)
    counts = np.zeros((len(names), len(elements)), dtype=int)
    for column, element in enumerate(elements):
        np.add.at(counts[:, column], where[kinds[members] == element], 1)
    return Counter(
        "".join(f"{e}{c if c > 1 else ''}" for e, c in zip(elements, row) if c)
        for row in counts.tolist()
    )


def _check(first: NDArray[Any], second: NDArray[Any], cutoff: float) -> None:
    if not len(first) or not len(second):
        raise ValueError("centers, ligands: expected atoms of both, got none of one")
    if not 0 < cutoff < np.inf:
        raise ValueError(f"cutoff: expected a positive distance (Å), got {cutoff!r}")
