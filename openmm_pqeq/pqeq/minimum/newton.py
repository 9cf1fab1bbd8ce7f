"""Charges and shells that minimise the PQEq energy: a joint Newton method with conjugate gradients.

    minimise  E(q, s)  subject to  Σ_{i in f} q_i = Q_f  for every group f of atoms that share their
    charge

The energy is quadratic in q and nearly so in s. Each Newton step solves H·(dq, ds) = −∇E by
conjugate gradients on Hessian–vector products, preconditioned (preconditioner.py) and projected
onto Σ_f dq = 0, so that no matrix is ever formed. Converged means max |∂E/∂q_i − mean of its group|
< tolerance (eV/e) and max |∂E/∂s_i| < tolerance (eV/Å).

A direction of negative curvature in the charges alone means that the energy has no minimum, and the
solver says so.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from openmm_pqeq.pqeq import constants
from openmm_pqeq.pqeq.minimum.preconditioner import (
    Near,
    Preconditioner,
    clusters,
    diagonal,
    long_waves,
    precondition,
)
from openmm_pqeq.pqeq.minimum.problem import (
    Linearized,
    Problem,
    constrained,
    group_means,
    linearize,
    product,
)


class Minimum(NamedTuple):
    """Charges (n_atoms,) e, shells (n_atoms, 3) Å, residual (eV/e, eV/Å), Hessian–vector products
    and gradients used, and success.

    failure is "" or the reason; worst is the atom where it showed; preconditioner is the one that
    was used, if any.
    """

    charges: Tensor
    shells: Tensor
    residual: float
    products: int
    failure: str
    worst: int
    preconditioner: Preconditioner | None


class Step(NamedTuple):
    """A Newton step, the products spent, and the curvature met: 0 positive, 1 negative in the
    shells, 2 negative in the charges."""

    charges: Tensor
    shells: Tensor
    products: int
    negative: int


def solve_linear(
    problem: Problem,
    at: Linearized,
    shells: Tensor,
    right_q: Tensor,
    right_s: Tensor,
    threshold: float,
    preconditioner: Preconditioner | None = None,
) -> Step:
    """Conjugate gradients for H·x = right with Σ x_q = 0 in every group, until the residual is
    below `threshold` (eV/e, eV/Å)."""
    inverse = diagonal(problem) if preconditioner is None else preconditioner
    waves = long_waves(problem)
    x_q, x_s = torch.zeros_like(right_q), torch.zeros_like(right_s)
    r_q, r_s = right_q - group_means(problem, right_q), right_s
    p_q, p_s = torch.zeros_like(right_q), torch.zeros_like(right_s)
    rho = torch.ones_like(r_q.sum())
    products = 0
    negative = 0
    fresh, probing, plain = True, False, preconditioner is None
    for _ in range(constants.MAX_CG_STEPS):
        if not probing:
            z_q, z_s = precondition(inverse, waves, r_q, r_s)
            z_q = z_q - group_means(problem, z_q)
            rho_next = (r_q * z_q).sum() + (r_s * z_s).sum()
            if not float(rho_next) > 0.0:
                if plain:
                    break
                # a preconditioner that is not positive definite here: go on without it
                inverse = diagonal(problem)
                fresh, plain = True, True
                continue
            beta = torch.zeros_like(rho) if fresh else rho_next / rho
            fresh = False
            p_q, p_s, rho = z_q + beta * p_q, z_s + beta * p_s, rho_next
        h_q, h_s = product(problem, at, shells, p_q, p_s)
        products += 1
        curvature = (p_q * h_q).sum() + (p_s * h_s).sum()
        if probing:
            negative = 2 if float(curvature) < 0.0 else 1
            break
        if float(curvature) <= 0.0:
            if products == 1:
                x_q, x_s = p_q, p_s
            # are the charges alone to blame?
            p_s = torch.zeros_like(p_s)
            probing = True
            continue
        alpha = rho / curvature
        x_q, x_s = x_q + alpha * p_q, x_s + alpha * p_s
        r_q, r_s = r_q - alpha * h_q, r_s - alpha * h_s
        r_q = r_q - group_means(problem, r_q)
        if float(torch.maximum(r_q.abs().max(), r_s.abs().max())) < threshold:
            break
    return Step(x_q, x_s, products, negative)


def minimize(
    problem: Problem,
    tolerance: float,
    start: tuple[Tensor, Tensor] | None = None,
    near: Near | None = None,
    preconditioner: Preconditioner | None = None,
    max_shell: float = 2.0,
    probe: bool = False,
) -> Minimum:
    """The minimum of the energy, from a guess or cold: charges of the right sum and shells at rest.

    A guess and a preconditioner change the way there and nothing else: the residual that ends it is
    the same.

    Parameters
    ----------
    start : charges (n_atoms,) e and shells (n_atoms, 3) Å to begin with
    near : pairs to make a preconditioner of, where none is given, as soon as charges and shells are
        roughly right
    max_shell : Å
    probe : look for negative curvature in the charges at the solution with conjugate gradients on
        an arbitrary right-hand side
    """
    charges, shells = torch.zeros_like(problem.hardness), torch.zeros_like(problem.pull)
    if start is not None:
        charges, shells = start
    charges = constrained(problem, charges)
    products = 0
    residual = float("inf")
    failure = ""
    done = False
    worst = 0
    for _ in range(constants.MAX_NEWTON_STEPS):
        if len(failure) > 0:
            if start is None:
                break
            # a guess can lead astray: once more from scratch
            start, preconditioner, failure = None, None, ""
            charges, shells = (
                constrained(problem, torch.zeros_like(charges)),
                torch.zeros_like(shells),
            )
        at = linearize(problem, charges, shells)
        products += 1
        right_q, right_s = (
            group_means(problem, at.charge_gradient) - at.charge_gradient,
            -at.shell_gradient,
        )
        per_atom = torch.maximum(right_q.abs(), right_s.abs().max(dim=1)[0])
        residual = float(per_atom.max())
        worst = int(per_atom.argmax())
        if not residual < 1e30:
            failure = "met numbers that are not finite"
            continue
        done = residual < tolerance
        if done and not probe:
            break
        # inexact Newton: the error of a step is quadratic in the residual, so a linear solve need
        # not go deeper than that
        depth = max(0.3 * tolerance, constants.NEWTON_DEPTH * residual * min(1.0, residual))
        if done:
            right_q = torch.cos(
                torch.arange(1, charges.size(0) + 1, dtype=charges.dtype, device=charges.device)
            )
            right_s, depth = torch.zeros_like(shells), constants.PROBE_DEPTH
        elif preconditioner is None and near is not None and residual < constants.ROUGH_RESIDUAL:
            preconditioner = clusters(problem, at.local, near)
        step = solve_linear(problem, at, shells, right_q, right_s, depth, preconditioner)
        products += step.products
        if step.negative == 2:
            failure = constants.NO_MINIMUM
            worst = int(step.charges.abs().argmax()) if step.products <= 2 else worst
            continue
        if done:
            break
        longest = float(torch.sqrt((step.shells * step.shells).sum(dim=1)).max())
        scale = min(1.0, constants.MAX_SHELL_MOVE / longest) if longest > 0.0 else 1.0
        charges, shells = charges + scale * step.charges, shells + scale * step.shells
        displacement = torch.sqrt((shells * shells).sum(dim=1))
        if float(displacement.max()) > max_shell:
            failure = f"ended in a polarization catastrophe (a shell more than {max_shell} Å from its core)"
            worst = int(displacement.argmax())
    if len(failure) == 0 and not done:
        failure = "did not converge"
    return Minimum(charges, shells, residual, products, failure, worst, preconditioner)
