"""Charges by bonds at their minimum: one linear problem, by conjugate gradients.

    C [A q(v) + B s + χ + m v] = 0,    Bᵀ q(v) + D s + Z F = 0,    q(v) = Q⁰ + C v + flow of F

A, B, D the blocks of the charge Hessian (problem.py), C and v as in bonds.py, m = 1 but for metals.
With g = −(A q + B s + χ + m v) the step in v is preconditioned by C⁻¹, that is g itself, which C
never has to be inverted for, and the step in s by 1/K. In that metric the spectrum of insulators
lies between 1 and a few. Converged means: on every atom the charge that would still flow is below
tolerance (eV/e) as a difference of potentials, η_i |C g|_i/(1 + η_i C_ii), and so is every shell's
force (eV/Å).
"""

from typing import NamedTuple

import torch
from torch import Tensor

from openmm_pqeq.pqeq.bonds import (
    Bonds,
    charges_at,
    flow,
    flow_product,
    own_softness,
    stiff,
)
from openmm_pqeq.pqeq.coulomb.sum import product_error, step_error
from openmm_pqeq.pqeq.minimum.ahead import iterations_ahead, look
from openmm_pqeq.pqeq.minimum.newton import Minimum
from openmm_pqeq.pqeq.minimum.problem import (
    Linearized,
    Problem,
    for_products,
    linear_part,
    product,
)

MAX_PRODUCTS = 2000
MAX_RESTARTS = 20
"""Times that the gradient is computed anew, where products with fewer digits left some of it."""
MOST_HIDDEN = 0.7
"""Of the tolerance, what products may leave where the gradient is not computed anew."""


def still_to_flow(problem: Problem, own: Tensor, flowing: Tensor) -> Tensor:
    """η_i |C g|_i/(1 + η_i C_ii), (n_atoms,) eV/e, of C_ii = `own`."""
    return problem.hardness * flowing.abs() / (1.0 + problem.hardness * own)


def gradient_at(
    problem: Problem, bonds: Bonds, at: Linearized, v: Tensor, shells: Tensor
) -> tuple[Tensor, Tensor]:
    """−(A q + B s + χ + m v) (n_atoms,) eV/e, and −∂E/∂s (n_atoms, 3) eV/Å."""
    potential, shell_gradient = product(
        problem, at, torch.zeros_like(shells), charges_at(bonds, v), shells
    )
    g = -(potential + at.charge_gradient + stiff(bonds) * v)
    return g, -(shell_gradient + at.shell_gradient)


def of_field_alone(
    problem: Problem, bonds: Bonds, direction: Tensor, within_metal: Tensor
) -> Problem:
    """The problem whose solution is the change of the solution with a field along a unit vector (3,):
    no reference charges and no electronegativities, but those of the field.

    within_metal : (n_atoms, 3) Å, positions of metal atoms in their group, zero elsewhere
    """
    alone = Bonds(
        bonds.centers,
        bonds.neighbors,
        bonds.vectors,
        bonds.softness,
        bonds.vectors @ direction,
        torch.zeros_like(bonds.lean),
        torch.zeros_like(bonds.reference),
        bonds.metal,
        within_metal @ direction,
        bonds.group,
        bonds.has_metal,
    )
    return Problem(
        -(within_metal @ direction),
        problem.hardness,
        problem.core_charge,
        problem.spring_constant,
        problem.core_charge.unsqueeze(1) * direction,
        problem.group,
        problem.group_charge,
        problem.exponent,
        problem.coulomb,
        alone,
    )


def depth_beside(hidden: float, tolerance: float, most: float = MOST_HIDDEN) -> float:
    """How deep (eV/e, eV/Å) a solution goes that leaves `hidden` beside: as deep as keeps the
    tolerance, or, where another gradient has to be computed anyway, no deeper than that.

    >>> depth_beside(0.0, 1.0), depth_beside(0.25, 1.0), depth_beside(5.0, 1.0)
    (1.0, 0.75, 5.0)
    """
    return tolerance - hidden if hidden < most * tolerance else max(hidden, tolerance)


class Relaxed(NamedTuple):
    """A step in v (n_atoms,) eV/e and shells (n_atoms, 3) Å, the residual (eV/e, eV/Å) that it began
    at and the one that it leaves, the atom where that is largest, products spent, and whether a
    negative curvature was met."""

    v: Tensor
    shells: Tensor
    first: float
    residual: float
    worst: int
    products: int
    negative: bool


