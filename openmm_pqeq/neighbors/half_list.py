"""Half lists of pairs for operators that compute distances themselves: each pair once, kept from
call to call.

    r_ij = r_j − r_i + S·cell,   all pairs with |r_ij| < cutoff + skin when they were searched, (i, j, S) or (j, i, −S) but not both

11 bytes a pair: 24,000 atoms have 40 million within 20 Å. Nothing is filtered or gathered from call
to call; an operator goes through the list and skips what is beyond its cutoff. The list holds by
the law of `openmm_pqeq.neighbors.search`.

The search is the native operator's where there is one (plugin/), and vesin's otherwise: the same
pairs, in another order. It is ten times as fast as vesin's at 21 Å, and as fast at 6 Å.

Shifts belong to atoms that were wrapped into the cell when the list was made. Therefore they are
small, however far atoms have diffused, and the positions to use with them come with the list: r_i −
T_i·C, T_i the lattice vectors by which the caller's image of an atom is away from the list's. The
T_i are constants: derivatives with respect to positions and cell go through that difference.
"""

from typing import NamedTuple

import torch
import vesin_torch
from torch import Tensor, nn

from openmm_pqeq import ops
from openmm_pqeq.neighbors.verlet import SKIN, Kept, still_hold
from openmm_pqeq.structure import Structure

MOST_SHIFT = 127
"""Of an int8."""


class KeptPairs(NamedTuple):
    """Pairs, each listed once, in no more than one direction; all within the cutoff are there, and
    some beyond.

    positions : (n_atoms, 3) Å, the images of the atoms to which the shifts belong; differentiable
    centers : (n_pairs,) int32, i, ascending
    neighbors : (n_pairs,) int32, j ≥ i
    shifts : (n_pairs, 3) int8, S; an image of the atom itself (i = j) is there with S or with −S
    """

    positions: Tensor
    centers: Tensor
    neighbors: Tensor
    shifts: Tensor


class HalfListReference(nn.Module):
    """All pairs of atoms wrapped into the cell that are closer than `cutoff` (Å), by vesin."""

    def __init__(self, cutoff: float):
        super().__init__()
        self.cutoff, self.most_shift = cutoff, MOST_SHIFT
        self.search = vesin_torch.NeighborList(cutoff=cutoff, full_list=False, sorted=True)._c

    def forward(self, positions: Tensor, cell: Tensor, periodic: Tensor) -> KeptPairs:
        """Pairs from positions (n_atoms, 3) Å, cell (3, 3) Å and the periodic directions (3,), in
        float64.

        Raises ValueError for a cell so thin that a shift would not fit.
        """
        found = self.search.compute(positions, cell, periodic, "ijS", True)
        shifts = found[2]
        if shifts.numel() > 0 and int(shifts.abs().max()) > self.most_shift:
            raise ValueError(
                f"cell: expected one with pairs within {self.cutoff} Å at most "
                f"{self.most_shift} cells apart, got pairs"
                f" {int(shifts.abs().max())} cells apart; repeat the cell along its short vectors"
            )
        return KeptPairs(
            positions, found[0].to(torch.int32), found[1].to(torch.int32), shifts.to(torch.int8)
        )


native_on = ops.native_on("half_list")


class HalfListNative(nn.Module):
    """`HalfListReference` by the native operator: the same pairs in another order."""

    def __init__(self, cutoff: float):
        super().__init__()
        self.cutoff, self.reference = cutoff, HalfListReference(cutoff)

    def forward(self, positions: Tensor, cell: Tensor, periodic: Tensor) -> KeptPairs:
        """Pairs, as of the reference."""
        if not native_on(positions):
            return self.reference(positions, cell, periodic)
        centers, neighbors, shifts = torch.ops.openmm_pqeq.half_list(
            positions, cell, periodic, self.cutoff
        )
        return KeptPairs(positions, centers, neighbors, shifts)


HalfList = ops.pick("half_list", HalfListNative, HalfListReference)


