"""Preconditioner of the charge solver: inverse Hessians of each atom with its neighbours alone.

The Hessian is inverted for every atom with its neighbours within a few Å, and the rows of that atom
are kept; together they are a sparse approximate inverse M, used as ½(M + Mᵀ):

    M_ij = [ H_(cluster of i)⁻¹ ]_ij,    4 × 4 blocks in (q, s)

The clusters' Hessians have shells at rest and the nearest images alone, and their couplings are
damped by a tenth or two, so that soft clusters stay positive definite. Long waves of charge, which
no cluster sees, are stiffer than short ones by 4πk_e ρ/k². On a mesh they are damped before and
after M, by F(k) = k/√(k² + k₀²): F M F with F = 1 − S, where S spreads charges on a coarse mesh,
keeps 1 − F(k) of each wave, and reads them back. None of this touches the result: it decides how
many products the solver needs. One M serves many steps of dynamics. Å, eV, e.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from openmm_pqeq.neighbors.pairs import Pairs, within
from openmm_pqeq.pqeq.coulomb.boundary import wave_squares
from openmm_pqeq.pqeq.coulomb.dipoles import own_dipole
from openmm_pqeq.pqeq.coulomb.kernels import coulomb_radial, pair_exponents
from openmm_pqeq.pqeq.coulomb.mesh import wave_numbers
from openmm_pqeq.pqeq.coulomb.mesh_size import smooth_size
from openmm_pqeq.pqeq.coulomb.splines import Grid, Points, interpolate, spread
from openmm_pqeq.pqeq.minimum.problem import Problem

CLUSTER_CUTOFF = 3.5
"""Å, the neighbours that an atom's rows of the preconditioner take into account."""
CLUSTER_COUPLING = 0.85
"""How much of the coupling within a cluster is kept, so that soft clusters stay positive
definite."""
CLUSTER_BLOCK = 512
"""Clusters that are inverted at once."""
CLUSTER_AGE = 20
"""Solutions that a preconditioner is kept for."""
LONG_WAVE = 0.2
"""Å⁻¹, k₀: waves longer than 2π/k₀ are stiffer than what a cluster knows of."""
LONG_WAVE_SPACING = 1.8
"""Å, of the mesh that carries them."""


class LongWaves(NamedTuple):
    """A coarse mesh, the atoms on it, and what S keeps of each wave, (n_1, n_2, n_3/2 + 1); in
    float32."""

    grid: Grid
    cores: Points
    kept: Tensor


class Near(NamedTuple):
    """Pairs of neighbours, centers ascending: centers, neighbors (n_pairs,), vectors (n_pairs, 3)
    Å."""

    centers: Tensor
    neighbors: Tensor
    vectors: Tensor


class Preconditioner(NamedTuple):
    """centers, neighbors (n_blocks,) and blocks (n_blocks, 4, 4) of M, the atom itself included."""

    centers: Tensor
    neighbors: Tensor
    blocks: Tensor


def near_atoms(pairs: Pairs, cutoff: float = CLUSTER_CUTOFF) -> Near:
    """The neighbours within `cutoff` (Å), which make an atom's cluster."""
    close = within(pairs, cutoff)
    return Near(close.centers, close.neighbors, close.vectors)


def diagonal(problem: Problem) -> Preconditioner:
    """The inverse of diag(η, K)."""
    atoms = torch.arange(problem.hardness.size(0), device=problem.hardness.device)
    k = (1.0 / problem.spring_constant).unsqueeze(1)
    return Preconditioner(
        atoms,
        atoms,
        torch.diag_embed(torch.cat([(1.0 / problem.hardness).unsqueeze(1), k, k, k], dim=1)),
    )


