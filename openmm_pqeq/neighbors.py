"""All pairs within a cutoff, all images.

    r_ij = r_j − r_i + S·cell,   |r_ij| < cutoff,   (i, j, S) ≠ (i, i, 0)

The search is vesin's (https://github.com/Luthaf/vesin) and gives integers only; vectors and distances are computed here from
positions and cell, so that they may be differentiated any number of times. Each pair appears in both directions. Cells smaller
than the cutoff are normal, and an atom pairs with its own images.
"""

from typing import NamedTuple

import torch
import vesin_torch
from torch import Tensor, nn

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
    return Pairs(pairs.centers[rows], pairs.neighbors[rows], pairs.shifts[rows], pairs.vectors[rows], pairs.distances[rows])


def within(pairs: Pairs, cutoff: float) -> Pairs:
    """The pairs closer than `cutoff` (Å)."""
    return subset(pairs, torch.nonzero(pairs.distances < cutoff).squeeze(1))


def pairs_from_indices(structure: Structure, centers: Tensor, neighbors: Tensor, shifts: Tensor) -> Pairs:
    """Pairs with differentiable vectors from the integers of a search."""
    positions = structure.positions
    shifts = shifts.to(positions.dtype)
    cells = structure.cell[structure.batch[centers]]
    vectors = positions[neighbors] - positions[centers] + torch.einsum("pa,pab->pb", shifts, cells)
    return Pairs(centers, neighbors, shifts, vectors, vectors.norm(2, dim=1))


class NeighborSearch(nn.Module):
    """Search of all pairs within `cutoff` (Å), for eager use and inside TorchScript."""

    def __init__(self, cutoff: float):
        super().__init__()
        self.cutoff = float(cutoff)
        self.search = vesin_torch.NeighborList(cutoff=self.cutoff, full_list=True, sorted=True)._c

    def forward(self, structure: Structure) -> Pairs:
        """Pairs of every structure of the batch; derivatives flow through `vectors` and `distances`."""
        centers: list[Tensor] = []
        neighbors: list[Tensor] = []
        shifts: list[Tensor] = []
        first = 0
        for index in range(structure.cell.size(0)):
            n_atoms = int((structure.batch == index).sum())
            positions = structure.positions[first : first + n_atoms].detach().to(torch.float64)
            box = structure.cell[index].detach().to(torch.float64)
            if not (bool(torch.isfinite(positions).all()) and bool(torch.isfinite(box).all())):
                raise ValueError("positions and cell: expected finite numbers, got NaN or infinity; is the time step too long?")
            found = self.search.compute(positions, box, structure.pbc[index], "ijS", True)
            centers.append(found[0].to(torch.int64) + first)
            neighbors.append(found[1].to(torch.int64) + first)
            shifts.append(found[2])
            first += n_atoms
        return pairs_from_indices(structure, torch.cat(centers), torch.cat(neighbors), torch.cat(shifts))
