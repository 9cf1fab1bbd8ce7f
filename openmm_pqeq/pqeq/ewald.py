"""Ewald sum of Gaussian charges of any width, all images, with the true widths of every pair of elements.

For each pair of elements γ'_ab = min(γ_ab, κ). Reciprocal space has one structure factor per element, cores and shells together:

    E_k = (1/2V) Σ_{k≠0} (4πk_e/k²) Σ_ab exp(−k²/4γ'_ab²) ρ_a ρ_b*
    ρ_a(k) = Σ_{i∈a} (q_i + Z_i) e^{ik·r_i} − Z_i e^{ik·(r_i+s_i)}

minus what each atom's core and shell would do to themselves and to each other,

    Σ_i k_e [ γ'_ii/√π ((q_i+Z_i)² + Z_i²) − (q_i+Z_i) Z_i erf(γ'_ii|s_i|)/|s_i| ],

minus the k = 0 remainder (πk_e/2V) Σ_ab Q_a Q_b (1/γ'_ab² − 1/γ_ab²), Q_a the charge on element a. Real space adds
k_e [erf(γ_ab r) − erf(γ'_ab r)]/r, which is zero for wide pairs and short for narrow ones (pairs.py). The k = 0 term of the true
kernel is dropped: the average potential is zero, and a net charge has a uniform background. Å, eV, e.

The sum over k runs over half of reciprocal space; factors of two are written where they belong.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from openmm_pqeq.pqeq import constants
from openmm_pqeq.pqeq.kernels import Radial, coulomb_radial_near_zero


class Reciprocal(NamedTuple):
    """What positions and cell fix.

    k : (n_k, 3) Å⁻¹
    kernel : (n_elements, n_elements, n_k) eV/e², 4πk_e exp(−k²/4γ'²)/(k²V)
    zero_kernel : (n_elements, n_elements) eV/e²
    members : (n_atoms, n_elements), 1 where an atom is of an element
    core_cos, core_sin : (n_atoms, n_k)
    gamma_self : (n_atoms,) Å⁻¹
    """

    k: Tensor
    kernel: Tensor
    zero_kernel: Tensor
    members: Tensor
    core_cos: Tensor
    core_sin: Tensor
    gamma_self: Tensor


class ReciprocalState(NamedTuple):
    """What shells and charges fix: shell_cos, shell_sin (n_atoms, n_k), the potential's waves cos_wave, sin_wave (n_elements, n_k),
    and the attraction between each atom's own core and shell that is in them, own (n_atoms,)."""

    shell_cos: Tensor
    shell_sin: Tensor
    cos_wave: Tensor
    sin_wave: Tensor
    own: Radial


def decay(tolerance: float) -> float:
    """x with exp(−x²) small enough that what lies beyond stays below `tolerance` (eV/e, eV/Å) for charges of a few e."""
    return math.sqrt(-math.log(min(tolerance, 1e-2)) + 2.0)


def half_space(cell: Tensor, k_max: float) -> Tensor:
    """Integer triples (n_k, 3) of one half of the reciprocal vectors with 0 < |k| < k_max, for a cell (3, 3) Å."""
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
    half = (x > 0) | ((x == 0) & (y > 0)) | ((x == 0) & (y == 0) & (z > 0))
    k = triples.to(cell.dtype) @ (2.0 * math.pi * torch.linalg.inv(cell).t())
    return triples[half & ((k * k).sum(dim=1) < k_max * k_max)]


def reciprocal(positions: Tensor, cell: Tensor, element: Tensor, gamma: Tensor, kappa: float, tolerance: float) -> Reciprocal:
    """Reciprocal space of one structure.

    positions (n_atoms, 3) Å, cell (3, 3) Å, element (n_atoms,) index into gamma (n_elements, n_elements) Å⁻¹, kappa Å⁻¹
    """
    gamma_split = torch.clamp(gamma, max=kappa)
    k_max = 2.0 * float(gamma_split.detach().max()) * decay(tolerance)
    triples = half_space(cell.detach(), k_max).to(cell.dtype)
    k = triples @ (2.0 * math.pi * torch.linalg.inv(cell).t())
    k_square = (k * k).sum(dim=1)
    volume = torch.abs(torch.linalg.det(cell))
    width = 1.0 / gamma_split**2
    kernel = (4.0 * math.pi * constants.COULOMB) / (k_square * volume) * torch.exp(-0.25 * width.unsqueeze(2) * k_square)
    zero_kernel = (math.pi * constants.COULOMB) / volume * (width - 1.0 / gamma**2)
    members = torch.nn.functional.one_hot(element, gamma.size(0)).to(positions.dtype)
    phase = positions @ k.t()
    gamma_self = torch.diagonal(gamma_split)[element]
    return Reciprocal(k, kernel, zero_kernel, members, torch.cos(phase), torch.sin(phase), gamma_self)


def _mix(kernel: Tensor, waves: Tensor) -> Tensor:
    """Σ_b W_ab(k) ρ_b(k): (n_elements, n_k)."""
    return (kernel * waves.unsqueeze(0)).sum(dim=1)


def _at_atoms(space: Reciprocal, cosines: Tensor, sines: Tensor, cos_wave: Tensor, sin_wave: Tensor, width: int) -> Tensor:
    """Σ_k cosines·cos_wave + sines·sin_wave, of waves (n_elements·width, n_k) those of each atom's element: (n_atoms, width)."""
    everywhere = torch.nn.functional.linear(cosines, cos_wave) + torch.nn.functional.linear(sines, sin_wave)
    blocks = everywhere.view(everywhere.size(0), -1, width)
    return (blocks * space.members.unsqueeze(2)).sum(dim=1)


def _times_k(space: Reciprocal, waves: Tensor) -> Tensor:
    """Waves (n_elements, n_k) times each component of k: (3 n_elements, n_k)."""
    return (waves.unsqueeze(1) * space.k.t()).flatten(0, 1)


def _turned(space: Reciprocal, shells: Tensor) -> tuple[Tensor, Tensor]:
    """Cosine and sine of k·(r + s), (n_atoms, n_k)."""
    turn = shells @ space.k.t()
    cosine, sine = torch.cos(turn), torch.sin(turn)
    return space.core_cos * cosine - space.core_sin * sine, space.core_sin * cosine + space.core_cos * sine


def _structure_factors(
    space: Reciprocal, shell_cos: Tensor, shell_sin: Tensor, charges: Tensor, core_charge: Tensor
) -> tuple[Tensor, Tensor]:
    """Real and imaginary part of ρ_a(k), (n_elements, n_k)."""
    core = space.members.t() * (charges + core_charge)
    shell = space.members.t() * core_charge
    return core @ space.core_cos - shell @ shell_cos, core @ space.core_sin - shell @ shell_sin


def reciprocal_state(space: Reciprocal, charges: Tensor, core_charge: Tensor, shells: Tensor) -> ReciprocalState:
    """Phases of the shells, the potential's waves, and the self part."""
    shell_cos, shell_sin = _turned(space, shells)
    cos_factor, sin_factor = _structure_factors(space, shell_cos, shell_sin, charges, core_charge)
    own = coulomb_radial_near_zero(shells, space.gamma_self)
    return ReciprocalState(shell_cos, shell_sin, _mix(space.kernel, cos_factor), _mix(space.kernel, sin_factor), own)


def reciprocal_energy(space: Reciprocal, charges: Tensor, core_charge: Tensor, shells: Tensor) -> Tensor:
    """Reciprocal-space, self and k = 0 energy, a scalar in eV; differentiable any number of times in positions, cell, q and s."""
    shell_cos, shell_sin = _turned(space, shells)
    cos_factor, sin_factor = _structure_factors(space, shell_cos, shell_sin, charges, core_charge)
    waves = (cos_factor * _mix(space.kernel, cos_factor)).sum() + (sin_factor * _mix(space.kernel, sin_factor)).sum()
    on_element = space.members.t() @ charges
    background = -0.5 * (on_element * (space.zero_kernel @ on_element)).sum()
    core = charges + core_charge
    attraction = coulomb_radial_near_zero(shells, space.gamma_self).value
    own = constants.COULOMB / math.sqrt(math.pi) * space.gamma_self * (core**2 + core_charge**2) - core * core_charge * attraction
    return waves + background - own.sum()


def _linear_in_charges(space: Reciprocal, charges: Tensor) -> Tensor:
    """What the k = 0 remainder and the self-interaction of the cores take off the potential (n_atoms,)."""
    background = space.members @ (space.zero_kernel @ (space.members.t() @ charges))
    return background + 2.0 * constants.COULOMB / math.sqrt(math.pi) * space.gamma_self * charges


def reciprocal_gradient(
    space: Reciprocal, state: ReciprocalState, charges: Tensor, core_charge: Tensor, shells: Tensor
) -> tuple[Tensor, Tensor]:
    """∂E/∂q (n_atoms,) and ∂E/∂s (n_atoms, 3) of `reciprocal_energy`."""
    core = charges + core_charge
    potential = 2.0 * _at_atoms(space, space.core_cos, space.core_sin, state.cos_wave, state.sin_wave, 1).squeeze(1)
    itself = 2.0 * constants.COULOMB / math.sqrt(math.pi) * space.gamma_self * core_charge
    potential = potential - _linear_in_charges(space, charges) - itself + core_charge * state.own.value
    along, across = _times_k(space, state.sin_wave), _times_k(space, -state.cos_wave)
    slope = _at_atoms(space, state.shell_cos, state.shell_sin, along, across, 3)
    return potential, -2.0 * core_charge.unsqueeze(1) * slope + (core * core_charge * state.own.first).unsqueeze(1) * shells


def reciprocal_local_hessian(
    space: Reciprocal, state: ReciprocalState, charges: Tensor, core_charge: Tensor, shells: Tensor
) -> Tensor:
    """Second derivative in one atom's own shell at fixed waves, and of the self part, (n_atoms, 3, 3) eV/Å²."""
    outer = (space.k.unsqueeze(2) * space.k.unsqueeze(1)).flatten(1).t()
    cos_part = (state.cos_wave.unsqueeze(1) * outer).flatten(0, 1)
    sin_part = (state.sin_wave.unsqueeze(1) * outer).flatten(0, 1)
    curvature = _at_atoms(space, state.shell_cos, state.shell_sin, cos_part, sin_part, 9).view(-1, 3, 3)
    weight = ((charges + core_charge) * core_charge).view(-1, 1, 1)
    identity = torch.eye(3, dtype=shells.dtype, device=shells.device)
    shell_outer = shells.unsqueeze(2) * shells.unsqueeze(1)
    own_hessian = state.own.first.view(-1, 1, 1) * identity + state.own.second.view(-1, 1, 1) * shell_outer
    return 2.0 * core_charge.view(-1, 1, 1) * curvature + weight * own_hessian


def reciprocal_product(
    space: Reciprocal, state: ReciprocalState, core_charge: Tensor, shells: Tensor, dq: Tensor, ds: Tensor
) -> tuple[Tensor, Tensor]:
    """Hessian of `reciprocal_energy` times (dq, ds), without the part of `reciprocal_local_hessian`."""
    n_elements = space.members.size(1)
    moved_core = space.members.t() * dq
    moved_shell = (space.members.t().unsqueeze(1) * (core_charge.unsqueeze(1) * ds).t()).flatten(0, 1)
    cos_sum = ((moved_shell @ state.shell_cos).view(n_elements, 3, -1) * space.k.t()).sum(dim=1)
    sin_sum = ((moved_shell @ state.shell_sin).view(n_elements, 3, -1) * space.k.t()).sum(dim=1)
    cos_wave = _mix(space.kernel, moved_core @ space.core_cos + sin_sum)
    sin_wave = _mix(space.kernel, moved_core @ space.core_sin - cos_sum)
    potential = 2.0 * _at_atoms(space, space.core_cos, space.core_sin, cos_wave, sin_wave, 1).squeeze(1)
    potential = potential - _linear_in_charges(space, dq) + core_charge * state.own.first * (shells * ds).sum(dim=1)
    slope = _at_atoms(space, state.shell_cos, state.shell_sin, _times_k(space, sin_wave), _times_k(space, -cos_wave), 3)
    return potential, -2.0 * core_charge.unsqueeze(1) * slope + (dq * core_charge * state.own.first).unsqueeze(1) * shells
