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
from openmm_pqeq.pqeq.kernels import coulomb_radial_near_zero


class Reciprocal(NamedTuple):
    """What positions and cell fix.

    k : (n_k, 3) Å⁻¹; kernel : (n_k, n_elements, n_elements) eV/e², 4πk_e exp(−k²/4γ'²)/(k²V) ; zero_kernel : (n_elements,
    n_elements) eV/e²
    element : (n_atoms,) index ; members : (n_atoms, n_elements) one-hot ; core_cos, core_sin : (n_atoms, n_k) ; gamma_self :
    (n_atoms,) Å⁻¹
    """

    k: Tensor
    kernel: Tensor
    zero_kernel: Tensor
    element: Tensor
    members: Tensor
    core_cos: Tensor
    core_sin: Tensor
    gamma_self: Tensor


class ReciprocalState(NamedTuple):
    """What shells and charges fix: shell_cos, shell_sin (n_atoms, n_k), wave potentials cos_wave, sin_wave (n_k, n_elements)."""

    shell_cos: Tensor
    shell_sin: Tensor
    cos_wave: Tensor
    sin_wave: Tensor


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
    k_max = 2.0 * float(gamma_split.max()) * decay(tolerance)
    triples = half_space(cell.detach(), k_max).to(cell.dtype)
    k = triples @ (2.0 * math.pi * torch.linalg.inv(cell).t())
    k_square = (k * k).sum(dim=1).view(-1, 1, 1)
    volume = torch.abs(torch.linalg.det(cell))
    kernel = (4.0 * math.pi * constants.COULOMB) / (k_square * volume) * torch.exp(-0.25 * k_square / gamma_split**2)
    zero_kernel = (math.pi * constants.COULOMB) / volume * (1.0 / gamma_split**2 - 1.0 / gamma**2)
    members = torch.nn.functional.one_hot(element, gamma.size(0)).to(positions.dtype)
    phase = positions @ k.t()
    gamma_self = torch.diagonal(gamma_split)[element]
    return Reciprocal(k, kernel, zero_kernel, element, members, torch.cos(phase), torch.sin(phase), gamma_self)


def _mix(kernel: Tensor, waves: Tensor) -> Tensor:
    """Σ_b W_ab(k) ρ_b(k): (n_k, n_elements)."""
    return torch.matmul(kernel, waves.unsqueeze(2)).squeeze(2)


def _pick(per_element: Tensor, space: Reciprocal) -> Tensor:
    """Of (n_atoms, n_elements) the column of each atom's element."""
    return (per_element * space.members).sum(dim=1)


def _pick_vectors(per_element: Tensor, space: Reciprocal, width: int) -> Tensor:
    """Of (n_atoms, n_elements·width) the block of each atom's element: (n_atoms, width)."""
    blocks = per_element.view(per_element.size(0), -1, width)
    return (blocks * space.members.unsqueeze(2)).sum(dim=1)


def reciprocal_state(space: Reciprocal, charges: Tensor, core_charge: Tensor, shells: Tensor) -> ReciprocalState:
    """Phases of the shells and the potential waves of all charges."""
    turn = shells @ space.k.t()
    cosine, sine = torch.cos(turn), torch.sin(turn)
    shell_cos = space.core_cos * cosine - space.core_sin * sine
    shell_sin = space.core_sin * cosine + space.core_cos * sine
    core = space.members * (charges + core_charge).unsqueeze(1)
    shell = space.members * core_charge.unsqueeze(1)
    cos_factor = space.core_cos.t() @ core - shell_cos.t() @ shell
    sin_factor = space.core_sin.t() @ core - shell_sin.t() @ shell
    return ReciprocalState(shell_cos, shell_sin, _mix(space.kernel, cos_factor), _mix(space.kernel, sin_factor))


def reciprocal_energy(space: Reciprocal, charges: Tensor, core_charge: Tensor, shells: Tensor) -> Tensor:
    """Reciprocal-space, self and k = 0 energy, a scalar in eV; differentiable any number of times in positions, cell, q and s."""
    turn = shells @ space.k.t()
    cosine, sine = torch.cos(turn), torch.sin(turn)
    core = space.members * (charges + core_charge).unsqueeze(1)
    shell = space.members * core_charge.unsqueeze(1)
    cos_factor = space.core_cos.t() @ core - (space.core_cos * cosine - space.core_sin * sine).t() @ shell
    sin_factor = space.core_sin.t() @ core - (space.core_sin * cosine + space.core_cos * sine).t() @ shell
    waves = (cos_factor * _mix(space.kernel, cos_factor)).sum() + (sin_factor * _mix(space.kernel, sin_factor)).sum()
    on_element = space.members.t() @ charges
    background = -0.5 * (on_element * (space.zero_kernel @ on_element)).sum()
    core_total = charges + core_charge
    attraction = coulomb_radial_near_zero(shells, space.gamma_self).value
    self_energy = constants.COULOMB / math.sqrt(math.pi) * space.gamma_self * (core_total**2 + core_charge**2)
    own = self_energy - core_total * core_charge * attraction
    return waves + background - own.sum()


