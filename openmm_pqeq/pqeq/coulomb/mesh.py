"""Particle-mesh Ewald sum of Gaussian charges: the reciprocal part of ewald.py in O(N log N).

Every element has a mesh of its own charge, cores and shells together, spread by B-splines M_p of
order p along each direction,

    ρ_a(m) = Σ_{i∈a} (q_i + Z_i) W(u(r_i) − m) − Z_i W(u(r_i + s_i) − m),      W = M_p M_p M_p,  u = fractional · size

    E = ½ Σ_ab Σ_k G_ab(k) ρ_a ρ_b*,      G_ab(k) = D(k) (4πk_e/k²V) exp(−k²/4γ'_ab²)

with fast Fourier transforms between the two. The widths of two elements combine as 1/γ_ab² = 1/α_a
+ 1/α_b, so that exp(−k²/4γ²) is a product of one factor for each element; pairs narrower than κ,
whose γ' = κ is no such product, have a correction of their own. D(k) undoes what spreading did to
the waves in the sense of the least mean square error (Hockney and Eastwood; Ballenegger et al., J.
Chem. Theory Comput. 8, 936 (2012), doi:10.1021/ct2001792); splines: Essmann et al., J. Chem. Phys.
103, 8577 (1995), doi:10.1063/1.470117. The energy is quadratic in what is on the mesh, and
gradients, Hessian–vector products and forces are the exact derivatives of that energy. Å, eV, e.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from openmm_pqeq.pqeq.coulomb.boundary import coulomb_waves
from openmm_pqeq.pqeq.coulomb.influence import (
    Influence,
    energy_of_waves,
    in_single_precision,
    influence_of,
    potential_of_waves,
    potential_on_mesh,
    waves_of,
)
from openmm_pqeq.pqeq.coulomb.kernels import pair_exponents
from openmm_pqeq.pqeq.coulomb.splines import Grid, Points, interpolate, interpolate_hessian, spread


class Mesh(NamedTuple):
    """The mesh of one structure, with its cores on it; positions, cell and elements fix it.

    grid : channels (elements present), points along each direction, and the order of the splines
    to_mesh : (3, 3) Å⁻¹, takes a Cartesian displacement to units of the mesh's spacing
    cores : where the atoms are on the mesh
    green : (n_1, n_2, n_3/2 + 1) eV/e², D(k) 4πk_e/k²V
    damping : (n_channels, n_1, n_2, n_3/2 + 1), exp(−k²/4α) of each element
    bulk : whether all directions are periodic
    narrow : (n_channels, n_channels, n_1, n_2, n_3/2 + 1) or nothing: what pairs narrower than κ
        add to the product of two dampings
    """

    grid: Grid
    bulk: bool
    to_mesh: Tensor
    cores: Points
    green: Tensor
    damping: Tensor
    narrow: Tensor | None


class MeshState(NamedTuple):
    """The mesh, where the shells are, whether that is at their cores, the potential (n_channels,
    n_1, n_2, n_3) eV/e on the mesh, and what takes charges there to such a potential."""

    mesh: Mesh
    shells: Points
    at_rest: bool
    potential: Tensor
    influence: Influence


def make_mesh(
    positions: Tensor,
    box: Tensor,
    periodic: Tensor,
    channel: Tensor,
    exponent: Tensor,
    kappa: float,
    capped: bool,
    size: list[int],
    order: int,
) -> Mesh:
    """The mesh of one structure.

    positions (n_atoms, 3) Å, box (3, 3) Å and periodic (3,) as in boundary.py, channel (n_atoms,)
    index into exponent (n_channels,) Å⁻², kappa Å⁻¹, capped whether some pairs are narrower than
    that, size points along each direction
    """
    first, second, third = wave_numbers(size, positions)
    k_square, waves = coulomb_waves(box, periodic, first, second, third)
    undo = deconvolution(size[0], order, positions).view(-1, 1, 1) * deconvolution(
        size[1], order, positions
    ).view(1, -1, 1)
    undo = undo * deconvolution(size[2], order, positions)[: size[2] // 2 + 1].view(1, 1, -1)
    green = waves / undo**2
    damping = torch.exp((-0.25 / exponent).view(-1, 1, 1, 1) * k_square)
    narrow: Tensor | None = None
    if capped:
        at_kappa = pair_exponents(exponent.unsqueeze(1), exponent.unsqueeze(0)) > kappa
        difference = torch.exp((-0.25 / kappa**2) * k_square) - damping.unsqueeze(
            0
        ) * damping.unsqueeze(1)
        narrow = (
            at_kappa.to(difference.dtype).view(at_kappa.size(0), at_kappa.size(1), 1, 1, 1)
            * difference
            * green
        )
    to_mesh = torch.linalg.inv_ex(box)[0] * torch.tensor(
        size, dtype=positions.dtype, device=positions.device
    )
    grid = Grid(exponent.size(0), size, order)
    return Mesh(
        grid,
        bool(periodic.all()),
        to_mesh,
        Points(positions @ to_mesh, channel),
        green,
        damping,
        narrow,
    )


def deconvolution(n: int, order: int, like: Tensor) -> Tensor:
    """The divisor of the waves along one direction of n points: Σ_m U²(k + 2πm)/U(k), U the transform
    of the spline, (n,)."""
    index = torch.arange(n, device=like.device, dtype=torch.float64)
    index = torch.where(index > n // 2, index - n, index) / n
    images = torch.arange(-4, 5, device=like.device, dtype=torch.float64).unsqueeze(1)
    waves = (torch.sinc(index + images) ** (2 * order)).sum(dim=0)
    return (waves / torch.sinc(index) ** order).to(like.dtype)


def wave_numbers(size: list[int], like: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Integer coordinates of the waves, shaped to be broadcast over (n_1, n_2, n_3/2 + 1)."""
    first = torch.fft.fftfreq(size[0], 1.0 / size[0], dtype=like.dtype, device=like.device).view(
        -1, 1, 1
    )
    second = torch.fft.fftfreq(size[1], 1.0 / size[1], dtype=like.dtype, device=like.device).view(
        1, -1, 1
    )
    third = torch.arange(size[2] // 2 + 1, dtype=like.dtype, device=like.device).view(1, 1, -1)
    return first, second, third


def mix(mesh: Mesh, waves: Tensor) -> Tensor:
    """Σ_b G_ab ρ_b of waves (n_channels, n_1, n_2, n_3/2 + 1)."""
    mixed = mesh.damping * (mesh.green * (mesh.damping * waves).sum(dim=0))
    narrow = mesh.narrow
    if narrow is not None:
        mixed = mixed + (narrow * waves.unsqueeze(0)).sum(dim=1)
    return mixed


def convolve(mesh: Mesh, density: Tensor) -> Tensor:
    """The potential (n_channels, n_1, n_2, n_3) eV/e of a density (e) on the mesh."""
    waves = torch.fft.rfftn(density, dim=[1, 2, 3])
    return torch.fft.irfftn(mix(mesh, waves), s=mesh.grid.size, dim=[1, 2, 3], norm="forward")


def shells_on_mesh(mesh: Mesh, shells: Tensor) -> Points:
    """Where shells displaced by (n_atoms, 3) Å are."""
    return Points(mesh.cores.u + shells @ mesh.to_mesh, mesh.cores.channel)


def _density(mesh: Mesh, at: Points, charges: Tensor, core_charge: Tensor) -> Tensor:
    return spread(mesh.grid, mesh.cores, charges + core_charge, None) + spread(
        mesh.grid, at, -core_charge, None
    )


def mesh_energy(mesh: Mesh, charges: Tensor, core_charge: Tensor, shells: Tensor) -> Tensor:
    """½ Σ ρ φ on the mesh, a scalar in eV; differentiable any number of times in positions, cell, q
    and s."""
    density = _density(mesh, shells_on_mesh(mesh, shells), charges, core_charge)
    return 0.5 * (density * convolve(mesh, density)).sum()


def mesh_energy_once(mesh: Mesh, charges: Tensor, core_charge: Tensor, shells: Tensor) -> Tensor:
    """`mesh_energy` for a single derivative in positions and cell at given q and s, in a fraction
    of its time and memory.

    Nothing of the points' stencils is kept: the potential is read once at cores and shells, and
    dE = Σ (q + Z) ∇φ·du_core − Σ Z ∇φ·du_shell + ½ Σ_k dG |ρ|².
    """
    fixed = at_fixed_points(mesh)
    cores, at, moving = fixed.cores, shells_on_mesh(fixed, shells), shells_on_mesh(mesh, shells)
    energy, potential = _waves_energy(mesh, _density(fixed, at, charges, core_charge))
    at_cores, at_shells = (
        interpolate(mesh.grid, cores, potential)[1],
        interpolate(mesh.grid, at, potential)[1],
    )
    core, shell = (charges + core_charge).unsqueeze(1), core_charge.unsqueeze(1)
    energy = energy + (core * at_cores * (mesh.cores.u - cores.u)).sum()
    return energy - (shell * at_shells * (moving.u - at.u)).sum()


def at_fixed_points(mesh: Mesh) -> Mesh:
    """The mesh with its cores as numbers."""
    cores = Points(mesh.cores.u.data, mesh.cores.channel)
    return Mesh(
        mesh.grid, mesh.bulk, mesh.to_mesh.data, cores, mesh.green, mesh.damping, mesh.narrow
    )


def _waves_energy(mesh: Mesh, density: Tensor) -> tuple[Tensor, Tensor]:
    """½ Σ ρ φ in eV, differentiable in the cell, and φ (n_channels, n_1, n_2, n_3) eV/e, of a fixed
    density."""
    parts = waves_of(density)
    # every wave stands for itself and its mirror image, but for the first and the last of an even
    # number
    twice = torch.full([parts.size(3)], 2.0, dtype=density.dtype, device=density.device)
    twice[:2] = 1.0
    twice[-2:] = 1.0
    influence = influence_of(mesh.green, mesh.damping, mesh.narrow)
    energy = 0.5 * (energy_of_waves(influence, parts) * twice).sum()
    return energy, potential_of_waves(influence, parts.data, mesh.grid.size)


def _dipoles_on_mesh(mesh: Mesh, core_charge: Tensor, shells: Tensor) -> Tensor:
    """−Z s in units of the mesh's spacing, (n_atoms, 3)."""
    return -(core_charge.unsqueeze(1) * shells) @ mesh.to_mesh


def mesh_energy_of_dipoles(
    mesh: Mesh, charges: Tensor, core_charge: Tensor, shells: Tensor
) -> Tensor:
    """½ Σ ρ φ of charges q and linear dipoles −Z s, a scalar in eV; differentiable any number of
    times."""
    dipoles = _dipoles_on_mesh(mesh, core_charge, shells)
    density = spread(mesh.grid, mesh.cores, charges, dipoles)
    return 0.5 * (density * convolve(mesh, density)).sum()


def mesh_energy_of_dipoles_once(
    mesh: Mesh, charges: Tensor, core_charge: Tensor, shells: Tensor
) -> Tensor:
    """`mesh_energy_of_dipoles` for a single derivative in positions and cell at given q and s:
    dE = Σ (q ∇φ + d·∇∇φ)·du + Σ ∇φ·dd + ½ Σ_k dG |ρ|²,   d the dipoles in units of the mesh."""
    fixed = at_fixed_points(mesh)
    cores, dipoles = fixed.cores, _dipoles_on_mesh(fixed, core_charge, shells)
    moving = _dipoles_on_mesh(mesh, core_charge, shells)
    energy, potential = _waves_energy(mesh, spread(mesh.grid, cores, charges, dipoles))
    gradient = interpolate(mesh.grid, cores, potential)[1]
    curvature = interpolate_hessian(mesh.grid, cores, potential)
    slope = charges.unsqueeze(1) * gradient + torch.matmul(curvature, dipoles.unsqueeze(2)).squeeze(
        2
    )
    energy = energy + (slope * (mesh.cores.u - cores.u)).sum()
    return energy + (gradient * (moving - dipoles)).sum()


def mesh_state(mesh: Mesh, charges: Tensor, core_charge: Tensor, shells: Tensor) -> MeshState:
    """Where the shells are, and the potential."""
    at = shells_on_mesh(mesh, shells)
    influence = influence_of(mesh.green, mesh.damping, mesh.narrow)
    density = _density(mesh, at, charges, core_charge)
    return MeshState(mesh, at, False, potential_on_mesh(influence, density), influence)


def mesh_state_at_rest(mesh: Mesh) -> MeshState:
    """`mesh_state` of shells at their cores, where there is no net charge: for products alone."""
    influence = influence_of(mesh.green, mesh.damping, mesh.narrow)
    return MeshState(mesh, mesh.cores, True, torch.zeros_like(mesh.green[:0]), influence)


def mesh_state_in_single_precision(state: MeshState) -> MeshState:
    """The state for `mesh_product` with transforms in float32."""
    influence = in_single_precision(state.influence)
    return MeshState(state.mesh, state.shells, state.at_rest, state.potential, influence)


def mesh_state_on(rough: Mesh, state: MeshState) -> MeshState:
    """The state for `mesh_product` on another mesh of the same box, all in float32."""
    single = torch.float32
    to_mesh, cores = rough.to_mesh.to(single), Points(rough.cores.u.to(single), rough.cores.channel)
    mesh = Mesh(rough.grid, rough.bulk, to_mesh, cores, rough.green, rough.damping, rough.narrow)
    shells = cores
    if not state.at_rest:
        ratio = _points_along(rough, state.shells.u) / _points_along(state.mesh, state.shells.u)
        shells = Points((state.shells.u * ratio).to(single), cores.channel)
    influence = in_single_precision(influence_of(rough.green, rough.damping, rough.narrow))
    return MeshState(mesh, shells, state.at_rest, state.potential, influence)


def mesh_error_of_step(
    mesh: Mesh, core_charge: Tensor, dq: Tensor, ds: Tensor, error: float
) -> Tensor:
    """What a mesh of so large an error (eV/Å, of unit charges) makes wrong in the product with (dq,
    ds), a scalar, eV/e and eV/Å: error √(⟨dq²⟩ + π² ⟨|d|²⟩), d the dipoles in units of the spacing.

    Measured at salts, waters, a slab and a perovskite: a hundredth to 0.4 of it.
    """
    dipoles = _dipoles_on_mesh(mesh, core_charge, ds)
    size = (dq * dq).mean() + math.pi**2 * (dipoles * dipoles).sum(dim=1).mean()
    return error * torch.sqrt(size)


def _points_along(mesh: Mesh, like: Tensor) -> Tensor:
    return torch.tensor(mesh.grid.size, dtype=like.dtype, device=like.device)


def _on_cores_and_shells(
    state: MeshState, core_charge: Tensor, potential: Tensor
) -> tuple[Tensor, Tensor]:
    mesh = state.mesh
    at_cores, gradient = interpolate(mesh.grid, mesh.cores, potential)
    if not state.at_rest:
        gradient = interpolate(mesh.grid, state.shells, potential)[1]
    return at_cores, -core_charge.unsqueeze(1) * (gradient @ mesh.to_mesh.t())


def mesh_gradient(state: MeshState, core_charge: Tensor) -> tuple[Tensor, Tensor]:
    """∂E/∂q (n_atoms,) and ∂E/∂s (n_atoms, 3) of `mesh_energy`."""
    return _on_cores_and_shells(state, core_charge, state.potential)


def mesh_local_hessian(state: MeshState, core_charge: Tensor) -> Tensor:
    """Second derivative in one atom's own shell at a fixed potential, (n_atoms, 3, 3) eV/Å²."""
    mesh = state.mesh
    curvature = interpolate_hessian(mesh.grid, state.shells, state.potential)
    return -core_charge.view(-1, 1, 1) * torch.matmul(
        mesh.to_mesh, torch.matmul(curvature, mesh.to_mesh.t())
    )


def mesh_product(
    state: MeshState, core_charge: Tensor, dq: Tensor, ds: Tensor
) -> tuple[Tensor, Tensor]:
    """Hessian of `mesh_energy` times (dq, ds), without the part of `mesh_local_hessian`; computed in
    the dtype of the mesh."""
    mesh, dtype = state.mesh, dq.dtype
    z, dq, ds = (
        core_charge.to(mesh.cores.u.dtype),
        dq.to(mesh.cores.u.dtype),
        ds.to(mesh.cores.u.dtype),
    )
    dipoles = _dipoles_on_mesh(mesh, z, ds)
    if state.at_rest:
        density = spread(mesh.grid, mesh.cores, dq, dipoles)
    else:
        density = spread(mesh.grid, state.shells, torch.zeros_like(dq), dipoles)
        density.add_(spread(mesh.grid, mesh.cores, dq, None))
    potential, shell_gradient = _on_cores_and_shells(
        state, z, potential_on_mesh(state.influence, density)
    )
    return potential.to(dtype), shell_gradient.to(dtype)
