"""Interaction of two Gaussian charges, and its derivatives.

    f(r) = k_e erf(γr)/r,   γ_ij = sqrt(α_i α_j/(α_i + α_j)),   α_i = λ/(2R_i²),   λ = 0.462770

A radial function is handed on as the triple (f, f1, f2) with f1 = f'/r and f2 = (f'' − f'/r)/r²,
because then, for a separation d,

    ∇f = f1 d        ∇∇f = f1 1 + f2 d dᵀ.

λ: Naserifar et al., J. Chem. Phys. 146, 124117 (2017), doi:10.1063/1.4978891. The taper: Gao et
al., Nat. Commun. 16, 10484 (2025). Å, eV, e. Everything here may be differentiated any number of
times in r and γ.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from openmm_pqeq import ops
from openmm_pqeq.pqeq import constants

WIDTH_SCALE = 0.462770
"""λ, relates a Gaussian's exponent to the radius: α = λ/(2R²)."""
SERIES_TERMS = 14
"""Terms of erf's power series below γ²r² = ¼: the first one left out is below 1e-17."""


class Radial(NamedTuple):
    """A radial function and its derivatives: f, f'/r, (f'' − f'/r)/r²."""

    value: Tensor
    first: Tensor
    second: Tensor


def gaussian_exponents(radius: Tensor, width_scale: float = WIDTH_SCALE) -> Tensor:
    """α = λ/(2R²) in Å⁻², from radii in Å."""
    return 0.5 * width_scale / radius**2


def pair_exponents(exponent_i: Tensor, exponent_j: Tensor) -> Tensor:
    """γ_ij in Å⁻¹ from the exponents of the two Gaussians."""
    return torch.sqrt(exponent_i * exponent_j / (exponent_i + exponent_j))


def gaussian_self_energy(radius: Tensor) -> Tensor:
    """2k_e γ_ii/√π in eV/e², the interaction of a Gaussian with itself, from radii in Å. A hardness
    below it leaves the charges without a minimum."""
    exponent = gaussian_exponents(radius)
    return constants.COULOMB * constants.TWO_OVER_SQRT_PI * pair_exponents(exponent, exponent)


def dipole_self_energy(radius: Tensor) -> Tensor:
    """4k_e γ_ii³/(3√π) in eV/(e Å)², the interaction of a Gaussian dipole with itself, from radii in
    Å. A spring below Z² times it leaves linear dipoles without a minimum."""
    exponent = gaussian_exponents(radius)
    gamma = pair_exponents(exponent, exponent)
    return (2.0 / 3.0) * constants.COULOMB * constants.TWO_OVER_SQRT_PI * gamma**3


def coulomb(distance: Tensor, gamma: Tensor) -> Tensor:
    """k_e erf(γr)/r in eV/e²."""
    return constants.COULOMB * torch.erf(gamma * distance) / distance


def coulomb_radial_reference(distance: Tensor, gamma: Tensor) -> Radial:
    """k_e erf(γr)/r and derivatives, for separations that are not small against the widths (γr >
    0.1)."""
    inverse_square = 1.0 / (distance * distance)
    gamma_square = gamma * gamma
    value = coulomb(distance, gamma)
    gauss = (
        (constants.COULOMB * constants.TWO_OVER_SQRT_PI)
        * gamma
        * torch.exp(-gamma_square * distance * distance)
    )
    first = (gauss - value) * inverse_square
    second = (-2.0 * gamma_square * gauss - 3.0 * first) * inverse_square
    return Radial(value, first, second)


def coulomb_radial_native(distance: Tensor, gamma: Tensor) -> Radial:
    """`coulomb_radial_reference` by the native operator, which runs on every device."""
    value, first, second = torch.ops.openmm_pqeq.coulomb_radial(distance, gamma)
    return Radial(value, first, second)


coulomb_radial = ops.pick("coulomb_radial", coulomb_radial_native, coulomb_radial_reference)


def coulomb_radial_near_zero(
    separation: Tensor, gamma: Tensor, terms: int = SERIES_TERMS
) -> Radial:
    """`coulomb_radial` for separations (n, 3) down to zero, by the power series in γ²r² where that
    is below ¼."""
    square = (separation * separation).sum(dim=1)
    y = gamma * gamma * square
    small = y < 0.25
    far = coulomb_radial(torch.sqrt(torch.where(small, torch.ones_like(square), square)), gamma)
    y = torch.where(small, y, torch.zeros_like(y))
    prefactor = (constants.COULOMB * constants.TWO_OVER_SQRT_PI) * gamma
    # f = prefactor Σ (−y)ⁿ/(n! (2n+1)); derivatives with respect to r² follow term by term
    value, first, second = torch.zeros_like(y), torch.zeros_like(y), torch.zeros_like(y)
    for n in range(terms - 1, -1, -1):
        coefficient = (-1.0) ** n / (math.factorial(n) * (2 * n + 1))
        value = coefficient + y * value
        if n >= 1:
            first = n * coefficient + y * first
        if n >= 2:
            second = n * (n - 1) * coefficient + y * second
    gamma_square = gamma * gamma
    return Radial(
        torch.where(small, prefactor * value, far.value),
        torch.where(small, 2.0 * prefactor * gamma_square * first, far.first),
        torch.where(small, 4.0 * prefactor * gamma_square * gamma_square * second, far.second),
    )


def taper(distance: Tensor, cutoff: float) -> Tensor:
    """ReaxNet's taper T(x = r/cutoff) = 1 − 35x⁴ + 84x⁵ − 70x⁶ + 20x⁷, not clamped beyond x = 1."""
    x = distance / cutoff
    return 1.0 + x**4 * (-35.0 + x * (84.0 + x * (-70.0 + x * 20.0)))


def tapered_coulomb(distance: Tensor, gamma: Tensor, cutoff: float) -> tuple[Tensor, Tensor]:
    """f = k_e erf(γr)/r·T(r) and f'/r."""
    plain = coulomb_radial(distance, gamma)
    t = taper(distance, cutoff)
    x = distance / cutoff
    taper_gradient = -140.0 * (x * (1.0 - x)) ** 3 / (cutoff * distance)
    return plain.value * t, plain.first * t + plain.value * taper_gradient
