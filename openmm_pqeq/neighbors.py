"""All pairs within a cutoff, all images.

    r_ij = r_j − r_i + S·cell,   |r_ij| < cutoff,   (i, j, S) ≠ (i, i, 0)

The search is vesin's (https://github.com/Luthaf/vesin) and gives integers only; vectors and distances are computed here from
positions and cell, so that they may be differentiated any number of times. Each pair appears in both directions. Cells smaller
than the cutoff are normal, and an atom pairs with its own images.

A search with a skin keeps what it found within cutoff + skin and goes through that as long as it must have all pairs within the
cutoff. With the cell deformed to C = C₀A and atoms at r_i = r_i⁰A + w_i + T_i·C, T_i integers (an atom was wrapped), a pair has

    r_ij = r_ij⁰A + w_j − w_i,   so   |r_ij| < cutoff   ⟹   |r_ij⁰| < (cutoff + 2 max|w|)/σ,   σ the least singular value of A

and the list holds while that is at most cutoff + skin. The pairs are those of a fresh search, always; L. Verlet, Phys. Rev. 159,
98 (1967), doi:10.1103/PhysRev.159.98.
"""

import math
from typing import NamedTuple

import torch
import vesin_torch
from torch import Tensor, nn

from openmm_pqeq.structure import Structure

SKIN = 1.0
"""Å, for dynamics: rebuilt every few dozen steps in a crystal at room temperature."""


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
    if structure.cell.size(0) == 1:
        offsets = shifts @ structure.cell[0]
    else:
        offsets = torch.einsum("pa,pab->pb", shifts, structure.cell[structure.batch[centers]])
    vectors = positions.index_select(0, neighbors) - positions.index_select(0, centers) + offsets
    return Pairs(centers, neighbors, shifts, vectors, vectors.norm(2, dim=1))


class Kept(NamedTuple):
    """The structure that a list was made from.

    positions : (n_atoms, 3) Å, float64
    cell : (3, 3) Å, float64
    periodic : (3,) bool
    """

    positions: Tensor
    cell: Tensor
    periodic: Tensor


def still_hold(kept: Kept, positions: Tensor, box: Tensor, periodic: Tensor, cutoff: float, skin: float) -> tuple[bool, Tensor]:
    """Whether a list of all pairs within cutoff + skin of `kept` has all within the cutoff now, by the law above.

    Also the lattice vectors by which each atom was wrapped since, T_i (n_atoms, 3).
    """
    turns = torch.zeros_like(positions)
    if kept.positions.size(0) != positions.size(0) or not torch.equal(kept.periodic, periodic):
        return False, turns
    if not (bool(torch.isfinite(positions).all()) and bool(torch.isfinite(box).all())):
        return False, turns
    moved = positions - kept.positions
    shrinkage = 1.0
    if bool(periodic.any()):
        rows, before = box * periodic.unsqueeze(1), kept.cell * periodic.unsqueeze(1)
        if not torch.equal(rows, before):
            strain = torch.linalg.pinv(before) @ (rows - before)
            moved = moved - kept.positions @ strain
            identity = torch.eye(3, dtype=strain.dtype, device=strain.device)
            shrinkage = float(torch.linalg.svdvals(identity + strain)[2])
        turns = torch.round(moved @ torch.linalg.pinv(rows))
        moved = moved - turns @ rows
    moved = moved - moved.mean(dim=0)  # all together may go anywhere
    farthest = math.sqrt(float((moved * moved).sum(dim=1).max()))
    return cutoff + 2.0 * farthest < shrinkage * (cutoff + skin) - 1e-9, turns


class NeighborSearch(nn.Module):
    """Search of all pairs within `cutoff` (Å), for eager use and inside TorchScript.

    skin : Å; above zero the pairs of a single structure are kept from call to call, and searched again where they must be
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
        self.search = vesin_torch.NeighborList(cutoff=self.cutoff + self.skin, full_list=True, sorted=True)._c
        self.register_buffer("kept_positions", torch.zeros(0, 3, dtype=torch.float64), persistent=False)
        self.register_buffer("kept_cell", torch.zeros(3, 3, dtype=torch.float64), persistent=False)
        self.register_buffer("kept_periodic", torch.zeros(3, dtype=torch.bool), persistent=False)
        self.register_buffer("kept_centers", torch.zeros(0, dtype=torch.int64), persistent=False)
        self.register_buffer("kept_neighbors", torch.zeros(0, dtype=torch.int64), persistent=False)
        self.register_buffer("kept_shifts", torch.zeros(0, 3, dtype=torch.float64), persistent=False)
        self.register_buffer("searches", torch.tensor(0), persistent=False)

    def forward(self, structure: Structure) -> Pairs:
        """Pairs of every structure of the batch; derivatives flow through `vectors` and `distances`."""
        if self.skin > 0.0 and structure.cell.size(0) == 1:
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
        pairs = pairs_from_indices(structure, torch.cat(all_centers), torch.cat(all_neighbors), torch.cat(all_shifts))
        return within(pairs, self.cutoff) if self.skin > 0.0 else pairs

    def found(self, positions: Tensor, box: Tensor, periodic: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Integers i, j, S of all pairs of one structure within cutoff + skin; ValueError where something is not finite."""
        if not (bool(torch.isfinite(positions).all()) and bool(torch.isfinite(box).all())):
            raise ValueError("positions and cell: expected finite numbers, got NaN or infinity; is the time step too long?")
        found = self.search.compute(positions, box, periodic, "ijS", True)
        return found[0].to(torch.int64), found[1].to(torch.int64), found[2]

    def from_kept(self, structure: Structure) -> tuple[Tensor, Tensor, Tensor]:
        """Integers i, j, S of the pairs of one structure within the cutoff, by way of those kept."""
        positions, box = structure.positions.data.to(torch.float64), structure.cell.data[0].to(torch.float64)
        kept = Kept(self.kept_positions, self.kept_cell, self.kept_periodic)
        hold, turns = still_hold(kept, positions, box, structure.pbc[0], self.cutoff, self.skin)
        if not hold:
            centers, neighbors, shifts = self.found(positions, box, structure.pbc[0])
            self.kept_centers, self.kept_neighbors, self.kept_shifts = centers, neighbors, shifts.to(torch.float64)
            self.kept_positions, self.kept_cell, self.kept_periodic = positions.clone(), box.clone(), structure.pbc[0].clone()
            self.searches = self.searches + 1
        i, j, shifts = self.kept_centers, self.kept_neighbors, self.kept_shifts
        if hold and bool((turns != 0.0).any()):
            shifts = shifts + turns.index_select(0, i) - turns.index_select(0, j)
        vectors = positions.index_select(0, j).sub_(positions.index_select(0, i)).addmm_(shifts, box)
        near = torch.nonzero((vectors * vectors).sum(dim=1) < self.cutoff**2).squeeze(1)
        return i.index_select(0, near), j.index_select(0, near), shifts.index_select(0, near)
