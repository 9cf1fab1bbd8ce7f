"""A network whose radial networks stay as they are while its other weights are trained, on a GPU:
their tables and the fused convolution take their place, several times faster than the radial
networks. (A CPU has kernels of the second derivatives, gnn/weighted_convolution.py, and needs no
tables.)

The operator may be differentiated once, and a loss L of forces needs the derivative of forces in
the weights w. With g_ij = ∂E/∂r_ij and d_ij = ∂L/∂g_ij it is the derivative of dE/dw along d,

    dL/dw = Σ_frames (∂L/∂E) dE/dw + d/dw [E(r + εd) − E(r − εd)]/(2ε) + O(ε²)

with an ε for each frame, so that no pair vector moves by more than `LARGEST_MOVE`. Measured on
SevenNet-0 (BaTiO3), the gradient differs from the exact one by 2e-4 of its length in float32, and
by 1e-6 in float64.
"""

import torch
from torch import Tensor, nn

from openmm_pqeq.gnn import NequIP
from openmm_pqeq.gnn.convolution import Interaction
from openmm_pqeq.gnn.equivariant_convolution import padded
from openmm_pqeq.gnn.inference import InferenceNequIP, can_be_fused, layers_of
from openmm_pqeq.neighbors.pairs import Pairs
from openmm_pqeq.training.loss import Weights, loss_of
from openmm_pqeq.training.prediction import assembled, atomic_energies
from openmm_pqeq.training.samples import Samples

LARGEST_MOVE = {torch.float32: 3e-3, torch.float64: 3e-4}
"""Å that a pair vector is moved by at most: between rounding, which grows as 1/ε, and the next
order, which grows as ε²."""


def can_be_tabulated(network: NequIP) -> bool:
    """Whether the fused convolution takes this network, and no weight is trained that it holds as
    tables."""
    held = (network.basis, *(layer.radial for layer in layers_of(network)))
    moving = any(weight.requires_grad for part in held for weight in part.parameters())
    return not moving and can_be_fused(network)


class Tabulated(nn.Module):
    """The energies of a network, from its tables and its other weights as they are at the moment.

    May be differentiated once, in the pair vectors and in those weights.

    Parameters
    ----------
    network : its embedding, linear maps, self-connections and readout may change afterwards, its
        radial part may not
    """

    def __init__(self, network: NequIP):
        super().__init__()
        self.network = network
        self.fused = InferenceNequIP(network)
        self.kept = [kept_channels(layer) for layer in layers_of(network)]

    def forward(self, numbers: Tensor, pairs: Pairs) -> Tensor:
        """Atomic energies (n_atoms,) eV; the arguments are those of the network."""
        network = self.network
        index, species, edges = self.fused.layout(numbers, pairs)
        features = [network.embedding[index].unsqueeze(1)]
        layers = zip(layers_of(network), self.fused.interactions, self.kept)
        for layer, fused, kept in layers:
            sources = [_filled_up(source) for source in layer.sources(features)]
            messages = fused.convolution(sources, edges)  # type: ignore[operator]
            own = [m.index_select(2, k.to(m.device)) for m, k in zip(messages, kept)]
            features = layer.updated(features, own, species)
        energies = network.readout(features[0]).flatten()
        return (network.scale[index] * energies + network.shift[index]).to(pairs.vectors.dtype)


def kept_channels(layer: Interaction) -> list[Tensor]:
    """Of each output, the channels of its messages that are no filling: those of path after path,
    each filled up to whole chunks."""
    inputs = list(layer.layer.inputs.values())
    kept = []
    for slots in layer.slots:
        channels, first = [torch.zeros(0, dtype=torch.int64)], 0
        for slot in slots:
            n_channels = inputs[layer.layer.paths[slot].input]
            channels.append(torch.arange(first, first + n_channels))
            first += padded(n_channels)
        kept.append(torch.cat(channels))
    return kept


def _filled_up(source: Tensor) -> Tensor:
    n_channels = source.size(2)
    return nn.functional.pad(source, [0, padded(n_channels) - n_channels])


def loss_by_difference(model: Tabulated, samples: Samples, weights: Weights) -> Tensor:
    """The loss of a batch; its gradient in the weights is that of the equation above."""
    vectors = samples.vectors.detach().requires_grad_(True)
    atomic = atomic_energies(model, samples, vectors)
    (gradient,) = torch.autograd.grad([atomic.sum()], [vectors], retain_graph=True)
    energies, slopes = (x.detach().requires_grad_(True) for x in (atomic, gradient))
    loss = loss_of(assembled(samples, energies, slopes), samples, weights)
    of_energies, direction = torch.autograd.grad([loss], [energies, slopes])
    step = _steps(samples, direction)
    moved = step[samples.batch[samples.centers]].unsqueeze(1) * direction
    up = atomic_energies(model, samples, samples.vectors + moved)
    down = atomic_energies(model, samples, samples.vectors - moved)
    source = ((up - down) / (2 * step[samples.batch])).sum()
    if weights.energy:
        source = source + (of_energies * atomic).sum()
    return loss.detach() + (source - source.detach())


def _steps(samples: Samples, direction: Tensor) -> Tensor:
    """ε of each frame (n_frames,), whose largest move is `LARGEST_MOVE`."""
    frames = samples.batch[samples.centers]
    longest = direction.new_zeros(len(samples.counts)).scatter_reduce(
        0, frames, direction.norm(2, dim=1), "amax"
    )
    return LARGEST_MOVE[direction.dtype] / longest.clamp(min=1e-20)
