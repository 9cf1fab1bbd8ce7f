"""The radial network of a layer as a table: one polynomial per interval of the distance.

    R(r) = Σ_k c_k[n] t^k,   t = (u(r) − u_n)/(u_{n+1} − u_n),   u(r) = r/(r + 2 Å)

The polynomials are Hermite's: at every knot value, slope and curvature of the network are met
exactly (in float64 the third derivative as well), so R has two (three) continuous derivatives and
its slope is the derivative of exactly what is evaluated. The knots are even in u, denser where
atoms are close and the network varies fastest; the onset of the xplor envelope, where the network
has a kink in its curvature, is one of them. Their number comes from a stated error of value and
slope.

Why not cubic: a slope from float32 values at knots h apart has an error of ε/h, 5e-5 at the 4096
knots that the truncation error of a cubic asks for. Polynomials of degree 5 need an eighth of the
knots, and coefficients c_k, computed in float64 and rounded once, give slopes as exact as values.
Distances in Å.
"""

import math
from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn
from torch.func import jvp

from openmm_pqeq.gnn.radial import XPLOR_WIDTH

SOFTENING = 2.0
"""Å in u(r): of 0.5, 1, 2 and ∞, that which needs the fewest knots for the networks measured."""

FIRST_KNOT = 0.05
"""Å: no two atoms are closer (potential.check_distances); below it the first polynomial
continues."""

SHORTEST = 0.5
"""Å: the stated error holds from here to the cutoff."""

DERIVATIVES = {torch.float32: 2, torch.float64: 3}
"""How many derivatives are met at the knots."""

TOLERANCES = {torch.float32: 3e-7, torch.float64: 3e-10}
"""Largest error of a weight and of its slope, relative to the largest value and slope that it takes
from `SHORTEST` on."""

FEWEST = {torch.float32: 256, torch.float64: 512}
"""Intervals to begin with; doubled until the error is small enough."""

MOST = 16384
"""Intervals at which the doubling ends; `RadialTable.error` tells what was reached."""

BLOCK = 64
"""Intervals made at a time, which bounds the memory that takes."""

SAMPLES = 401
"""Distances at which a table is compared with its network."""


class RadialTable(nn.Module):
    """Weights of all paths from the distance.

    Parameters
    ----------
    radial : distances (n,) Å → weights (n, n_weights), float64, differentiable with
        `torch.func.jvp`; smooth but at the xplor onset
    cutoff : Å
    dtype : of the table; its precision decides on the degree and on the number of intervals
    """

    coefficients: Tensor
    grid: list[float]

    def __init__(self, radial: Callable[[Tensor], Tensor], cutoff: float, dtype: torch.dtype):
        super().__init__()
        self.cutoff = float(cutoff)
        n_intervals, self.error = FEWEST[dtype], math.inf
        exact = _Exact(radial, self.cutoff)
        while self.error > TOLERANCES[dtype] and n_intervals <= MOST:
            self.grid = grid_of(self.cutoff, n_intervals)
            rows, self.error = [], 0.0
            for first, block in blocks(radial, self.grid, DERIVATIVES[dtype]):
                self.error = max(self.error, exact.error_of(self.grid, first, block))
                rows.append(block.to(dtype))
            n_intervals *= 2
        self.register_buffer("coefficients", torch.cat(rows), persistent=False)

    def forward(self, distances: Tensor) -> Tensor:
        """Weights (n_pairs, n_weights) at distances (n_pairs,) Å; zero from the cutoff on."""
        row, t = locate(distances, self.grid)
        weights = evaluated(self.coefficients[row], t.to(self.coefficients.dtype).unsqueeze(1))
        return torch.where(
            (distances < self.cutoff).unsqueeze(1), weights, torch.zeros_like(weights)
        )


def locate(distances: Tensor, grid: list[float]) -> tuple[Tensor, Tensor]:
    """Interval (n,) int64 and place in it t (n,) float64 of distances (n,) Å.

    grid : u of the first knot, intervals per unit of u, number of intervals; the same from the
        onset to the cutoff; the cutoff; the softening in u
    """
    r = distances.to(torch.float64)
    u = r / (r + grid[7])
    outside = u >= grid[3]
    place = torch.where(outside, (u - grid[3]) * grid[4], (u - grid[0]) * grid[1])
    last = torch.where(outside, grid[5] - 1.0, grid[2] - 1.0)
    interval = torch.minimum(place.floor().clamp(min=0.0), last)
    row = torch.where(outside, interval + grid[2], interval)
    return row.to(torch.int64), place - interval