def long_waves(
    problem: Problem, spacing: float = LONG_WAVE_SPACING, k0: float = LONG_WAVE
) -> LongWaves | None:
    """S of a structure that fills its mesh, else nothing: a slab is denser than its box, and S
    would overshoot."""
    mesh = problem.coulomb.mesh
    if mesh is None or not mesh.bulk:
        return None
    n_atoms = problem.hardness.size(0)
    per_point = mesh.to_mesh / torch.tensor(
        mesh.grid.size, dtype=mesh.to_mesh.dtype, device=mesh.to_mesh.device
    )
    box = torch.linalg.inv(per_point)
    lengths = torch.sqrt((box * box).sum(dim=1)) / spacing
    size = [
        smooth_size(float(lengths[0])),
        smooth_size(float(lengths[1])),
        smooth_size(float(lengths[2])),
    ]
    first, second, third = wave_numbers(size, box)
    k_square = wave_squares(box, first, second, third)
    kept = 1.0 - torch.sqrt(k_square / (k_square + k0**2))
    scale = torch.tensor(size, dtype=box.dtype, device=box.device) / torch.tensor(
        mesh.grid.size, dtype=box.dtype, device=box.device
    )
    single = torch.float32
    cores = Points((mesh.cores.u * scale).to(single), torch.zeros_like(mesh.cores.channel))
    points = float(size[0] * size[1] * size[2])
    return LongWaves(Grid(1, size, 4), cores, (kept * (points / n_atoms)).to(single))


def without_long_waves(waves: LongWaves | None, charges: Tensor) -> Tensor:
    """F times charges (n_atoms,)."""
    if waves is None:
        return charges
    values = charges.to(waves.kept.dtype)
    density = torch.fft.rfftn(spread(waves.grid, waves.cores, values, None), dim=[1, 2, 3])
    smooth = torch.fft.irfftn(density * waves.kept, s=waves.grid.size, dim=[1, 2, 3])
    return charges - interpolate(waves.grid, waves.cores, smooth)[0].to(charges.dtype)


def precondition(
    preconditioner: Preconditioner, waves: LongWaves | None, charges: Tensor, shells: Tensor
) -> tuple[Tensor, Tensor]:
    """½F(M + Mᵀ)F times (charges (n_atoms,), shells (n_atoms, 3))."""
    i, j, blocks = preconditioner.centers, preconditioner.neighbors, preconditioner.blocks
    smooth = without_long_waves(waves, charges)
    vector = torch.cat([smooth.unsqueeze(1), shells], dim=1).to(blocks.dtype)
    total = torch.zeros_like(vector).index_add(
        0, i, torch.matmul(blocks, vector[j].unsqueeze(2)).squeeze(2)
    )
    total = total.index_add(0, j, torch.matmul(vector[i].unsqueeze(1), blocks).squeeze(1))
    total = total.to(charges.dtype)
    return without_long_waves(waves, 0.5 * total[:, 0]), 0.5 * total[:, 1:]


