"""Low-rank updates of large weights.

    W → W + A B,   A (n_in, rank) normal/√rank,  B (rank, n_out) zero at the start

Only A and B are trained, r (n_in + n_out) numbers in the place of n_in·n_out. `merged` gives the
weights as one again, so that a model's file is that of any network.

Hu et al., ICLR 2022, https://doi.org/10.48550/arXiv.2106.09685
"""

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize


class LowRankUpdate(nn.Module):
    """W + A B of a weight (…, n_in, n_out); one A and B for each of the leading dimensions."""

    def __init__(self, weight: Tensor, rank: int, generator: torch.Generator):
        super().__init__()
        *several, n_in, n_out = weight.shape
        first = torch.randn(*several, n_in, rank, dtype=torch.float64, generator=generator)
        self.first = nn.Parameter((first * rank**-0.5).to(weight.dtype))
        self.second = nn.Parameter(weight.new_zeros(*several, rank, n_out))

    def forward(self, weight: Tensor) -> Tensor:
        """The weight that is used."""
        return weight + self.first @ self.second


def update_by_low_rank(gnn: nn.Module, trained: list[str], rank: int, seed: int) -> list[str]:
    """Give the large ones of the trained weights low-rank updates in the place of their own
    gradients, and return their names.

    Large is a weight that has at least twice as many numbers as its update. The embedding is never
    among them: its rows belong to one element each, and should stay so.
    """
    generator = torch.Generator().manual_seed(seed)
    large = []
    for name in trained:
        place, _, own = name.rpartition(".")
        weight = gnn.get_parameter(name)
        if not place or weight.dim() < 2 or not _is_large(weight, rank):
            continue
        weight.requires_grad_(False)
        update = LowRankUpdate(weight, rank, generator)
        parametrize.register_parametrization(gnn.get_submodule(place), own, update)
        large.append(name)
    return large


def _is_large(weight: Tensor, rank: int) -> bool:
    n_in, n_out = weight.shape[-2:]
    return n_in * n_out >= 2 * rank * (n_in + n_out)


def merged(gnn: nn.Module) -> dict[str, Tensor]:
    """The state of the network with every update added to its weight; the network keeps them."""
    state = {k: v for k, v in gnn.state_dict().items() if ".parametrizations." not in k}
    for place, module in gnn.named_modules():
        if parametrize.is_parametrized(module):
            for name in cast(nn.ModuleDict, module.parametrizations):
                state[f"{place}.{name}"] = getattr(module, name).detach().clone()
    return state
