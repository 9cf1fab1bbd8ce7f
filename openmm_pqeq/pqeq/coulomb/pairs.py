"""Real-space part of the electrostatics: four Gaussian interactions per pair of atoms.

    E = ½ Σ_pairs [ c_i c_j f(d) − c_i Z_j f(d + s_j) − Z_i c_j f(d − s_i) + Z_i Z_j f(d + s_j − s_i) ],   c = q + Z,  d = r_j − r_i

Pairs are directed, so the core–shell terms are met as (core i, shell j) once per direction. The
charge solver needs the gradient in (q, s) and Hessian–vector products; both are written out here,
because TorchScript has no autograd inside a forward pass. f = [erf(γr) − erf(γ'r)]·k_e/r, with γ' =
0 where nothing is left to reciprocal space. Å, eV, e.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from openmm_pqeq.pqeq.coulomb.kernels import (
    Radial,
    coulomb,
    coulomb_radial,
    coulomb_radial_reference,
)


class PairSum(NamedTuple):
    """Pairs with their exponents: centers, neighbors (n_pairs,), vectors (n_pairs, 3) Å, gamma and
    gamma_split (n_pairs,) Å⁻¹; whether reciprocal space has a part of it, and whether
    Hessian–vector products may be in float32."""

    centers: Tensor
    neighbors: Tensor
    vectors: Tensor
    gamma: Tensor
    gamma_split: Tensor
    split: bool
    float32_products: bool


class PairState(NamedTuple):
    """Kernels and their derivatives at the shells; fixed while charges and shells move to first
    order.

    core_core (n_pairs,) f(d); core_shell (n_pairs,) f(d + s_j); core_shell_gradient (n_pairs, 3);
    shell_shell_gradient (n_pairs, 3);
    core_shell_hessian, shell_shell_hessian (n_pairs, 3, 3)
    """

    core_core: Tensor
    core_shell: Tensor
    core_shell_gradient: Tensor
    shell_shell_gradient: Tensor
    core_shell_hessian: Tensor
    shell_shell_hessian: Tensor


def scatter(values: Tensor, index: Tensor, n: int, dtype: torch.dtype) -> Tensor:
    """Sum of values over equal indices, in `dtype`."""
    shape = list(values.shape)
    shape[0] = n
    totals = torch.zeros(shape, dtype=dtype, device=values.device)
    return totals.index_add(0, index, values.to(dtype))


def _radial(pairs: PairSum, distance: Tensor) -> Radial:
    plain = coulomb_radial(distance, pairs.gamma)
    if not pairs.split:
        return plain
    smooth = coulomb_radial(distance, pairs.gamma_split)
    return Radial(
        plain.value - smooth.value, plain.first - smooth.first, plain.second - smooth.second
    )


def _value(pairs: PairSum, distance: Tensor) -> Tensor:
    if not pairs.split:
        return coulomb(distance, pairs.gamma)
    return coulomb(distance, pairs.gamma) - coulomb(distance, pairs.gamma_split)


def _length(vectors: Tensor) -> Tensor:
    return torch.sqrt((vectors * vectors).sum(dim=1))


def _hessian(radial: Radial, vectors: Tensor) -> Tensor:
    identity = torch.eye(3, dtype=vectors.dtype, device=vectors.device)
    outer = vectors.unsqueeze(2) * vectors.unsqueeze(1)
    return radial.first.view(-1, 1, 1) * identity + radial.second.view(-1, 1, 1) * outer


def pair_energy(pairs: PairSum, charges: Tensor, core_charge: Tensor, shells: Tensor) -> Tensor:
    """The pair sum, a scalar in eV. Differentiable any number of times in vectors, charges and
    shells."""
    core = charges + core_charge
    i, j = pairs.centers, pairs.neighbors
    s = shells.to(pairs.vectors.dtype)
    with_neighbor_shell = pairs.vectors + s[j]
    core_core = _value(pairs, _length(pairs.vectors)).to(charges.dtype)
    core_shell = _value(pairs, _length(with_neighbor_shell)).to(charges.dtype)
    shell_shell = _value(pairs, _length(with_neighbor_shell - s[i])).to(charges.dtype)
    per_pair = (
        0.5 * core[i] * core[j] * core_core
        - core[i] * core_charge[j] * core_shell
        + 0.5 * core_charge[i] * core_charge[j] * shell_shell
    )
    return per_pair.sum()


def pair_state(pairs: PairSum, shells: Tensor) -> PairState:
    """Kernels and their derivatives at these shells."""
    s = shells.to(pairs.vectors.dtype)
    with_neighbor_shell = pairs.vectors + s[pairs.neighbors]
    shell_shell = with_neighbor_shell - s[pairs.centers]
    cs = _radial(pairs, _length(with_neighbor_shell))
    ss = _radial(pairs, _length(shell_shell))
    return PairState(
        core_core=_value(pairs, _length(pairs.vectors)),
        core_shell=cs.value,
        core_shell_gradient=cs.first.unsqueeze(1) * with_neighbor_shell,
        shell_shell_gradient=ss.first.unsqueeze(1) * shell_shell,
        core_shell_hessian=_hessian(cs, with_neighbor_shell),
        shell_shell_hessian=_hessian(ss, shell_shell),
    )


def pair_state_at_rest(pairs: PairSum) -> PairState:
    """`pair_state` of shells at their cores."""
    radial = _radial(pairs, _length(pairs.vectors))
    gradient = radial.first.unsqueeze(1) * pairs.vectors
    hessian = _hessian(radial, pairs.vectors)
    return PairState(radial.value, radial.value, gradient, gradient, hessian, hessian)


def pair_energy_of_dipoles(
    pairs: PairSum, charges: Tensor, core_charge: Tensor, shells: Tensor
) -> Tensor:
    """The pair sum of charges q and linear dipoles −Z s, a scalar in eV: of `pair_energy` what is
    bilinear in (q, s). Differentiable any number of times."""
    i, j = pairs.centers, pairs.neighbors
    d, dtype = pairs.vectors, pairs.vectors.dtype
    q, dipoles = charges.to(dtype), -(core_charge.unsqueeze(1) * shells).to(dtype)
    distance = _length(d)
    radial = coulomb_radial_reference(distance, pairs.gamma)
    if pairs.split:
        smooth = coulomb_radial_reference(distance, pairs.gamma_split)
        radial = Radial(
            radial.value - smooth.value, radial.first - smooth.first, radial.second - smooth.second
        )
    along_i, along_j = (dipoles[i] * d).sum(dim=1), (dipoles[j] * d).sum(dim=1)
    between = (
        radial.first * (dipoles[i] * dipoles[j]).sum(dim=1) + radial.second * along_i * along_j
    )
    per_pair = 0.5 * q[i] * q[j] * radial.value + q[i] * radial.first * along_j - 0.5 * between
    return per_pair.to(charges.dtype).sum()


def pair_state_for_products(pairs: PairSum, state: PairState) -> PairState:
    """The state for `pair_product`: in float32 where that is enough, because a solver's steps need
    few digits."""
    if not pairs.float32_products:
        return state
    single = torch.float32
    return PairState(
        state.core_core.to(single),
        state.core_shell.to(single),
        state.core_shell_gradient.to(single),
        state.shell_shell_gradient.to(single),
        state.core_shell_hessian.to(single),
        state.shell_shell_hessian.to(single),
    )


def pair_gradient(
    pairs: PairSum, state: PairState, charges: Tensor, core_charge: Tensor
) -> tuple[Tensor, Tensor]:
    """∂E/∂q (n_atoms,) and ∂E/∂s (n_atoms, 3) of the pair sum."""
    n, dtype = charges.size(0), charges.dtype
    i, j = pairs.centers, pairs.neighbors
    core = (charges + core_charge).to(pairs.vectors.dtype)
    z = core_charge.to(pairs.vectors.dtype)
    potential = scatter(core[j] * state.core_core - z[j] * state.core_shell, i, n, dtype)
    shell_gradient = scatter(
        -(z[j] * core[i]).unsqueeze(1) * state.core_shell_gradient, j, n, dtype
    )
    shell_gradient = shell_gradient + scatter(
        -(z[i] * z[j]).unsqueeze(1) * state.shell_shell_gradient, i, n, dtype
    )
    return potential, shell_gradient


def pair_local_hessian(
    pairs: PairSum, state: PairState, charges: Tensor, core_charge: Tensor
) -> Tensor:
    """Second derivative of the pair sum in one atom's own shell, (n_atoms, 3, 3) eV/Å²."""
    n, dtype = charges.size(0), charges.dtype
    i, j = pairs.centers, pairs.neighbors
    core = (charges + core_charge).to(pairs.vectors.dtype)
    z = core_charge.to(pairs.vectors.dtype)
    local = scatter(-(z[j] * core[i]).view(-1, 1, 1) * state.core_shell_hessian, j, n, dtype)
    return local + scatter((z[i] * z[j]).view(-1, 1, 1) * state.shell_shell_hessian, i, n, dtype)


def pair_product(
    pairs: PairSum, state: PairState, core_charge: Tensor, dq: Tensor, ds: Tensor
) -> tuple[Tensor, Tensor]:
    """Hessian of the pair sum times (dq, ds), without the part of `pair_local_hessian`."""
    n, dtype = dq.size(0), dq.dtype
    i, j = pairs.centers, pairs.neighbors
    z = core_charge.to(state.core_core.dtype)
    dq, ds = dq.to(state.core_core.dtype), ds.to(state.core_core.dtype)
    potential = scatter(
        dq[j] * state.core_core - z[j] * (state.core_shell_gradient * ds[j]).sum(dim=1), i, n, dtype
    )
    shell_gradient = scatter(-(z[j] * dq[i]).unsqueeze(1) * state.core_shell_gradient, j, n, dtype)
    along = torch.matmul(state.shell_shell_hessian, ds[j].unsqueeze(2)).squeeze(2)
    return potential, shell_gradient - scatter((z[i] * z[j]).unsqueeze(1) * along, i, n, dtype)
