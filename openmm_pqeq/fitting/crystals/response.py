"""Charges by bonds in small crystals: the solution, Born charges and ε∞, a batch at a time.

    q − Q⁰ + L V = D F + Σ_b σ_b B_b h_b,   M_μ y = F,   V = χ + (M y)_q,   y = (q, μ)
    L = Σ_b σ_b B_b B_bᵀ,   D = Σ_b σ_b B_b d_bᵀ,   G = Σ_b σ_b d_b d_bᵀ

with the diagonals of M: η less a Gaussian's interaction with itself, K less that of a dipole. Both
are positive, so M is, and there is one solution. With X = ∂/∂F,

    α = G − Dᵀ X_V + Σ X_μ,   ε∞ = 1 + 4πk_e α/V
    Z*_i = −∂(∇_i E_C)/∂F + q_i 1 + Σ_b B_ib (σ_b h'_b + σ'_b (h_b − ΔV_b)) (d_b − ΔX_V,b) r̂_b

Derivatives in the parameters: y solves R(y, θ) = 0, so that y − J⁻¹R(y, θ) with J fixed has its
value and its first derivative; everything else is explicit, and torch's forward mode does it. No
matrix is ever differentiated (widths: see waves.py). Å, eV, e, V/Å; float64.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from openmm_pqeq.fitting.crystals.bonds import (
    Bonds,
    OfLength,
    lean_of,
    softness_of,
)
from openmm_pqeq.fitting.crystals.waves import (
    SECOND,
    Interaction,
    Waves,
    growth_of,
    interaction,
    widened,
)
from openmm_pqeq.pqeq.coulomb.kernels import dipole_self_energy, gaussian_self_energy
from openmm_pqeq.units import COULOMB


class Rows(NamedTuple):
    """Parameters by atom, (b, n): χ eV, η eV, K/Z² eV/(e Å)², R Å, σ e/√eV, a, χ' eV."""

    electronegativity: Tensor
    hardness: Tensor
    stiffness: Tensor
    radius: Tensor
    softness: Tensor
    decay: Tensor
    slope: Tensor


class Geometry(NamedTuple):
    """Crystals of a batch: waves, bonds, volumes (b,) Å³, reference charges (b, n) e."""

    waves: Waves
    bonds: Bonds
    volumes: Tensor
    reference: Tensor


class Solved(NamedTuple):
    """moments : (b, 4, n, 4) charges and dipoles, and their derivatives in the field
    inverse : (b, 4n, 4n) J⁻¹; radius : (b, n) Å at which `waves` was made"""

    moments: Tensor
    inverse: Tensor
    matrices: Interaction
    radius: Tensor


class Response(NamedTuple):
    """born : (b, n, 3, 3) e [atom, field, force]; epsilon : (b, 3, 3); charges : (b, n) e;
    dipoles : (b, n, 3) e Å."""

    born: Tensor
    epsilon: Tensor
    charges: Tensor
    dipoles: Tensor


def solve(geometry: Geometry, rows: Rows) -> Solved:
    """The dense solution."""
    matrices = interaction(geometry.waves, rows.radius)
    b, n = rows.radius.shape
    soft = softness_of(geometry.bonds, rows.softness, rows.decay)
    weighted = soft.value.unsqueeze(2) * geometry.bonds.incidence
    flow = weighted.transpose(1, 2) @ geometry.bonds.incidence
    matrix = matrices.values[:, : 4 * n] + torch.diag_embed(_diagonal(rows).reshape(b, 4 * n))
    jacobian = matrix.clone()
    jacobian[:, :n] = flow @ matrix[:, :n]
    jacobian[:, :n, :n] += torch.eye(n, dtype=matrix.dtype)
    inverse = torch.linalg.inv(jacobian)
    source = matrix.new_zeros(b, 4, n, 4)
    source[:, 0] = weighted.transpose(1, 2) @ _reach(geometry.bonds, rows)
    source[:, 0, :, 0] += geometry.reference - (flow @ rows.electronegativity.unsqueeze(2))[..., 0]
    source[:, 1:, :, 1:] = torch.eye(3, dtype=matrix.dtype).unsqueeze(1)
    moments = (inverse @ source.reshape(b, 4 * n, 4)).reshape(b, 4, n, 4)
    return Solved(moments, inverse, matrices, rows.radius)


def _reach(bonds: Bonds, rows: Rows) -> Tensor:
    """h_b and its derivative in the field, d_b, (b, n_bonds, 4)."""
    return torch.cat([lean_of(bonds, rows.slope).value.unsqueeze(2), bonds.vectors], dim=2)


