"""The pairs of a structure as the equivariant convolution reads them: by centre, and by neighbour
for derivatives.

The pairs of centre i are those from `rows[i]` to `rows[i + 1]`. Those whose neighbour is j are
`by_neighbor[k]` for k from `neighbor_rows[j]` to `neighbor_rows[j + 1]`: a sum over them needs no
two threads to write to one place.
"""

from typing import NamedTuple

import torch
from torch import Tensor


class Edges(NamedTuple):
    """Pairs within the cutoff, sorted by centre.

    distances : (n_pairs,) Å
    harmonics : (n_pairs, n_harmonics)
    rows : (n_atoms + 1,) int64, where the pairs of each centre begin
    centers, neighbors : (n_pairs,) int64
    neighbor_rows : (n_atoms + 1,) int64, where in `by_neighbor` the pairs of each neighbour begin
    by_neighbor : (n_pairs,) int64, pairs sorted by neighbour
    """

    distances: Tensor
    harmonics: Tensor
    rows: Tensor
    centers: Tensor
    neighbors: Tensor
    neighbor_rows: Tensor
    by_neighbor: Tensor


def edges_of(
    n_atoms: int, centers: Tensor, neighbors: Tensor, distances: Tensor, harmonics: Tensor
) -> Edges:
    """Edges from pairs sorted by `centers`."""
    by_neighbor = torch.argsort(neighbors, stable=True)
    return Edges(
        distances,
        harmonics,
        _begin(n_atoms, centers),
        centers,
        neighbors,
        _begin(n_atoms, neighbors),
        by_neighbor,
    )


def _begin(n_atoms: int, index: Tensor) -> Tensor:
    counts = torch.bincount(index, minlength=n_atoms)
    return torch.cat([counts.new_zeros(1), torch.cumsum(counts, 0)])
