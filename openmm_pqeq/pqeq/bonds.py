"""Charges by bonds: charge flows along bonds of finite softness, from the atoms' reference charges.

    q = Q⁰ + B p,    E = E_PQEq(q, s) + ½ Σ_b p_b²/σ_b − F·(Σ_b p_b d_b + Σ_i Q⁰_i r_i − Σ_i Z_i s_i)
        + Σ_b p_b (χ'_j − χ'_i)(x_b − 1)
    σ_b = σ_i σ_j f(x),    f = exp(−a (x − 1)) (1 − (x/1.6)²)³ for x < 1.6,    x = r/(R_i + R_j)

with a = ½(a_i + a_j) and d_b = r_j − r_i of the images that the bond joins. A bond fades with two
derivatives. E_PQEq has linear dipoles −Z s (coulomb/dipoles.py), so that E is a convex quadratic form.
No p is ever formed: with v = −∂E_PQEq/∂q,

    p_b = σ_b y_b,    y_b = h_b + v_j − v_i,    h_b = F·d_b − (χ'_j − χ'_i)(x_b − 1)
    q = Q⁰ + C v + flow of h,    (C v)_i = Σ_j σ_ij (v_i − v_j)
    E = E_PQEq(q, s) + ½ Σ_b σ_b [(v_j − v_i)² − h_b²] + Σ_i Z_i s_i·F − Σ_i Q⁰_i r_i·F

is stationary in v and s. Its derivatives at fixed v and s: the bonds' part is that of −½ Σ_b σ_b y_b²,
in r and in F; nothing divides by σ_b. Where nothing is bonded an atom keeps Q⁰. σ_i → ∞ with χ' = 0 is
the free flow of charge. χ' is how much an atom's electronegativity grows along a bond as that gets longer: it
moves no charge at x = 1 and yet changes what a moving atom carries, up or down.

Atoms of a metal (electrodes, or a metal that floats, groups.py) have no bonds. They share their charge
at one potential: there C v = w (v − v̄), w = 1/η, v̄ the metal's mean with the weights w, and no energy
belongs to v. The field
acts on what they have more than Q⁰, −F·Σ (q − Q⁰) x, with x within the metal (coupling.py).

Nistor, Polihronov, Müser, Mosey, J. Chem. Phys. 125, 094108 (2006), doi:10.1063/1.2346671 (split
charges); formal charges as the reference and a field that acts along the bonds are ours. Å, eV, e,
V/Å; σ_b in e²/eV.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from openmm_pqeq.neighbors.pairs import Pairs

BOND_RANGE = 1.6
"""The longest bond, in units of the sum of the two covalent radii."""
BOND_DECAY = 3.76
"""a, how fast bonds harden as they get longer, where a table does not say."""


class Bonds(NamedTuple):
    """Bonds of one structure, in both directions.

    centers, neighbors : (n_bonds,) int64
    vectors : (n_bonds, 3) Å, r_j − r_i of these images
    softness : (n_bonds,) e²/eV, σ_b
    drop : (n_bonds,) V, h_b
    lean : (n_bonds,) V, h_b without a field
    reference : (n_atoms,) e, Q⁰
    metal : (n_atoms,) e²/eV, w of the atoms that share their charge at one potential, zero elsewhere
    metal_drop : (n_atoms,) V, F·x of these atoms, zero elsewhere
    group : (n_atoms,) int64, which metal an atom is of
    has_metal : False where no atom can be in one, and nothing is summed over them
    """

    centers: Tensor
    neighbors: Tensor
    vectors: Tensor
    softness: Tensor
    drop: Tensor
    lean: Tensor
    reference: Tensor
    metal: Tensor
    metal_drop: Tensor
    group: Tensor
    has_metal: bool


def bond_softness(
    distances: Tensor, softness: Tensor, radii: Tensor, decay: Tensor, longest: float = BOND_RANGE
) -> Tensor:
    """σ_b (n_bonds,) in e²/eV from σ_iσ_j (e²/eV), R_i + R_j (Å) and a of the bonds' atoms."""
    x = distances / radii
    faded = torch.clamp(1.0 - (x / longest) ** 2, min=0.0)
    return softness * torch.exp(-decay * (x - 1.0)) * faded**3


def make_bonds(
    pairs: Pairs,
    softness: Tensor,
    radius: Tensor,
    decay: Tensor,
    slope: Tensor,
    field: Tensor,
    reference: Tensor,
    metal: Tensor,
    metal_drop: Tensor,
    group: Tensor,
    has_metal: bool,
    longest: float = BOND_RANGE,
) -> Bonds:
    """The bonds among `pairs`.

    softness (n_atoms,) e/√eV, radius (n_atoms,) Å, decay (n_atoms,), slope (n_atoms,) eV, χ', of the
    atoms; field (3,) V/Å; reference, metal, metal_drop, group and has_metal as in `Bonds`
    """
    dtype = reference.dtype
    i, j = pairs.centers, pairs.neighbors
    bonded = pairs.distances < longest * (radius[i] + radius[j])
    bonded = bonded & (metal[i] == 0.0) & (metal[j] == 0.0)
    rows = torch.nonzero(bonded).squeeze(1)
    i, j = i[rows], j[rows]
    distances, radii = pairs.distances[rows].to(dtype), radius[i] + radius[j]
    sigma = bond_softness(distances, softness[i] * softness[j], radii, 0.5 * (decay[i] + decay[j]))
    vectors = pairs.vectors[rows].to(dtype)
    lean = (slope[i] - slope[j]) * (distances / radii - 1.0)
    drop = vectors @ field + lean
    return Bonds(i, j, vectors, sigma, drop, lean, reference, metal, metal_drop, group, has_metal)


