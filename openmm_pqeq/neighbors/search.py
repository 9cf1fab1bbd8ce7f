"""All pairs within a cutoff, all images.

    r_ij = r_j − r_i + S·cell,   |r_ij| < cutoff,   (i, j, S) ≠ (i, i, 0)

The search is vesin's (https://github.com/Luthaf/vesin) and gives integers only. Each pair appears
in both directions. Cells smaller than the cutoff are normal, and an atom pairs with its own images.

A search with a skin keeps what it found within cutoff + skin and goes through that as long as it
must have all pairs within the cutoff (verlet.py). The pairs are those of a fresh search, always.
"""

import torch
import vesin_torch
from torch import Tensor, nn

from openmm_pqeq.neighbors.extent import drawn_together
from openmm_pqeq.neighbors.pairs import Pairs, pairs_from_indices, within
from openmm_pqeq.neighbors.verlet import Kept, still_hold
from openmm_pqeq.start.short_pieces import ShortPieces
from openmm_pqeq.structure import Structure


class NeighborSearch(nn.Module):
    """Search of all pairs within `cutoff` (Å), for eager use and inside TorchScript.

    skin : Å; above zero the pairs of a single structure are kept from call to call, and searched
        again where they must be
    """

    kept_positions: Tensor
    kept_cell: Tensor
    kept_periodic: Tensor
    kept_centers: Tensor
    kept_neighbors: Tensor
    kept_shifts: Tensor
    searches: Tensor

    def __init__(self, cutoff: float, skin: float = 0.0):
        super().__init__()
        self.cutoff, self.skin = float(cutoff), float(skin)
        self.search = vesin_torch.NeighborList(
            cutoff=self.cutoff + self.skin, full_list=True, sorted=True
        )._c
        self.register_buffer(
            "kept_positions", torch.zeros(0, 3, dtype=torch.float64), persistent=False
        )
        self.register_buffer("kept_cell", torch.zeros(3, 3, dtype=torch.float64), persistent=False)
        self.register_buffer("kept_periodic", torch.zeros(3, dtype=torch.bool), persistent=False)
        self.register_buffer("kept_centers", torch.zeros(0, dtype=torch.int64), persistent=False)
        self.register_buffer("kept_neighbors", torch.zeros(0, dtype=torch.int64), persistent=False)
        self.register_buffer(
            "kept_shifts", torch.zeros(0, 3, dtype=torch.float64), persistent=False
        )
        self.register_buffer("searches", torch.tensor(0), persistent=False)

    def forward(self, structure: Structure) -> Pairs:
        """Pairs of every structure of the batch; derivatives flow through `vectors` and
        `distances`."""
        if self.skin > 0.0 and structure.cell.size(0) == 1:
            with ShortPieces(structure.numbers.size(0)):
                with torch.no_grad():
                    centers, neighbors, shifts = self.from_kept(structure)
                return pairs_from_indices(structure, centers, neighbors, shifts)
        all_centers: list[Tensor] = []
        all_neighbors: list[Tensor] = []
        all_shifts: list[Tensor] = []
        first = 0
        for index in range(structure.cell.size(0)):
            n_atoms = int((structure.batch == index).sum())
            positions = structure.positions[first : first + n_atoms].detach().to(torch.float64)
            box = structure.cell[index].detach().to(torch.float64)
            centers, neighbors, shifts = self.found(positions, box, structure.pbc[index])
            all_centers.append(centers + first)
            all_neighbors.append(neighbors + first)
            all_shifts.append(shifts)
            first += n_atoms
        pairs = pairs_from_indices(
            structure, torch.cat(all_centers), torch.cat(all_neighbors), torch.cat(all_shifts)
        )
        return within(pairs, self.cutoff) if self.skin > 0.0 else pairs

    def found(
        self, positions: Tensor, box: Tensor, periodic: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Integers i, j, S of all pairs of one structure within cutoff + skin; ValueError where
        something is not finite, or atoms are spread too thinly for a grid."""
        if not (bool(torch.isfinite(positions).all()) and bool(torch.isfinite(box).all())):
            raise ValueError(
                "positions and cell: expected finite numbers, got NaN or infinity; is the time "
                "step too long?"
            )
        near = drawn_together(positions, box, periodic, self.cutoff + self.skin)
        found = self.search.compute(near, box, periodic, "ijS", True)
        return found[0].to(torch.int64), found[1].to(torch.int64), found[2]

    def from_kept(self, structure: Structure) -> tuple[Tensor, Tensor, Tensor]:
        """Integers i, j, S of the pairs of one structure within the cutoff, by way of those
        kept."""
        positions, box = (
            structure.positions.data.to(torch.float64),
            structure.cell.data[0].to(torch.float64),
        )
        kept = Kept(self.kept_positions, self.kept_cell, self.kept_periodic)
        hold, turns = still_hold(kept, positions, box, structure.pbc[0], self.cutoff, self.skin)
        if not hold:
            centers, neighbors, shifts = self.found(positions, box, structure.pbc[0])
            self.kept_centers, self.kept_neighbors, self.kept_shifts = (
                centers,
                neighbors,
                shifts.to(torch.float64),
            )
            self.kept_positions, self.kept_cell, self.kept_periodic = (
                positions.clone(),
                box.clone(),
                structure.pbc[0].clone(),
            )
            self.searches = self.searches + 1
        i, j, shifts = self.kept_centers, self.kept_neighbors, self.kept_shifts
        if hold and (turns.is_cuda or bool((turns != 0.0).any())):
            shifts = shifts + turns.index_select(0, i) - turns.index_select(0, j)
        vectors = (
            positions.index_select(0, j).sub_(positions.index_select(0, i)).addmm_(shifts, box)
        )
        near = torch.nonzero((vectors * vectors).sum(dim=1) < self.cutoff**2).squeeze(1)
        return i.index_select(0, near), j.index_select(0, near), shifts.index_select(0, near)
