"""Response of the converged charge solution to a field: polarizability and Born effective charges,
without finite differences.

    α_ab   = −∂²E/∂F_a∂F_b          of the reported energy
    Z*_i,ab = ∂(force_i,b)/∂F_a      at fixed positions;  Σ_i Z*_i = Q·1

At the minimum x* = (q*, s*) of E(x; r, F): dx/dF_a = −H⁻¹ ∂²E/∂x∂F_a with Σ dq = 0, by conjugate
gradients on the Hessian at the solution. Then α_ab = −∂E_a/∂F_b − (∂²E/∂x∂F_b)·dx/dF_a, and Born
charges from −∂²E/∂r∂x·dx/dF_a − ∂²E/∂r∂F_a, plus what comes from the field's forces on ionic
charges (coupling.py). The protocol `reaxnet` has no minimum; its two sweeps are
differentiated as they stand. Only PQEq answers to a field. e²Å²/eV and e. float64.
"""

import torch
from torch import Tensor

from openmm_pqeq.neighbors.pairs import Pairs
from openmm_pqeq.pqeq.coupling import ionic_born_charges, within_groups
from openmm_pqeq.pqeq.minimum.by_bonds import of_field_alone
from openmm_pqeq.pqeq.minimum.newton import solve_linear
from openmm_pqeq.pqeq.minimum.problem import linearize
from openmm_pqeq.pqeq.minimum.solution import find_minimum
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
        minimum = find_minimum(problem, pqeq.charge_flow == "bonds", tolerance)
        if minimum.failure:
            pqeq.raise_unsolved(structure, minimum)
    charges, shells = minimum.unknowns.requires_grad_(True), minimum.shells.requires_grad_(True)
    energy = pqeq.energy(problem, charges, shells)
    charge_gradient, shell_gradient, field_gradient = torch.autograd.grad(
        energy, (charges, shells, field), create_graph=True
    )
    alpha, born, response = [], [], []
    for a in range(3):
        mixed_q, mixed_s, mixed_r, mixed_f = _gradients(
            field_gradient[0, a], (charges, shells, positions, field)
        )
        with torch.no_grad():
            if problem.bonds is None:
                at = linearize(problem, charges, shells)
                step = solve_linear(problem, at, shells, -mixed_q, -mixed_s, 1e-11)
                moved_q, moved_s = step.charges, step.shells
            else:
                within = within_groups(structure, pqeq.groups())
                alone = of_field_alone(problem, problem.bonds, torch.eye(3).to(field)[a], within)
                change = find_minimum(alone, True, 1e-11)
                moved_q, moved_s = change.unknowns, change.shells
        # one derivative of the gradients along dx gives both ∂²E/∂r∂x·dx and ∂²E/∂F∂x·dx
        along = (charge_gradient * moved_q).sum() + (shell_gradient * moved_s).sum()
        relaxed_r, relaxed_f = _gradients(along, (positions, field))
        alpha.append(-(mixed_f[0] + relaxed_f[0]))
        born.append(-(mixed_r + relaxed_r))
        response.append(moved_q)
    if problem.bonds is not None:
        ionic = problem.bonds.reference.view(-1, 1, 1) * torch.eye(3).to(field)
    else:
        ionic = ionic_born_charges(
            pqeq.coupling, charges, torch.stack(response, dim=1), field[0], pqeq.groups()
        )
    return torch.stack(alpha).detach(), (torch.stack(born, dim=1) + ionic).detach()


def _through_sweeps(pqeq: PQEq, structure: Structure, pairs: Pairs) -> tuple[Tensor, Tensor]:
    positions, field = structure.positions, structure.field
    energy, charges, *_ = pqeq.solve(structure, pairs)
    position_gradient, field_gradient = torch.autograd.grad(
        energy, (positions, field), create_graph=True
    )
    alpha = torch.stack([-_gradients(field_gradient[0, a], (field,))[0][0] for a in range(3)])
    born = _field_derivatives(-position_gradient, field)
    response = torch.zeros_like(positions)
    if charges.requires_grad and bool((field != 0).any()):
        response = _field_derivatives(charges, field)
    ionic = ionic_born_charges(pqeq.coupling, charges, response, field[0], pqeq.groups())
    return alpha.detach(), (born + ionic).detach()


def _field_derivatives(values: Tensor, field: Tensor) -> Tensor:
    """∂values/∂F_a of values (n_atoms, ...), (n_atoms, 3, ...): the derivative of values·w in the
    weights w, a transposed product."""
    weights = torch.zeros_like(values).requires_grad_(True)
    (along,) = torch.autograd.grad(
        (values * weights).sum(), (field,), create_graph=True, allow_unused=True
    )
    return torch.stack([_gradients(along[0, a], (weights,))[0] for a in range(3)], dim=1)


def _gradients(value: Tensor, inputs: tuple[Tensor, ...]) -> list[Tensor]:
    if not value.requires_grad:
        return [torch.zeros_like(x) for x in inputs]
    gradients = torch.autograd.grad(value, inputs, retain_graph=True, allow_unused=True)
    return [torch.zeros_like(x) if g is None else g for g, x in zip(gradients, inputs)]
