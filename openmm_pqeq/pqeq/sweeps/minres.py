"""Charges from a symmetric matrix that may be indefinite: MINRES, preconditioned by clusters of
near atoms.

    (diag(η) + A) q − λ_f = b,     Σ_{i in f} q_i = Q_f for every group f

The iteration runs in the space of changes that leave every group's charge as it is. Each step costs
one product with A. Paige and Saunders, SIAM J. Numer. Anal. 12, 617 (1975), doi:10.1137/0712047.

The preconditioner M has to be positive definite. Row i of W is that of the inverse of the matrix of
atom i and its neighbours, and M = ½(W + Wᵀ); where M turns out not to be definite, which tapered
interactions can bring about, M = diag(1/η) does. Å, eV, e.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from openmm_pqeq.pqeq.coulomb.kernels import coulomb, pair_exponents
from openmm_pqeq.pqeq.minimum.ahead import iterations_ahead, look
from openmm_pqeq.pqeq.minimum.preconditioner import CLUSTER_BLOCK, cluster_members
from openmm_pqeq.pqeq.sweeps.tapered import TaperedPairs, pair_matrix_product

CHARGE_CLUSTER_CUTOFF, CHARGE_CLUSTER_COUPLING = 3.0, 0.8
"""Å, and the share of the coupling, of clusters of charges alone: without shells to soften them
they have to be smaller."""
MAX_MINRES_STEPS = 1000
SINGULAR_MATRIX = 1e-13
"""Relative to the hardness, which the charge matrix is scaled by."""


class ChargeMatrix(NamedTuple):
    """diag(η) + A: hardness (n_atoms,) eV; pairs and values (n_pairs,) eV/e² of A; group (n_atoms,)
    int64 of n_groups groups."""

    hardness: Tensor
    pairs: TaperedPairs
    values: Tensor
    group: Tensor
    n_groups: int


class ClusterInverse(NamedTuple):
    """M: diagonal (n_atoms,) e²/eV, and values (n_pairs,) at (i, j) and (j, i) of directed pairs,
    of which each is half of W's."""

    diagonal: Tensor
    pairs: TaperedPairs
    values: Tensor


class ChargeSolution(NamedTuple):
    """charges (n_atoms,) e; residual, the largest left in eV/e; products with the matrix."""

    charges: Tensor
    residual: float
    products: int


def diagonal_inverse(hardness: Tensor) -> ClusterInverse:
    """M = diag(1/η)."""
    none = torch.zeros(0, dtype=torch.int32, device=hardness.device)
    nowhere = torch.zeros(0, 3, dtype=hardness.dtype, device=hardness.device)
    return ClusterInverse(
        1.0 / hardness, TaperedPairs(none, none, nowhere.to(torch.int8), nowhere), nowhere[:, 0]
    )


def cluster_inverse(
    hardness: Tensor,
    exponent: Tensor,
    pairs: TaperedPairs,
    cutoff: float = CHARGE_CLUSTER_CUTOFF,
    coupling: float = CHARGE_CLUSTER_COUPLING,
    at_once: int = CLUSTER_BLOCK,
) -> ClusterInverse:
    """M of atoms with their neighbours within `cutoff` (Å), of whose coupling a part is kept;
    exponent (n_atoms,) Å⁻² of the Gaussians."""
    square = (pairs.vectors * pairs.vectors).sum(dim=1)
    near = torch.nonzero(square < cutoff**2).squeeze(1)
    i, j, d = (
        pairs.centers[near].to(torch.int64),
        pairs.neighbors[near].to(torch.int64),
        pairs.vectors[near].to(torch.float32),
    )
    centers, order = torch.sort(torch.cat([i, j]), stable=True)
    neighbors, vectors = torch.cat([j, i])[order], torch.cat([d, -d])[order]
    n = hardness.size(0)
    atoms, where, exists = cluster_members(n, centers, neighbors, vectors)
    rows: list[Tensor] = []
    for first in range(0, n, at_once):
        last = min(first + at_once, n)
        members, there = atoms[first:last], exists[first:last]
        apart = where[first:last].unsqueeze(1) - where[first:last].unsqueeze(2)
        distance = torch.sqrt((apart * apart).sum(dim=3))
        together = (there.unsqueeze(1) & there.unsqueeze(2) & (distance > 0.1)).to(vectors.dtype)
        distance = torch.where(distance > 0.1, distance, torch.ones_like(distance))
        alpha = exponent.to(vectors.dtype)[members]
        matrix = (
            coupling
            * together
            * coulomb(distance, pair_exponents(alpha.unsqueeze(1), alpha.unsqueeze(2)))
        )
        alone = torch.where(there, hardness.to(vectors.dtype)[members], torch.ones_like(alpha))
        row = torch.zeros_like(alpha)
        row[:, 0] = 1.0
        rows.append(torch.linalg.solve(matrix + torch.diag_embed(alone), row))
    inverse = torch.cat(rows).to(hardness.dtype)
    off_diagonal = inverse[:, 1:][exists[:, 1:]]
    index = TaperedPairs(
        centers.to(torch.int32),
        neighbors.to(torch.int32),
        torch.zeros_like(vectors).to(torch.int8),
        vectors,
    )
    return ClusterInverse(inverse[:, 0], index, 0.5 * off_diagonal)


