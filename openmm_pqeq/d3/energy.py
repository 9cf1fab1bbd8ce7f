"""D3 as functions: coordination numbers, weights of the references, C6 coefficients and damped pair
energies.

    CN_i  = Σ_j 1/(1 + exp(−16 (R_ij/r − 1))),   R_ij the sum of the covalent radii times 4/3
    w_ia  = softmax_a(−4 (CN_i − CN_a)²),        a the reference systems of the element
    C6_ij = Σ_ab w_ia C6_ab w_jb,                C8_ij = 3 C6_ij √Q_i √Q_j
    E     = −½ Σ_{i≠j or an image} Σ_{n=6,8} s_n Cn_ij / rⁿ f_n(r)

    zero:            1/rⁿ f_n = r⁻ⁿ / (1 + 6 (r/(rs_n R0_ij))^(−alp_n)),   alp_8 = alp_6 + 2
    Becke–Johnson:   1/rⁿ f_n = 1 / (rⁿ + (a1 √(C8/C6) + a2)ⁿ)

Grimme, Antony, Ehrlich, Krieg, J. Chem. Phys. 132, 154104 (2010), doi:10.1063/1.3382344; Grimme,
Ehrlich, Goerigk, J. Comput. Chem. 32, 1456 (2011), doi:10.1002/jcc.21759. Energies in eV, lengths
in Å. Differentiable any number of times; the switch at the cutoffs has two continuous derivatives.
"""

from typing import NamedTuple

import torch
from torch import Tensor


class Tables(NamedTuple):
    """One row a species.

    c6 : (n_species, n_species, 5, 5) eV Å⁶
    coordination : (n_species, 5) coordination numbers of the references; −1 where there is none
    covalent_radii : (n_species,) Å
    c8_over_c6 : (n_species, n_species) Å²
    radii6, radii8 : (n_species, n_species) Å, of the damping of either order
    """

    c6: Tensor
    coordination: Tensor
    covalent_radii: Tensor
    c8_over_c6: Tensor
    radii6: Tensor
    radii8: Tensor


class Settings(NamedTuple):
    """zero_damping : or Becke–Johnson
    s6, s8, alp : of the damping
    cutoff, cn_cutoff, smoothing_width : Å, of pair energies and of coordination numbers, and of the
        switch inside both; 0: none
    """

    zero_damping: bool
    s6: float
    s8: float
    alp: float
    cutoff: float
    cn_cutoff: float
    smoothing_width: float


class Distances(NamedTuple):
    """Pairs of atoms, in one direction.

    i, j : (n_pairs,) int64
    r : (n_pairs,) Å, in the dtype of the tables
    share : (n_pairs,) how much of it counts: an atom and its own image in both directions count a
        half each
    """

    i: Tensor
    j: Tensor
    r: Tensor
    share: Tensor


def switch(distances: Tensor, cutoff: float, width: float) -> Tensor:
    """1 up to `cutoff` − `width`, 0 from `cutoff`, between them the quintic with two continuous
    derivatives."""
    x = ((cutoff - distances) / width).clamp(0.0, 1.0)
    return x * x * x * (10.0 + x * (6.0 * x - 15.0))


def counts(distances: Tensor, radii: Tensor, k1: float = 16.0) -> Tensor:
    """The contribution of a neighbour to the coordination number; `radii` are the sums R_ij of
    covalent radii (Å)."""
    return torch.sigmoid(k1 * (radii / distances - 1.0))


def reference_weights(
    coordination_numbers: Tensor, coordination: Tensor, k3: float = 4.0
) -> Tensor:
    """Weights (n_atoms, 5) of the reference systems, whose coordination numbers (n_atoms, 5) are
    negative where there is none.

    A softmax: far above the highest reference all Gaussians vanish, and the nearest reference still
    has the weight one.
    """
    exponents = -k3 * (coordination_numbers.unsqueeze(1) - coordination) ** 2
    return torch.softmax(exponents.masked_fill(coordination < 0.0, float("-inf")), dim=1)