def evaluated(coefficients: Tensor, t: Tensor) -> Tensor:
    """Σ_k c_k t^k from (n, n_coefficients, n_weights) and (n, 1)."""
    value = coefficients[:, -1]
    for k in range(coefficients.size(1) - 2, -1, -1):
        value = value * t + coefficients[:, k]
    return value


def grid_of(cutoff: float, n_intervals: int) -> list[float]:
    """The grid, as in `locate`, of about `n_intervals` intervals."""
    first, onset, end = (r / (r + SOFTENING) for r in (FIRST_KNOT, cutoff - XPLOR_WIDTH, cutoff))
    step = (end - first) / n_intervals
    n_inner, n_outer = math.ceil((onset - first) / step), math.ceil((end - onset) / step)
    return [
        first,
        n_inner / (onset - first),
        float(n_inner),
        onset,
        n_outer / (end - onset),
        float(n_outer),
        cutoff,
        SOFTENING,
    ]


def blocks(
    radial: Callable[[Tensor], Tensor], grid: list[float], n_derivatives: int
) -> Iterator[tuple[int, Tensor]]:
    """First row and coefficients (n_rows, 2·(n_derivatives + 1), n_weights) of `BLOCK` intervals
    after the other."""
    hermite = _hermite(n_derivatives)
    for zone, before in ((0, 0), (3, int(grid[2]))):
        start, scale, n = grid[zone], grid[zone + 1], int(grid[zone + 2])
        for low in range(0, n, BLOCK):
            high = min(low + BLOCK, n)
            knots = start + torch.arange(low, high + 1, dtype=torch.float64) / scale
            if zone == 0 and high == n:
                knots[-1] = math.nextafter(grid[3], 0.0)  # the inner side of the kink
            derivatives = taylor(lambda u: radial(SOFTENING * u / (1.0 - u)), knots, n_derivatives)
            scaled = torch.stack([value / scale**d for d, value in enumerate(derivatives)])
            yield (
                before + low,
                torch.einsum("kd,dnw->nkw", hermite, torch.cat([scaled[:, :-1], scaled[:, 1:]])),
            )


def taylor(function: Callable[[Tensor], Tensor], x: Tensor, n: int) -> list[Tensor]:
    """The function at x (n_points,) and its first n derivatives, each (n_points, n_weights)."""
    if n == 0:
        return [function(x)]

    def slope(y: Tensor) -> Tensor:
        return jvp(function, (y,), (torch.ones_like(y),))[1]

    return [function(x), *taylor(slope, x, n - 1)]


def _hermite(n_derivatives: int) -> Tensor:
    """From derivatives at t = 0, then at t = 1, to the coefficients of the polynomial that has
    them."""
    m = n_derivatives + 1
    conditions = torch.zeros(2 * m, 2 * m, dtype=torch.float64)
    for d in range(m):
        conditions[d, d] = math.factorial(d)
        for k in range(d, 2 * m):
            conditions[m + d, k] = math.factorial(k) / math.factorial(k - d)
    return torch.linalg.inv(conditions)


class _Exact:
    """The network between the knots, to compare tables with."""

    def __init__(self, radial: Callable[[Tensor], Tensor], cutoff: float):
        first, last = (r / (r + SOFTENING) for r in (SHORTEST, cutoff))
        u = torch.linspace(first, last, SAMPLES + 2, dtype=torch.float64)[1:-1]
        self.distances = SOFTENING * u / (1.0 - u)
        self.exact = taylor(radial, self.distances, 1)
        self.scales = [
            value.abs().amax(0).clamp(min=torch.finfo(torch.float64).tiny) for value in self.exact
        ]

    def error_of(self, grid: list[float], first: int, coefficients: Tensor) -> float:
        """Largest relative error of value and slope, as in `TOLERANCES`, in the rows from `first`
        on."""
        row = locate(self.distances, grid)[0] - first
        here = torch.nonzero((row >= 0) & (row < len(coefficients))).squeeze(1)
        if len(here) == 0:
            return 0.0
        rows = coefficients[row[here]]

        def table(r: Tensor) -> Tensor:
            return evaluated(rows, locate(r, grid)[1].unsqueeze(1))

        found = taylor(table, self.distances[here], 1)
        errors = [
            (value - exact[here]).abs() / scale
            for value, exact, scale in zip(found, self.exact, self.scales)
        ]
        return float(torch.stack(errors).max())
