"""A guess from earlier solutions.

The present positions are written as the combination of the last few that comes nearest to them,

    r ≈ Σ_k c_k r_k,   Σ_k c_k = 1,   least squares,

and the same combination of the charges and shells that belonged to them is the guess. In dynamics
this is an extrapolation whose order grows with the history; where a barostat, a minimiser or a
rewind has gone back to earlier positions, it finds them. A guess is where the solver begins and
nothing else, so it costs iterations when it is bad, and never accuracy.
"""

from typing import NamedTuple

import torch
from torch import Tensor

HISTORY_LENGTH = 6
"""Solutions that a guess is made from."""
HISTORY_RIDGE = 1e-10
"""Relative to the squared displacements."""


class History(NamedTuple):
    """The last solutions, newest first: positions (n_kept, n_atoms, 3) Å, charges (n_kept, n_atoms)
    e, shells (n_kept, n_atoms, 3) Å.

    Positions are unwrapped: each lies at the image nearest to its predecessor.
    """

    positions: Tensor
    charges: Tensor
    shells: Tensor


def nearest_images(positions: Tensor, cell: Tensor, periodic: Tensor, reference: Tensor) -> Tensor:
    """Positions (n_atoms, 3) Å at the images nearest to `reference` (n_atoms, 3) Å, for a cell (3,
    3) with periodic (3,)."""
    rows = cell * periodic.to(cell.dtype).unsqueeze(1)
    # from a GPU, where nine numbers would be work for many kernels
    there = rows.detach().cpu()
    if not bool((there != 0.0).any()):
        return positions
    inverse = torch.linalg.pinv(there).to(positions.device)
    shifts = torch.round((positions - reference).detach() @ inverse)
    return positions - shifts @ rows


def weights(earlier: Tensor, positions: Tensor, ridge: float = HISTORY_RIDGE) -> Tensor:
    """c (n_kept,), Σ c = 1, of the combination of earlier positions (n_kept, n_atoms, 3) Å that
    comes closest to unwrapped positions (n_atoms, 3) Å. In float64: positions that lie on a line have a
    matrix that is the ridge but for rounding."""
    steps = (earlier[1:] - earlier[0]).flatten(1).to(torch.float64)
    gram = steps @ steps.t()
    identity = torch.eye(gram.size(0), dtype=gram.dtype, device=gram.device)
    gram = gram + (ridge * torch.diagonal(gram).sum() + 1e-24) * identity
    along = steps @ (positions - earlier[0]).flatten().to(torch.float64)
    c = torch.linalg.solve_ex(gram, along)[0]  # unchecked: the ridge keeps it regular
    return torch.cat([1.0 - c.sum(dim=0, keepdim=True), c]).to(positions.dtype)


def guess(history: History, positions: Tensor) -> tuple[Tensor, Tensor]:
    """Charges (n_atoms,) and shells (n_atoms, 3) to begin with at unwrapped positions (n_atoms, 3)
    Å."""
    c = weights(history.positions, positions)
    return c @ history.charges, torch.tensordot(c, history.shells, dims=1)


def remember(
    history: History,
    positions: Tensor,
    charges: Tensor,
    shells: Tensor,
    length: int = HISTORY_LENGTH,
) -> History:
    """The history after one more solution; a solution at the newest positions takes their place."""
    same_atoms = (
        history.charges.size(0) > 0
        and history.charges.size(1) == charges.size(0)
        and history.charges.dtype == charges.dtype
    )
    if not same_atoms:
        return History(positions.unsqueeze(0), charges.unsqueeze(0), shells.unsqueeze(0))
    first = 1 if bool((positions == history.positions[0]).all()) else 0
    last = first + length - 1
    return History(
        torch.cat([positions.unsqueeze(0), history.positions[first:last]]),
        torch.cat([charges.unsqueeze(0), history.charges[first:last]]),
        torch.cat([shells.unsqueeze(0), history.shells[first:last]]),
    )
