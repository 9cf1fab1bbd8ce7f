"""The radial network of a layer as a table: one polynomial per interval of the distance.

    R(r) = Σ_k c_k[n] t^k,   t = (u(r) − u_n)/(u_{n+1} − u_n),   u(r) = r/(r + 2 Å)

The polynomials are Hermite's: at every knot value, slope and curvature of the network are met
exactly (in float64 the third derivative as well), so R has two (three) continuous derivatives and
its slope is the derivative of exactly what is evaluated. The knots are even in u, denser where
atoms are close and the network varies fastest; the onset of the xplor envelope, where the network
has a kink in its curvature, is one of them: the interval before it is made from the inner side of
the kink, the one after it from the outer side. The number of knots comes from a stated error of
value and slope, looked for in every interval.

Why not cubic: a slope from float32 values at knots h apart has an error of ε/h, 5e-5 at the 4096
knots that the truncation error of a cubic asks for. Polynomials of degree 5 need an eighth of the
knots, and coefficients c_k, computed in float64 and rounded once, give slopes as exact as values.
Distances in Å.
"""

import math
from collections.abc import Callable, Iterator
from functools import partial

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

PROBES = ((5.0 - 5.0**0.5) / 10.0, (5.0 + 5.0**0.5) / 10.0)
"""Places t in every interval where it is compared with the network: the slope of t³(1 − t)³, the
error of a polynomial of degree 5, is largest there, and the error of a wrong end is not zero."""

SAMPLES = 401
"""Distances from which the largest value and slope are taken, the scale of errors."""


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
        scales = scales_of(radial, self.cutoff)
        while self.error > TOLERANCES[dtype] and n_intervals <= MOST:
            self.grid = grid_of(self.cutoff, n_intervals)
            rows, self.error = [], 0.0
            for knots, scale, block in blocks(radial, self.grid, DERIVATIVES[dtype]):
                self.error = max(self.error, error_of(radial, knots[:-1], scale, block, scales))
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
) -> Iterator[tuple[Tensor, float, Tensor]]:
    """`BLOCK` intervals after the other: their knots in u (n_rows + 1,), intervals per unit of u,
    and coefficients (n_rows, 2·(n_derivatives + 1), n_weights)."""
    hermite = _hermite(n_derivatives)
    for zone in (0, 3):
        start, scale, n = grid[zone], grid[zone + 1], int(grid[zone + 2])
        for low in range(0, n, BLOCK):
            high = min(low + BLOCK, n)
            knots = start + torch.arange(low, high + 1, dtype=torch.float64) / scale
            if zone == 0 and high == n:
                knots[-1] = beside_onset(grid, inside=True)
            if zone == 3 and low == 0:
                knots[0] = beside_onset(grid, inside=False)
            derivatives = taylor(lambda u: radial(distance(u)), knots, n_derivatives)
            scaled = torch.stack([value / scale**d for d, value in enumerate(derivatives)])
            ends = torch.cat([scaled[:, :-1], scaled[:, 1:]])
            yield knots, scale, torch.einsum("kd,dnw->nkw", hermite, ends)


def distance(u: Tensor) -> Tensor:
    """r (Å) at u."""
    return SOFTENING * u / (1.0 - u)


def beside_onset(grid: list[float], inside: bool) -> float:
    """The u next to the onset of the envelope whose distance is on the side asked for.

    The envelope compares distances, and r(u) of the onset's own u may round to either side.
    """
    onset = grid[6] - XPLOR_WIDTH
    u = grid[3]
    while (float(distance(torch.tensor(u, dtype=torch.float64))) < onset) != inside:
        u = math.nextafter(u, 0.0 if inside else 1.0)
    return u


def taylor(function: Callable[[Tensor], Tensor], x: Tensor, n: int) -> list[Tensor]:
    """The function at x (n_points,) and its first n derivatives, each (n_points, n_weights)."""

    def derivatives(y: Tensor, order: int) -> list[Tensor]:
        if order == 0:
            return [function(y)]
        lower, slopes = jvp(lambda z: derivatives(z, order - 1), (y,), (torch.ones_like(y),))
        return [lower[0], *slopes]

    return derivatives(x, n)


def scales_of(radial: Callable[[Tensor], Tensor], cutoff: float) -> list[Tensor]:
    """Largest value and slope of each weight from `SHORTEST` to the cutoff, each (n_weights,)."""
    first, last = (r / (r + SOFTENING) for r in (SHORTEST, cutoff))
    u = torch.linspace(first, last, SAMPLES + 2, dtype=torch.float64)[1:-1]
    tiny = torch.finfo(torch.float64).tiny
    return [value.abs().amax(0).clamp(min=tiny) for value in taylor(radial, distance(u), 1)]


def error_of(
    radial: Callable[[Tensor], Tensor],
    starts: Tensor,
    scale: float,
    coefficients: Tensor,
    scales: list[Tensor],
) -> float:
    """Largest relative error of value and slope, as in `TOLERANCES`, at the probes of every
    interval that is not wholly below `SHORTEST`.

    starts : (n_rows,) u of the knots at which the intervals begin
    scale : intervals per unit of u
    """
    kept = distance(starts + 1.0 / scale) > SHORTEST
    if not bool(kept.any()):
        return 0.0
    starts, rows = starts[kept], coefficients[kept]
    largest = 0.0
    for place in PROBES:
        u = starts + place / scale
        r = distance(u)
        exact = taylor(radial, r, 1)
        t = torch.full_like(r, place)
        value, slope = taylor(partial(_at_places, rows), t, 1)
        slope = slope * (scale * SOFTENING / (r + SOFTENING) ** 2).unsqueeze(1)  # dt/dr
        for ours, theirs, largest_of in zip((value, slope), exact, scales):
            largest = max(largest, float(((ours - theirs).abs() / largest_of).max()))
    return largest


def _at_places(coefficients: Tensor, places: Tensor) -> Tensor:
    return evaluated(coefficients, places.unsqueeze(1))


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
