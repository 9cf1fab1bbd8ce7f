"""How fine a particle mesh has to be.

A spline of order p on a mesh of spacing h takes a wave k for its images k + 2πm/h, with amplitudes of
(kh/2π)^p. In forces these images have the slope 2π/h. On a charge c among charges of mean square ⟨c²⟩
at a density n, all as if at random places, with Gaussians of γ:

    δF² = c² n ⟨c²⟩ ∫ d³k/(2π)³ (4πk_e/k²)² exp(−k²/2γ²) · 2 (2π/h)² (kh/2π)^2p
        = 8 k_e² c² n ⟨c²⟩ (h/2π)^(2p−2) (2γ²)^(p−½) Γ(p−½)

Against direct sums, of rattled BaTiO3 with free charges and with bonds, orders 8 to 12: the largest
component of all forces is 0.7 to 1.8 times this δF, their root mean square 0.3 to 0.7 times.

In skewed cells images are farther than 2π/h: with Ê the unit vectors along the cell's edges, the slopes
of the three are the rows of (2π/h) Ê⁻ᵀ, at most 1/σ of 2π/h in any direction, σ the least singular value
of Ê. Errors of charges grow as that, those of dipoles, the larger ones, as its square,

    steepness = 1/σ²,

1 at right angles, 2 at 60° and 120°, 17 where all three angles are 20°. With it rattled BaTiO3 in cells
down to 14° is within 0.2 of the tolerance (parameters `response`, tolerances of 1e-3 to 1e-7), without it
up to 11 times beyond (springs of 30 kcal/mol/Å², with it at most 1.4 times). Å, eV, e.
"""

import math

import torch
from torch import Tensor

from openmm_pqeq.pqeq import constants
from openmm_pqeq.pqeq.coulomb.ewald import decay

DENSITY = 0.1
"""Å⁻³, atoms of dense solids."""
FINER = 1.15
"""How much finer than the shortest wave of the direct sum a mesh is: wider ones need higher orders."""
LOWEST_ORDER, HIGHEST_ORDER = 8, 12
ROUGH_ORDER = 6
ROUGH_ERROR = 2e-3
"""eV/Å of unit charges, δF of the mesh of Hessian–vector products."""


def steepness(box: Tensor) -> float:
    """Of a cell (3, 3) Å, at least 1."""
    edges = box / torch.sqrt((box * box).sum(dim=1, keepdim=True))
    return 1.0 / float(torch.linalg.svdvals(edges)[2]) ** 2


def mesh_error(
    spacing: float, gamma: float, order: int, charges: float, density: float = DENSITY
) -> float:
    """δF, eV/Å, at right angles; spacing Å, gamma Å⁻¹ of the narrowest Gaussian, charges c √⟨c²⟩
    (e²)."""
    logarithm = (
        math.log(8.0 * density)
        + (2.0 * order - 2.0) * math.log(0.5 * spacing / math.pi)
        + (order - 0.5) * math.log(2.0 * gamma * gamma)
        + math.lgamma(order - 0.5)
    )
    return constants.COULOMB * charges * math.exp(0.5 * logarithm)


def mesh_spacing(
    gamma: float,
    tolerance: float,
    charges: float,
    finer: float = FINER,
    highest: int = HIGHEST_ORDER,
) -> float:
    """The widest spacing (Å) that splines of the highest order keep within `tolerance` (eV/Å), no
    wider than what the shortest wave of the direct sum needs."""
    widest = math.pi / (2.0 * gamma * decay(tolerance) * finer)
    excess = mesh_error(widest, gamma, highest, charges) / tolerance
    return widest / max(1.0, excess) ** (1.0 / (highest - 1.0))


def rough_spacing(
    gamma: float, steep: float, order: int = ROUGH_ORDER, error: float = ROUGH_ERROR
) -> float:
    """The spacing (Å) of the mesh of Hessian–vector products, in a cell of this steepness."""
    return (error / mesh_error(1.0, gamma, order, steep)) ** (1.0 / (order - 1.0))


def spline_order(
    spacing: float,
    gamma: float,
    tolerance: float,
    charges: float,
    lowest: int = LOWEST_ORDER,
    highest: int = HIGHEST_ORDER,
) -> int:
    """The lowest even order that keeps forces within `tolerance` (eV/Å), up to the highest."""
    order = lowest
    while order < highest and mesh_error(spacing, gamma, order, charges) > tolerance:
        order += 2
    return order


def smooth_size(least: float) -> int:
    """The smallest even number of points with no prime factor above 5 that is at least `least`."""
    n = 2 * max(1, math.ceil(0.5 * least))
    while _rest(n) > 1:
        n += 2
    return n


def rough_size(size: list[int], coarser: float) -> list[int]:
    """Points of the mesh of products, from those of the mesh that is so much finer."""
    return [
        smooth_size(size[0] / coarser),
        smooth_size(size[1] / coarser),
        smooth_size(size[2] / coarser),
    ]


def _rest(n: int) -> int:
    for factor in [2, 3, 5]:
        while n % factor == 0:
            n = n // factor
    return n
