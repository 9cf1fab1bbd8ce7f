"""The network in plain e3nn, as one would write it: the peer of the speed benchmarks, with the
weights of a given `NequIP`.

Every product is a module of e3nn (Linear, TensorProduct, FullyConnectedTensorProduct, Gate), the
radial networks run on every pair, and messages are summed with index_add. The layers are pruned as
in the package (no features that the energy does not read), so that both compute the same. e3nn
divides activations by an estimate of √⟨act²⟩ from a million random numbers, 0.595530 for silu;
exact is 0.596469, and the package has the 0.596459 of published models. The gates here get the
package's, or forces would differ by 1 %.
"""

import torch
from e3nn import o3
from e3nn.math import normalize2mom
from e3nn.nn import Gate
from torch import Tensor, nn

from openmm_pqeq.gnn import NequIP
from openmm_pqeq.gnn.convolution import Interaction
from openmm_pqeq.gnn.paths import Blocks
from openmm_pqeq.gnn.radial import NORMS
from openmm_pqeq.neighbors.pairs import Pairs, within

ACTS = {1: torch.nn.functional.silu, -1: torch.tanh}


def irreps(blocks: Blocks) -> o3.Irreps:
    """The blocks as e3nn names them."""
    return o3.Irreps([(mul, ir) for ir, mul in blocks.items()])


def with_weights(linear: o3.Linear, weights: dict[tuple[int, int], Tensor]) -> o3.Linear:
    """An e3nn linear layer with (n_in, n_out) from block to block."""
    for instruction, view in zip(linear.instructions, linear.weight_views()):
        view.data.copy_(weights[instruction.i_in, instruction.i_out])
    return linear


class E3nnLayer(nn.Module):
    """One interaction."""

    def __init__(self, ours: Interaction, sh: o3.Irreps, n_species: int):
        super().__init__()
        layer = ours.layer
        inputs, outputs = irreps(layer.inputs), irreps(layer.outputs)
        slots = o3.Irreps([(inputs[p.input].mul, outputs[p.output].ir) for p in layer.paths])
        paths = [(p.input, p.harmonic, slot, "uvu", True) for slot, p in enumerate(layer.paths)]
        self.product = o3.TensorProduct(
            inputs, sh, slots, paths, shared_weights=False, internal_weights=False
        )
        self.up = with_weights(
            o3.Linear(inputs, inputs), {(i, i): linear.weight for i, linear in enumerate(ours.up)}
        )
        pieces = {}
        for index, own in enumerate(ours.slots):
            parts = torch.split(ours.down[index].weight, [slots[slot].mul for slot in own])
            pieces.update({(slot, index): part for slot, part in zip(own, parts)})
        self.down = with_weights(o3.Linear(slots, outputs), pieces)
        self.connection = o3.FullyConnectedTensorProduct(inputs, f"{n_species}x0e", outputs)
        pairs = list(zip(ours.own_inputs, ours.own_outputs))
        for instruction, view in zip(self.connection.instructions, self.connection.weight_views()):
            weight = ours.self_connection[
                pairs.index((instruction.i_in1, instruction.i_out))
            ].weight
            view.data.copy_(weight.transpose(0, 1) * n_species**0.5)  # e3nn divides by √n_species
        scalars, gated = irreps(layer.scalars), irreps(layer.gated)
        gates = o3.Irreps([(gated.num_irreps, (0, 1))]).simplify()
        self.gate = Gate(
            scalars, [ACTS[ir.p] for _, ir in scalars], gates, [ACTS[1]] * len(gates), gated
        )
        for part in self.gate.modules():
            if isinstance(part, normalize2mom):
                part.cst = 1.0 / NORMS[part.f.__name__]
        self.radial, self.width, self.avg_neighbors = ours.radial, slots.dim, ours.avg_neighbors

    def forward(
        self,
        x: Tensor,
        species: Tensor,
        centers: Tensor,
        neighbors: Tensor,
        basis: Tensor,
        harmonics: Tensor,
    ) -> Tensor:
        messages = self.product(self.up(x)[neighbors], harmonics, self.radial(basis))
        summed = x.new_zeros(x.size(0), self.width).index_add(0, centers, messages)
        return self.gate(self.down(summed / self.avg_neighbors) + self.connection(x, species))


class E3nnNetwork(nn.Module):
    """Atomic energies, as `NequIP` gives them."""

    def __init__(self, ours: NequIP):
        super().__init__()
        sh = o3.Irreps(
            [
                (1, (degree, parity))
                for degree, parity in zip(ours.harmonics.degrees, parities(ours))
            ]
        )
        layers = [layer for layer in ours.interactions if isinstance(layer, Interaction)]
        self.layers = nn.ModuleList(E3nnLayer(layer, sh, len(ours.species)) for layer in layers)
        self.harmonics, self.basis, self.readout = ours.harmonics, ours.basis, ours.readout
        self.cutoff, self.n_species, self.sign = ours.cutoff, len(ours.species), ours.sign
        self.embedding = nn.Parameter(ours.embedding.detach().clone())
        self.register_buffer("index_of", ours.index_of.clone())

    def forward(self, numbers: Tensor, pairs: Pairs) -> Tensor:
        index = self.index_of[numbers]
        near = within(pairs, self.cutoff)
        vectors = self.sign * near.vectors
        distances = vectors.norm(2, dim=1)
        harmonics = self.harmonics(vectors / distances.unsqueeze(1))
        species = torch.nn.functional.one_hot(index, self.n_species).to(vectors.dtype)
        basis = self.basis(distances)
        x = self.embedding[index]
        for layer in self.layers:
            x = layer(x, species, near.centers, near.neighbors, basis, harmonics)
        return self.readout(x).flatten()


def parities(ours: NequIP) -> list[int]:
    """Of the harmonics: as the features that the first layer makes of scalars."""
    first = next(layer for layer in ours.interactions if isinstance(layer, Interaction))
    outputs = list(first.layer.outputs)
    found = {path.harmonic: outputs[path.output].p for path in first.layer.paths}
    return [found.get(block, 1) for block in range(len(ours.harmonics.degrees))]
