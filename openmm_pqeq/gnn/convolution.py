"""One interaction of the network: neighbours' features, coupled to directions, weighted by distance, summed.

    m_i = (1/n̄) Σ_j R(r_ij) ⊙ [ (L_up h)_j ⊗ Y(r̂_ij) ]
    h_i ← gate( L_down m_i + W_{Z_i} h_i )

Each path (l1, l2 → l) of the product has a weight per channel and its own slot in m. Features are lists with one tensor
(n_atoms, 2l+1, channels) per irrep, so that every linear map is a product of matrices on the last axis.

Batzner et al., Nat. Commun. 13, 2453 (2022), https://doi.org/10.1038/s41467-022-29939-5
"""

from typing import NamedTuple

import torch
from e3nn.o3 import Irrep
from torch import Tensor, nn

from openmm_pqeq.gnn.paths import Layer
from openmm_pqeq.gnn.radial import Activation, RadialNetwork
from openmm_pqeq.gnn.spherical import ExactBuffers, coupling


class Edges(NamedTuple):
    """Directed pairs as all layers see them.

    centers, neighbors : (n_pairs,) int64, i and j
    basis : (n_pairs, n_basis), radial
    harmonics : (n_pairs, n_harmonics)
    """

    centers: Tensor
    neighbors: Tensor
    basis: Tensor
    harmonics: Tensor


def _normal(*shape: int, generator: torch.Generator) -> nn.Parameter:
    return nn.Parameter(torch.randn(shape, dtype=torch.float64, generator=generator))


class Linear(nn.Module):
    """x W/√n_in on the last axis; `weight` (n_in, n_out) starts as normal variables."""

    def __init__(self, n_in: int, n_out: int, generator: torch.Generator):
        super().__init__()
        self.weight = _normal(n_in, n_out, generator=generator)
        self.scale = max(n_in, 1) ** -0.5

    def forward(self, x: Tensor) -> Tensor:
        """(..., n_in) → (..., n_out)."""
        return x @ (self.weight * self.scale)


class SpeciesLinear(nn.Module):
    """x W[Z_i]/√n_in: a linear map per species; `weight` (n_species, n_in, n_out)."""

    def __init__(self, n_species: int, n_in: int, n_out: int, generator: torch.Generator):
        super().__init__()
        self.weight = _normal(n_species, n_in, n_out, generator=generator)
        self.scale = n_in**-0.5

    def forward(self, x: Tensor, species: Tensor) -> Tensor:
        """(n_atoms, 2l+1, n_in) → (n_atoms, 2l+1, n_out)."""
        return torch.bmm(x, (self.weight * self.scale)[species])


class Messages(ExactBuffers):
    """Σ_j R ⊙ (x_j ⊗ Y_ij) for one input irrep: all its paths side by side.

    Parameters
    ----------
    l_in : l of the input
    harmonics : all l of the harmonics; offsets follow from them
    paths : (harmonic, l of the output) of each path
    """

    def __init__(self, l_in: int, harmonics: list[int], paths: list[tuple[int, int]]):
        super().__init__()
        self.l_in, self.degrees, self.path_list = l_in, list(harmonics), list(paths)
        self.widths = [2 * l_out + 1 for _, l_out in paths]
        self.d_in, self.d_out = 2 * l_in + 1, sum(self.widths)
        self.register_constants()

    def constants(self) -> dict[str, Tensor]:
        columns = []
        for harmonic, l_out in self.path_list:
            before = sum(2 * l + 1 for l in self.degrees[:harmonic])
            l_sh = self.degrees[harmonic]
            block = torch.zeros(sum(2 * l + 1 for l in self.degrees), 2 * l_out + 1, self.d_in, dtype=torch.float64)
            block[before : before + 2 * l_sh + 1] = coupling(self.l_in, l_sh, l_out).permute(1, 2, 0)
            columns.append(block)
        return {"product": torch.cat(columns, dim=1).flatten(1)}

    def forward(self, x: Tensor, weights: Tensor, edges: Edges) -> list[Tensor]:
        """(n_atoms, 2l+1, channels) for each path, from features x and radial weights (n_pairs, n_paths·channels)."""
        n_atoms, channels = x.size(0), x.size(2)
        matrices = (edges.harmonics @ self.product).view(-1, self.d_out, self.d_in)
        coupled = torch.split(torch.bmm(matrices, x[edges.neighbors]), self.widths, dim=1)
        scales = torch.split(weights.view(-1, len(self.widths), channels), 1, dim=1)
        messages = torch.cat([block * scale for block, scale in zip(coupled, scales)], dim=1)
        total = torch.zeros(n_atoms, self.d_out, channels, dtype=x.dtype, device=x.device)
        return torch.split(total.index_add(0, edges.centers, messages), self.widths, dim=1)


