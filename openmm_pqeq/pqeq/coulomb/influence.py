"""What a mesh does to waves of charge, in few passes over them.

    φ_a(k) = D_a(k) G(k) Σ_b D_b(k) ρ_b(k) + Σ_b N_ab(k) ρ_b(k)

with G, D and N as in mesh.py: `green`, `damping` and `narrow`. Waves are held as real numbers, the
real and the imaginary part side by side, and every factor stands twice, once for each: a product of
real and complex tensors would make the real one complex first. In float32 this, and both transforms,
take half the time; a product with the charge Hessian needs no more digits.
"""

from typing import NamedTuple

import torch
from torch import Tensor


class Influence(NamedTuple):
    """green (n_1, n_2, 2m) eV/e², damping (n_channels, n_1, n_2, 2m), and narrow (n_channels,
    n_channels, n_1, n_2, 2m) eV/e² or nothing; m = n_3/2 + 1."""

    green: Tensor
    damping: Tensor
    narrow: Tensor | None


def influence_of(green: Tensor, damping: Tensor, narrow: Tensor | None) -> Influence:
    """From one number for each wave; differentiable in them."""
    between: Tensor | None = None
    if narrow is not None:
        between = narrow.repeat_interleave(2, dim=-1)
    return Influence(
        green.repeat_interleave(2, dim=-1), damping.repeat_interleave(2, dim=-1), between
    )


def in_single_precision(influence: Influence) -> Influence:
    """The same in float32."""
    single, between = torch.float32, influence.narrow
    if between is not None:
        between = between.to(single)
    return Influence(influence.green.to(single), influence.damping.to(single), between)


def waves_of(density: Tensor) -> Tensor:
    """The waves (n_channels, n_1, n_2, 2m) of a density (n_channels, n_1, n_2, n_3)."""
    return torch.view_as_real(torch.fft.rfftn(density, dim=[1, 2, 3])).flatten(3)


def damped(influence: Influence, waves: Tensor) -> Tensor:
    """Σ_b D_b ρ_b, (n_1, n_2, 2m)."""
    total = influence.damping[0] * waves[0]
    for channel in range(1, waves.size(0)):
        total = torch.addcmul(total, influence.damping[channel], waves[channel])
    return total


def energy_of_waves(influence: Influence, waves: Tensor) -> Tensor:
    """Σ_a ρ_a φ_a of each wave, real and imaginary part by themselves, (n_1, n_2, 2m) eV;
    differentiable in the influence."""
    total = damped(influence, waves)
    energy = influence.green * total * total
    narrow = influence.narrow
    if narrow is not None:
        energy = energy + (waves * (narrow * waves.unsqueeze(0)).sum(dim=1)).sum(dim=0)
    return energy


def potential_of_waves(influence: Influence, waves: Tensor, size: list[int]) -> Tensor:
    """φ (n_channels, n_1, n_2, n_3) eV/e of waves (n_channels, n_1, n_2, 2m) e; no derivatives."""
    damping, narrow = influence.damping.data, influence.narrow
    mixed = damping * (damped(influence, waves) * influence.green).data
    if narrow is not None:
        mixed.add_((narrow.data * waves.unsqueeze(0)).sum(dim=1))
    mixed = torch.view_as_complex(mixed.unflatten(3, [size[2] // 2 + 1, 2]))
    return torch.fft.irfftn(mixed, s=size, dim=[1, 2, 3], norm="forward")


def potential_on_mesh(influence: Influence, density: Tensor) -> Tensor:
    """The potential (eV/e) of a density (e), both (n_channels, n_1, n_2, n_3) in one dtype; computed
    in that of the influence, without derivatives."""
    waves = waves_of(density.to(influence.green.dtype))
    size = [density.size(1), density.size(2), density.size(3)]
    return potential_of_waves(influence, waves, size).to(density.dtype)
