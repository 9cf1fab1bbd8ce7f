"""Directions: real spherical harmonics and their coupling, in the conventions of e3nn.

    Σ_m Y_lm(r̂)² = 2l + 1,   Y_1 = √3 (x, y, z)/r
    Y_l ∝ Σ C^{l−1,1,l} Y_{l−1} Y_1   (recursion: one small product of matrices per l, cheap to differentiate twice)

C^{l1,l2,l} couples l1 and l2 to l, irreps.py.
Geiger, Smidt, https://doi.org/10.48550/arXiv.2207.09453
"""

from collections.abc import Callable
from typing import Self

import torch
from torch import Tensor, nn

from openmm_pqeq.gnn.irreps import coupling


class ExactBuffers(nn.Module):
    """A module with constants that are exact in whatever dtype it is cast to, there and back; they
    are not saved."""

    def constants(self) -> dict[str, Tensor]:
        """Name → float64 tensor."""
        return {}

    def register_constants(self) -> None:
        """Make the buffers."""
        for name, value in self.constants().items():
            self.register_buffer(name, value, persistent=False)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        super()._apply(fn, recurse)
        for name, value in self.constants().items():
            setattr(self, name, value.to(getattr(self, name)))
        return self


class SphericalHarmonics(nn.Module):
    """Harmonics of the given degrees, side by side.

    Parameters
    ----------
    degrees : l of each block, in the order of the output; any order, each up to 8
    """

    def __init__(self, degrees: list[int]):
        super().__init__()
        self.degrees = list(degrees)
        self.raise_degree = nn.ModuleList(
            _RaiseDegree(degree) for degree in range(2, max(degrees, default=0) + 1)
        )

    def forward(self, directions: Tensor) -> Tensor:
        """Y (n_pairs, Σ(2l+1)) of unit vectors (n_pairs, 3); of any others, times length^l."""
        first = 3.0**0.5 * directions
        blocks = [torch.ones_like(directions[:, :1]), first]
        for step in self.raise_degree:
            blocks.append(step(blocks[-1], first))
        return torch.cat([blocks[degree] for degree in self.degrees], dim=1)


class _RaiseDegree(ExactBuffers):
    """Y_l from Y_{l−1} and Y_1."""

    product: Tensor

    def __init__(self, degree: int):
        super().__init__()
        self.degree = degree
        self.register_constants()

    def constants(self) -> dict[str, Tensor]:
        product = coupling(self.degree - 1, 1, self.degree)
        # along y Y_l is √(2l+1) at m = 0, in the middle, and zero beside it
        below, first, here = ((2 * l + 1) ** 0.5 for l in (self.degree - 1, 1, self.degree))  # noqa: E741
        value = below * first * product[self.degree - 1, 1, self.degree]
        return {"product": (product * (here / value)).flatten(0, 1)}

    def forward(self, below: Tensor, first: Tensor) -> Tensor:
        """(n_pairs, 2l+1)."""
        return (below.unsqueeze(2) * first.unsqueeze(1)).flatten(1) @ self.product
