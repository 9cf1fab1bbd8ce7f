"""How long a list of pairs holds: Verlet's skin, with the cell deformed and atoms wrapped in
between.

With the cell deformed to C = C₀A and atoms at r_i = r_i⁰A + w_i + T_i·C, T_i integers (an atom was
wrapped), a pair has

    r_ij = r_ij⁰A + w_j − w_i,   so   |r_ij| < cutoff   ⟹   |r_ij⁰| < (cutoff + 2 max|w|)/σ,   σ the least singular value of A

and a list of all pairs within cutoff + skin holds while that is at most cutoff + skin. L. Verlet,
Phys. Rev. 159, 98 (1967), doi:10.1103/PhysRev.159.98. Å.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor

SKIN = 1.0
"""Å, for dynamics: rebuilt every few dozen steps in a crystal at room temperature."""


class Kept(NamedTuple):
    """The structure that a list was made from.

    positions : (n_atoms, 3) Å, float64
    cell : (3, 3) Å, float64
    periodic : (3,) bool
    """

    positions: Tensor
    cell: Tensor
    periodic: Tensor


def still_hold(
    kept: Kept, positions: Tensor, box: Tensor, periodic: Tensor, cutoff: float, skin: float
) -> tuple[bool, Tensor]:
    """Whether a list of all pairs within cutoff + skin of `kept` has all within the cutoff now, by
    the law above.

    Also the lattice vectors by which each atom was wrapped since, T_i (n_atoms, 3).
    """
    shifts = torch.zeros_like(positions)
    if kept.positions.size(0) != positions.size(0):
        return False, shifts
    box, before, periodic, same = on_host(box, kept.cell, periodic, kept.periodic)
    if not same or not bool(torch.isfinite(box).all()):
        return False, shifts
    # on a GPU, positions that are not finite are found by the last comparison: each look costs time
    if not (positions.is_cuda or bool(torch.isfinite(positions).all())):
        return False, shifts
    moved = positions - kept.positions
    shrinkage = 1.0
    if bool(periodic.any()):
        rows, before = box * periodic.unsqueeze(1), before * periodic.unsqueeze(1)
        if not torch.equal(rows, before):
            strain = torch.linalg.pinv(before) @ (rows - before)
            moved = moved - kept.positions @ strain.to(positions.device)
            identity = torch.eye(3, dtype=strain.dtype, device=strain.device)
            shrinkage = float(torch.linalg.svdvals(identity + strain)[2])
        shifts = torch.round(moved @ torch.linalg.pinv(rows).to(positions.device))
        moved = moved - shifts @ rows.to(positions.device)
    moved = moved - moved.mean(dim=0)  # all together may go anywhere
    farthest = math.sqrt(float((moved * moved).sum(dim=1).max()))
    return cutoff + 2.0 * farthest < shrinkage * (cutoff + skin) - 1e-9, shifts


def on_host(
    box: Tensor, before: Tensor, periodic: Tensor, periodic_before: Tensor
) -> tuple[Tensor, Tensor, Tensor, bool]:
    """Two cells and the periodic directions of one of them on the CPU, and whether both have the same:
    from a GPU, where nine numbers would be work for many kernels, they come at once."""
    if box.is_cuda:
        directions = torch.stack([periodic, periodic_before]).to(box.dtype)
        there = torch.cat([box, before, directions]).cpu()
        box, before, periodic, periodic_before = there[:3], there[3:6], there[6] > 0, there[7] > 0
    return box, before, periodic, torch.equal(periodic, periodic_before)