def without_drop(bonds: Bonds) -> Bonds:
    """The same bonds without a field."""
    return Bonds(
        bonds.centers,
        bonds.neighbors,
        bonds.vectors,
        bonds.softness,
        bonds.lean,
        bonds.lean,
        bonds.reference,
        bonds.metal,
        torch.zeros_like(bonds.metal_drop),
        bonds.group,
        bonds.has_metal,
    )


def _onto_centers(bonds: Bonds, values: Tensor) -> Tensor:
    return torch.zeros_like(bonds.reference).index_add(0, bonds.centers, values)


def _from_mean(bonds: Bonds, v: Tensor) -> Tensor:
    """v − v̄ of each atom's metal, (n_atoms,); of no meaning elsewhere."""
    nothing = torch.zeros_like(bonds.metal)
    share = nothing.index_add(0, bonds.group, bonds.metal)
    mean = nothing.index_add(0, bonds.group, bonds.metal * v) / torch.where(
        share > 0.0, share, torch.ones_like(share)
    )
    return v - mean[bonds.group]


def flow(bonds: Bonds, v: Tensor) -> Tensor:
    """C v (n_atoms,) e, the charge that v (n_atoms,) V moves."""
    across = v[bonds.centers] - v[bonds.neighbors]
    moved = _onto_centers(bonds, bonds.softness * across)
    if bonds.has_metal:
        moved = moved + bonds.metal * _from_mean(bonds, v)
    return moved


def flow_product(bonds: Bonds, u: Tensor, v: Tensor) -> Tensor:
    """u·C v, a scalar, as a sum of products of differences: what u and v have in common, which moves
    no charge and can be large, does not round into it."""
    i, j = bonds.centers, bonds.neighbors
    along = 0.5 * (bonds.softness * (u[i] - u[j]) * (v[i] - v[j])).sum()
    if bonds.has_metal:
        along = along + (bonds.metal * _from_mean(bonds, u) * _from_mean(bonds, v)).sum()
    return along


def own_softness(bonds: Bonds) -> Tensor:
    """C_ii (n_atoms,) e²/eV, but for what a metal's mean takes from it."""
    return _onto_centers(bonds, bonds.softness) + bonds.metal


def charges_at(bonds: Bonds, v: Tensor) -> Tensor:
    """Q⁰ + C v + what the field and lengths of bonds move, (n_atoms,) e; they have the total charge of Q⁰."""
    moved = _onto_centers(bonds, -bonds.softness * bonds.drop)
    return bonds.reference + moved + flow(bonds, v)


def stiff(bonds: Bonds) -> Tensor:
    """(n_atoms,), 1 where v has an energy of its own, 0 in a metal."""
    return (bonds.metal == 0.0).to(bonds.metal.dtype)


def bond_energy(bonds: Bonds, v: Tensor) -> Tensor:
    """½ Σ_b σ_b [(v_j − v_i)² − h_b²] + Σ Q⁰ F·x of metal atoms, a scalar in eV; differentiable any
    number of times."""
    across = v[bonds.neighbors] - v[bonds.centers]
    along = 0.25 * (bonds.softness * (across**2 - bonds.drop**2)).sum()
    return along + (bonds.reference * bonds.metal_drop).sum()


def bond_energy_once(bonds: Bonds, v: Tensor) -> Tensor:
    """The value of `bond_energy`, with the single derivative in positions, cell and field that the
    whole energy has through bonds and charges at the solution, that of −½ Σ_b σ_b y_b²."""
    across = v[bonds.neighbors] - v[bonds.centers]
    slope = -0.25 * (bonds.softness * (across + bonds.drop) ** 2).sum()
    slope = slope + (bonds.reference * bonds.metal_drop).sum()
    return bond_energy(bonds, v).data + (slope - slope.data)


def bond_dipole(bonds: Bonds, v: Tensor) -> Tensor:
    """Σ_b p_b d_b, (3,) e Å."""
    p = bonds.softness * (v[bonds.neighbors] - v[bonds.centers] + bonds.drop)
    return 0.5 * (p.unsqueeze(1) * bonds.vectors).sum(dim=0)


def metal_dipole(bonds: Bonds, charges: Tensor, within: Tensor) -> Tensor:
    """Σ (q − Q⁰) x of metal atoms, (3,) e Å; within (n_atoms, 3) Å, x and zero elsewhere."""
    return ((bonds.metal > 0.0).to(charges.dtype) * (charges - bonds.reference)) @ within
