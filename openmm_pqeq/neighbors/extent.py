"""Atoms far apart, for searches on a grid.

Along a direction n perpendicular to all periodic vectors images do not differ, and

    |r_ij| ≥ |(r_j − r_i)·n|,

so that an empty stretch longer than the cutoff may be shortened to a little more than the cutoff:
the pairs within the cutoff stay the same, and so do their shifts. The positions that come out are
for searches only.

vesin's grid has 10⁵ cells at most. It multiplies the numbers of cells along the three directions by
one factor to get there, and where one of them becomes zero so, it divides by it: the end of the
process. That is so for long or flat structures that are larger than any that this package can
compute, and for few atoms far apart, which occur.
"""

import torch
from torch import Tensor

MOST_CELLS = 1e5
"""Of vesin's grid."""

SLACK = 1.0
"""Å beyond the cutoff to which an empty stretch is shortened."""


def drawn_together(positions: Tensor, box: Tensor, periodic: Tensor, cutoff: float) -> Tensor:
    """Positions (n_atoms, 3) Å with the same pairs within the cutoff, for which there is a grid.

    Parameters
    ----------
    positions : (n_atoms, 3) Å, finite
    box : (3, 3) Å, rows
    periodic : (3,) bool
    cutoff : Å

    Raises
    ------
    ValueError
        where there is none
    """
    if positions.size(0) == 0 or _is_small(positions, box, periodic, cutoff):
        return positions
    rows = box * periodic.unsqueeze(1)
    across = torch.linalg.vector_norm(torch.linalg.pinv(rows), dim=[0])
    heights = 1.0 / across.clamp(min=1e-12)
    axes = torch.eye(3, dtype=box.dtype, device=box.device)
    if bool(periodic.any()):
        values, vectors = torch.linalg.eigh(rows.t() @ rows)
        axes = vectors.t()[values <= 1e-12 * values[2]]
    along = positions @ axes.t()
    shortened = without_gaps(along, cutoff)
    lengths = torch.cat([heights[periodic], spread(shortened)])
    if not has_grid(lengths / cutoff):
        raise ValueError(
            f"positions and cell: expected a space that a search within {cutoff} Å can divide, got "
            f"{positions.size(0)} atoms in one from {float(lengths.amin())} Å to "
            f"{float(lengths.amax())} Å across, empty stretches left away; are the lengths in Å? is "
            "the time step too long?"
        )
    return positions + (shortened - along) @ axes


def _is_small(
    positions: Tensor, box: Tensor, periodic: Tensor, cutoff: float, most: float = MOST_CELLS
) -> bool:
    """Whether no direction has more cells than the cube root of all; the usual case, told in
    microseconds."""
    longest = box.abs().max() * periodic.any()
    if not bool(periodic.all()):
        longest = torch.maximum(longest, spread(positions).amax())
    return float(longest) * 3.0**0.5 < cutoff * (most ** (1.0 / 3.0) - 1.0)


def spread(along: Tensor) -> Tensor:
    """Extent (k,) Å of coordinates (n_atoms, k) Å."""
    return along.amax(dim=0) - along.amin(dim=0)


def has_grid(lengths: Tensor, most: float = MOST_CELLS) -> bool:
    """Whether vesin has a grid for these three lengths, in cutoffs."""
    cells = torch.floor(lengths) + 1.0
    factor = (most / float(cells.prod())) ** (1.0 / 3.0)
    return factor >= 1.0 or float(torch.floor(lengths).clamp(min=1.0).amin()) * factor >= 1.0


def without_gaps(along: Tensor, cutoff: float, slack: float = SLACK) -> Tensor:
    """Coordinates (n_atoms, k) Å in the same order with no gap longer than cutoff + slack."""
    ordered, order = torch.sort(along, dim=0)
    gaps = torch.diff(ordered, dim=0).clamp(max=cutoff + slack)
    start = torch.zeros_like(ordered[:1])
    return torch.zeros_like(along).scatter(0, order, torch.cat([start, gaps]).cumsum(0))
