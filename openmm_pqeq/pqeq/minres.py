"""Charges from a symmetric matrix that may be indefinite: MINRES, preconditioned by the hardness.

    (diag(η) + A) q − λ_f = b,     Σ_{i in f} q_i = Q_f for every group f

The iteration runs in the space of changes that leave every group's charge as it is, where the preconditioner is the inverse of
diag(η) with the same constraint. Each step costs one product with A. Paige and Saunders, SIAM J. Numer. Anal. 12, 617 (1975),
doi:10.1137/0712047. The residual is bounded in the largest entry: max |r| ≤ √(max η) √(Σ r²/η). Å, eV, e.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from openmm_pqeq.pqeq import constants
from openmm_pqeq.pqeq.tapered import TaperedPairs, pair_matrix_product


class ChargeMatrix(NamedTuple):
    """diag(η) + A: hardness (n_atoms,) eV; pairs and values (n_pairs,) eV/e² of A; group (n_atoms,) int64 of n_groups groups."""

    hardness: Tensor
    pairs: TaperedPairs
    values: Tensor
    group: Tensor
    n_groups: int


class ChargeSolution(NamedTuple):
    """charges (n_atoms,) e; residual, the largest left in eV/e; products with the matrix."""

    charges: Tensor
    residual: float
    products: int


def _group_sums(matrix: ChargeMatrix, values: Tensor) -> Tensor:
    zeros = torch.zeros(matrix.n_groups, dtype=values.dtype, device=values.device)
    return zeros.index_add(0, matrix.group, values)


def _levelled(matrix: ChargeMatrix, values: Tensor, members: Tensor) -> Tensor:
    """The values (n_atoms,) without the mean of each group, which does no work where charges move within groups."""
    return values - (_group_sums(matrix, values) / members)[matrix.group]


def _soft(matrix: ChargeMatrix, residual: Tensor, softness: Tensor) -> Tensor:
    """The residual through the inverse of diag(η), every group's charge left as it is; softness (n_groups,), Σ 1/η."""
    shares = residual / matrix.hardness
    return shares - (_group_sums(matrix, shares) / softness)[matrix.group] / matrix.hardness


def solve_by_minres(matrix: ChargeMatrix, right: Tensor, start: Tensor, depth: float) -> ChargeSolution:
    """The solution with the group charges of `start` (n_atoms,); right (n_atoms,) eV/e; depth: the residual asked for, eV/e.

    The residual that is returned is above `depth` where MAX_MINRES_STEPS did not suffice: the matrix is then all but singular.
    """
    hardness = matrix.hardness
    softness = _group_sums(matrix, 1.0 / hardness)
    members = _group_sums(matrix, torch.ones_like(hardness))
    bound = math.sqrt(float(hardness.max()))
    charges, products = start, 0
    before, image, beta = right, right, 0.0
    for _ in range(2):
        product = hardness * charges + pair_matrix_product(matrix.pairs, matrix.values, charges)
        products += 1
        before = _levelled(matrix, right - product, members)
        image = _soft(matrix, before, softness)
        beta = math.sqrt(max(0.0, float(before @ image)))
        far = _levelled(matrix, right, members)
        if beta <= 2.0 * math.sqrt(max(0.0, float(far @ _soft(matrix, far, softness)))):
            break
        charges = start - _levelled(matrix, start, members)  # a guess that is worse than none
    residual = before
    left, last_beta = beta, 0.0
    slope, lift, cosine, sine = 0.0, 0.0, -1.0, 0.0
    direction, last_direction = torch.zeros_like(charges), torch.zeros_like(charges)
    while left * bound > depth and products < constants.MAX_MINRES_STEPS and beta > 0.0:
        vector = image / beta
        product = _levelled(matrix, hardness * vector + pair_matrix_product(matrix.pairs, matrix.values, vector), members)
        products += 1
        if last_beta > 0.0:
            product = product - (beta / last_beta) * before
        alpha = float(vector @ product)
        product = product - (alpha / beta) * residual
        before, residual = residual, product
        image = _soft(matrix, residual, softness)
        last_beta = beta
        beta = math.sqrt(max(0.0, float(residual @ image)))
        last_lift = lift
        delta = cosine * slope + sine * alpha
        gbar = sine * slope - cosine * alpha
        lift = sine * beta
        slope = -cosine * beta
        gamma = math.sqrt(gbar * gbar + beta * beta)
        if gamma < constants.SINGULAR_MATRIX:
            break
        cosine, sine = gbar / gamma, beta / gamma
        step = cosine * left
        left = sine * left
        newest = (vector - last_lift * last_direction - delta * direction) / gamma
        last_direction, direction = direction, newest
        charges = charges + step * newest
    return ChargeSolution(charges, left * bound, products)
