"""The tapered pair sum by the native operators, which have kernels for the CPU and for NVIDIA GPUs,
and by its torch references elsewhere; the equations are in tapered_reference.py."""

import torch
from torch import Tensor

from openmm_pqeq import ops
from openmm_pqeq.neighbors.half_list import KeptPairs
from openmm_pqeq.pqeq.sweeps.tapered_reference import (
    TaperedPairs,
    pair_matrix_product_reference,
    tapered_forces_reference,
    tapered_gradient_reference,
    tapered_pairs_reference,
    tapered_product_reference,
    tapered_radials_reference,
)

native_on = ops.native_on("tapered_pairs")


def tapered_pairs_native(
    kept: KeptPairs, cell: Tensor, cutoff: float, dtype: torch.dtype
) -> TaperedPairs:
    """`tapered_pairs_reference` by the native operator."""
    if not native_on(cell):
        return tapered_pairs_reference(kept, cell, cutoff, dtype)
    centers, neighbors, shifts, vectors = torch.ops.openmm_pqeq.tapered_pairs(
        kept.positions,
        cell,
        kept.centers,
        kept.neighbors,
        kept.shifts,
        cutoff,
        dtype == torch.float32,
    )
    return TaperedPairs(centers, neighbors, shifts, vectors)


def tapered_radials_native(
    pairs: TaperedPairs, kind: Tensor, gamma: Tensor, cutoff: float, shells: Tensor | None
) -> Tensor:
    """`tapered_radials_reference` by the native operator."""
    if not native_on(kind):
        return tapered_radials_reference(pairs, kind, gamma, cutoff, shells)
    radials: Tensor = torch.ops.openmm_pqeq.tapered_radials(
        pairs.centers, pairs.neighbors, pairs.vectors, kind, gamma, cutoff, shells
    )
    return radials


def tapered_gradient_native(
    pairs: TaperedPairs,
    at_cores: Tensor,
    at_shells: Tensor,
    core_charge: Tensor,
    charges: Tensor,
    shells: Tensor,
    with_potential: bool,
    with_field: bool,
) -> tuple[Tensor, Tensor]:
    """`tapered_gradient_reference` by the native operator."""
    z, q, s = core_charge, charges, shells
    if not native_on(z):
        return tapered_gradient_reference(
            pairs, at_cores, at_shells, z, q, s, with_potential, with_field
        )
    potential, field = torch.ops.openmm_pqeq.tapered_gradient(
        pairs.centers,
        pairs.neighbors,
        pairs.vectors,
        at_cores,
        at_shells,
        z,
        q,
        s,
        with_potential,
        with_field,
    )
    return potential, field


def tapered_product_native(
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
    """`tapered_product_reference` by the native operator."""
    z, q, s = core_charge, charges, shells
    if not native_on(z):
        return tapered_product_reference(
            pairs, at_cores, at_shells, z, q, s, dq, ds, with_potential, with_field
        )
    potential, field = torch.ops.openmm_pqeq.tapered_product(
        pairs.centers,
        pairs.neighbors,
        pairs.vectors,
        at_cores,
        at_shells,
        z,
        q,
        s,
        dq,
        ds,
        with_potential,
        with_field,
    )
    return potential, field


def tapered_forces_native(
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
    """`tapered_forces_reference` by the native operator."""
    z, q, s = core_charge, charges, shells
    if not native_on(z):
        return tapered_forces_reference(pairs, at_cores, at_shells, z, q, s, dq, ds, energy_weight)
    energy, slope, cell_slope = torch.ops.openmm_pqeq.tapered_forces(
        pairs.centers,
        pairs.neighbors,
        pairs.shifts,
        pairs.vectors,
        at_cores,
        at_shells,
        z,
        q,
        s,
        dq,
        ds,
        energy_weight,
    )
    return energy, slope, cell_slope


def pair_matrix_product_native(pairs: TaperedPairs, values: Tensor, x: Tensor) -> Tensor:
    """`pair_matrix_product_reference` by the native operator."""
    if not native_on(x):
        return pair_matrix_product_reference(pairs, values, x)
    product: Tensor = torch.ops.openmm_pqeq.pair_matrix_product(
        pairs.centers, pairs.neighbors, values, x
    )
    return product


tapered_pairs = ops.pick("tapered_pairs", tapered_pairs_native, tapered_pairs_reference)
tapered_radials = ops.pick("tapered_radials", tapered_radials_native, tapered_radials_reference)
tapered_gradient = ops.pick("tapered_gradient", tapered_gradient_native, tapered_gradient_reference)
tapered_product = ops.pick("tapered_product", tapered_product_native, tapered_product_reference)
tapered_forces = ops.pick("tapered_forces", tapered_forces_native, tapered_forces_reference)
pair_matrix_product = ops.pick(
    "pair_matrix_product", pair_matrix_product_native, pair_matrix_product_reference
)
