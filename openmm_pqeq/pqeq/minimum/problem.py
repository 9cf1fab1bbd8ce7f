"""The charge problem of one structure: its energy to second order in charges and shells.

    E(q, s) = Σ_i [ χ_i q_i + ½ η_i q_i² + ½ K_i |s_i|² + Z_i F·s_i ] + E_Coulomb(q, s)
    Σ_{i in f} q_i = Q_f  for every group f of atoms that share their charge

`linearize` gives the gradient at (q, s), `product` the charge Hessian times a vector, the Coulomb
part of both from coulomb/sum.py. No matrix is formed. Å, eV, e.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from openmm_pqeq.pqeq.bonds import Bonds, charges_at
from openmm_pqeq.pqeq.coulomb.dipoles import coulomb_state_at_rest, own_dipole
from openmm_pqeq.pqeq.coulomb.sum import (
    CoulombState,
    CoulombSum,
    coulomb_gradient,
    coulomb_local_hessian,
    coulomb_product,
    coulomb_state,
    coulomb_state_for_products,
)

SINGLE_PRECISION_TOLERANCE = 2e-4
"""eV/e, eV/Å: float32 sums of Coulomb terms converge no further."""


class Problem(NamedTuple):
    """The charge problem of one structure.

    electronegativity : (n_atoms,) eV, with the field's part as the coupling has it, and −V on
        electrodes
    hardness : (n_atoms,) eV
    core_charge : (n_atoms,) e
    spring_constant : (n_atoms,) eV/Å²
    field_on_shell : (n_atoms, 3) eV/Å, Z F
    group : (n_atoms,) int64, which atoms share their charge
    group_charge : (n_groups,) e
    exponent : (n_atoms,) Å⁻², of the Gaussians
    coulomb : the sums over pairs and waves
    bonds : along which charge flows; None: it flows freely, and shells are not linear
    """

    electronegativity: Tensor
    hardness: Tensor
    core_charge: Tensor
    spring_constant: Tensor
    field_on_shell: Tensor
    group: Tensor
    group_charge: Tensor
    exponent: Tensor
    coulomb: CoulombSum
    bonds: Bonds | None


class Linearized(NamedTuple):
    """The gradient at (q, s), with the constraint not yet projected out: charge_gradient (n_atoms,)
    eV/e, shell_gradient (n_atoms, 3) eV/Å; and what a Hessian–vector product needs: local
    (n_atoms, 3, 3) eV/Å², the Coulomb energy's second derivative in each atom's own shell, and the
    state of the Coulomb sum."""

    charge_gradient: Tensor
    shell_gradient: Tensor
    local: Tensor
    coulomb: CoulombState


def reachable(
    tolerance: float, dtype: torch.dtype, single: float = SINGLE_PRECISION_TOLERANCE
) -> float:
    """The tolerance (eV/e, eV/Å) that sums in this dtype can reach."""
    return max(tolerance, single) if dtype == torch.float32 else tolerance


def group_means(problem: Problem, values: Tensor) -> Tensor:
    """The mean over each atom's group, (n_atoms,)."""
    zeros = torch.zeros_like(problem.group_charge)
    members = zeros.index_add(0, problem.group, torch.ones_like(values))
    return (zeros.index_add(0, problem.group, values) / members)[problem.group]


def constrained(problem: Problem, charges: Tensor) -> Tensor:
    """Charges shifted, equally within each group, to the charge the group has to have."""
    members = torch.zeros_like(problem.group_charge).index_add(
        0, problem.group, torch.ones_like(charges)
    )
    return charges - group_means(problem, charges) + (problem.group_charge / members)[problem.group]


def site_energy(problem: Problem, charges: Tensor, shells: Tensor) -> Tensor:
    """Σ_i χ q + ½ η q² + ½ K |s|² + Z F·s, a scalar in eV: the energy without the Coulomb sum."""
    energy = (problem.electronegativity * charges + 0.5 * problem.hardness * charges**2).sum()
    energy = energy + 0.5 * (problem.spring_constant.unsqueeze(1) * shells**2).sum()
    return energy + (problem.field_on_shell * shells).sum()


def linearize(problem: Problem, charges: Tensor, shells: Tensor) -> Linearized:
    """Gradient of the energy, and the state for Hessian–vector products, with all digits; see
    `for_products`."""
    coulomb, z = problem.coulomb, problem.core_charge
    state = coulomb_state(coulomb, charges, z, shells)
    potential, shell_gradient = coulomb_gradient(coulomb, state, charges, z, shells)
    springs = problem.spring_constant.unsqueeze(1) * shells
    return Linearized(
        potential + problem.electronegativity + problem.hardness * charges,
        shell_gradient + springs + problem.field_on_shell,
        coulomb_local_hessian(coulomb, state, charges, z, shells),
        state,
    )


def for_products(problem: Problem, at: Linearized) -> Linearized:
    """The same for products with fewer digits, where they may have those (`product_error`)."""
    state = coulomb_state_for_products(problem.coulomb, at.coulomb)
    return Linearized(at.charge_gradient, at.shell_gradient, at.local, state)


def linear_part(problem: Problem) -> Linearized:
    """Where there are no charges and all shells are at their cores: there `product` is the Hessian of
    charges with linear dipoles, everywhere; with all digits, see `for_products`."""
    coulomb, z = problem.coulomb, problem.core_charge
    at_rest = torch.zeros_like(problem.field_on_shell)
    identity = torch.eye(3, dtype=z.dtype, device=z.device)
    return Linearized(
        problem.electronegativity,
        problem.field_on_shell,
        own_dipole(coulomb, z).view(-1, 1, 1) * identity,
        coulomb_state_at_rest(coulomb, at_rest),
    )


def charges_of(problem: Problem, unknowns: Tensor) -> Tensor:
    """Charges (n_atoms,) e from what the solution varies: themselves, or v of bonds.py."""
    bonds = problem.bonds
    return unknowns if bonds is None else charges_at(bonds, unknowns)


def product(
    problem: Problem, at: Linearized, shells: Tensor, dq: Tensor, ds: Tensor
) -> tuple[Tensor, Tensor]:
    """The charge Hessian, ∂²E in (q, s) at `at`, times (dq, ds)."""
    potential, shell_gradient = coulomb_product(
        problem.coulomb, at.coulomb, problem.core_charge, shells, dq, ds
    )
    own_shell = torch.matmul(at.local, ds.unsqueeze(2)).squeeze(2)
    springs = problem.spring_constant.unsqueeze(1) * ds
    return potential + problem.hardness * dq, shell_gradient + springs + own_shell