def relax_by_bonds(
    problem: Problem,
    bonds: Bonds,
    at: Linearized,
    g: Tensor,
    r_s: Tensor,
    threshold: float,
    max_products: int = MAX_PRODUCTS,
    inexact: float = 0.0,
) -> Relaxed:
    """The step that brings g (n_atoms,) eV/e and the shells' forces r_s (n_atoms, 3) eV/Å below
    `threshold`, by conjugate gradients, with products of relative error `inexact`."""
    at_rest, springs = torch.zeros_like(r_s), problem.spring_constant.unsqueeze(1)
    penalty, own = stiff(bonds), own_softness(bonds)
    v, shells = torch.zeros_like(g), at_rest
    p_v, p_q, p_s = torch.zeros_like(g), torch.zeros_like(g), at_rest
    rho = torch.ones_like(g.sum())
    products, worst, negative = 0, 0, False
    first, residual = float("inf"), float("inf")
    # on a GPU the host looks seldom (ahead.py), and nothing changes where the solution is not live
    unwatched, going, live = g.is_cuda, True, rho > 0.0
    next_look, last_look = 0, 0
    while True:
        flowing = flow(bonds, g)
        per_atom = torch.maximum(still_to_flow(problem, own, flowing), r_s.abs().max(dim=1)[0])
        left = per_atom.max()
        if not unwatched:
            residual = float(left)
        elif products == next_look:
            before = residual
            residual, going = look(left, live)
            next_look += iterations_ahead(residual, before, products - last_look, threshold)
            next_look, last_look = min(next_look, max_products), products
        if products == 0:
            first, threshold = residual, depth_beside(inexact * residual, threshold)
        if residual < threshold or not residual < 1e30 or products >= max_products:
            worst = int(per_atom.argmax())
            break
        if not going:
            negative, worst = True, int(p_q.abs().argmax())
            break
        z_s = r_s / springs
        rho_next = flow_product(bonds, g, g) + (r_s * z_s).sum()
        beta = torch.zeros_like(rho) if products == 0 else rho_next / rho
        p_v, p_q, p_s, rho = g + beta * p_v, flowing + beta * p_q, z_s + beta * p_s, rho_next
        h_q, h_s = product(problem, at, at_rest, p_q, p_s)
        h_q = h_q + penalty * p_v
        products += 1
        curvature = flow_product(bonds, p_v, h_q) + (p_s * h_s).sum()
        if not unwatched and not float(curvature) > 0.0:
            negative, worst = True, int(p_q.abs().argmax())
            break
        alpha = rho / curvature
        if unwatched:
            live = live & (left >= threshold) & (curvature > 0.0)
            v = torch.where(live, v + alpha * p_v, v)
            shells = torch.where(live, shells + alpha * p_s, shells)
            g = torch.where(live, g - alpha * h_q, g)
            r_s = torch.where(live, r_s - alpha * h_s, r_s)
        else:
            v, shells = v + alpha * p_v, shells + alpha * p_s
            g, r_s = g - alpha * h_q, r_s - alpha * h_s
    return Relaxed(v, shells, first, residual, worst, products, negative)


def hidden(problem: Problem, bonds: Bonds, step: Relaxed, inexact: float) -> float:
    """What products with fewer digits leave of a step that only another gradient sees (eV/e, eV/Å), no
    less: a share of the residual before, or, where bonds are soft and charges go far for a small
    residual, of those charges."""
    if inexact == 0.0:
        return 0.0
    z, moved = problem.core_charge, flow(bonds, step.v)
    return max(inexact * step.first, float(step_error(problem.coulomb, z, moved, step.shells)))


def minimize_by_bonds(
    problem: Problem,
    bonds: Bonds,
    tolerance: float,
    start: tuple[Tensor, Tensor] | None = None,
    max_products: int = MAX_PRODUCTS,
    max_restarts: int = MAX_RESTARTS,
) -> Minimum:
    """v and shells at the minimum, from a guess or cold; `Minimum.unknowns` is v (n_atoms,) eV/e.

    start : v (n_atoms,) and shells (n_atoms, 3) Å to begin with
    """
    exact = linear_part(problem)
    at = for_products(problem, exact)
    v, shells = torch.zeros_like(problem.hardness), torch.zeros_like(problem.field_on_shell)
    if start is not None:
        v, shells = start
    inexact = product_error(problem.coulomb)
    products, worst = 0, 0
    residual, failure = float("inf"), "did not converge"
    for _ in range(max_restarts):
        g, r_s = gradient_at(problem, bonds, exact, v, shells)
        step = relax_by_bonds(problem, bonds, at, g, r_s, tolerance, max_products, inexact)
        products += 1 + step.products
        v, shells, residual, worst = v + step.v, shells + step.shells, step.residual, step.worst
        if step.negative:
            failure = "met negative curvature: the energy has no minimum in the charges"
            break
        if not residual < 1e30:
            failure = "met numbers that are not finite"
            break
        if residual < tolerance and (
            step.products == 0 or residual + hidden(problem, bonds, step, inexact) < tolerance
        ):
            failure = ""
            break
    return Minimum(v, shells, residual, products, failure, worst, None)
