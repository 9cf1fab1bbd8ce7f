"""Radial weights of many pairs from those at a few distances.

In training a radial network is evaluated anew at every step, for every pair: most of the work,
once the convolution is fast. As a function of the distance alone it is smooth,

    R(r) = Σ_k c_k(t) R(r_{s+k}),      r_n = (n + 1) r_c/N,     k = 0 … 5

with Lagrange's polynomials c_k of degree five through the nodes around r (those on its side of a
kink, where an envelope has one), so that the network is evaluated at N nodes and not at thousands
of pairs. The step of the nodes is 1/64 of a half wave of
the fastest radial function. This is made for float32: energies and gradients in the weights then
have the same error as those of the network at every pair (1e-6 of their length), forces one of 2e-5,
because a slope is a difference of nodes. Differentiable any number of times, in the distances and
in what is at the nodes.

`interpolation_reference` is the sum in plain torch; the operator (plugin/src/interpolation/) has
kernels for the CPU. Distances in Å.
"""

import math
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
    n_nodes : up to the cutoff
    onset : Å, where the radial functions have a kink, if they have one: no polynomial goes across
    """

    distances: Tensor
    polynomials: Tensor

    def __init__(self, cutoff: float, n_nodes: int, onset: float | None = None):
        super().__init__()
        self.cutoff, self.onset = float(cutoff), float(cutoff if onset is None else onset)
        step = self.cutoff / n_nodes
        self.n_inner = max(POINTS, math.ceil(self.onset / step))
        self.n_outer = 0 if onset is None else POINTS + math.ceil((cutoff - self.onset) / step)
        self.register_constants()

    def constants(self) -> dict[str, Tensor]:
        inner = torch.linspace(0.0, self.onset, self.n_inner + 1, dtype=torch.float64)[1:]
        outer = torch.linspace(self.onset, self.cutoff, self.n_outer, dtype=torch.float64)
        return {"distances": torch.cat([inner, outer]), "polynomials": lagrange()}

    def forward(self, distances: Tensor) -> Stencil:
        """Where distances (n_pairs,) Å within the cutoff are."""
        within = distances <= self.onset
        place = distances * (self.n_inner / self.onset) - 1.0
        first, last = torch.zeros_like(place), torch.full_like(place, self.n_inner - 6.0)
        if self.n_outer > 0:
            scale = (self.n_outer - 1.0) / (self.cutoff - self.onset)
            place = torch.where(within, place, (distances - self.onset) * scale + self.n_inner)
            first = torch.where(within, first, torch.full_like(first, float(self.n_inner)))
            last = torch.where(within, last, last + self.n_outer)
        interval = torch.minimum(torch.maximum(place.detach().floor() - 2.0, first), last)
        t = (place - interval - 2.5).unsqueeze(1)
        t2 = t * t
        powers = torch.cat([torch.ones_like(t), t, t2, t2 * t, t2 * t2, t2 * t2 * t], dim=1)
        index = interval.to(torch.int64)
        counts = torch.bincount(index, minlength=self.n_inner + self.n_outer - 5)
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