def reciprocal_gradient(
    space: Reciprocal, state: ReciprocalState, charges: Tensor, core_charge: Tensor, shells: Tensor
) -> tuple[Tensor, Tensor]:
    """∂E/∂q (n_atoms,) and ∂E/∂s (n_atoms, 3) of `reciprocal_energy`."""
    potential = 2.0 * _pick(space.core_cos @ state.cos_wave + space.core_sin @ state.sin_wave, space)
    potential = potential - space.members @ (space.zero_kernel @ (space.members.t() @ charges))
    k = space.k.unsqueeze(1)
    along = (state.sin_wave.unsqueeze(2) * k).flatten(1)
    across = (state.cos_wave.unsqueeze(2) * k).flatten(1)
    slope = _pick_vectors(state.shell_cos @ along - state.shell_sin @ across, space, 3)
    own = coulomb_radial_near_zero(shells, space.gamma_self)
    core = charges + core_charge
    twice_self = 2.0 * constants.COULOMB / math.sqrt(math.pi) * space.gamma_self
    potential = potential - twice_self * core + core_charge * own.value
    on_shell = -2.0 * core_charge.unsqueeze(1) * slope + (core * core_charge * own.first).unsqueeze(1) * shells
    return potential, on_shell


def reciprocal_local_hessian(
    space: Reciprocal, state: ReciprocalState, charges: Tensor, core_charge: Tensor, shells: Tensor
) -> Tensor:
    """Second derivative in one atom's own shell at fixed waves, and of the self part, (n_atoms, 3, 3) eV/Å²."""
    outer = (space.k.unsqueeze(2) * space.k.unsqueeze(1)).view(-1, 1, 9)
    cos_part = (state.cos_wave.unsqueeze(2) * outer).flatten(1)
    sin_part = (state.sin_wave.unsqueeze(2) * outer).flatten(1)
    curvature = _pick_vectors(state.shell_cos @ cos_part + state.shell_sin @ sin_part, space, 9).view(-1, 3, 3)
    own = coulomb_radial_near_zero(shells, space.gamma_self)
    weight = ((charges + core_charge) * core_charge).view(-1, 1, 1)
    identity = torch.eye(3, dtype=shells.dtype, device=shells.device)
    shell_outer = shells.unsqueeze(2) * shells.unsqueeze(1)
    own_hessian = own.first.view(-1, 1, 1) * identity + own.second.view(-1, 1, 1) * shell_outer
    return 2.0 * core_charge.view(-1, 1, 1) * curvature + weight * own_hessian


def reciprocal_product(
    space: Reciprocal, state: ReciprocalState, core_charge: Tensor, shells: Tensor, dq: Tensor, ds: Tensor
) -> tuple[Tensor, Tensor]:
    """Hessian of `reciprocal_energy` times (dq, ds), without the part of `reciprocal_local_hessian`."""
    n_elements = space.members.size(1)
    k = space.k.unsqueeze(1)
    moved_core = space.members * dq.unsqueeze(1)
    moved_shell = (space.members.unsqueeze(2) * (core_charge.unsqueeze(1) * ds).unsqueeze(1)).flatten(1)
    sin_sum = (state.shell_sin.t() @ moved_shell).view(-1, n_elements, 3)
    cos_sum = (state.shell_cos.t() @ moved_shell).view(-1, n_elements, 3)
    cos_wave = _mix(space.kernel, space.core_cos.t() @ moved_core + (sin_sum * k).sum(dim=2))
    sin_wave = _mix(space.kernel, space.core_sin.t() @ moved_core - (cos_sum * k).sum(dim=2))
    potential = 2.0 * _pick(space.core_cos @ cos_wave + space.core_sin @ sin_wave, space)
    potential = potential - space.members @ (space.zero_kernel @ (space.members.t() @ dq))
    along = (sin_wave.unsqueeze(2) * k).flatten(1)
    across = (cos_wave.unsqueeze(2) * k).flatten(1)
    slope = _pick_vectors(state.shell_cos @ along - state.shell_sin @ across, space, 3)
    own = coulomb_radial_near_zero(shells, space.gamma_self)
    twice_self = 2.0 * constants.COULOMB / math.sqrt(math.pi) * space.gamma_self
    potential = potential - twice_self * dq + core_charge * own.first * (shells * ds).sum(dim=1)
    on_shell = -2.0 * core_charge.unsqueeze(1) * slope + (dq * core_charge * own.first).unsqueeze(1) * shells
    return potential, on_shell
