"""Boundary conditions of the reciprocal sums: bulk, slab and wire.

Along a direction without images the sum runs over a box of length L, and the Coulomb kernel ends at
L/2, so that nothing meets the images of the box: with L/2 no shorter than the structure and its
Gaussians' tails this is exact, whatever vacuum the cell has.

    bulk    v(k) = 4π/k²
    slab    v(k) = 4π/k² [1 − cos(k_z L/2) exp(−k_∥L/2)]                                   v(0) = −2π(L/2)²
    wire    v(k) = 4π/k² [1 + k_⊥R J₁(k_⊥R) K₀(k_xR) − k_xR J₀(k_⊥R) K₁(k_xR)],  R = L/2
            v(k) = 4π/k² [1 − k_⊥R J₁(k_⊥R) ln R − J₀(k_⊥R)] at k_x = 0,               v(0) = −πR²(2 ln R − 1)

A slab that carries a charge has the potential −2π|z| of its mean charge density, a wire −2 ln r,
and no background; in bulk k = 0 is left out, which is a uniform background. Sohier, Calandra,
Mauri, Phys. Rev. B 96, 075448 (2017), doi:10.1103/PhysRevB.96.075448;
Rozzi et al., Phys. Rev. B 73, 205119 (2006), doi:10.1103/PhysRevB.73.205119. Å, eV, e.
"""

import math

import torch
from torch import Tensor

from openmm_pqeq.pqeq import constants


def _normalized(vector: Tensor) -> Tensor:
    return vector / torch.sqrt((vector * vector).sum())


def free_directions(cell: Tensor, periodic: Tensor) -> Tensor:
    """Unit vectors of the directions without images, at right angles to the lattice vectors with
    them, (3, 3); zero rows elsewhere.

    cell (3, 3) Å, periodic (3,) with one or two directions True
    """
    directions = [torch.zeros_like(cell[0]), torch.zeros_like(cell[0]), torch.zeros_like(cell[0])]
    if int(periodic.sum()) == 2:
        for axis in range(3):
            if not bool(periodic[axis]):
                directions[axis] = _normalized(
                    torch.cross(cell[(axis + 1) % 3], cell[(axis + 2) % 3], dim=0)
                )
    else:
        for axis in range(3):
            if bool(periodic[axis]):
                along = _normalized(cell[axis])
                start = torch.zeros_like(along)
                start[int(along.detach().abs().argmin())] = 1.0
                across = _normalized(torch.cross(along, start, dim=0))
                directions[(axis + 1) % 3] = across
                directions[(axis + 2) % 3] = torch.cross(along, across, dim=0)
    return torch.stack(directions)


def free_width(positions: Tensor, cell: Tensor, periodic: Tensor) -> float:
    """How far the structure (n_atoms, 3) Å reaches across its periodic directions, Å."""
    across = positions.detach() @ free_directions(cell.detach(), periodic).t()
    extent = across.max(dim=0)[0] - across.min(dim=0)[0]
    return float(torch.sqrt((extent * extent).sum()))


def summation_box(cell: Tensor, periodic: Tensor, width: float) -> Tensor:
    """The cell (3, 3) Å of the sum: periodic lattice vectors as they are, the others `width` (Å)
    long and upright on them; periodic (3,) on any device, best on the CPU."""
    if bool(periodic.all()):
        return cell
    periodic = periodic.to(cell.device)
    return torch.where(periodic.unsqueeze(1), cell, width * free_directions(cell, periodic))


def wave_squares(box: Tensor, first: Tensor, second: Tensor, third: Tensor) -> Tensor:
    """k² (Å⁻²) of waves with integer coordinates that broadcast against each other, box (3, 3)
    Å."""
    # unchecked, for a GPU's host would wait for the check
    reciprocal = 2.0 * math.pi * torch.linalg.inv_ex(box)[0].t()
    metric = reciprocal @ reciprocal.t()
    square = metric[0, 0] * first**2 + metric[1, 1] * second**2 + metric[2, 2] * third**2
    return square + 2.0 * (
        metric[0, 1] * first * second + metric[0, 2] * first * third + metric[1, 2] * second * third
    )


