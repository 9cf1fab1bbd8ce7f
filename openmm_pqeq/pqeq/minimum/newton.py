"""Charges and shells that minimise the PQEq energy: a joint Newton method with conjugate gradients.

    minimise  E(q, s)  subject to  Σ_{i in f} q_i = Q_f  for every group f of atoms that share their
    charge

The energy is quadratic in q and nearly so in s. Each Newton step solves H·(dq, ds) = −∇E by
conjugate gradients on Hessian–vector products, preconditioned (preconditioner.py) and projected
onto Σ_f dq = 0, so that no matrix is ever formed. Converged means max |∂E/∂q_i − mean of its group|
< tolerance (eV/e) and max |∂E/∂s_i| < tolerance (eV/Å). From a good guess one gradient is enough:
what conjugate gradients do not see of their error is quadratic in the step that they find.

A direction of negative curvature in the charges alone means that the energy has no minimum, and the
solver says so.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from openmm_pqeq.pqeq import constants
from openmm_pqeq.pqeq.coulomb.kernels import pair_exponents
from openmm_pqeq.pqeq.coulomb.sum import product_error, step_error
from openmm_pqeq.pqeq.minimum.ahead import iterations_ahead, look
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
    for_products,
    group_means,
    linearize,
    product,
)

MAX_SHELL = 2.0
"""Å, a shell farther out is a polarization catastrophe."""
MAX_SHELL_MOVE = 0.3
"""Å, the longest change of a shell in one Newton step."""
MAX_NEWTON_STEPS, MAX_CG_STEPS = 60, 400
NEGLECTED = 0.03
"""Å²/eV: times the square of the residual before a Newton step, about what the step neglects in
shells; soft springs make it larger by orders (`neglected`). Measured: 0.001 to 0.028."""
UNSEEN = 0.3
"""Of the tolerance, what may be left that only another gradient would see."""
LAST_DEPTH = 0.5
"""Of the tolerance, how deep a Newton step is solved that is the last one."""
ROUGH_RESIDUAL = 0.3
"""eV/e, eV/Å: charges and shells good enough to make a preconditioner at."""
PROBE_DEPTH = 1e-3
"""eV/e: how deep the linear solution goes that looks for negative curvature."""


class Minimum(NamedTuple):
    """What was varied beside the shells, (n_atoms,): charges (e), or v (eV/e) of charges by bonds
    (bonds.py); shells (n_atoms, 3) Å, residual (eV/e, eV/Å), Hessian–vector products and gradients
    used, and success.

    failure is "" or the reason; worst is the atom where it showed; preconditioner is the one that
    was used, if any.
    """

    unknowns: Tensor
    shells: Tensor
    residual: float
    products: int
    failure: str
    worst: int
    preconditioner: Preconditioner | None


def unsolved_message(minimum: Minimum, tolerance: float, symbol: str, soft_elements: str) -> str:
    """Why there is no solution, where it showed, and what to do; symbol is that of the worst
    atom."""
    return (
        f"PQEq: the charge solution {minimum.failure}; residual {minimum.residual} eV/e or eV/Å "
        f"after {minimum.products} products, tolerance {tolerance}; largest on atom "
        f"{minimum.worst} ({symbol}). Elements here whose hardness is below their Gaussian "
        f"self-energy: {soft_elements}. Look for atoms that are too close, use another parameter "
        "set, or a larger tolerance"
    )


class Step(NamedTuple):
    """A Newton step, the residual (eV/e, eV/Å) that is left of the linear problem, the products
    spent, and the curvature met: 0 positive, 1 negative in the shells, 2 negative in the charges."""

    charges: Tensor
    shells: Tensor
    residual: float
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
    max_products: int = MAX_CG_STEPS,
) -> Step:
    """Conjugate gradients for H·x = right with Σ x_q = 0 in every group, until the residual is
    below `threshold` (eV/e, eV/Å). On a GPU the host looks seldom (ahead.py), and where a curvature
    is not positive, it begins once more and watches."""
    inverse = diagonal(problem) if preconditioner is None else preconditioner
    waves = long_waves(problem)
    x_q, x_s = torch.zeros_like(right_q), torch.zeros_like(right_s)
    r_q, r_s = right_q - group_means(problem, right_q), right_s
    p_q, p_s = torch.zeros_like(right_q), torch.zeros_like(right_s)
    rho = torch.ones_like(r_q.sum())
    products, negative, residual = 0, 0, float("inf")
    fresh, probing, plain = True, False, preconditioner is None
    unwatched, live, next_look, last_look = right_q.is_cuda, rho > 0.0, 1, 0
    for _ in range(max_products):
        if not probing:
            z_q, z_s = precondition(inverse, waves, r_q, r_s)
            z_q = z_q - group_means(problem, z_q)
            rho_next = (r_q * z_q).sum() + (r_s * z_s).sum()
            if unwatched:
                live = live & (rho_next > 0.0)
            elif not float(rho_next) > 0.0:
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
        if unwatched:
            live = live & (curvature > 0.0)
        elif float(curvature) <= 0.0:
            if products == 1:
                x_q, x_s = p_q, p_s
            # are the charges alone to blame?
            p_s = torch.zeros_like(p_s)
            probing = True
            continue
        alpha = rho / curvature
        next_q, next_s = x_q + alpha * p_q, x_s + alpha * p_s
        left_q, left_s = r_q - alpha * h_q, r_s - alpha * h_s
        left_q = left_q - group_means(problem, left_q)
        if unwatched:
            next_q, next_s = torch.where(live, next_q, x_q), torch.where(live, next_s, x_s)
            left_q, left_s = torch.where(live, left_q, r_q), torch.where(live, left_s, r_s)
        x_q, x_s, r_q, r_s = next_q, next_s, left_q, left_s
        left = torch.maximum(r_q.abs().max(), r_s.abs().max())
        if not unwatched:
            residual = float(left)
        else:
            live = live & (left >= threshold)
            if products < min(next_look, max_products):
                continue
            before = residual
            residual, unwatched = look(left, live)
            next_look += iterations_ahead(residual, before, products - last_look, threshold)
            last_look = products
            if not unwatched and not residual < threshold:
                x_q, x_s = torch.zeros_like(right_q), torch.zeros_like(right_s)
                r_q, r_s, fresh = right_q - group_means(problem, right_q), right_s, True
        if residual < threshold:
            break
    return Step(x_q, x_s, residual, products, negative)


def residual_of(problem: Problem, at: Linearized) -> tuple[Tensor, Tensor, Tensor]:
    """−∂E/∂q projected onto Σ_f dq = 0, the shell forces −∂E/∂s, and the larger of the two on each
    atom, (n_atoms,) eV/e or eV/Å."""
    right_q = group_means(problem, at.charge_gradient) - at.charge_gradient
    right_s = -at.shell_gradient
    return right_q, right_s, torch.maximum(right_q.abs(), right_s.abs().max(dim=1)[0])


def unseen(residual: float, inexact: float, share: float = NEGLECTED) -> float:
    """What a linear solution will leave without knowing (eV/e, eV/Å), about, from a gradient of
    `residual`, with products of relative error `inexact`."""
    return share * residual * residual + inexact * residual


def neglected(problem: Problem, step: Step) -> Tensor:
    """No less than what a Newton step neglects in shells (a scalar, eV/e, eV/Å), from the step
    itself:

        2k_e max_i [ (γ_i² Z_i |ds_i|)² + γ_i³ Z_i |ds_i| max|dq| ],   γ_i of two Gaussians like i

    and what a rough mesh of products does not see of it.

    Measured at waters, rock salts and a perovskite, springs down to a twentieth of theirs: a tenth
    to all of it.
    """
    gamma = pair_exponents(problem.exponent, problem.exponent)
    dipole = gamma * problem.core_charge * torch.sqrt((step.shells * step.shells).sum(dim=1))
    of_shells = (gamma * dipole) ** 2
    of_both = gamma**2 * dipole * step.charges.abs().max()
    on_mesh = step_error(problem.coulomb, problem.core_charge, step.charges, step.shells)
    return 2.0 * constants.COULOMB * (of_shells + of_both).max() + on_mesh


def newton_depth(
    residual: float, tolerance: float, inexact: float = 0.0, share: float = NEGLECTED
) -> float:
    """How deep (eV/e, eV/Å) a Newton step is solved: its error is quadratic in the residual, and
    no less than that of products, so a linear solution need not go deeper than that."""
    return max(0.3 * tolerance, share * residual * min(1.0, residual), inexact * residual)


def step_length(shells: Tensor, longest: float = MAX_SHELL_MOVE) -> float:
    """The part of a step that moves no shell (n_atoms, 3) farther than `longest` (Å)."""
    farthest = float(torch.sqrt((shells * shells).sum(dim=1)).max())
    return min(1.0, longest / farthest) if farthest > 0.0 else 1.0


def arbitrary_charges(charges: Tensor) -> Tensor:
    """(n_atoms,) eV/e, a right-hand side with a part along every direction of the charges."""
    n = charges.size(0)
    return torch.cos(torch.arange(1, n + 1, dtype=charges.dtype, device=charges.device))


def minimize(
    problem: Problem,
    tolerance: float,
    start: tuple[Tensor, Tensor] | None = None,
    near: Near | None = None,
    preconditioner: Preconditioner | None = None,
    max_shell: float = MAX_SHELL,
    probe: bool = False,
    max_steps: int = MAX_NEWTON_STEPS,
    rough: float = ROUGH_RESIDUAL,
    probe_depth: float = PROBE_DEPTH,
    unseen_share: float = UNSEEN,
    last_depth: float = LAST_DEPTH,
) -> Minimum:
    """The minimum of the energy, from a guess or cold: charges of the right sum and shells at rest.

    A guess and a preconditioner change the way there and nothing else: the residual that ends it is
    the same.

    Parameters
    ----------
    start : charges (n_atoms,) e and shells (n_atoms, 3) Å to begin with
    near : pairs to make a preconditioner of, where none is given, as soon as charges and shells are
        roughly right: below the residual `rough` (eV/e, eV/Å)
    max_shell : Å
    probe : look for negative curvature in the charges at the solution with conjugate gradients on
        an arbitrary right-hand side, to `probe_depth` (eV/e)
    max_steps : of Newton's method
    unseen_share, last_depth : a step from a guess may be the last one where it promises to leave
        less unseen than this part of the tolerance, and is solved as deep as that part; it is the
        last one where it keeps the tolerance with all that its size lets it neglect
    """
    at_rest = torch.zeros_like(problem.field_on_shell)
    cold = constrained(problem, torch.zeros_like(problem.hardness))
    charges, shells = cold, at_rest
    if start is not None:
        charges, shells = constrained(problem, start[0]), start[1]
    inexact = product_error(problem.coulomb)
    products, worst = 0, 0
    residual = float("inf")
    failure = ""
    done = False
    for _ in range(max_steps):
        if len(failure) > 0:
            if start is None:
                break
            # a guess can lead astray: once more from scratch
            start, preconditioner, failure = None, None, ""
            charges, shells = cold, at_rest
        at = linearize(problem, charges, shells)
        products += 1
        right_q, right_s, per_atom = residual_of(problem, at)
        largest, where = per_atom.max(dim=0)
        seen = torch.stack([largest, where.to(largest.dtype)]).cpu()  # a GPU's host waits once
        residual, worst = float(seen[0]), int(seen[1])
        if not residual < 1e30:
            failure = "met numbers that are not finite"
            continue
        done = residual < tolerance
        if done and not probe:
            break
        hidden = unseen(residual, inexact)
        last = start is not None and not probe and hidden < unseen_share * tolerance
        depth = last_depth * tolerance if last else newton_depth(residual, tolerance, inexact)
        if done:
            right_q, right_s, depth = arbitrary_charges(charges), at_rest, probe_depth
        elif preconditioner is None and near is not None and residual < rough:
            preconditioner = clusters(problem, at.local, near)
        at = for_products(problem, at)
        step = solve_linear(problem, at, shells, right_q, right_s, depth, preconditioner)
        products += step.products
        if step.negative == 2:
            failure = "met negative curvature: the energy has no minimum in the charges"
            worst = int(step.charges.abs().argmax()) if step.products <= 2 else worst
            continue
        if done:
            break
        scale = step_length(step.shells)
        charges, shells = charges + scale * step.charges, shells + scale * step.shells
        displacement = torch.sqrt((shells * shells).sum(dim=1))
        if float(displacement.max()) > max_shell:
            failure = f"ended in a polarization catastrophe (a shell more than {max_shell} Å from its core)"
            worst = int(displacement.argmax())
        elif last and scale == 1.0 and step.residual < depth:
            hidden = max(hidden, float(neglected(problem, step)) + unseen(residual, inexact, 0.0))
            if step.residual + hidden < tolerance:
                residual, done = step.residual + hidden, True
                break
    if len(failure) == 0 and not done:
        failure = "did not converge"
    return Minimum(charges, shells, residual, products, failure, worst, preconditioner)
