"""Charges that flow freely in small crystals: PQEq with shells as published, solved by Newton steps.

    E = Σ [χq + ½ηq² + ½K|s|²] + E_C of cores q + Z at r and shells −Z at r + s,   Σq = Q

An atom's core does not see its own shell. The sites, cores and shells, are Gaussians in one sum over
waves (waves.py). With X = ∂/∂F at fixed positions (coupling "shell": +Z s·F),

    α = −Z X_s,   Z*_i = q_i 1 − ∂/∂F [(q_i + Z_i) ∇Φ(r_i) − Z_i ∇Φ(r_i + s_i)]

A point where the Hessian is not positive is no solution: NaN. Å, eV, e, V/Å; float64.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from openmm_pqeq.fitting.crystals.response import Geometry, Response
from openmm_pqeq.fitting.crystals.waves import SECOND, Waves, features
from openmm_pqeq.pqeq.coulomb.kernels import (
    Radial,
    coulomb_radial_near_zero,
    gaussian_exponents,
    gaussian_self_energy,
    pair_exponents,
)
from openmm_pqeq.units import COULOMB

NEWTON = 15
"""Steps at most, from where none was solved before."""
CONVERGED = 1e-7
"""eV/e and eV/Å."""
LONGEST_STEP = 0.2
"""Å, of a shell in one Newton step."""
SOFTEST = 0.05
"""eV/e², eV/Å²: with a smaller eigenvalue there is no solution to rely on."""


class ShellRows(NamedTuple):
    """Parameters by atom, (b, n): χ eV, η eV, Z e, R Å, K eV/Å²."""

    electronegativity: Tensor
    hardness: Tensor
    core_charge: Tensor
    radius: Tensor
    spring: Tensor


class Solution(NamedTuple):
    """charges : (b, n) e; shells : (b, n, 3) Å."""

    charges: Tensor
    shells: Tensor


class _Point(NamedTuple):
    """Gradient (b, 4n), Hessian (b, 4n, 4n), and what Born charges are made of: M between the
    charges and dipoles of all sites, and the potential with two derivatives at them."""

    gradient: Tensor
    hessian: Tensor
    matrix: Tensor
    fields: Tensor


def solve(geometry: Geometry, rows: ShellRows, guess: Solution, steps: int = NEWTON) -> Solution:
    """Newton's method from a guess."""
    b, n = rows.radius.shape
    found = guess
    for _ in range(steps):
        point = _point(geometry, rows, found)
        hessian, gradient = _neutral(point.hessian, n), _without_mean(point.gradient, n)
        step = -torch.linalg.solve(hessian, gradient)
        longest = torch.clamp(step[:, n:].reshape(b, n, 3).norm(dim=2).amax(dim=1), min=1e-12)
        step = step * torch.clamp(LONGEST_STEP / longest, max=1.0).unsqueeze(1)
        found = Solution(found.charges + step[:, :n], found.shells + step[:, n:].reshape(b, n, 3))
        if not bool((gradient.abs().amax(dim=1) > CONVERGED).any()):
            break
    return found


def cold(geometry: Geometry) -> Solution:
    """Where nothing is known: no charges, shells at their cores."""
    shape = geometry.reference.shape
    return Solution(torch.zeros(shape).double(), torch.zeros(*shape, 3).double())


def response(geometry: Geometry, rows: ShellRows, found: Solution) -> Response:
    """Born charges and ε∞ at a solution, NaN where it is none."""
    b, n = rows.radius.shape
    z = rows.core_charge
    point = _point(geometry, rows, found)
    hessian = _neutral(point.hessian, n)
    eye = torch.eye(3, dtype=z.dtype)
    source = torch.zeros(b, 4 * n, 3, dtype=z.dtype)
    source[:, n:] = (z[:, :, None, None] * eye).reshape(b, 3 * n, 3)
    moved = -torch.linalg.solve(hessian, source)
    charges, shells = moved[:, :n], moved[:, n:].reshape(b, n, 3, 3)  # [atom, (component,) field]
    alpha = -torch.einsum("bi,bixa->bax", z, shells)
    epsilon = eye + (4 * math.pi * COULOMB / geometry.volumes).view(-1, 1, 1) * alpha
    # moments of the sites' response: charges of the cores, dipoles −Z X_s of the shells
    y = torch.zeros(b, 4, 2 * n, 3, dtype=z.dtype)
    y[:, 0, :n] = charges
    y[:, 1:, n:] = -(z[:, :, None, None] * shells).transpose(1, 2)
    d_fields = (point.matrix @ y.reshape(b, 8 * n, 3)).reshape(b, 4, 2 * n, 3)
    gradient, d_gradient = point.fields[:, 1:4], d_fields[:, 1:]
    second = torch.stack([point.fields[:, list(row), n:] for row in SECOND], dim=1)
    core = torch.einsum("bia,bxi->biax", charges, gradient[:, :, :n]) + torch.einsum(
        "bi,bxia->biax", found.charges + z, d_gradient[:, :, :n]
    )
    shell = torch.einsum("bi,bxia->biax", z, d_gradient[:, :, n:]) + torch.einsum(
        "bi,bxyi,biya->biax", z, second, shells
    )
    born = found.charges[:, :, None, None] * eye - core + shell
    good = torch.linalg.eigvalsh(hessian)[:, 0] > SOFTEST
    good = good & (_without_mean(point.gradient, n).abs().amax(dim=1) < 1e-4)
    nothing = torch.full_like(born, torch.nan)
    return Response(
        torch.where(good.view(-1, 1, 1, 1), born, nothing),
        torch.where(good.view(-1, 1, 1), epsilon, nothing[:, 0]),
        found.charges,
        -z.unsqueeze(2) * found.shells,
    )