def _projected(matrix: ChargeMatrix, values: Tensor) -> Tensor:
    """The values (n_atoms,) without the mean of each group, which does no work where charges move
    within groups."""
    zeros = torch.zeros(matrix.n_groups, dtype=values.dtype, device=values.device)
    members = zeros.index_add(0, matrix.group, torch.ones_like(values))
    return values - (zeros.index_add(0, matrix.group, values) / members)[matrix.group]


def _preconditioned(matrix: ChargeMatrix, inverse: ClusterInverse, residual: Tensor) -> Tensor:
    """M times a residual without group means, and every group's charge left as it is."""
    return _projected(
        matrix,
        inverse.diagonal * residual + pair_matrix_product(inverse.pairs, inverse.values, residual),
    )


def solve_by_minres(
    matrix: ChargeMatrix,
    inverse: ClusterInverse,
    right: Tensor,
    start: Tensor,
    depth: float,
    max_products: int = MAX_MINRES_STEPS,
    singular: float = SINGULAR_MATRIX,
) -> ChargeSolution:
    """The solution with the group charges of `start` (n_atoms,); right (n_atoms,) eV/e; depth: the
    residual asked for, eV/e.

    The residual that is returned is above `depth` where `max_products` did not suffice, where the
    matrix is singular, or where the preconditioner is not positive definite.
    """
    if right.is_cuda:
        return solve_ahead(matrix, inverse, right, start, depth, max_products, singular)
    hardness = matrix.hardness
    charges, products = start, 0
    before, preconditioned, square = right, right, 0.0
    for _ in range(2):
        product = hardness * charges + pair_matrix_product(matrix.pairs, matrix.values, charges)
        products += 1
        before = _projected(matrix, right - product)
        preconditioned = _preconditioned(matrix, inverse, before)
        square = float(before @ preconditioned)
        far = _projected(matrix, right)
        if float(before @ before) <= 4.0 * float(far @ far):
            break
        charges = start - _projected(matrix, start)  # a guess that is worse than none
    residual, worst = before, float(before.abs().max())
    beta = math.sqrt(max(0.0, square))
    phi_bar, last_beta = beta, 0.0
    delta_bar, epsilon, cosine, sine = 0.0, 0.0, -1.0, 0.0
    direction, last_direction = torch.zeros_like(charges), torch.zeros_like(charges)
    # the norm that MINRES makes small is that of M; what it means in eV/e is measured where it may
    # be deep enough
    goal = 0.5 * depth * beta / worst if worst > 0.0 else 0.0
    while worst > depth and beta > 0.0 and products < max_products:
        vector = preconditioned / beta
        product = _projected(
            matrix, hardness * vector + pair_matrix_product(matrix.pairs, matrix.values, vector)
        )
        products += 1
        if last_beta > 0.0:
            product = product - (beta / last_beta) * before
        alpha = float(vector @ product)
        product = product - (alpha / beta) * residual
        before, residual = residual, product
        preconditioned = _preconditioned(matrix, inverse, residual)
        last_beta = beta
        beta = math.sqrt(max(0.0, float(residual @ preconditioned)))
        last_epsilon = epsilon
        delta = cosine * delta_bar + sine * alpha
        gamma_bar = sine * delta_bar - cosine * alpha
        epsilon = sine * beta
        delta_bar = -cosine * beta
        gamma = math.sqrt(gamma_bar * gamma_bar + beta * beta)
        if gamma < singular:
            break
        cosine, sine = gamma_bar / gamma, beta / gamma
        step = cosine * phi_bar
        phi_bar = sine * phi_bar
        newest = (vector - last_epsilon * last_direction - delta * direction) / gamma
        last_direction, direction = direction, newest
        charges = charges + step * newest
        if phi_bar <= goal or beta == 0.0:
            product = hardness * charges + pair_matrix_product(matrix.pairs, matrix.values, charges)
            products += 1
            worst = float(_projected(matrix, right - product).abs().max())
            goal = 0.3 * phi_bar
    return ChargeSolution(charges, worst, products)


