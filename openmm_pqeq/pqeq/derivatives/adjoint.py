"""Differentiation through the converged charge solution: what a fit of PQEq parameters needs. Eager
mode only.

The minimum x* = (q*, s*) of E(x; p) with Σ q = Q moves with a parameter p by

    dx*/dp = −H⁻¹ ∂²E/∂x∂p,   H = ∂²E/∂x∂x with Σ dq = 0,

so that for a loss L(x*, p) one adjoint solve H λ = ∂L/∂x is enough for all parameters: dL/dp =
∂L/∂p − λ·∂²E/∂x∂p.

PQEq keeps its parameters in buffers by atomic number. `parameters_as` puts tensors that carry a
gradient in their place:

    radius = pqeq.radius.clone().requires_grad_(True)
    with parameters_as(pqeq, {"radius": radius}):
        unknowns, shells = unknowns_with_gradient(pqeq, structure, pairs)
        energy = pqeq.energy(pqeq.problem(structure, pairs), unknowns, shells)

The solution is that of positions, cell and field as numbers, so that −dE/dr is the Hellmann–Feynman
force, and a loss on forces (`create_graph=True`) still has the right gradient in the parameters.
With `geometry=True` positions, cell and field count as well. eV, e, Å; first derivatives of charges
and shells only.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from openmm_pqeq.neighbors.pairs import Pairs
from openmm_pqeq.pqeq.bonds import charges_at, flow
from openmm_pqeq.pqeq.coulomb.dipoles import coulomb_energy_of_dipoles
from openmm_pqeq.pqeq.minimum.by_bonds import relax_by_bonds
from openmm_pqeq.pqeq.minimum.newton import Minimum, solve_linear
from openmm_pqeq.pqeq.minimum.problem import (
    Problem,
    group_means,
    linear_part,
    linearize,
    site_energy,
)
from openmm_pqeq.pqeq.model import PQEq
from openmm_pqeq.structure import Structure

PARAMETERS = ("electronegativity", "hardness", "core_charge", "radius", "spring_constant")
"""The buffers of PQEq that hold parameters, by atomic number and further rows (parameters.py): eV,
eV, e, Å, eV/Å²."""
OF_BONDS = ("softness", "electronegativity_slope")
"""Two more, e/√eV and eV, of charges by bonds."""


@contextmanager
def parameters_as(pqeq: PQEq, values: Mapping[str, Tensor]) -> Iterator[PQEq]:
    """`pqeq` with other parameters inside the block, and its own again after it.

    values : any of `PARAMETERS` and `OF_BONDS`, in the shape of the buffer; they may carry
        gradients
    """
    before: dict[str, Tensor] = {}
    for name, value in values.items():
        if name not in (*PARAMETERS, *OF_BONDS):
            raise ValueError(
                f"parameters_as: expected names among {', '.join((*PARAMETERS, *OF_BONDS))}, got "
                f"{name!r}"
            )
        present = getattr(pqeq, name)
        if value.shape != present.shape:
            raise ValueError(
                f"parameters_as: {name}: expected shape {tuple(present.shape)}, got "
                f"{tuple(value.shape)}"
            )
        before[name] = present
    try:
        for name, value in values.items():
            # a Parameter would be registered as one and stay; a view of it is a plain tensor
            setattr(
                pqeq, name, value.view_as(value) if isinstance(value, torch.nn.Parameter) else value
            )
        yield pqeq
    finally:
        for name, value in before.items():
            setattr(pqeq, name, value)


def without_gradient(problem: Problem) -> Problem:
    """The problem as numbers, of which nothing carries a gradient."""
    return Problem(*(_numbers(value) for value in problem))


def _numbers(value: Any) -> Any:
    if isinstance(value, Tensor):
        return value.detach()
    if isinstance(value, list):
        return [_numbers(item) for item in value]
    if isinstance(value, tuple):
        return type(value)(*(_numbers(item) for item in value))
    return value


def solve_with_gradient(
    pqeq: PQEq, structure: Structure, pairs: Pairs, geometry: bool = False
) -> tuple[Tensor, Tensor]:
    """Charges (n_atoms,) e and shells (n_atoms, 3) Å at the minimum, differentiable in the
    parameters.

    Parameters
    ----------
    pqeq : of protocol `ewald`, `pme` or `direct`; `reaxnet` has no minimum, and its sweeps are
        differentiable as they are
    structure : one structure
    pairs : within at least the model's cutoff
    geometry : let the solution depend on positions, cell, field and parameters, not on parameters
        alone
    """
    if pqeq.protocol == "reaxnet":
        raise ValueError(
            "solve_with_gradient: protocol 'reaxnet' has no minimum: PQEq.solve is differentiable "
            "through its sweeps"
        )
    if not geometry:
        structure, pairs = _numbers(structure), _numbers(pairs)
    with torch.no_grad():
        problem = pqeq.problem(structure, pairs)
        minimum = pqeq.minimum(problem, structure, pairs)
    if minimum.failure:
        pqeq.raise_unsolved(structure, minimum)
    if problem.bonds is not None:
        return _by_bonds(pqeq, structure, pairs, problem, minimum)
    charges, shells = (
        minimum.unknowns.detach().requires_grad_(True),
        minimum.shells.detach().requires_grad_(True),
    )
    with torch.enable_grad():
        energy = pqeq.energy(pqeq.problem(structure, pairs), charges, shells)
        charge_gradient, shell_gradient = torch.autograd.grad(
            energy, (charges, shells), create_graph=True
        )
    return _Minimum.apply(
        charge_gradient,
        shell_gradient,
        charges.detach(),
        shells.detach(),
        without_gradient(problem),
    )


def unknowns_with_gradient(pqeq: PQEq, structure: Structure, pairs: Pairs) -> tuple[Tensor, Tensor]:
    """As `solve_with_gradient`, but what `PQEq.energy` takes: charges, or of charges by bonds
    v = −∂E_PQEq/∂q (n_atoms,) eV/e, without metals."""
    charges, shells = solve_with_gradient(pqeq, structure, pairs)
    if pqeq.charge_flow == "free":
        return charges, shells
    with torch.enable_grad():
        problem = pqeq.problem(_numbers(structure), _numbers(pairs))
        energy = _energy_of_charges(problem, charges, shells)
        (potential,) = torch.autograd.grad(energy, charges, create_graph=True)
    return -potential, shells


def _energy_of_charges(problem: Problem, charges: Tensor, shells: Tensor) -> Tensor:
    """E_PQEq with linear dipoles, a scalar in eV."""
    coulomb = coulomb_energy_of_dipoles(
        problem.coulomb, charges, problem.core_charge, shells, once=False
    )
    return site_energy(problem, charges, shells) + coulomb


def _by_bonds(
    pqeq: PQEq, structure: Structure, pairs: Pairs, problem: Problem, minimum: Minimum
) -> tuple[Tensor, Tensor]:
    """As `solve_with_gradient`, of charges by bonds: with h = ∂E_PQEq/∂q + m v, zero at the solution
    but for what all bonded atoms have in common,

        dq = C dv + ∂q/∂p dp,    C [A C dv + B ds] + C m dv = −C ∂h/∂p dp
    """
    v, shells = minimum.unknowns.detach(), minimum.shells.detach().requires_grad_(True)
    with torch.enable_grad():
        moving = pqeq.problem(structure, pairs)
        if moving.bonds is None:
            raise RuntimeError("solve_with_gradient: the problem has lost its bonds")
        direct = charges_at(moving.bonds, v)
        charges = direct if direct.requires_grad else direct.requires_grad_(True)
        energy = _energy_of_charges(moving, charges, shells)
        h, shell_gradient = torch.autograd.grad(energy, (charges, shells), create_graph=True)
    moved_q, moved_s = _MinimumByBonds.apply(
        h, shell_gradient, shells.detach(), without_gradient(problem)
    )
    return direct + moved_q, moved_s


def solve_hessian(
    problem: Problem, charges: Tensor, shells: Tensor, right_q: Tensor, right_s: Tensor
) -> tuple[Tensor, Tensor]:
    """H⁻¹·right at a minimum, with zero total charge: right (n_atoms,) and (n_atoms, 3), the answer
    in the same shapes.

    RuntimeError where the Hessian is not positive definite.
    """
    right_q = right_q - group_means(problem, right_q)
    size = max(float(right_q.abs().max()), float(right_s.abs().max()))
    if size == 0.0:
        return torch.zeros_like(right_q), torch.zeros_like(right_s)
    depth = 1e-11 if right_q.dtype == torch.float64 else 1e-5
    with torch.no_grad():
        at = linearize(problem, charges, shells)
        step = solve_linear(problem, at, shells, right_q, right_s, depth * size)
    if step.negative:
        raise RuntimeError(
            f"PQEq: the Hessian of the {'charges' if step.negative == 2 else 'shells'} is not "
            "positive definite at the solution:"
            " it has no derivative in the parameters; raise the hardness, or stiffen the springs"
        )
    return step.charges, step.shells


class _MinimumByBonds(torch.autograd.Function):
    """What the minimum of charges by bonds adds to the charges, which is zero, and the shells, as a
    function of h and ∂E/∂s at it."""

    @staticmethod
    def forward(
        ctx: Any, h: Tensor, shell_gradient: Tensor, shells: Tensor, problem: Problem
    ) -> Any:
        ctx.problem = problem
        return torch.zeros_like(h), shells.clone()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *into: Tensor) -> Any:
        problem, bonds = ctx.problem, ctx.problem.bonds
        size = max(float(into[0].abs().max()), float(into[1].abs().max()))
        if size == 0.0:
            return torch.zeros_like(into[0]), torch.zeros_like(into[1]), None, None
        with torch.no_grad():
            at = linear_part(problem)
            step = relax_by_bonds(problem, bonds, at, into[0], into[1], 1e-11 * size)
        return -flow(bonds, step.v), -step.shells, None, None


class _Minimum(torch.autograd.Function):
    """The minimum as a function of the gradients ∂E/∂q and ∂E/∂s at it, which carry the dependence on
    everything else.

    dx* = −H⁻¹ d(∂E/∂x)
    """

    @staticmethod
    def forward(
        ctx: Any,
        charge_gradient: Tensor,
        shell_gradient: Tensor,
        charges: Tensor,
        shells: Tensor,
        problem: Problem,
    ) -> Any:
        ctx.problem = problem
        ctx.save_for_backward(charges, shells)
        return charges.clone(), shells.clone()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *into: Tensor) -> Any:
        charges, shells = ctx.saved_tensors
        moved_q, moved_s = solve_hessian(ctx.problem, charges, shells, into[0], into[1])
        return -moved_q, -moved_s, None, None, None
