"""Radial weights of many pairs from those at a few distances.

In training a radial network is evaluated anew at every step, for every pair: most of the work,
once the convolution is fast. As a function of the distance alone it is smooth,

    R(r) = Σ_k c_k(t) R(r_{s+k}),      r_n = (n + 1) r_c/N,     k = 0 … 5

with Lagrange's polynomials c_k of degree five through the nodes around r, so that the network is
evaluated at N nodes and not at thousands of pairs. The step of the nodes is 1/64 of a half wave of
the fastest radial function. This is made for float32: energies and gradients in the weights then
have the same error as those of the network at every pair (1e-6 of their length), forces one of 2e-5,
because a slope is a difference of nodes. Differentiable any number of times, in the distances and
in what is at the nodes.

`interpolation_reference` is the sum in plain torch; the operator (plugin/src/interpolation/) has
kernels for the CPU. Distances in Å.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from openmm_pqeq import ops
from openmm_pqeq.gnn.spherical import ExactBuffers

POINTS = 6
"""Nodes that a distance reads."""

NODES = 64
"""For each radial function of the basis."""


class Stencil(NamedTuple):
    """Where distances are between nodes.

    coefficients : (n_pairs, 6), c
    order : (n_pairs,) int64, the pairs, interval by interval
    begin : (n_intervals + 1,) int64, where in `order` those of each interval begin; interval s
        reads the nodes s to s + 5
    """

    coefficients: Tensor
    order: Tensor
    begin: Tensor


def lagrange() -> Tensor:
    """(6, 6) float64: c_k(t) = Σ_p t^p matrix[p, k], t counted from the middle of the six nodes."""
    places = torch.arange(POINTS, dtype=torch.float64) - 0.5 * (POINTS - 1)
    powers = places.unsqueeze(0) ** torch.arange(POINTS, dtype=torch.float64).unsqueeze(1)
    return torch.linalg.inv(powers.t())


class RadialNodes(ExactBuffers):
    """The nodes of a network.

    Parameters
    ----------
    cutoff : Å
    n_nodes : from cutoff/n_nodes to the cutoff
    """

    distances: Tensor
    polynomials: Tensor

    def __init__(self, cutoff: float, n_nodes: int):
        super().__init__()
        self.cutoff, self.n_nodes = float(cutoff), n_nodes
        self.register_constants()

    def constants(self) -> dict[str, Tensor]:
        steps = torch.arange(1, self.n_nodes + 1, dtype=torch.float64)
        return {"distances": steps * (self.cutoff / self.n_nodes), "polynomials": lagrange()}

    def forward(self, distances: Tensor) -> Stencil:
        """Where distances (n_pairs,) Å within the cutoff are."""
        n_intervals = self.n_nodes - 5
        place = distances * (self.n_nodes / self.cutoff) - 1.0
        interval = (place.detach().floor() - 2.0).clamp(0.0, float(n_intervals - 1))
        t = (place - interval - 2.5).unsqueeze(1)
        t2 = t * t
        powers = torch.cat([torch.ones_like(t), t, t2, t2 * t, t2 * t2, t2 * t2 * t], dim=1)
        index = interval.to(torch.int64)
        counts = torch.bincount(index, minlength=n_intervals)
        begin = torch.cat([counts.new_zeros(1), torch.cumsum(counts, 0)])
        return Stencil(powers @ self.polynomials, torch.argsort(index, stable=True), begin)


def interpolation_reference(table: Tensor, stencil: Stencil) -> Tensor:
    """(n_pairs, n_columns) from a table (n_nodes, n_columns)."""
    counts = stencil.begin[1:] - stencil.begin[:-1]
    intervals = torch.arange(counts.size(0), device=counts.device)
    first = torch.zeros_like(stencil.order)
    first[stencil.order] = torch.repeat_interleave(intervals, counts)
    rows = first.unsqueeze(1) + torch.arange(6, device=first.device)
    return (table[rows] * stencil.coefficients.unsqueeze(2)).sum(1)


def interpolation_native(table: Tensor, stencil: Stencil) -> Tensor:
    """`interpolation_reference` by the native operator."""
    values: Tensor = torch.ops.openmm_pqeq.interpolation(
        table, stencil.coefficients, stencil.order, stencil.begin
    )
    return values


interpolation = ops.pick("interpolation", interpolation_native, interpolation_reference)
