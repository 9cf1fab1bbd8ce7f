"""The tapered pair sum and its derivatives in closed form, each pair met once.

    E = Σ_pairs [ c_i c_j f(d) − c_i Z_j f(u) − Z_i c_j f(v) + Z_i Z_j f(w) ],     c = q + Z,   f(r) = k_e erf(γr)/r · T(r)
    d = r_j − r_i,   u = d + s_j,   v = d − s_i,   w = d + s_j − s_i

A radial function is the triple f, f1 = f'/r, f2 = (f'' − f'/r)/r², so that ∇f = f1 d and ∇∇f = f1 1
+ f2 d dᵀ (kernels.py). Those at d, and at u, v and w, are computed once and serve many sums. Along
a direction (q̇, ṡ) the energy changes at the rate

    Ė = Σ_pairs [ (q̇_i c_j + c_i q̇_j) f(d) − q̇_i Z_j f(u) − c_i Z_j f1(u) u·ṡ_j − Z_i q̇_j f(v) +
    Z_i c_j f1(v) v·ṡ_i
                  + Z_i Z_j f1(w) w·(ṡ_j − ṡ_i) ],

whose gradient in (q, s) is the Hessian times (q̇, ṡ), and whose gradient in positions is what an
adjoint solution needs.

None of these functions is for autograd: the derivatives are what they give. Each has a native
operator beside it (tapered.py). Kernels have the dtype of the vectors, sums that of the charges.
Å, eV, e.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from openmm_pqeq.neighbors.half_list import KeptPairs
from openmm_pqeq.pqeq.coulomb.kernels import Radial, coulomb_radial_reference, taper
from openmm_pqeq.pqeq.coulomb.pairs import scatter


class TaperedPairs(NamedTuple):
    """Pairs within the cutoff, each once: centers, neighbors (n_pairs,) int32; shifts (n_pairs, 3)
    int8; vectors (n_pairs, 3) Å, d."""

    centers: Tensor
    neighbors: Tensor
    shifts: Tensor
    vectors: Tensor


def tapered_radial(distance: Tensor, gamma: Tensor, cutoff: float) -> Radial:
    """k_e erf(γr)/r·T(r) and derivatives, for separations that are not small against the widths."""
    plain = coulomb_radial_reference(distance, gamma)
    x = distance / cutoff
    t = taper(distance, cutoff)
    taper_slope = -140.0 * (x * (1.0 - x)) ** 3 / cutoff
    taper_curvature = -420.0 * (x * (1.0 - x)) ** 2 * (1.0 - 2.0 * x) / cutoff**2
    square = distance * distance
    first = plain.first * t + plain.value * taper_slope / distance
    curvature = (
        (plain.first + plain.second * square) * t
        + 2.0 * plain.first * distance * taper_slope
        + plain.value * taper_curvature
    )
    return Radial(plain.value * t, first, (curvature - first) / square)


def tapered_pairs_reference(
    kept: KeptPairs, cell: Tensor, cutoff: float, dtype: torch.dtype
) -> TaperedPairs:
    """The pairs of a kept list that are closer than `cutoff` (Å) in a cell (3, 3) Å, with vectors
    in `dtype`. A distance that is not a number is kept, so that it shows."""
    i, j = kept.centers.to(torch.int64), kept.neighbors.to(torch.int64)
    vectors = (
        kept.positions.index_select(0, j)
        - kept.positions.index_select(0, i)
        + kept.shifts.to(cell.dtype) @ cell
    )
    far = (vectors * vectors).sum(dim=1) >= cutoff * cutoff
    near = torch.nonzero(~far).squeeze(1)
    return TaperedPairs(
        kept.centers[near], kept.neighbors[near], kept.shifts[near], vectors[near].to(dtype)
    )


def separations(pairs: TaperedPairs, shells: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """u, v, w of each pair, (n_pairs, 3) Å; shells (n_atoms, 3) Å."""
    s = shells.to(pairs.vectors.dtype)
    on_center, on_neighbor = s[pairs.centers.to(torch.int64)], s[pairs.neighbors.to(torch.int64)]
    with_neighbor = pairs.vectors + on_neighbor
    return with_neighbor, pairs.vectors - on_center, with_neighbor - on_center


def tapered_radials_reference(
    pairs: TaperedPairs, kind: Tensor, gamma: Tensor, cutoff: float, shells: Tensor | None
) -> Tensor:
    """f, f1, f2 at u, then at v, then at w, (9, n_pairs); without shells at d, (3, n_pairs).

    kind (n_atoms,) int64, index into gamma (n_kinds, n_kinds) Å⁻¹; shells (n_atoms, 3) Å
    """
    widths = gamma.to(pairs.vectors.dtype)[
        kind[pairs.centers.to(torch.int64)], kind[pairs.neighbors.to(torch.int64)]
    ]
    places = [pairs.vectors]
    if shells is not None:
        u, v, w = separations(pairs, shells)
        places = [u, v, w]
    rows: list[Tensor] = []
    for place in places:
        radial = tapered_radial(torch.sqrt((place * place).sum(dim=1)), widths, cutoff)
        rows.append(torch.stack([radial.value, radial.first, radial.second]))
    return torch.cat(rows)


def _asked(
    potential: Tensor, on_shells: Tensor, with_potential: bool, with_field: bool
) -> tuple[Tensor, Tensor]:
    return potential if with_potential else potential[:0], on_shells if with_field else on_shells[
        :0
    ]


def every_radial(at_shells: Tensor) -> Tensor:
    """Radial functions at u, v and w, (9, n_pairs); where the shells are at rest all are those at
    d, and (3, n_pairs) are enough."""
    return at_shells if at_shells.size(0) == 9 else at_shells.repeat(3, 1)


def tapered_gradient_reference(
    pairs: TaperedPairs,
    at_cores: Tensor,
    at_shells: Tensor,
    core_charge: Tensor,
    charges: Tensor,
    shells: Tensor,
    with_potential: bool,
    with_field: bool,
) -> tuple[Tensor, Tensor]:
    """∂E/∂q (n_atoms,) eV/e and ∂E/∂s (n_atoms, 3) eV/Å; (0,) and (0, 3) where they are not asked
    for."""
    n, dtype = charges.size(0), charges.dtype
    i, j = pairs.centers.to(torch.int64), pairs.neighbors.to(torch.int64)
    z = core_charge.to(at_cores.dtype)
    c = (charges + core_charge).to(at_cores.dtype)
    u, v, w = separations(pairs, shells)
    at_shells = every_radial(at_shells)
    potential = scatter(c[j] * at_cores[0] - z[j] * at_shells[0], i, n, dtype)
    potential = potential + scatter(c[i] * at_cores[0] - z[i] * at_shells[3], j, n, dtype)
    between = (z[i] * z[j] * at_shells[7]).unsqueeze(1) * w
    on_neighbor = between - (c[i] * z[j] * at_shells[1]).unsqueeze(1) * u
    on_center = (z[i] * c[j] * at_shells[4]).unsqueeze(1) * v - between
    return _asked(
        potential,
        scatter(on_center, i, n, dtype) + scatter(on_neighbor, j, n, dtype),
        with_potential,
        with_field,
    )


def tapered_product_reference(
    pairs: TaperedPairs,
    at_cores: Tensor,
    at_shells: Tensor,
    core_charge: Tensor,
    charges: Tensor,
    shells: Tensor,
    dq: Tensor,
    ds: Tensor,
    with_potential: bool,
    with_field: bool,
) -> tuple[Tensor, Tensor]:
    """The Hessian of E times (dq, ds): (n_atoms,) and (n_atoms, 3), or (0,) and (0, 3) where they
    are not asked for."""
    n, dtype = charges.size(0), charges.dtype
    i, j = pairs.centers.to(torch.int64), pairs.neighbors.to(torch.int64)
    kernels = at_cores.dtype
    z, c, p, t = (
        core_charge.to(kernels),
        (charges + core_charge).to(kernels),
        dq.to(kernels),
        ds.to(kernels),
    )
    u, v, w = separations(pairs, shells)
    at_shells = every_radial(at_shells)
    along_u, along_v = (u * t[j]).sum(dim=1), (v * t[i]).sum(dim=1)
    potential = scatter(p[j] * at_cores[0] - z[j] * at_shells[1] * along_u, i, n, dtype)
    potential = potential + scatter(p[i] * at_cores[0] + z[i] * at_shells[4] * along_v, j, n, dtype)
    between = (z[i] * z[j]).unsqueeze(1) * _hessian_on(at_shells[7], at_shells[8], w, t[j] - t[i])
    turned_u = (p[i] * z[j] * at_shells[1]).unsqueeze(1) * u + (c[i] * z[j]).unsqueeze(
        1
    ) * _hessian_on(at_shells[1], at_shells[2], u, t[j])
    turned_v = (z[i] * p[j] * at_shells[4]).unsqueeze(1) * v - (z[i] * c[j]).unsqueeze(
        1
    ) * _hessian_on(at_shells[4], at_shells[5], v, t[i])
    on_shells = scatter(turned_v - between, i, n, dtype) + scatter(between - turned_u, j, n, dtype)
    return _asked(potential, on_shells, with_potential, with_field)


def tapered_forces_reference(
    pairs: TaperedPairs,
    at_cores: Tensor,
    at_shells: Tensor,
    core_charge: Tensor,
    charges: Tensor,
    shells: Tensor,
    dq: Tensor,
    ds: Tensor,
    energy_weight: float,
) -> tuple[Tensor, Tensor, Tensor]:
    """E (scalar), and the gradient of energy_weight·E + Ė in positions (n_atoms, 3) and in the cell
    (3, 3)."""
    n, dtype = charges.size(0), charges.dtype
    i, j = pairs.centers.to(torch.int64), pairs.neighbors.to(torch.int64)
    kernels = at_cores.dtype
    z, c, p, t = (
        core_charge.to(kernels),
        (charges + core_charge).to(kernels),
        dq.to(kernels),
        ds.to(kernels),
    )
    u, v, w = separations(pairs, shells)
    at_shells = every_radial(at_shells)
    cc, cz, zc, zz = c[i] * c[j], c[i] * z[j], z[i] * c[j], z[i] * z[j]
    energy = (
        (cc * at_cores[0] - cz * at_shells[0] - zc * at_shells[3] + zz * at_shells[6])
        .to(dtype)
        .sum()
    )
    slope = ((energy_weight * cc + p[i] * c[j] + c[i] * p[j]) * at_cores[1]).unsqueeze(
        1
    ) * pairs.vectors
    slope = slope - ((energy_weight * cz + p[i] * z[j]) * at_shells[1]).unsqueeze(1) * u
    slope = slope - ((energy_weight * zc + z[i] * p[j]) * at_shells[4]).unsqueeze(1) * v
    slope = slope + (energy_weight * zz * at_shells[7]).unsqueeze(1) * w
    slope = slope - cz.unsqueeze(1) * _hessian_on(at_shells[1], at_shells[2], u, t[j])
    slope = slope + zc.unsqueeze(1) * _hessian_on(at_shells[4], at_shells[5], v, t[i])
    slope = slope + zz.unsqueeze(1) * _hessian_on(at_shells[7], at_shells[8], w, t[j] - t[i])
    slope = slope.to(dtype)
    return (
        energy,
        scatter(slope, j, n, dtype) - scatter(slope, i, n, dtype),
        pairs.shifts.to(dtype).t() @ slope,
    )


def _hessian_on(first: Tensor, second: Tensor, separation: Tensor, along: Tensor) -> Tensor:
    """(f1 1 + f2 r rᵀ) times a vector."""
    return (
        first.unsqueeze(1) * along
        + (second * (separation * along).sum(dim=1)).unsqueeze(1) * separation
    )


def pair_matrix_product_reference(pairs: TaperedPairs, values: Tensor, x: Tensor) -> Tensor:
    """The symmetric matrix with `values` (n_pairs,) at (i, j) and (j, i), times x (n_atoms,), in
    the dtype of x."""
    i, j = pairs.centers.to(torch.int64), pairs.neighbors.to(torch.int64)
    exact = values.to(x.dtype)  # a solver of float32 values still needs the digits of x
    return scatter(exact * x[j], i, x.size(0), x.dtype) + scatter(
        exact * x[i], j, x.size(0), x.dtype
    )