class KeptSearch(nn.Module):
    """Half list of all pairs within `cutoff` (Å), searched again where it no longer holds; for
    eager use and inside TorchScript.

    skin : Å; atoms may move by half of it before a new search

    One structure at a time is kept. A batch of several is searched anew at each call.
    """

    kept_positions: Tensor
    kept_cell: Tensor
    kept_periodic: Tensor
    kept_centers: Tensor
    kept_neighbors: Tensor
    kept_shifts: Tensor
    searches: Tensor

    def __init__(self, cutoff: float, skin: float = SKIN):
        super().__init__()
        self.cutoff, self.skin = float(cutoff), float(skin)
        self.half_list = HalfList(self.cutoff + self.skin)
        self.register_buffer(
            "kept_positions", torch.zeros(0, 3, dtype=torch.float64), persistent=False
        )
        self.register_buffer("kept_cell", torch.zeros(3, 3, dtype=torch.float64), persistent=False)
        self.register_buffer("kept_periodic", torch.zeros(3, dtype=torch.bool), persistent=False)
        self.register_buffer("kept_centers", torch.zeros(0, dtype=torch.int32), persistent=False)
        self.register_buffer("kept_neighbors", torch.zeros(0, dtype=torch.int32), persistent=False)
        self.register_buffer("kept_shifts", torch.zeros(0, 3, dtype=torch.int8), persistent=False)
        self.register_buffer("searches", torch.tensor(0), persistent=False)

    def forward(self, structure: Structure) -> KeptPairs:
        """Pairs of the structure, or of every structure of a batch with the atoms numbered through.

        Raises ValueError for numbers that are not finite, and for a cell so thin that a shift would
        not fit.
        """
        if structure.cell.size(0) == 1:
            with torch.no_grad():
                turns = self.refreshed(structure)
            positions = (
                structure.positions - turns.to(structure.positions.dtype) @ structure.cell[0]
            )
            return KeptPairs(positions, self.kept_centers, self.kept_neighbors, self.kept_shifts)
        all_turns: list[Tensor] = [structure.positions.new_zeros(0, 3)]
        all_centers: list[Tensor] = [self.kept_centers.new_zeros(0)]
        all_neighbors: list[Tensor] = [self.kept_neighbors.new_zeros(0)]
        all_shifts: list[Tensor] = [self.kept_shifts.new_zeros(0, 3)]
        first = 0
        for index in range(structure.cell.size(0)):
            n_atoms = int((structure.batch == index).sum())
            positions = structure.positions[first : first + n_atoms].detach().to(torch.float64)
            turns, found = self.found(
                positions, structure.cell[index].detach().to(torch.float64), structure.pbc[index]
            )
            all_turns.append(turns.to(structure.positions.dtype))
            all_centers.append(found.centers + first)
            all_neighbors.append(found.neighbors + first)
            all_shifts.append(found.shifts)
            first += n_atoms
        offsets = torch.matmul(
            torch.cat(all_turns).unsqueeze(1), structure.cell[structure.batch]
        ).squeeze(1)
        return KeptPairs(
            structure.positions - offsets,
            torch.cat(all_centers),
            torch.cat(all_neighbors),
            torch.cat(all_shifts),
        )

    def refreshed(self, structure: Structure) -> Tensor:
        """T (n_atoms, 3) of one structure, after a new search where the list no longer holds."""
        positions, box = (
            structure.positions.data.to(torch.float64),
            structure.cell.data[0].to(torch.float64),
        )
        periodic = structure.pbc[0]
        kept = Kept(self.kept_positions, self.kept_cell, self.kept_periodic)
        hold, turns = still_hold(kept, positions, box, periodic, self.cutoff, self.skin)
        if not hold:
            turns, found = self.found(positions, box, periodic)
            self.kept_positions, self.kept_cell, self.kept_periodic = (
                found.positions,
                box.clone(),
                periodic.clone(),
            )
            self.kept_centers, self.kept_neighbors, self.kept_shifts = (
                found.centers,
                found.neighbors,
                found.shifts,
            )
            self.searches = self.searches + 1
        return turns

    def found(self, positions: Tensor, box: Tensor, periodic: Tensor) -> tuple[Tensor, KeptPairs]:
        """T (n_atoms, 3) that wraps one structure into its cell, and all pairs within cutoff + skin
        of the wrapped atoms."""
        if not (bool(torch.isfinite(positions).all()) and bool(torch.isfinite(box).all())):
            raise ValueError(
                "positions and cell: expected finite numbers, got NaN or infinity; is the time "
                "step too long?"
            )
        turns = torch.zeros_like(positions)
        if bool(periodic.any()):
            rows = box * periodic.unsqueeze(1)
            turns = torch.floor(positions @ torch.linalg.pinv(rows)) * periodic
        wrapped = positions - turns @ box
        return turns, self.half_list(wrapped, box, periodic)
