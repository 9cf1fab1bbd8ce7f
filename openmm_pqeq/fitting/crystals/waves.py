"""Gaussian charges and dipoles of small crystals as sums over waves, crystals of equal size in a batch.

    E_C = ½ yᵀ M y,  y = (q, μ),     M = Re Ψ* w Ψᵀ,     w(k) = 8πk_e/(V k²) over half of the waves
    Ψ_i(k) = exp(−k²/4α_i) exp(ik·r_i) · (1, ik, (ik)(ik)),     α_i = λ/(2R_i²)

The columns of Ψ are an atom's charge, its dipole, and what a displacement of the dipole needs. In
cells of a dozen atoms the closed Gaussian sum over waves is all of Ewald's sum: nothing is left for
real space. Widths enter by exp(−k²R²/2λ) alone, so that one more matrix, with weights k² w, is the
derivative of all elements of M with respect to all radii:

    M(R) ≈ M + (g_i + g_j) M⁺,       g_i = −(R_i² − R⁰_i²)/2λ,       to first order

A Gaussian's interaction with itself is in these sums and not in PQEq:

    ½ q² 2k_eγ/√π + ½ μ² k_e 4γ³/(3√π),   γ = √(α/2)

Å, eV, e; float64.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from openmm_pqeq.pqeq.coulomb.kernels import WIDTH_SCALE
from openmm_pqeq.units import COULOMB

SECOND = ((4, 5, 6), (5, 7, 8), (6, 8, 9))
"""Which of the ten components of Ψ is the second derivative xy."""
MOMENTS = 10


class Waves(NamedTuple):
    """vectors : (b, n_waves, 3) Å⁻¹; weights : (b, n_waves) eV/e², 0 where there is none;
    cosines, sines : (b, n, n_waves) of k·r."""

    vectors: Tensor
    weights: Tensor
    cosines: Tensor
    sines: Tensor


class Interaction(NamedTuple):
    """values, slopes : (b, 10n, 4n) M and M⁺, moments first, atoms within each."""

    values: Tensor
    slopes: Tensor


def shortest_waves(radius: float, tolerance: float) -> float:
    """The |k|, Å⁻¹, beyond which two Gaussians of this radius (Å) interact less than `tolerance`."""
    return math.sqrt(-math.log(tolerance) * WIDTH_SCALE) / radius


def make_waves(cells: np.ndarray, positions: np.ndarray, longest: float) -> Waves:
    """Waves of crystals with cells (b, 3, 3) Å and positions (b, n, 3) Å, up to |k| = longest."""
    each = [_half_sphere(cell, longest) for cell in cells]
    most = max(len(vectors) for vectors in each)
    vectors = np.zeros((len(each), most, 3))
    weights = np.zeros((len(each), most))
    for index, (cell, found) in enumerate(zip(cells, each)):
        vectors[index, : len(found)] = found
        volume = abs(np.linalg.det(cell))
        weights[index, : len(found)] = 8 * math.pi * COULOMB / volume / (found**2).sum(axis=1)
    k = torch.from_numpy(vectors)
    phases = torch.from_numpy(positions) @ k.transpose(1, 2)
    return Waves(k, torch.from_numpy(weights), phases.cos(), phases.sin())


def _half_sphere(cell: np.ndarray, longest: float) -> np.ndarray:
    reciprocal = 2 * math.pi * np.linalg.inv(cell).T
    counts = [int(longest * np.linalg.norm(row) / (2 * math.pi)) + 1 for row in cell]
    grid = np.meshgrid(*[np.arange(-count, count + 1) for count in counts], indexing="ij")
    index = np.stack(grid, axis=-1).reshape(-1, 3)
    index = index[len(index) // 2 + 1 :]  # one of each pair ±k, without zero
    vectors = index @ reciprocal
    return np.asarray(vectors[(vectors**2).sum(axis=1) < longest**2])


def features(waves: Waves, radius: Tensor) -> Tensor:
    """Ψ, (b, 10, n, 2 n_waves): real parts, then imaginary ones, for radii (b, n) Å."""
    square = (waves.vectors**2).sum(dim=2).unsqueeze(1)
    width = torch.exp(-square * radius.unsqueeze(2) ** 2 / (2 * WIDTH_SCALE))
    c, s = (width * waves.cosines).unsqueeze(1), (width * waves.sines).unsqueeze(1)
    k = waves.vectors.transpose(1, 2).unsqueeze(2)  # (b, 3, 1, n_waves)
    kk = torch.stack([k[:, x] * k[:, y] for x in range(3) for y in range(x, 3)], dim=1)
    real = torch.cat([c, -k * s, -kk * c], dim=1)
    return torch.cat([real, torch.cat([s, k * c, -kk * s], dim=1)], dim=3)


def interaction(waves: Waves, radius: Tensor) -> Interaction:
    """M and M⁺ for radii (b, n) Å."""
    b, n = radius.shape
    rows = features(waves, radius).reshape(b, MOMENTS * n, -1)
    columns = rows[:, : 4 * n]
    square = (waves.vectors**2).sum(dim=2)
    weights = torch.cat([waves.weights, waves.weights], dim=1).unsqueeze(1)
    steep = weights * torch.cat([square, square], dim=1).unsqueeze(1)
    return Interaction(
        rows @ (columns * weights).transpose(1, 2), rows @ (columns * steep).transpose(1, 2)
    )


def widened(interaction: Interaction, growth: Tensor, moments: Tensor) -> Tensor:
    """Potential, field and field gradient M(R) y, (b, 10, n, m), of y (b, 4, n, m) where radii have
    changed by g = growth (b, n) Å²."""
    b, _, n, m = moments.shape
    g = growth.unsqueeze(1).unsqueeze(3)

    def product(matrix: Tensor, y: Tensor) -> Tensor:
        return (matrix @ y.reshape(b, 4 * n, m)).reshape(b, MOMENTS, n, m)

    slopes = interaction.slopes
    return (
        product(interaction.values, moments)
        + g * product(slopes, moments)
        + product(slopes, g * moments)
    )


def growth_of(radius: Tensor, origin: Tensor) -> Tensor:
    """g = −(R² − R⁰²)/2λ, Å²."""
    return (origin**2 - radius**2) / (2 * WIDTH_SCALE)


def batches_of(sizes: Sequence[int], work: int) -> list[list[int]]:
    """Indices of crystals in batches of one size each, about `work` atoms² a batch."""
    batches: list[list[int]] = []
    order = sorted(range(len(sizes)), key=lambda index: sizes[index])
    for index in order:
        n = sizes[index]
        last = batches[-1] if batches else []
        if last and sizes[last[0]] == n and (len(last) + 1) * n * n <= max(work, n * n):
            last.append(index)
        else:
            batches.append([index])
    return batches