class Interaction(nn.Module):
    """A layer of the network.

    Parameters
    ----------
    layer : its blocks and paths
    harmonics : l of each block of spherical harmonics
    radial : from the basis to the weights of all paths, channels fastest
    n_species : 0 for none of the species-dependent self-connection
    avg_neighbors : n̄
    nonlinearities : of even and odd scalars, {"e": ..., "o": ...}
    """

    slots: list[list[int]]
    own_inputs: list[int]
    own_outputs: list[int]

    def __init__(
        self,
        layer: Layer,
        harmonics: list[int],
        radial: RadialNetwork,
        n_species: int,
        avg_neighbors: float,
        nonlinearities: dict[str, str],
        generator: torch.Generator,
    ):
        super().__init__()
        self.avg_neighbors = float(avg_neighbors)
        self.radial = radial
        inputs, outputs = list(layer.inputs.items()), list(layer.outputs.items())
        self.up = nn.ModuleList(Linear(mul, mul, generator) for _, mul in inputs)
        self.messages = nn.ModuleList(
            Messages(ir.l, harmonics, [(p.harmonic, outputs[p.output][0].l) for p in layer.paths if p.input == index])
            for index, (ir, _) in enumerate(inputs)
        )
        self.n_weights = [sum(p.input == index for p in layer.paths) * mul for index, (_, mul) in enumerate(inputs)]
        self.slots = [[s for s, p in enumerate(layer.paths) if p.output == index] for index in range(len(outputs))]
        self.down = nn.ModuleList(
            Linear(sum(inputs[layer.paths[s].input][1] for s in slots), mul, generator) for slots, (_, mul) in zip(self.slots, outputs)
        )
        self.dims = [2 * ir.l + 1 for ir, _ in outputs]
        own = [(i, o) for o, (ir, _) in enumerate(outputs) for i, (source, _) in enumerate(inputs) if n_species and source == ir]
        self.own_inputs, self.own_outputs = [i for i, _ in own], [o for _, o in own]
        self.self_connection = nn.ModuleList(SpeciesLinear(n_species, inputs[i][1], outputs[o][1], generator) for i, o in own)
        self.gate = Gate(layer, nonlinearities)

    def forward(self, features: list[Tensor], species: Tensor, edges: Edges) -> list[Tensor]:
        """New features from the features and species (n_atoms,) of all atoms."""
        weights = torch.split(self.radial(edges.basis), self.n_weights, dim=1)
        messages: list[Tensor] = []
        for index, (up, message) in enumerate(zip(self.up, self.messages)):
            messages += message(up(features[index]) / self.avg_neighbors, weights[index], edges)
        outputs: list[Tensor] = []
        for index, down in enumerate(self.down):
            nothing = messages[0].new_zeros(species.size(0), self.dims[index], 0)
            outputs.append(down(torch.cat([nothing] + [messages[slot] for slot in self.slots[index]], dim=2)))
        for index, connection in enumerate(self.self_connection):
            target = self.own_outputs[index]
            outputs[target] = outputs[target] + connection(features[self.own_inputs[index]], species)
        return self.gate(outputs)


class Gate(nn.Module):
    """act(scalars), and features of l > 0 times act(their gates); act follows the parity of the scalar."""

    n_gated: list[int]

    def __init__(self, layer: Layer, nonlinearities: dict[str, str]):
        super().__init__()
        names = [nonlinearities["e" if ir.p == 1 else "o"] for ir in layer.outputs if ir.l == 0]
        self.activations = nn.ModuleList(Activation(name) for name in names)
        scalars = [ir for ir in layer.outputs if ir.l == 0]
        self.n_scalars = [layer.scalars.get(ir, 0) for ir in scalars]
        self.gates_in = scalars.index(layer.gate) if layer.gated else -1
        self.n_gated = list(layer.gated.values())

    def forward(self, blocks: list[Tensor]) -> list[Tensor]:
        """Scalars without gates, then the gated blocks."""
        n_blocks = len(self.activations)
        out: list[Tensor] = []
        gates = blocks[0]
        for index, activation in enumerate(self.activations):
            activated = activation(blocks[index])
            if index == self.gates_in:
                gates = activated[:, :, self.n_scalars[index] :]
            if self.n_scalars[index] > 0:
                out.append(activated[:, :, : self.n_scalars[index]])
        start = 0
        for index, n_gated in enumerate(self.n_gated):
            out.append(blocks[n_blocks + index] * gates[:, :, start : start + n_gated])
            start += n_gated
        return out
