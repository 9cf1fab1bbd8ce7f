"""Directions: real spherical harmonics and their coupling, in the conventions of e3nn.

    Σ_m Y_lm(r̂)² = 2l + 1,   Y_1 = √3 (x, y, z)/r
    Y_l ∝ Σ C^{l−1,1,l} Y_{l−1} Y_1   (recursion: one small product of matrices per l, cheap to differentiate twice)

The coupling of l1 and l2 to l is √(2l+1) times the Wigner 3j symbol of `e3nn.o3.wigner_3j`.
Geiger, Smidt, https://doi.org/10.48550/arXiv.2207.09453
"""

from collections.abc import Callable
from typing import Self

import torch
from e3nn import o3
from torch import Tensor, nn


def coupling(l1: int, l2: int, l3: int) -> Tensor:
    """√(2 l3 + 1) wigner_3j(l1, l2, l3): (2 l1 + 1, 2 l2 + 1, 2 l3 + 1), float64."""
    return (2 * l3 + 1) ** 0.5 * o3.wigner_3j(l1, l2, l3, dtype=torch.float64)


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
        z = torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64)
        degrees = (self.degree - 1, 1, self.degree)
        below, first, here = (
            o3.spherical_harmonics(degree, z, False, normalization="component")
            for degree in degrees
        )
        value = torch.einsum("i,j,ijk->k", below, first, product)
        return {"product": (product * (here @ here / (here @ value))).flatten(0, 1)}

    def forward(self, below: Tensor, first: Tensor) -> Tensor:
        """(n_pairs, 2l+1)."""
        return (below.unsqueeze(2) * first.unsqueeze(1)).flatten(1) @ self.product
