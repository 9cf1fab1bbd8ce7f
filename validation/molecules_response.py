"""Charges by bonds of small molecules, dense: moments and polarizabilities of all of them at once.

    q − Q⁰ + L V = D F,    V = χ + (M y)_q,    (M y)_μ = F,    y = (q, μ)
    L = Σ_b σ_b B_b B_bᵀ,  D = Σ_b σ_b B_b d_bᵀ,    Q⁰ = 0

as in openmm_pqeq/pqeq/bonds.py, with derivatives in the parameters by autograd. The fit's coordinates
keep M positive: η and K lie above what a Gaussian and a dipole do to themselves.
"""

from typing import NamedTuple

import ase
import numpy as np
import torch
from torch import Tensor

from openmm_pqeq.covalent_radii import covalent_radii
from openmm_pqeq.pqeq.bonds import BOND_DECAY, BOND_RANGE, bond_softness
from openmm_pqeq.pqeq.coulomb.kernels import (
    coulomb_radial_reference,
    dipole_self_energy,
    gaussian_exponents,
    gaussian_self_energy,
    pair_exponents,
)

ELEMENTS = (1, 6, 7, 8, 16, 17)
START = {
    "electronegativity": (-8.0, 12.0, 15.0, 16.0, 12.0, 12.5),
    "hardness": (2.5, 1.5, 2.0, 3.0, 1.5, 1.5),
    "radius": (0.45, 0.65, 0.5, 0.45, 0.75, 0.6),
    "spring": (2.0, 1.5, 1.5, 2.0, 1.5, 1.5),
    "softness": (0.3, 0.4, 0.4, 0.4, 0.4, 0.4),
    "decay": (BOND_DECAY,) * 6,
}
"""χ eV; log of η above its bound, eV; R Å; log of K/Z² above its bound, eV/(e Å)²; σ e/√eV; a."""


class Batch(NamedTuple):
    """Molecules padded to one size: kinds (m, n), exists (m, n), d = r_j − r_i (m, n, n, 3) Å,
    positions (m, n, 3) from the centre of mass, dipole (m, 3) e Å, polarizability (m, 3, 3) e²Å²/eV,
    quadrupole (m, 3, 3) e Å², weight (m, 3) of each of the three."""

    kinds: Tensor
    exists: Tensor
    d: Tensor
    positions: Tensor
    dipole: Tensor
    polarizability: Tensor
    quadrupole: Tensor
    weight: Tensor


class Moments(NamedTuple):
    """As in `Batch`; the quadrupole ½ Σ q (3 x x − r²) without a trace."""

    dipole: Tensor
    polarizability: Tensor
    quadrupole: Tensor


def batch_of(molecules: list[ase.Atoms], dipoles, polarizabilities, quadrupoles, weights) -> Batch:
    n = max(map(len, molecules))
    kinds = torch.zeros(len(molecules), n, dtype=torch.int64)
    exists = torch.zeros(len(molecules), n, dtype=torch.bool)
    positions = 1e3 * torch.arange(n, dtype=torch.float64).view(1, n, 1).repeat(
        len(molecules), 1, 3
    )
    for k, atoms in enumerate(molecules):
        here = len(atoms)
        kinds[k, :here] = torch.tensor([ELEMENTS.index(z) for z in atoms.numbers.tolist()])
        exists[k, :here] = True
        positions[k, :here] = torch.tensor(atoms.positions - atoms.get_center_of_mass())
    d = positions.unsqueeze(1) - positions.unsqueeze(2)
    labels = (dipoles, polarizabilities, quadrupoles, weights)
    stacked = [torch.tensor(np.array(values)) for values in labels]
    return Batch(kinds, exists, d, positions, *stacked)


def parameters_at(u: Tensor) -> dict[str, Tensor]:
    """The rows (6,) of a point in the fit's coordinates, (6, 6)."""
    radius = torch.exp(u[2])
    return {
        "electronegativity": u[0],
        "hardness": gaussian_self_energy(radius) + 0.3 + torch.exp(u[1]),
        "radius": radius,
        "spring": 1.1 * dipole_self_energy(radius) + torch.exp(u[3]),
        "softness": torch.exp(u[4]),
        "decay": torch.exp(u[5]),
    }


def response(batch: Batch, u: Tensor) -> Moments:
    """Moments and polarizabilities."""
    rows = parameters_at(u)
    chi, eta, radius, spring, sigma, decay = (rows[name][batch.kinds] for name in START)
    m, n = batch.kinds.shape
    there = batch.exists.to(chi.dtype)
    identity = torch.eye(n, dtype=chi.dtype)
    pairs = there.unsqueeze(1) * there.unsqueeze(2) * (1 - identity)
    distance = torch.sqrt((batch.d**2).sum(dim=3) + identity)
    alpha = gaussian_exponents(radius)
    radial = coulomb_radial_reference(
        distance, pair_exponents(alpha.unsqueeze(1), alpha.unsqueeze(2))
    )
    first = (radial.first * pairs).unsqueeze(3)
    second = (radial.second * pairs).view(m, n, n, 1, 1)
    axes = torch.eye(3, dtype=chi.dtype)
    charge = radial.value * pairs + torch.diag_embed(eta)
    mixed = (first * batch.d).reshape(m, n, 3 * n)  # charge of i, dipole of j
    outer = batch.d.unsqueeze(4) * batch.d.unsqueeze(3)
    between = -(first.unsqueeze(4) * axes + second * outer)
    own = torch.diag_embed(spring).view(m, n, n, 1, 1) * axes
    dipole = (between + own).permute(0, 1, 3, 2, 4).reshape(m, 3 * n, 3 * n)
    radii = covalent_radii()[torch.tensor(ELEMENTS)][batch.kinds]
    soft, reach, fade = (
        sigma.unsqueeze(1) * sigma.unsqueeze(2),
        radii.unsqueeze(1) + radii.unsqueeze(2),
        0.5 * (decay.unsqueeze(1) + decay.unsqueeze(2)),
    )
    near = torch.clamp(distance, max=BOND_RANGE * reach)
    bond = bond_softness(near, soft, reach, fade) * pairs
    laplacian = torch.diag_embed(bond.sum(dim=2)) - bond
    pull = -(bond.unsqueeze(3) * batch.d).sum(dim=2)
    upper = torch.cat([identity + laplacian @ charge, laplacian @ mixed], dim=2)
    matrix = torch.cat([upper, torch.cat([mixed.transpose(1, 2), dipole], dim=2)], dim=1)
    rest = torch.cat(
        [-(laplacian @ chi.unsqueeze(2)), torch.zeros_like(mixed[:, 0]).unsqueeze(2)], dim=1
    )
    uniform = there.view(m, n, 1, 1) * axes
    in_field = torch.cat([pull, uniform.reshape(m, 3 * n, 3)], dim=1)
    found = torch.linalg.solve(matrix, torch.cat([rest, in_field], dim=2))
    at = batch.positions * there.unsqueeze(2)
    dipoles = found[:, n:].view(m, n, 3, 4) * there.view(m, n, 1, 1)
    total = at.transpose(1, 2) @ found[:, :n] + dipoles.sum(dim=1)
    across = at.transpose(1, 2) @ dipoles[..., 0]
    second = at.transpose(1, 2) @ (found[:, :n, :1] * at) + across + across.transpose(1, 2)
    trace = torch.diagonal(second, dim1=1, dim2=2).sum(dim=1).view(m, 1, 1)
    return Moments(total[:, :, 0], total[:, :, 1:], 1.5 * second - 0.5 * trace * axes)