def cluster_members(
    n: int, centers: Tensor, neighbors: Tensor, vectors: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Members of each atom's cluster, itself first, padded: atoms (n, m), where they are (n, m, 3)
    Å, and whether they exist (n, m).

    centers ascending.
    """
    count = torch.bincount(centers, minlength=n)
    m = 1 + (int(count.max()) if centers.size(0) > 0 else 0)
    start = torch.cumsum(count, 0) - count
    place = 1 + torch.arange(centers.size(0), device=centers.device) - start[centers]
    atoms = torch.zeros(n, m, dtype=torch.int64, device=centers.device)
    where = torch.zeros(n, m, 3, dtype=vectors.dtype, device=centers.device)
    exists = torch.zeros(n, m, dtype=torch.bool, device=centers.device)
    atoms[:, 0] = torch.arange(n, device=centers.device)
    exists[:, 0] = True
    atoms[centers, place] = neighbors
    where[centers, place] = vectors
    exists[centers, place] = True
    return atoms, where, exists


def _hessians(
    problem: Problem,
    local: Tensor,
    atoms: Tensor,
    where: Tensor,
    exists: Tensor,
    coupling: float = CLUSTER_COUPLING,
) -> Tensor:
    """Hessians of clusters, shells at rest, (n_clusters, 4m, 4m)."""
    n, m = atoms.size(0), atoms.size(1)
    identity = torch.eye(m, dtype=where.dtype, device=where.device)
    d = where.unsqueeze(1) - where.unsqueeze(2)
    together = (exists.unsqueeze(1) & exists.unsqueeze(2)).to(where.dtype) * (1.0 - identity)
    distance = torch.sqrt((d * d).sum(dim=3))
    distance = torch.where(distance > 0.1, distance, torch.ones_like(distance))
    exponent = problem.exponent.to(where.dtype)[atoms]
    radial = coulomb_radial(distance, pair_exponents(exponent.unsqueeze(1), exponent.unsqueeze(2)))
    z = problem.core_charge.to(where.dtype)[atoms]
    weight = coupling * together
    first, second = (
        (weight * radial.first).unsqueeze(3),
        (weight * radial.second).view(n, m, m, 1, 1),
    )
    from_shell = -z.view(n, 1, m, 1) * first * d  # charge of the row's atom, shell of the column's
    axes = torch.eye(3, dtype=where.dtype, device=where.device)
    both = z.view(n, m, 1, 1, 1) * z.view(n, 1, m, 1, 1)
    shells = -both * (first.unsqueeze(4) * axes + second * d.unsqueeze(4) * d.unsqueeze(3))
    alone = 1.0 - exists.to(where.dtype)
    hardness = problem.hardness.to(where.dtype)[atoms] * exists + alone
    springs = (
        problem.spring_constant.to(where.dtype)[atoms].view(n, m, 1, 1) * axes
        + local.to(where.dtype)[atoms]
    )
    springs = springs * exists.view(n, m, 1, 1) + alone.view(n, m, 1, 1) * axes
    hessian = torch.zeros(n, m, 4, m, 4, dtype=where.dtype, device=where.device)
    hessian[:, :, 0, :, 0] = weight * radial.value + torch.diag_embed(hardness)
    hessian[:, :, 0, :, 1:] = from_shell
    hessian[:, :, 1:, :, 0] = from_shell.permute(0, 2, 3, 1)
    same_atom = springs.unsqueeze(2) * identity.view(1, m, m, 1, 1)
    hessian[:, :, 1:, :, 1:] = (shells + same_atom).permute(0, 1, 3, 2, 4)
    return hessian.view(n, 4 * m, 4 * m)


def clusters(
    problem: Problem, local: Tensor, near: Near, at_once: int = CLUSTER_BLOCK
) -> Preconditioner:
    """M of clusters of near atoms; local (n_atoms, 3, 3) eV/Å² as in `Linearized`.

    A sum over waves has the shell in its own potential: in `local` with one sign, in `product` with
    the other. A cluster has no waves, and takes it out.
    """
    n = problem.hardness.size(0)
    in_its_own = own_dipole(problem.coulomb, problem.core_charge).view(-1, 1, 1)
    local = local - in_its_own * torch.eye(3, dtype=local.dtype, device=local.device)
    atoms, where, exists = cluster_members(
        n, near.centers, near.neighbors, near.vectors.to(torch.float32)
    )
    blocks: list[Tensor] = []
    for first in range(0, n, at_once):
        last = min(first + at_once, n)
        hessian = _hessians(
            problem, local, atoms[first:last], where[first:last], exists[first:last]
        )
        rows = torch.zeros(
            last - first, hessian.size(1), 4, dtype=hessian.dtype, device=hessian.device
        )
        rows[:, :4] = torch.eye(4, dtype=hessian.dtype, device=hessian.device)
        inverse = torch.linalg.solve(hessian, rows).view(last - first, -1, 4, 4).transpose(2, 3)
        blocks.append(inverse[exists[first:last]])
    there = torch.nonzero(exists)
    return Preconditioner(there[:, 0], atoms[exists], torch.cat(blocks))