def solve_ahead(
    matrix: ChargeMatrix,
    inverse: ClusterInverse,
    right: Tensor,
    start: Tensor,
    depth: float,
    max_products: int,
    singular: float,
) -> ChargeSolution:
    """The same on a GPU, unwatched (ahead.py): scalars stay on the device. Iterations beyond what was
    asked for make the residual smaller still; where the iteration ends by itself nothing changes."""
    hardness, charges, products = matrix.hardness, start, 0
    before, preconditioned, far = right, right, _projected(matrix, right)
    square, worst = 0.0, float("inf")
    for _ in range(2):
        product = hardness * charges + pair_matrix_product(matrix.pairs, matrix.values, charges)
        products += 1
        before = _projected(matrix, right - product)
        preconditioned = _preconditioned(matrix, inverse, before)
        squares = [before @ preconditioned, before.abs().max(), before @ before, far @ far]
        seen = torch.stack(squares).cpu()
        square, worst = float(seen[0]), float(seen[1])
        if float(seen[2]) <= 4.0 * float(seen[3]):
            break
        charges = start - _projected(matrix, start)
    residual, phi = before, math.sqrt(max(0.0, square))
    goal = 0.5 * depth * phi / worst if worst > 0.0 else 0.0
    beta = torch.full_like(right.sum(), phi)
    last_beta, phi_bar, live = beta, beta, beta > 0.0
    nothing = torch.zeros_like(beta)
    delta_bar, epsilon, cosine, sine = nothing, nothing, nothing - 1.0, nothing
    direction, last_direction = torch.zeros_like(charges), torch.zeros_like(charges)
    going, begun, ahead = phi > 0.0, False, 1
    while going and worst > depth and products < max_products:
        for _ in range(ahead):
            vector = preconditioned / beta
            product = _projected(
                matrix, hardness * vector + pair_matrix_product(matrix.pairs, matrix.values, vector)
            )
            products += 1
            if begun:
                product = product - (beta / last_beta) * before
            begun = True
            alpha = vector @ product
            product = product - (alpha / beta) * residual
            before, residual = residual, product
            preconditioned = _preconditioned(matrix, inverse, residual)
            last_beta, beta = beta, torch.sqrt((residual @ preconditioned).clamp_min(0.0))
            last_epsilon = epsilon
            delta = cosine * delta_bar + sine * alpha
            gamma_bar = sine * delta_bar - cosine * alpha
            epsilon, delta_bar = sine * beta, -cosine * beta
            gamma = torch.sqrt(gamma_bar * gamma_bar + beta * beta)
            live = live & (gamma >= singular)
            cosine, sine = gamma_bar / gamma, beta / gamma
            newest = (vector - last_epsilon * last_direction - delta * direction) / gamma
            last_direction, direction = direction, newest
            charges = torch.where(live, charges + cosine * phi_bar * newest, charges)
            phi_bar = torch.where(live, sine * phi_bar, phi_bar)
            live = live & (beta > 0.0)
        earlier = phi
        phi, going = look(phi_bar, live)
        if phi <= goal or not going:
            product = hardness * charges + pair_matrix_product(matrix.pairs, matrix.values, charges)
            products += 1
            worst = float(_projected(matrix, right - product).abs().max())
            goal = 0.3 * phi
        ahead = iterations_ahead(phi, earlier, ahead, goal)
    return ChargeSolution(charges, worst, products)
