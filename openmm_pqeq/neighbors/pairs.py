"""Pairs of atoms: integers from a search, vectors and distances from positions and cell.

    r_ij = r_j − r_i + S·cell

Vectors and distances may be differentiated any number of times. Å.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from openmm_pqeq.structure import Structure


class Pairs(NamedTuple):
    """Directed pairs (both directions are listed).

    centers : (n_pairs,) int64, i, ascending
    neighbors : (n_pairs,) int64, j
    shifts : (n_pairs, 3) integers in the positions' dtype, S
    vectors : (n_pairs, 3) Å, r_j − r_i + S·cell
    distances : (n_pairs,) Å
    """

    centers: Tensor
    neighbors: Tensor
    shifts: Tensor
    vectors: Tensor
    distances: Tensor


def subset(pairs: Pairs, rows: Tensor) -> Pairs:
    """The pairs at `rows` (n_selected,)."""
    return Pairs(
        pairs.centers[rows],
        pairs.neighbors[rows],
        pairs.shifts[rows],
        pairs.vectors[rows],
        pairs.distances[rows],
    )


def within(pairs: Pairs, cutoff: float) -> Pairs:
    """The pairs closer than `cutoff` (Å)."""
    return subset(pairs, torch.nonzero(pairs.distances < cutoff).squeeze(1))


def of_atoms(pairs: Pairs, first: int, last: int) -> Pairs:
    """The pairs with centers from `first` up to `last`, atoms counted from `first`."""
    inside = (pairs.centers >= first) & (pairs.centers < last)
    part = subset(pairs, torch.nonzero(inside).squeeze(1))
    centers, neighbors = part.centers - first, part.neighbors - first
    return Pairs(centers, neighbors, part.shifts, part.vectors, part.distances)


def pairs_from_indices(
    structure: Structure, centers: Tensor, neighbors: Tensor, shifts: Tensor
) -> Pairs:
    """Pairs with differentiable vectors from the integers of a search."""
    positions = structure.positions
    shifts = shifts.to(positions.dtype)
    if structure.cell.size(0) == 1:
        offsets = shifts @ structure.cell[0]
    else:
        offsets = torch.einsum("pa,pab->pb", shifts, structure.cell[structure.batch[centers]])
    vectors = positions.index_select(0, neighbors) - positions.index_select(0, centers) + offsets
    return Pairs(centers, neighbors, shifts, vectors, vectors.norm(2, dim=1))


def check_distances(pairs: Pairs, numbers: Tensor, shortest: float = 0.05) -> None:
    """ValueError where two atoms are closer than `shortest` (Å)."""
    close = torch.nonzero(pairs.distances < shortest).squeeze(1)
    if close.size(0) > 0:
        i, j = int(pairs.centers[close[0]]), int(pairs.neighbors[close[0]])
        distance = float(pairs.distances[close[0]].detach())
        raise ValueError(
            f"positions: atoms {i} and {j} (atomic numbers {int(numbers[i])} and "
            f"{int(numbers[j])}) are {distance} Å apart;"
            " two atoms cannot be at the same place: remove one, or check the cell and the units"
        )