def _without_mean(gradient: Tensor, n: int) -> Tensor:
    charges = gradient[:, :n]
    return torch.cat([charges - charges.mean(dim=1, keepdim=True), gradient[:, n:]], dim=1)


def _neutral(hessian: Tensor, n: int) -> Tensor:
    """The Hessian among changes that keep the total charge, stiff against the one that does not."""
    size = hessian.shape[1]
    project = torch.eye(size, dtype=hessian.dtype)
    project[:n, :n] -= 1.0 / n
    stiff = torch.zeros_like(project)
    stiff[:n, :n] = 20.0 / n
    return project @ hessian @ project + stiff


def _point(geometry: Geometry, rows: ShellRows, at: Solution) -> _Point:
    b, n = rows.radius.shape
    z, s = rows.core_charge, at.shells
    waves = geometry.waves
    shift = s @ waves.vectors.transpose(1, 2)
    cos, sin = shift.cos(), shift.sin()
    shells = Waves(
        waves.vectors,
        waves.weights,
        torch.cat([waves.cosines, waves.cosines * cos - waves.sines * sin], dim=1),
        torch.cat([waves.sines, waves.sines * cos + waves.cosines * sin], dim=1),
    )
    psi = features(shells, torch.cat([rows.radius, rows.radius], dim=1))  # (b, 10, 2n, 2 n_waves)
    weights = torch.cat([waves.weights, waves.weights], dim=1).unsqueeze(1)
    lower = psi[:, :4].reshape(b, 8 * n, -1)
    matrix = (lower * weights) @ lower.transpose(1, 2)
    charges = torch.cat([at.charges + z, -z], dim=1)
    density = torch.einsum("bi,bik->bk", charges, psi[:, 0]) * weights[:, 0]
    fields = torch.einsum("bcik,bk->bci", psi, density)
    exponents = gaussian_exponents(rows.radius.reshape(b * n))
    own = coulomb_radial_near_zero(s.reshape(b * n, 3), pair_exponents(exponents, exponents))
    return _Point(
        _gradient(rows, at, fields, own), _hessian(rows, at, matrix, fields, own), matrix, fields
    )


def _gradient(rows: ShellRows, at: Solution, fields: Tensor, own: Radial) -> Tensor:
    b, n = rows.radius.shape
    z, core = rows.core_charge, at.charges + rows.core_charge
    charges = fields[:, 0, :n] + rows.electronegativity + rows.hardness * at.charges
    charges = charges - gaussian_self_energy(rows.radius) * core + z * own.value.reshape(b, n)
    spring = rows.spring + core * z * own.first.reshape(b, n)
    shells = spring.unsqueeze(2) * at.shells - z.unsqueeze(2) * fields[:, 1:4, n:].transpose(1, 2)
    return torch.cat([charges, shells.reshape(b, 3 * n)], dim=1)


def _hessian(rows: ShellRows, at: Solution, matrix: Tensor, fields: Tensor, own: Radial) -> Tensor:
    b, n = rows.radius.shape
    z, core, s = rows.core_charge, at.charges + rows.core_charge, at.shells
    eye = torch.eye(3, dtype=z.dtype)
    blocks = matrix.reshape(b, 4, 2 * n, 4, 2 * n)
    first, second = own.first.reshape(b, n), own.second.reshape(b, n)
    qq = blocks[:, 0, :n, 0, :n] + torch.diag_embed(
        rows.hardness - gaussian_self_energy(rows.radius)
    )
    qs = -torch.einsum("bixj,bj->bijx", blocks[:, 0, :n, 1:, n:], z)
    qs = qs + torch.diag_embed((z * first).unsqueeze(1) * s.transpose(1, 2)).permute(0, 2, 3, 1)
    ss = torch.einsum("bi,bxiyj,bj->bixjy", z, blocks[:, 1:, n:, 1:, n:], z)
    gradients = torch.stack([fields[:, list(row), n:] for row in SECOND], dim=1)  # (b, x, y, n)
    local = (rows.spring + core * z * first)[:, :, None, None] * eye
    local = local + (core * z * second)[:, :, None, None] * s.unsqueeze(3) * s.unsqueeze(2)
    local = local - z[:, :, None, None] * gradients.permute(0, 3, 1, 2)
    ss = ss + torch.einsum("bixy,ij->bixjy", local, torch.eye(n, dtype=z.dtype))
    qs = qs.reshape(b, n, 3 * n)
    upper = torch.cat([qq, qs], dim=2)
    return torch.cat(
        [upper, torch.cat([qs.transpose(1, 2), ss.reshape(b, 3 * n, 3 * n)], dim=2)], 1
    )