def _diagonal(rows: Rows) -> Tensor:
    """What the diagonal of M has beside the sum over waves, (b, 4, n)."""
    charge = rows.hardness - gaussian_self_energy(rows.radius)
    dipole = rows.stiffness - dipole_self_energy(rows.radius)
    return torch.stack([charge, dipole, dipole, dipole], dim=1)


def response(geometry: Geometry, rows: Rows, solved: Solved) -> Response:
    """Born charges and ε∞; differentiable once in the parameters where `solved` is their solution."""
    bonds = geometry.bonds
    soft, lean = softness_of(bonds, rows.softness, rows.decay), lean_of(bonds, rows.slope)
    growth = growth_of(rows.radius, solved.radius)
    y = solved.moments
    y = y - _step(geometry, rows, solved, soft, growth, y)
    fields = widened(solved.matrices, growth, y)
    potential = _potential(rows, fields, y)
    drive = _reach(bonds, rows) - bonds.incidence @ potential  # p_b/σ_b, and in the field
    dp = drive[..., 1:]
    alpha = torch.einsum("bm,bmx,bmy->bxy", soft.value, bonds.vectors, dp) + y[:, 1:, :, 1:].sum(2)
    epsilon = torch.eye(3, dtype=y.dtype) + _four_pi(geometry) * alpha
    unit = bonds.vectors / bonds.lengths.unsqueeze(2)
    pull = soft.slope * drive[..., 0] + soft.value * lean.slope
    force = pull.unsqueeze(2) * unit
    by_bonds = torch.einsum("bmi,bma,bmx->biax", bonds.incidence, dp, force)
    own = y[:, 0, :, 0, None, None] * torch.eye(3, dtype=y.dtype)
    born = own - _displaced(y, fields) + by_bonds
    return Response(born, epsilon, y[:, 0, :, 0], y[:, 1:, :, 0].transpose(1, 2))


def _four_pi(geometry: Geometry) -> Tensor:
    return (4 * math.pi * COULOMB / geometry.volumes).view(-1, 1, 1)


def _potential(rows: Rows, fields: Tensor, y: Tensor) -> Tensor:
    """V and its derivative in the field, (b, n, 4)."""
    own = (rows.hardness - gaussian_self_energy(rows.radius)).unsqueeze(2) * y[:, 0]
    chi = torch.nn.functional.pad(rows.electronegativity.unsqueeze(2), (0, 3))
    return fields[:, 0] + own + chi


def _step(
    geometry: Geometry, rows: Rows, solved: Solved, soft: OfLength, growth: Tensor, y: Tensor
) -> Tensor:
    """J⁻¹R(y, θ), zero at the solution."""
    bonds = geometry.bonds
    fields = widened(solved.matrices, growth, y)
    potential = _potential(rows, fields, y)
    moved = soft.value.unsqueeze(2) * (_reach(bonds, rows) - bonds.incidence @ potential)
    reference = torch.nn.functional.pad(geometry.reference.unsqueeze(2), (0, 3))
    charges = y[:, 0] - reference - bonds.incidence.transpose(1, 2) @ moved
    own = (rows.stiffness - dipole_self_energy(rows.radius)).unsqueeze(2).unsqueeze(1)
    field = torch.nn.functional.pad(torch.eye(3, dtype=y.dtype), (1, 0)).unsqueeze(1)
    dipoles = fields[:, 1:4] + own * y[:, 1:] - field
    residual = torch.cat([charges.unsqueeze(1), dipoles], dim=1)
    b, _, n, m = y.shape
    return (solved.inverse @ residual.reshape(b, 4 * n, m)).reshape(b, 4, n, m)


def _displaced(y: Tensor, fields: Tensor) -> Tensor:
    """∂(∇_i E_C)/∂F, (b, n, 3 field, 3 displacement)."""
    gradient = fields[:, 1:4]
    second = torch.stack(
        [torch.stack([fields[:, component] for component in row], dim=1) for row in SECOND], dim=1
    )  # (b, 3, 3, n, 4)
    charge, dipole = y[:, 0], y[:, 1:]
    by_charge = torch.einsum("bia,bxi->biax", charge[..., 1:], gradient[..., 0]) + torch.einsum(
        "bi,bxia->biax", charge[..., 0], gradient[..., 1:]
    )
    by_dipole = torch.einsum("byia,bxyi->biax", dipole[..., 1:], second[..., 0]) + torch.einsum(
        "byi,bxyia->biax", dipole[..., 0], second[..., 1:]
    )
    return by_charge + by_dipole