def zero_damped(distances: Tensor, order: float, radii: Tensor, alp: float) -> Tensor:
    """r⁻ⁿ/(1 + 6 (r/R)^−alp) as x^(alp−n)/(x^alp + 6)/Rⁿ with x = r/R: finite, with its
    derivatives, however short r is."""
    x = distances / radii
    return x ** (alp - order) / ((x**alp + 6.0) * radii**order)


def rational_damped(distances: Tensor, order: float, radii: Tensor) -> Tensor:
    """1/(rⁿ + Rⁿ)."""
    return 1.0 / (distances**order + radii**order)


def closer(pairs: Distances, cutoff: float) -> Distances:
    """The pairs closer than `cutoff` (Å)."""
    near = torch.nonzero(pairs.r < cutoff).squeeze(1)
    return Distances(pairs.i[near], pairs.j[near], pairs.r[near], pairs.share[near])


def added_to_both(values: Tensor, pairs: Distances, n_atoms: int) -> Tensor:
    """Sums (n_atoms,) of what each pair adds to each of its atoms."""
    zeros = torch.zeros(n_atoms, dtype=values.dtype, device=values.device)
    return zeros.index_add(0, pairs.i, values).index_add(0, pairs.j, values)


def coordination_numbers(
    species: Tensor, pairs: Distances, tables: Tables, settings: Settings
) -> Tensor:
    """Coordination numbers (n_atoms,); a pair adds its count times its share to both of its
    atoms."""
    near = closer(pairs, settings.cn_cutoff)
    radii = tables.covalent_radii[species[near.i]] + tables.covalent_radii[species[near.j]]
    added = counts(near.r, radii) * near.share
    if settings.smoothing_width > 0.0:
        added = added * switch(near.r, settings.cn_cutoff, settings.smoothing_width)
    return added_to_both(added, near, species.size(0))


def pair_c6(species: Tensor, weights: Tensor, pairs: Distances, tables: Tables) -> Tensor:
    """C6 of pairs (eV Å⁶). The sum over the references of i is done once for each element present,
    not for each pair."""
    present, kind = torch.unique(species, return_inverse=True)
    c6 = tables.c6[species.unsqueeze(1), present.unsqueeze(0)]  # (n_atoms, n_present, 5, 5)
    partial = torch.einsum("na,nkab->nkb", weights, c6)
    return (partial[pairs.i, kind[pairs.j]] * weights[pairs.j]).sum(1)


def damped(
    r: Tensor, species_i: Tensor, species_j: Tensor, tables: Tables, settings: Settings
) -> Tensor:
    """s6 f6/r⁶ + s8 (C8/C6) f8/r⁸ of pairs (Å⁻⁶)."""
    radii6, radii8 = tables.radii6[species_i, species_j], tables.radii8[species_i, species_j]
    if settings.zero_damping:
        order6, order8 = (
            zero_damped(r, 6.0, radii6, settings.alp),
            zero_damped(r, 8.0, radii8, settings.alp + 2.0),
        )
    else:
        order6, order8 = rational_damped(r, 6.0, radii6), rational_damped(r, 8.0, radii8)
    return settings.s6 * order6 + settings.s8 * tables.c8_over_c6[species_i, species_j] * order8


def dispersion_energies(
    species: Tensor, pairs: Distances, tables: Tables, settings: Settings
) -> tuple[Tensor, Tensor]:
    """Energies (n_atoms,) in eV, half of each pair's to each of its atoms, and coordination numbers
    (n_atoms,).

    species : (n_atoms,) int64, rows of the tables
    pairs : at least all within the cutoffs
    """
    numbers = coordination_numbers(species, pairs, tables, settings)
    weights = reference_weights(numbers, tables.coordination[species])
    near = closer(pairs, settings.cutoff)
    energies = -pair_c6(species, weights, near, tables) * damped(
        near.r, species[near.i], species[near.j], tables, settings
    )
    if settings.smoothing_width > 0.0:
        energies = energies * switch(near.r, settings.cutoff, settings.smoothing_width)
    return added_to_both(0.5 * near.share * energies, near, species.size(0)), numbers
