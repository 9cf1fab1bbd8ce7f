"""Ewald sum of Gaussian charges of any width, all images, with the true widths of every pair of
elements.

For each pair of elements γ'_ab = min(γ_ab, κ). Reciprocal space has one structure factor per
element, cores and shells together:

    E_k = (1/2V) Σ_{k≠0} (4πk_e/k²) Σ_ab exp(−k²/4γ'_ab²) ρ_a ρ_b*
    ρ_a(k) = Σ_{i∈a} (q_i + Z_i) e^{ik·r_i} − Z_i e^{ik·(r_i+s_i)}

minus what each atom does to itself and the k = 0 remainder (self_interaction.py). Real space adds
k_e [erf(γ_ab r) − erf(γ'_ab r)]/r, which is zero for wide pairs and short for narrow ones
(pairs.py). The k = 0 term of the true kernel is dropped: the average potential is zero, and a net
charge has a uniform background. Slabs and wires have another kernel in place of 4π/k²
(boundary.py). Å, eV, e.

The sum over k runs over half of reciprocal space; factors of two are written where they belong.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from openmm_pqeq.pqeq.coulomb.boundary import coulomb_waves


class Reciprocal(NamedTuple):
    """The waves of one structure, with the phases of its cores; positions and cell fix them.

    k : (n_k, 3) Å⁻¹
    kernel : (n_elements, n_elements, n_k) eV/e², 4πk_e exp(−k²/4γ'²)/(k²V)
    members : (n_atoms, n_elements), 1 where an atom is of an element
    core_cos, core_sin : (n_atoms, n_k)
    """

    k: Tensor
    kernel: Tensor
    members: Tensor
    core_cos: Tensor
    core_sin: Tensor


class ReciprocalState(NamedTuple):
    """The phases of the shells and the waves of the potential: shell_cos, shell_sin (n_atoms, n_k),
    cos_wave, sin_wave (n_elements, n_k)."""

    shell_cos: Tensor
    shell_sin: Tensor
    cos_wave: Tensor
    sin_wave: Tensor


def decay(tolerance: float) -> float:
    """x with exp(−x²) small enough that what lies beyond stays below `tolerance` (eV/e, eV/Å) for
    charges of a few e."""
    return math.sqrt(-math.log(min(tolerance, 1e-2)) + 2.0)


def half_space(cell: Tensor, k_max: float) -> Tensor:
    """Integer triples (n_k, 3) of k = 0 and one half of the reciprocal vectors with |k| < k_max,
    for a cell (3, 3) Å."""
    lengths = torch.sqrt((cell * cell).sum(dim=1))
    largest = torch.floor(k_max * lengths / (2.0 * math.pi)).to(torch.int64)
    a, b, c = int(largest[0]), int(largest[1]), int(largest[2])
    device = cell.device
    triples = torch.cartesian_prod(
        torch.arange(0, a + 1, device=device),
        torch.arange(-b, b + 1, device=device),
        torch.arange(-c, c + 1, device=device),
    )
    x, y, z = triples[:, 0], triples[:, 1], triples[:, 2]
    half = (x > 0) | ((x == 0) & (y > 0)) | ((x == 0) & (y == 0) & (z >= 0))
    k = triples.to(cell.dtype) @ (2.0 * math.pi * torch.linalg.inv(cell).t())
    return triples[half & ((k * k).sum(dim=1) < k_max * k_max)]


def make_reciprocal(
    positions: Tensor,
    box: Tensor,
    periodic: Tensor,
    element: Tensor,
    gamma: Tensor,
    kappa: float,
    tolerance: float,
) -> Reciprocal:
    """Reciprocal space of one structure.

    positions (n_atoms, 3) Å, box (3, 3) Å and periodic (3,) as in boundary.py, element (n_atoms,)
    index into gamma (n_elements, n_elements) Å⁻¹, kappa Å⁻¹
    """
    gamma_split = torch.clamp(gamma, max=kappa)
    k_max = 2.0 * float(gamma_split.detach().max()) * decay(tolerance)
    triples = half_space(box.detach(), k_max).to(box.dtype)
    k = triples @ (2.0 * math.pi * torch.linalg.inv(box).t())
    k_square, waves = coulomb_waves(box, periodic, triples[:, 0], triples[:, 1], triples[:, 2])
    waves = torch.where(triples.abs().sum(dim=1) > 0.0, waves, 0.5 * waves)
    kernel = waves * torch.exp((-0.25 / gamma_split**2).unsqueeze(2) * k_square)
    members = torch.nn.functional.one_hot(element, gamma.size(0)).to(positions.dtype)
    phase = positions @ k.t()
    return Reciprocal(k, kernel, members, torch.cos(phase), torch.sin(phase))


def _mix(kernel: Tensor, waves: Tensor) -> Tensor:
    """Σ_b W_ab(k) ρ_b(k): (n_elements, n_k)."""
    return (kernel * waves.unsqueeze(0)).sum(dim=1)


def _at_atoms(
    reciprocal: Reciprocal,
    cosines: Tensor,
    sines: Tensor,
    cos_wave: Tensor,
    sin_wave: Tensor,
    width: int,
) -> Tensor:
    """Σ_k cosines·cos_wave + sines·sin_wave, of waves (n_elements·width, n_k) those of each atom's
    element: (n_atoms, width)."""
    everywhere = torch.nn.functional.linear(cosines, cos_wave) + torch.nn.functional.linear(
        sines, sin_wave
    )
    blocks = everywhere.view(everywhere.size(0), -1, width)
    return (blocks * reciprocal.members.unsqueeze(2)).sum(dim=1)


def _times_k(reciprocal: Reciprocal, waves: Tensor) -> Tensor:
    """Waves (n_elements, n_k) times each component of k: (3 n_elements, n_k)."""
    return (waves.unsqueeze(1) * reciprocal.k.t()).flatten(0, 1)


def _shell_phases(reciprocal: Reciprocal, shells: Tensor) -> tuple[Tensor, Tensor]:
    """Cosine and sine of k·(r + s), (n_atoms, n_k)."""
    phase = shells @ reciprocal.k.t()
    cosine, sine = torch.cos(phase), torch.sin(phase)
    return (
        reciprocal.core_cos * cosine - reciprocal.core_sin * sine,
        reciprocal.core_sin * cosine + reciprocal.core_cos * sine,
    )


def _structure_factors(
    reciprocal: Reciprocal,
    shell_cos: Tensor,
    shell_sin: Tensor,
    charges: Tensor,
    core_charge: Tensor,
) -> tuple[Tensor, Tensor]:
    """Real and imaginary part of ρ_a(k), (n_elements, n_k)."""
    core = reciprocal.members.t() * (charges + core_charge)
    shell = reciprocal.members.t() * core_charge
    return (
        core @ reciprocal.core_cos - shell @ shell_cos,
        core @ reciprocal.core_sin - shell @ shell_sin,
    )


def reciprocal_state(
    reciprocal: Reciprocal, charges: Tensor, core_charge: Tensor, shells: Tensor
) -> ReciprocalState:
    """Phases of the shells and the potential's waves."""
    shell_cos, shell_sin = _shell_phases(reciprocal, shells)
    cos_factor, sin_factor = _structure_factors(
        reciprocal, shell_cos, shell_sin, charges, core_charge
    )
    return ReciprocalState(
        shell_cos,
        shell_sin,
        _mix(reciprocal.kernel, cos_factor),
        _mix(reciprocal.kernel, sin_factor),
    )


def reciprocal_energy(
    reciprocal: Reciprocal, charges: Tensor, core_charge: Tensor, shells: Tensor
) -> Tensor:
    """The sum over waves, a scalar in eV; differentiable any number of times in positions, cell, q
    and s."""
    shell_cos, shell_sin = _shell_phases(reciprocal, shells)
    cos_factor, sin_factor = _structure_factors(
        reciprocal, shell_cos, shell_sin, charges, core_charge
    )
    return (cos_factor * _mix(reciprocal.kernel, cos_factor)).sum() + (
        sin_factor * _mix(reciprocal.kernel, sin_factor)
    ).sum()


def reciprocal_state_at_rest(reciprocal: Reciprocal) -> ReciprocalState:
    """`reciprocal_state` of shells at their cores, where there is no net charge."""
    nothing = torch.zeros_like(reciprocal.kernel[0])
    return ReciprocalState(reciprocal.core_cos, reciprocal.core_sin, nothing, nothing)


def reciprocal_energy_of_dipoles(
    reciprocal: Reciprocal, charges: Tensor, core_charge: Tensor, shells: Tensor
) -> Tensor:
    """The sum over waves of charges q and linear dipoles −Z s, a scalar in eV; differentiable any
    number of times."""
    along = (-(core_charge.unsqueeze(1) * shells)) @ reciprocal.k.t()
    q = charges.unsqueeze(1)
    cosines = reciprocal.members.t() @ (q * reciprocal.core_cos - along * reciprocal.core_sin)
    sines = reciprocal.members.t() @ (q * reciprocal.core_sin + along * reciprocal.core_cos)
    return (cosines * _mix(reciprocal.kernel, cosines)).sum() + (
        sines * _mix(reciprocal.kernel, sines)
    ).sum()


def reciprocal_gradient(
    reciprocal: Reciprocal, state: ReciprocalState, core_charge: Tensor
) -> tuple[Tensor, Tensor]:
    """∂E/∂q (n_atoms,) and ∂E/∂s (n_atoms, 3) of `reciprocal_energy`."""
    potential = 2.0 * _at_atoms(
        reciprocal, reciprocal.core_cos, reciprocal.core_sin, state.cos_wave, state.sin_wave, 1
    ).squeeze(1)
    along, across = _times_k(reciprocal, state.sin_wave), _times_k(reciprocal, -state.cos_wave)
    gradient = _at_atoms(reciprocal, state.shell_cos, state.shell_sin, along, across, 3)
    return potential, -2.0 * core_charge.unsqueeze(1) * gradient


def reciprocal_local_hessian(
    reciprocal: Reciprocal, state: ReciprocalState, core_charge: Tensor
) -> Tensor:
    """Second derivative in one atom's own shell at fixed waves, (n_atoms, 3, 3) eV/Å²."""
    outer = (reciprocal.k.unsqueeze(2) * reciprocal.k.unsqueeze(1)).flatten(1).t()
    cos_part = (state.cos_wave.unsqueeze(1) * outer).flatten(0, 1)
    sin_part = (state.sin_wave.unsqueeze(1) * outer).flatten(0, 1)
    curvature = _at_atoms(reciprocal, state.shell_cos, state.shell_sin, cos_part, sin_part, 9).view(
        -1, 3, 3
    )
    return 2.0 * core_charge.view(-1, 1, 1) * curvature


def reciprocal_product(
    reciprocal: Reciprocal, state: ReciprocalState, core_charge: Tensor, dq: Tensor, ds: Tensor
) -> tuple[Tensor, Tensor]:
    """Hessian of `reciprocal_energy` times (dq, ds), without the part of
    `reciprocal_local_hessian`."""
    n_elements = reciprocal.members.size(1)
    moved_core = reciprocal.members.t() * dq
    moved_shell = (
        reciprocal.members.t().unsqueeze(1) * (core_charge.unsqueeze(1) * ds).t()
    ).flatten(0, 1)
    cos_sum = ((moved_shell @ state.shell_cos).view(n_elements, 3, -1) * reciprocal.k.t()).sum(
        dim=1
    )
    sin_sum = ((moved_shell @ state.shell_sin).view(n_elements, 3, -1) * reciprocal.k.t()).sum(
        dim=1
    )
    cos_wave = _mix(reciprocal.kernel, moved_core @ reciprocal.core_cos + sin_sum)
    sin_wave = _mix(reciprocal.kernel, moved_core @ reciprocal.core_sin - cos_sum)
    potential = 2.0 * _at_atoms(
        reciprocal, reciprocal.core_cos, reciprocal.core_sin, cos_wave, sin_wave, 1
    ).squeeze(1)
    gradient = _at_atoms(
        reciprocal,
        state.shell_cos,
        state.shell_sin,
        _times_k(reciprocal, sin_wave),
        _times_k(reciprocal, -cos_wave),
        3,
    )
    return potential, -2.0 * core_charge.unsqueeze(1) * gradient
