"""Self-interaction: what a sum over waves has too much, each atom with itself and the average
potential.

    Σ_i k_e [ γ'_ii/√π ((q_i+Z_i)² + Z_i²) − (q_i+Z_i) Z_i erf(γ'_ii|s_i|)/|s_i| ]
    (πk_e/2V) Σ_ab Q_a Q_b (1/γ'_ab² − 1/γ_ab²),   Q_a the charge on element a; in bulk alone, where k = 0 is left out

Both are taken off the energy, for the direct sum (ewald.py) and for the mesh (mesh.py) alike. Å,
eV, e.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from openmm_pqeq.pqeq import constants
from openmm_pqeq.pqeq.coulomb.kernels import Radial, coulomb_radial_near_zero


class SelfInteraction(NamedTuple):
    """gamma : (n_atoms,) Å⁻¹, γ'_ii; members : (n_atoms, n_elements), 1 where an atom is of an
    element; zero_kernel : (n_elements, n_elements) eV/e²."""

    gamma: Tensor
    members: Tensor
    zero_kernel: Tensor


def make_self_interaction(
    element: Tensor, gamma: Tensor, kappa: float, box: Tensor, bulk: bool
) -> SelfInteraction:
    """From element (n_atoms,), an index into gamma (n_elements, n_elements) Å⁻¹, kappa Å⁻¹, and the
    box (3, 3) Å of the sum."""
    gamma_split = torch.clamp(gamma, max=kappa)
    volume = torch.abs(torch.linalg.det(box))
    zero_kernel = (math.pi * constants.COULOMB) / volume * (1.0 / gamma_split**2 - 1.0 / gamma**2)
    elements = torch.arange(gamma.size(0), device=element.device)
    members = (element.unsqueeze(1) == elements).to(box.dtype)
    return SelfInteraction(
        torch.diagonal(gamma_split)[element],
        members,
        zero_kernel if bulk else torch.zeros_like(zero_kernel),
    )


def _on_itself(gamma: Tensor) -> Tensor:
    """2k_e γ/√π, eV/e²."""
    return constants.COULOMB * constants.TWO_OVER_SQRT_PI * gamma


def _background(self_interaction: SelfInteraction, charges: Tensor) -> Tensor:
    """The average potential of charges (n_atoms,) at each atom, (n_atoms,) eV/e."""
    on_element = self_interaction.members.t() @ charges
    return self_interaction.members @ (self_interaction.zero_kernel @ on_element)


def self_energy(
    self_interaction: SelfInteraction, charges: Tensor, core_charge: Tensor, shells: Tensor
) -> Tensor:
    """The excess of the sum over waves, a scalar in eV; differentiable any number of times."""
    core, gamma = charges + core_charge, self_interaction.gamma
    background = 0.5 * charges * _background(self_interaction, charges)
    repulsion = 0.5 * _on_itself(gamma) * (core**2 + core_charge**2)
    attraction = core * core_charge * coulomb_radial_near_zero(shells, gamma).value
    return background.sum() + (repulsion - attraction).sum()


def self_potential(self_interaction: SelfInteraction, charges: Tensor) -> Tensor:
    """The part of ∂E/∂q of `self_energy` that is linear in the charges, (n_atoms,)."""
    repulsion = _on_itself(self_interaction.gamma) * charges
    return _background(self_interaction, charges) + repulsion


def self_attraction(self_interaction: SelfInteraction, shells: Tensor) -> Radial:
    """Interaction of each atom's own core and shell."""
    return coulomb_radial_near_zero(shells, self_interaction.gamma)


def self_gradient(
    self_interaction: SelfInteraction,
    attraction: Radial,
    charges: Tensor,
    core_charge: Tensor,
    shells: Tensor,
) -> tuple[Tensor, Tensor]:
    """∂E/∂q (n_atoms,) and ∂E/∂s (n_atoms, 3) of `self_energy`."""
    core = charges + core_charge
    potential = (
        self_potential(self_interaction, charges)
        + _on_itself(self_interaction.gamma) * core_charge
        - core_charge * attraction.value
    )
    return potential, -(core * core_charge * attraction.first).unsqueeze(1) * shells


def self_local_hessian(
    attraction: Radial, charges: Tensor, core_charge: Tensor, shells: Tensor
) -> Tensor:
    """Second derivative of `self_energy` in each atom's shell, (n_atoms, 3, 3) eV/Å²."""
    identity = torch.eye(3, dtype=shells.dtype, device=shells.device)
    outer = shells.unsqueeze(2) * shells.unsqueeze(1)
    hessian = attraction.first.view(-1, 1, 1) * identity + attraction.second.view(-1, 1, 1) * outer
    return -((charges + core_charge) * core_charge).view(-1, 1, 1) * hessian


def self_product(
    self_interaction: SelfInteraction,
    attraction: Radial,
    core_charge: Tensor,
    shells: Tensor,
    dq: Tensor,
    ds: Tensor,
) -> tuple[Tensor, Tensor]:
    """Hessian of `self_energy` times (dq, ds), without the part of `self_local_hessian`."""
    weight = core_charge * attraction.first
    potential = self_potential(self_interaction, dq) - weight * (shells * ds).sum(dim=1)
    return potential, -(dq * weight).unsqueeze(1) * shells


def dipole_self_interaction(self_interaction: SelfInteraction) -> Tensor:
    """−f''(0) = 4k_e γ'³/(3√π), (n_atoms,) eV/(e Å)²: what the sum over waves has of a dipole with
    itself."""
    return (2.0 / 3.0) * _on_itself(self_interaction.gamma) * self_interaction.gamma**2


def self_energy_of_dipoles(
    self_interaction: SelfInteraction, charges: Tensor, core_charge: Tensor, shells: Tensor
) -> Tensor:
    """The excess of the sum over waves of charges q and linear dipoles −Z s, a scalar in eV;
    differentiable any number of times."""
    linear = 0.5 * (charges * self_potential(self_interaction, charges)).sum()
    squares = ((core_charge.unsqueeze(1) * shells) ** 2).sum(dim=1)
    return linear + 0.5 * (dipole_self_interaction(self_interaction) * squares).sum()
