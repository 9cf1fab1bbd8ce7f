"""Response of the converged charge solution to a field: polarizability and Born effective charges,
without finite differences.

    α_ab   = −∂²E/∂F_a∂F_b          of the reported energy
    Z*_i,ab = ∂(force_i,b)/∂F_a      at fixed positions;  Σ_i Z*_i = Q·1

At the minimum x* = (q*, s*) of E(x; r, F): dx/dF_a = −H⁻¹ ∂²E/∂x∂F_a with Σ dq = 0, by conjugate
gradients on the Hessian at the solution. Then α_ab = −∂E_a/∂F_b − (∂²E/∂x∂F_b)·dx/dF_a, and Born
charges from −∂²E/∂r∂x·dx/dF_a − ∂²E/∂r∂F_a, plus, with the coupling `shell`, from the force qF on
the ions: q 1 + F_b ∂q/∂F_a. The protocol `reaxnet` has no minimum; its two sweeps are
differentiated as they stand. Only PQEq answers to a field. e²Å²/eV and e. float64.
"""

import torch
from torch import Tensor

from openmm_pqeq.neighbors.pairs import Pairs
from openmm_pqeq.pqeq.minimum.newton import minimize, solve_linear
from openmm_pqeq.pqeq.minimum.problem import linearize
from openmm_pqeq.pqeq.model import PQEq
from openmm_pqeq.structure import Structure


def polarizability_and_born_charges(
    pqeq: PQEq, structure: Structure, pairs_of: torch.nn.Module
) -> tuple[Tensor, Tensor]:
    """Polarizability (3, 3) e²Å²/eV and Born charges (n_atoms, 3, 3) e, [atom, field, force], of
    one structure.

    pairs_of : a NeighborSearch of at least the model's cutoff
    """
    positions = structure.positions.detach().requires_grad_(True)
    field = structure.field.detach().requires_grad_(True)
    structure = structure._replace(positions=positions, field=field)
    pairs: Pairs = pairs_of(structure)
    if pqeq.protocol == "reaxnet":
        return _through_sweeps(pqeq, structure, pairs)
    return _through_minimum(pqeq, structure, pairs)


def _through_minimum(pqeq: PQEq, structure: Structure, pairs: Pairs) -> tuple[Tensor, Tensor]:
    positions, field = structure.positions, structure.field
    problem = pqeq.problem(structure, pairs)
    tolerance = min(pqeq.tolerance, 1e-10)
    with torch.no_grad():
        found = minimize(problem, tolerance)
        if found.failure:
            pqeq.raise_unsolved(structure, found)
        at = linearize(problem, found.charges, found.shells)
    charges, shells = found.charges.requires_grad_(True), found.shells.requires_grad_(True)
    energy = pqeq.energy(problem, charges, shells)
    slope_q, slope_s, slope_f = torch.autograd.grad(
        energy, (charges, shells, field), create_graph=True
    )
    alpha, born = [], []
    for a in range(3):
        mixed_q, mixed_s, mixed_r, explicit = _gradients(
            slope_f[0, a], (charges, shells, positions, field)
        )
        with torch.no_grad():
            step = solve_linear(problem, at, shells, -mixed_q, -mixed_s, 1e-11)
        # one derivative of x-slopes along dx gives both ∂²E/∂r∂x·dx and ∂²E/∂F∂x·dx
        along = (slope_q * step.charges).sum() + (slope_s * step.shells).sum()
        turned_r, turned_f = _gradients(along, (positions, field))
        alpha.append(-(explicit[0] + turned_f[0]))
        force = -(mixed_r + turned_r)
        if pqeq.coupling == "shell":
            force = force + torch.outer(
                charges, torch.eye(3, dtype=force.dtype, device=force.device)[a]
            )
            force = force + torch.outer(step.charges, field[0])
        elif pqeq.coupling == "fragment":
            axis = torch.eye(3, dtype=force.dtype, device=force.device)[a]
            force = force.index_add(
                0, pqeq.group_first, torch.outer(pqeq.group_charge.to(force.dtype), axis)
            )
        born.append(force.detach())
    return torch.stack(alpha).detach(), torch.stack(born, dim=1)


def _through_sweeps(pqeq: PQEq, structure: Structure, pairs: Pairs) -> tuple[Tensor, Tensor]:
    positions, field = structure.positions, structure.field
    energy, charges, _ = pqeq.solve(structure, pairs)
    if pqeq.coupling == "shell":
        push = (positions @ field[0].detach()) * charges.detach()
        energy = energy - (push - push.detach()).sum()
    slope_r, slope_f = torch.autograd.grad(energy, (positions, field), create_graph=True)
    alpha = torch.stack([-_gradients(slope_f[0, a], (field,))[0][0] for a in range(3)])
    # ∂force/∂F for every force component: the derivative of (force·v) in v's coefficients, a
    # transposed product
    probe = torch.zeros_like(positions).requires_grad_(True)
    (along,) = torch.autograd.grad(
        (-slope_r * probe).sum(), (field,), create_graph=True, allow_unused=True
    )
    born = torch.stack([_gradients(along[0, a], (probe,))[0] for a in range(3)], dim=1)
    if pqeq.coupling == "shell":
        identity = torch.eye(3, dtype=born.dtype, device=born.device)
        born = born + charges.detach().reshape(-1, 1, 1) * identity
        if charges.requires_grad and bool((field != 0).any()):
            weights = torch.zeros_like(charges).requires_grad_(True)
            (flow,) = torch.autograd.grad((charges * weights).sum(), (field,), create_graph=True)
            rates = torch.stack([_gradients(flow[0, a], (weights,))[0] for a in range(3)], dim=1)
            born = born + rates.unsqueeze(2) * field[0].detach()
    return alpha.detach(), born.detach()


def _gradients(value: Tensor, inputs: tuple[Tensor, ...]) -> list[Tensor]:
    if not value.requires_grad:
        return [torch.zeros_like(x) for x in inputs]
    found = torch.autograd.grad(value, inputs, retain_graph=True, allow_unused=True)
    return [torch.zeros_like(x) if g is None else g for g, x in zip(found, inputs)]
