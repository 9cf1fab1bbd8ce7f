"""What the last two solutions say about the next one.

In dynamics positions move smoothly, and charges and shells with them. If the present positions are where a straight line through
the
last two would put them, more nearly than the last alone, the guess is that line through the last two solutions, 2x₁ − x₂; else it
is
the last solution. A guess is where the solver begins and nothing else, so barostat trials, minimisers and rewinds cost iterations
only.
"""

from typing import NamedTuple

import torch
from torch import Tensor


class History(NamedTuple):
    """The last two solutions, newest first: positions (2, n_atoms, 3) Å, charges (2, n_atoms) e, shells (2, n_atoms, 3) Å."""

    positions: Tensor
    charges: Tensor
    shells: Tensor


def guess(history: History, positions: Tensor) -> tuple[Tensor, Tensor]:
    """Charges (n_atoms,) and shells (n_atoms, 3) to begin with at `positions` (n_atoms, 3) Å."""
    moved = (positions - history.positions[0]).abs().max()
    off_line = (positions - 2.0 * history.positions[0] + history.positions[1]).abs().max()
    step = 1.0 if bool(off_line < moved) else 0.0
    charges = history.charges[0] + step * (history.charges[0] - history.charges[1])
    shells = history.shells[0] + step * (history.shells[0] - history.shells[1])
    return charges, shells


def remember(history: History, positions: Tensor, charges: Tensor, shells: Tensor) -> History:
    """The history after one more solution; the first one stands for both."""
    if history.charges.size(1) != charges.size(0):
        return History(torch.stack([positions, positions]), torch.stack([charges, charges]), torch.stack([shells, shells]))
    return History(
        torch.stack([positions, history.positions[0]]),
        torch.stack([charges, history.charges[0]]),
        torch.stack([shells, history.shells[0]]),
    )
