"""The published two-sweep charge solution with tapered kernels.

    from s = 0, twice:   solve  Σ_j A_ij q_j = −χ_i + …,  Σ q = Q   with the shells as they are;
                         then   s_i = F_i/K_i,  clipped to 0.25 Å,  with the new charges and the old shells.

Charges and shells returned are therefore not mutually consistent: two sweeps are part of the model,
not an accuracy knob. The charge matrix can be indefinite, so it is solved directly. Everything is
built from differentiable operations; whether the derivative goes through the sweeps is the caller's
choice. Source: Gao et al., Nat. Commun. 16, 10484 (2025). Å, eV, e.
"""

import torch
from torch import Tensor

from openmm_pqeq.pqeq.coulomb.kernels import coulomb, taper, tapered_coulomb
from openmm_pqeq.pqeq.coulomb.pairs import PairSum, scatter
from openmm_pqeq.pqeq.minimum.problem import Problem

SHELL_CLIP = 0.25
"""Å, the longest shell of the published two-sweep recipe. Gao et al., Nat. Commun. 16, 10484 (2025)
and its code."""
DIRECT_ERROR = 1e-3
"""eV/e for each e, of the direct solution; rounding gives 1e-12, in float32 1e-4."""


def _length(vectors: Tensor) -> Tensor:
    return torch.sqrt((vectors * vectors).sum(dim=1))


def _value(pairs: PairSum, vectors: Tensor, cutoff: float) -> Tensor:
    distance = _length(vectors)
    return coulomb(distance, pairs.gamma) * taper(distance, cutoff)


def _gradient(pairs: PairSum, vectors: Tensor, cutoff: float) -> Tensor:
    _, first = tapered_coulomb(_length(vectors), pairs.gamma, cutoff)
    return first.unsqueeze(1) * vectors


def solve_charges(
    matrix: Tensor,
    right: Tensor,
    group: Tensor,
    group_charge: Tensor,
    largest_error: float = DIRECT_ERROR,
) -> Tensor:
    """q from (matrix) q − λ_f = right, Σ_f q = Q_f: one dense solve of n_atoms + n_groups unknowns,
    indefinite matrices included.

    group (n_atoms,) index into group_charge (n_groups,) e
    """
    n, n_groups = right.size(0), group_charge.size(0)
    members = torch.zeros(n, n_groups, dtype=right.dtype, device=right.device).scatter(
        1, group.unsqueeze(1), 1.0
    )
    top = torch.cat([matrix, -members], dim=1)
    bottom = torch.cat(
        [members.t(), torch.zeros(n_groups, n_groups, dtype=right.dtype, device=right.device)],
        dim=1,
    )
    matrix, right = torch.cat([top, bottom]), torch.cat([right, group_charge])
    solution = torch.linalg.solve(matrix, right)
    error = float((matrix.detach() @ solution.detach() - right.detach()).abs().max())
    if not error < largest_error * (1.0 + float(solution.detach().abs().max())):
        raise RuntimeError(
            "PQEq: the charges of the protocol 'reaxnet' have no reliable solution (residual "
            f"{error} eV/e): their matrix is"
            " singular. Look for atoms that are too close, or use protocol 'pme' with a model made "
            "for it"
        )
    return solution[:n]


def clip_shells(shells: Tensor, longest: float = SHELL_CLIP) -> Tensor:
    """Shells no longer than `longest` (Å), direction kept."""
    length = torch.sqrt((shells * shells).sum(dim=1, keepdim=True) + 1e-30)
    return shells * torch.clamp(longest / length, max=1.0)


def sweep(problem: Problem, cutoff: float, sweeps: int) -> tuple[Tensor, Tensor]:
    """Charges (n_atoms,) and shells (n_atoms, 3) after `sweeps` sweeps, kernels tapered at `cutoff`
    (Å)."""
    pairs, hardness, z = problem.coulomb.pairs, problem.hardness, problem.core_charge
    n, dtype = hardness.size(0), hardness.dtype
    i, j = pairs.centers, pairs.neighbors
    core_core = _value(pairs, pairs.vectors, cutoff).to(dtype)
    matrix = torch.diag(hardness).index_put((i, j), core_core, accumulate=True)
    cores_of_others = scatter(z[j] * core_core, i, n, dtype)
    shells = torch.zeros_like(problem.field_on_shell)
    charges = torch.zeros_like(hardness)
    for _ in range(sweeps):
        s = shells.to(pairs.vectors.dtype)
        with_neighbor_shell = pairs.vectors + s[j]
        core_shell = _value(pairs, with_neighbor_shell, cutoff).to(dtype)
        shells_of_others = scatter(z[j] * core_shell, i, n, dtype)
        charges = solve_charges(
            matrix,
            shells_of_others - cores_of_others - problem.electronegativity,
            problem.group,
            problem.group_charge,
        )
        core_shell_gradient = _gradient(pairs, with_neighbor_shell, cutoff).to(dtype)
        shell_shell_gradient = _gradient(pairs, with_neighbor_shell - s[i], cutoff).to(dtype)
        shell_gradient = scatter(
            -(z[j] * (charges + z)[i]).unsqueeze(1) * core_shell_gradient, j, n, dtype
        )
        shell_gradient = shell_gradient + scatter(
            -(z[i] * z[j]).unsqueeze(1) * shell_shell_gradient, i, n, dtype
        )
        shells = clip_shells(
            -(shell_gradient + problem.field_on_shell) / problem.spring_constant.unsqueeze(1)
        )
    return charges, shells


def tapered_pair_energy(
    pairs: PairSum, cutoff: float, charges: Tensor, core_charge: Tensor, shells: Tensor
) -> Tensor:
    """Sum over pairs of the four tapered interactions, a scalar in eV."""
    i, j = pairs.centers, pairs.neighbors
    s = shells.to(pairs.vectors.dtype)
    core = charges + core_charge
    with_neighbor_shell = pairs.vectors + s[j]
    per_pair = (
        0.5 * core[i] * core[j] * _value(pairs, pairs.vectors, cutoff).to(charges.dtype)
        - core[i] * core_charge[j] * _value(pairs, with_neighbor_shell, cutoff).to(charges.dtype)
        + 0.5
        * core_charge[i]
        * core_charge[j]
        * _value(pairs, with_neighbor_shell - s[i], cutoff).to(charges.dtype)
    )
    return per_pair.sum()
