"""Charges and shells that minimise the PQEq energy: a joint Newton method with conjugate gradients.

    minimise  E(q, s)  subject to  Σ q_i = Q

The energy is quadratic in q and nearly so in s. Each Newton step solves H·(dq, ds) = −∇E by conjugate gradients on Hessian–vector
products, preconditioned by diag(η, K) and projected onto Σ dq = 0, so that no matrix is ever formed. Converged means
max |∂E/∂q_i − mean| < tolerance (eV/e) and max |∂E/∂s_i| < tolerance (eV/Å).

A direction of negative curvature in the charges alone means that the energy has no minimum, and the solver says so.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from openmm_pqeq.pqeq import constants
from openmm_pqeq.pqeq.ewald import (
    Reciprocal,
    ReciprocalState,
    reciprocal_gradient,
    reciprocal_local_hessian,
    reciprocal_product,
    reciprocal_state,
)
from openmm_pqeq.pqeq.kernels import Radial
from openmm_pqeq.pqeq.mesh import Mesh, MeshState, mesh_gradient, mesh_local_hessian, mesh_product, mesh_state
from openmm_pqeq.pqeq.pairs import PairState, PairSum, pair_gradient, pair_local_hessian, pair_product, pair_state
from openmm_pqeq.pqeq.self_interaction import (
    SelfInteraction,
    self_attraction,
    self_gradient,
    self_local_hessian,
    self_product,
)


class Problem(NamedTuple):
    """The charge problem of one structure.

    electronegativity (n_atoms,) eV, with −r·F added where cores see the field; hardness (n_atoms,) eV; core_charge (n_atoms,) e;
    spring_constant (n_atoms,) eV/Å²; pull (n_atoms, 3) eV/Å, Z F; pairs; and where the structure is periodic, reciprocal space as
    waves or as a mesh, with what it has too much
    """

    electronegativity: Tensor
    hardness: Tensor
    core_charge: Tensor
    spring_constant: Tensor
    pull: Tensor
    total_charge: Tensor
    pairs: PairSum
    own: SelfInteraction | None
    space: Reciprocal | None
    mesh: Mesh | None


class Linearized(NamedTuple):
    """Gradient at (q, s) and all that a Hessian–vector product needs."""

    charge_gradient: Tensor
    shell_gradient: Tensor
    local: Tensor
    pairs: PairState
    attraction: Radial | None
    waves: ReciprocalState | None
    on_mesh: MeshState | None


class Minimum(NamedTuple):
    """Charges (n_atoms,) e, shells (n_atoms, 3) Å, residual (eV/e, eV/Å), Hessian–vector products used, and success.

    failure is "" or the reason; worst is the atom where it showed.
    """

    charges: Tensor
    shells: Tensor
    residual: float
    products: int
    failure: str
    worst: int


def linearize(problem: Problem, charges: Tensor, shells: Tensor) -> Linearized:
    """Gradient of the energy, with the constraint not yet projected out, and the state for Hessian–vector products."""
    z = problem.core_charge
    state = pair_state(problem.pairs, shells)
    potential, on_shell = pair_gradient(problem.pairs, state, charges, z)
    local = pair_local_hessian(problem.pairs, state, charges, z)
    attraction: Radial | None = None
    waves: ReciprocalState | None = None
    on_mesh: MeshState | None = None
    own, space, mesh = problem.own, problem.space, problem.mesh
    if own is not None:
        attraction = self_attraction(own, shells)
        self_q, self_s = self_gradient(own, attraction, charges, z, shells)
        potential, on_shell = potential - self_q, on_shell - self_s
        local = local - self_local_hessian(attraction, charges, z, shells)
    if space is not None:
        waves = reciprocal_state(space, charges, z, shells)
        smooth_q, smooth_s = reciprocal_gradient(space, waves, z)
        potential, on_shell = potential + smooth_q, on_shell + smooth_s
        local = local + reciprocal_local_hessian(space, waves, z)
    if mesh is not None:
        on_mesh = mesh_state(mesh, charges, z, shells)
        smooth_q, smooth_s = mesh_gradient(mesh, on_mesh, z)
        potential, on_shell = potential + smooth_q, on_shell + smooth_s
        local = local + mesh_local_hessian(mesh, on_mesh, z)
    potential = potential + problem.electronegativity + problem.hardness * charges
    on_shell = on_shell + problem.spring_constant.unsqueeze(1) * shells + problem.pull
    return Linearized(potential, on_shell, local, state, attraction, waves, on_mesh)


def product(problem: Problem, at: Linearized, shells: Tensor, dq: Tensor, ds: Tensor) -> tuple[Tensor, Tensor]:
    """Hessian of the energy at `at` times (dq, ds)."""
    potential, on_shell = pair_product(problem.pairs, at.pairs, problem.core_charge, dq, ds)
    z = problem.core_charge
    own, attraction = problem.own, at.attraction
    if own is not None and attraction is not None:
        self_q, self_s = self_product(own, attraction, z, shells, dq, ds)
        potential, on_shell = potential - self_q, on_shell - self_s
    space, waves = problem.space, at.waves
    if space is not None and waves is not None:
        smooth_q, smooth_s = reciprocal_product(space, waves, z, dq, ds)
        potential, on_shell = potential + smooth_q, on_shell + smooth_s
    mesh, on_mesh = problem.mesh, at.on_mesh
    if mesh is not None and on_mesh is not None:
        smooth_q, smooth_s = mesh_product(mesh, on_mesh, z, dq, ds)
        potential, on_shell = potential + smooth_q, on_shell + smooth_s
    potential = potential + problem.hardness * dq
    on_shell = on_shell + problem.spring_constant.unsqueeze(1) * ds + torch.matmul(at.local, ds.unsqueeze(2)).squeeze(2)
    return potential, on_shell


def _project(problem: Problem, gradient: Tensor) -> Tensor:
    """The preconditioned charge gradient with zero sum: (g − λ)/η."""
    inverse = 1.0 / problem.hardness
    return (gradient - (gradient * inverse).sum() / inverse.sum()) * inverse


class Step(NamedTuple):
    """A Newton step, the products spent, and the curvature met: 0 positive, 1 negative in the shells, 2 negative in the charges."""

    charges: Tensor
    shells: Tensor
    products: int
    negative: int


def solve_linear(problem: Problem, at: Linearized, shells: Tensor, right_q: Tensor, right_s: Tensor, threshold: float) -> Step:
    """Conjugate gradients for H·x = right with Σ x_q = 0, until the residual is below `threshold` (eV/e, eV/Å)."""
    stiffness = problem.spring_constant.unsqueeze(1)
    x_q, x_s = torch.zeros_like(right_q), torch.zeros_like(right_s)
    r_q, r_s = right_q, right_s
    z_q, z_s = _project(problem, r_q), r_s / stiffness
    p_q, p_s = z_q, z_s
    rho = (r_q * z_q).sum() + (r_s * z_s).sum()
    products = 0
    negative = 0
    for _ in range(constants.MAX_CG_STEPS):
        if float(rho) <= 0.0:
            break
        h_q, h_s = product(problem, at, shells, p_q, p_s)
        products += 1
        curvature = (p_q * h_q).sum() + (p_s * h_s).sum()
        if float(curvature) <= 0.0:
            charges_only, _s = product(problem, at, shells, p_q, torch.zeros_like(p_s))
            negative = 2 if float((p_q * charges_only).sum()) < 0.0 else 1
            if products == 1:
                x_q, x_s = p_q, p_s
            break
        alpha = rho / curvature
        x_q, x_s = x_q + alpha * p_q, x_s + alpha * p_s
        r_q, r_s = r_q - alpha * h_q, r_s - alpha * h_s
        r_q = r_q - r_q.mean()
        if max(float(r_q.abs().max()), float(r_s.abs().max())) < threshold:
            break
        z_q, z_s = _project(problem, r_q), r_s / stiffness
        rho_next = (r_q * z_q).sum() + (r_s * z_s).sum()
        beta = rho_next / rho
        p_q, p_s = z_q + beta * p_q, z_s + beta * p_s
        rho = rho_next
    return Step(x_q, x_s, products, negative)


def minimize(
    problem: Problem, tolerance: float, guess_charges: Tensor | None = None, guess_shells: Tensor | None = None
) -> Minimum:
    """The minimum of the energy, from a guess or cold: charges of the right sum and shells at rest.

    A guess changes the way there and nothing else: the residual that ends it is the same.
    """
    charges, shells = torch.zeros_like(problem.hardness), torch.zeros_like(problem.pull)
    if guess_charges is not None and guess_shells is not None:
        charges, shells = guess_charges, guess_shells
    charges = charges + (problem.total_charge - charges.sum()) / charges.size(0)
    products = 0
    residual = float("inf")
    failure = "did not converge"
    worst = 0
    for _ in range(constants.MAX_NEWTON_STEPS):
        at = linearize(problem, charges, shells)
        g_q = at.charge_gradient - at.charge_gradient.mean()
        g_s = at.shell_gradient
        per_atom = torch.maximum(g_q.abs(), g_s.abs().max(dim=1)[0])
        residual = float(per_atom.max())
        worst = int(per_atom.argmax())
        if not residual < 1e30:
            failure = "met numbers that are not finite"
            break
        if residual < tolerance:
            failure = ""
            break
        # inexact Newton: the error of a step is quadratic in the residual, so a linear solve need not go deeper than that
        step = solve_linear(problem, at, shells, -g_q, -g_s, max(0.3 * tolerance, 0.1 * residual * min(1.0, residual)))
        products += step.products
        if step.negative == 2:
            failure = constants.NO_MINIMUM
            worst = int(step.charges.abs().argmax()) if step.products == 1 else worst
            break
        longest = float(torch.sqrt((step.shells * step.shells).sum(dim=1)).max())
        scale = min(1.0, constants.MAX_SHELL_MOVE / longest) if longest > 0.0 else 1.0
        charges, shells = charges + scale * step.charges, shells + scale * step.shells
        displacement = torch.sqrt((shells * shells).sum(dim=1))
        if float(displacement.max()) > constants.MAX_SHELL:
            failure = "ended in a polarization catastrophe (a shell more than 2 Å from its core)"
            worst = int(displacement.argmax())
            break
    return Minimum(charges, shells, residual, products, failure, worst)


def check_curvature(problem: Problem, found: Minimum) -> Minimum:
    """`found`, or a failure where conjugate gradients on an arbitrary right-hand side meet negative curvature in the charges
    there."""
    at = linearize(problem, found.charges, found.shells)
    right = torch.cos(torch.arange(1, found.charges.size(0) + 1, dtype=found.charges.dtype, device=found.charges.device))
    probe = solve_linear(problem, at, found.shells, right - right.mean(), torch.zeros_like(found.shells), 1e-3)
    failure = constants.NO_MINIMUM if probe.negative == 2 else found.failure
    return Minimum(found.charges, found.shells, found.residual, found.products + probe.products, failure, found.worst)