def _slab(
    box: Tensor, periodic: Tensor, k_square: Tensor, waves: list[Tensor]
) -> tuple[Tensor, float]:
    """[1 − cos(k_z L/2) exp(−k_∥L/2)] and v(0)/4π, Å²."""
    axis = int(torch.argmin(periodic.to(torch.int64)))
    half = 0.5 * float(torch.sqrt((box[axis].detach() ** 2).sum()))
    k_free = (math.pi / half) * waves[axis]
    in_plane = torch.clamp(k_square - k_free * k_free, min=0.0)
    flat = in_plane < 1e-12
    in_plane = torch.sqrt(torch.where(flat, torch.ones_like(in_plane), in_plane))
    faded = torch.where(flat, torch.ones_like(in_plane), torch.exp(-half * in_plane))
    return 1.0 - torch.cos(math.pi * waves[axis]) * faded, -0.5 * half * half


def _wire(
    box: Tensor, periodic: Tensor, k_square: Tensor, waves: list[Tensor]
) -> tuple[Tensor, float]:
    """The bracket of the wire's kernel and v(0)/4π, Å²; one derivative in the box."""
    axis = int(torch.argmax(periodic.to(torch.int64)))
    length = torch.sqrt((box[axis] * box[axis]).sum())
    other = (axis + 1) % 3
    radius = 0.5 * float(torch.sqrt((box[other].detach() ** 2).sum()))
    x = (2.0 * math.pi * radius) * waves[axis].abs() / length + torch.zeros_like(k_square)
    y = math.pi * torch.sqrt(waves[other] ** 2 + waves[(axis + 2) % 3] ** 2)
    flat = x < 1e-9
    x = torch.where(flat, torch.ones_like(x), x)
    # torch has no derivative of K₀ and K₁: K₀' = −K₁ and K₁' = −K₀ − K₁/x are written as the first
    # order in x
    at = x.data
    k0, k1 = torch.special.modified_bessel_k0(at), torch.special.modified_bessel_k1(at)
    dx = x - at
    j0, j1 = torch.special.bessel_j0(y), torch.special.bessel_j1(y)
    bracket = 1.0 + y * j1 * (k0 - k1 * dx) - x * j0 * (k1 - (k0 + k1 / at) * dx)
    factor = torch.where(flat, 1.0 - y * j1 * math.log(radius) - j0, bracket)
    return factor, -0.25 * radius * radius * (2.0 * math.log(radius) - 1.0)


def coulomb_waves(
    box: Tensor, periodic: Tensor, first: Tensor, second: Tensor, third: Tensor
) -> tuple[Tensor, Tensor]:
    """k² (Å⁻²) and k_e v(k)/V (eV/e²) of waves with integer coordinates that broadcast against each
    other.

    box (3, 3) Å from `summation_box`, periodic (3,)
    """
    k_square = wave_squares(box, first, second, third)
    volume = torch.abs(torch.linalg.det(box))
    origin = (first == 0) & (second == 0) & (third == 0)
    safe = torch.where(origin, torch.ones_like(k_square), k_square)
    kernel = (4.0 * math.pi * constants.COULOMB) / (safe * volume)
    if bool(periodic.all()):
        return k_square, torch.where(origin, torch.zeros_like(kernel), kernel)
    waves = [first, second, third]
    if int(periodic.sum()) == 2:
        factor, at_zero = _slab(box, periodic, k_square, waves)
    else:
        factor, at_zero = _wire(box, periodic, k_square, waves)
    limit = (4.0 * math.pi * constants.COULOMB * at_zero) / volume
    return k_square, torch.where(origin, limit * torch.ones_like(kernel), kernel * factor)
