"""One interaction of the network: neighbours' features, coupled to directions, weighted by
distance, summed.

    m_i = (1/n̄) Σ_j R(r_ij) ⊙ [ (L_up h)_j ⊗ Y(r̂_ij) ]
    h_i ← gate( L_down m_i + W_{Z_i} h_i )          W of each species, or one W of all

Each path (l1, l2 → l) of the product has a weight per channel and its own slot in m. Features are
lists with one tensor (n_atoms, 2l+1, channels) per irrep, so that every linear map is a product of
matrices on the last axis.

Batzner et al., Nat. Commun. 13, 2453 (2022), https://doi.org/10.1038/s41467-022-29939-5
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from openmm_pqeq.gnn.edges import Edges
from openmm_pqeq.gnn.irreps import coupling
from openmm_pqeq.gnn.neighborhood import Neighborhood, Species
from openmm_pqeq.gnn.paths import EVEN, Layer
from openmm_pqeq.gnn.radial import NORMS, Activation, RadialNetwork
from openmm_pqeq.gnn.radial_nodes import Stencil, interpolation
from openmm_pqeq.gnn.spherical import ExactBuffers
from openmm_pqeq.gnn.weighted_convolution import WeightedConvolution


def normal(*shape: int, generator: torch.Generator) -> nn.Parameter:
    """Weights drawn from a normal distribution, float64."""
    return nn.Parameter(torch.randn(shape, dtype=torch.float64, generator=generator))


class Linear(nn.Module):
    """x W/√n_in + b on the last axis; `weight` (n_in, n_out), `bias` (n_out,) or None (then b = 0).

    A bias starts at zero, and belongs to even scalars alone.
    """

    bias: Tensor | None

    def __init__(self, n_in: int, n_out: int, generator: torch.Generator, biased: bool = False):
        super().__init__()
        self.weight = normal(n_in, n_out, generator=generator)
        bias = nn.Parameter(torch.zeros(n_out, dtype=torch.float64)) if biased else None
        self.register_parameter("bias", bias)
        self.gain = max(n_in, 1) ** -0.5

    def forward(self, x: Tensor) -> Tensor:
        """(..., n_in) → (..., n_out)."""
        y = x @ (self.weight * self.gain)
        bias = self.bias
        return y if bias is None else y + bias


class SpeciesLinear(nn.Module):
    """x W[Z_i]/√n_in, a linear map per species; `weight` (n_species, n_in, n_out)."""

    def __init__(self, n_species: int, n_in: int, n_out: int, generator: torch.Generator):
        super().__init__()
        self.weight = normal(n_species, n_in, n_out, generator=generator)
        self.gain = n_in**-0.5

    def forward(self, x: Tensor, species: Species) -> Tensor:
        """(n_atoms, 2l+1, n_in) → (n_atoms, 2l+1, n_out)."""
        groups = torch.split(x[species.order], species.counts)
        mapped: list[Tensor] = []
        for index, weight in enumerate(torch.unbind(self.weight)):
            if species.counts[index] > 0:
                mapped.append(groups[index] @ (weight * self.gain))
        return torch.cat(mapped)[species.rank]


class SharedLinear(nn.Module):
    """x W/√n_in, the same for every species; `weight` (n_in, n_out)."""

    def __init__(self, n_in: int, n_out: int, generator: torch.Generator):
        super().__init__()
        self.weight = normal(n_in, n_out, generator=generator)
        self.gain = n_in**-0.5

    def forward(self, x: Tensor, species: Species) -> Tensor:
        """(n_atoms, 2l+1, n_in) → (n_atoms, 2l+1, n_out)."""
        return x @ (self.weight * self.gain)


class TensorProduct(ExactBuffers):
    """Σ_j R_p ⊙ (x_j ⊗ Y(r̂_ij))_p for one input irrep and each of its paths p.

    The coupling with Y is a matrix (2l_in+1, 2l+1) per pair; with the pairs of an atom side by
    side, its product with the weighted features sums over neighbours as well, and no message is
    ever stored.

    Parameters
    ----------
    l_in : of the input
    harmonics : l of each block of spherical harmonics
    paths : (block of harmonics, l of the output) of each path
    """

    coefficients: Tensor
    widths: list[int]
    matrix_sizes: list[int]

    def __init__(self, l_in: int, harmonics: list[int], paths: list[tuple[int, int]]):
        super().__init__()
        self.l_in, self.harmonics, self.paths = l_in, list(harmonics), list(paths)
        self.widths = [2 * l_out + 1 for _, l_out in paths]
        self.matrix_sizes = [(2 * l_in + 1) * width for width in self.widths]
        self.register_constants()

    def constants(self) -> dict[str, Tensor]:
        offsets = [
            sum(2 * degree + 1 for degree in self.harmonics[:block])
            for block in range(len(self.harmonics) + 1)
        ]
        columns = [torch.zeros(offsets[-1], 0, dtype=torch.float64)]
        for block, l_out in self.paths:
            coefficients = coupling(self.l_in, self.harmonics[block], l_out)
            column = torch.zeros(offsets[-1], coefficients[:, 0].numel(), dtype=torch.float64)
            column[offsets[block] : offsets[block + 1]] = coefficients.transpose(0, 1).flatten(1)
            columns.append(column)
        return {"coefficients": torch.cat(columns, dim=1)}

    def forward(self, x: Tensor, weights: Tensor, around: Neighborhood) -> list[Tensor]:
        """One (n_atoms, 2l+1, channels) per path from x (n_atoms, 2l_in+1, channels) and R
        (n_places, n_paths·channels)."""
        n_atoms, channels = x.size(0), x.size(2)
        neighbors = x.index_select(0, around.neighbors)
        matrices = torch.split(around.harmonics @ self.coefficients, self.matrix_sizes, dim=1)
        radial = torch.split(weights.unsqueeze(1), channels, dim=2)
        out: list[Tensor] = []
        for path, width in enumerate(self.widths):
            matrix = matrices[path].reshape(n_atoms, -1, width)
            weighted = (neighbors * radial[path]).view(n_atoms, -1, channels)
            out.append(torch.bmm(matrix.transpose(1, 2), weighted))
        return out


class Gate(nn.Module):
    """act(scalars), and features of l > 0 times act(their gates); act follows the parity of the
    scalar."""

    n_gated: list[int]

    def __init__(
        self,
        layer: Layer,
        nonlinearities: dict[str, str],
        norms: Mapping[str, float] = NORMS,
    ):
        super().__init__()
        scalars = [ir for ir in layer.outputs if ir.l == 0]
        self.activations = nn.ModuleList(
            Activation(nonlinearities["e" if ir.p == 1 else "o"], norms) for ir in scalars
        )
        self.n_scalars = [layer.scalars.get(ir, 0) for ir in scalars]
        self.n_gates = [sum(layer.gated.values()) if ir == EVEN else 0 for ir in scalars]
        self.n_gated = list(layer.gated.values())

    def forward(self, blocks: list[Tensor]) -> list[Tensor]:
        """Scalars without the gates, then the gated blocks."""
        out: list[Tensor] = []
        gates = blocks[0]
        for index, activation in enumerate(self.activations):
            scalars, others = torch.split(
                activation(blocks[index]), [self.n_scalars[index], self.n_gates[index]], dim=2
            )
            if self.n_scalars[index] > 0:
                out.append(scalars)
            if self.n_gates[index] > 0:
                gates = others
        if len(self.n_gated) > 0:
            for index, gate in enumerate(torch.split(gates, self.n_gated, dim=2)):
                out.append(blocks[len(self.n_scalars) + index] * gate)
        return out


class Interaction(nn.Module):
    """A layer of the network.

    Parameters
    ----------
    layer : its blocks and paths
    harmonics : l of each block of spherical harmonics
    radial : from the basis to the weights of all paths, input by input, path by path, channels
        fastest
    n_species : of the self-connection; 0 for none
    avg_neighbors : n̄
    nonlinearities : of even and odd scalars, {"e": ..., "o": ...}
    shared : whether all species share one self-connection
    biased : whether L_up and L_down add a constant to the even scalars
    norms : as of `Activation`
    """

    __jit_ignored_attributes__ = ("layer",)

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
        shared: bool = False,
        biased: bool = False,
        norms: Mapping[str, float] = NORMS,
    ):
        super().__init__()
        inputs, outputs, paths = (
            list(layer.inputs.items()),
            list(layer.outputs.items()),
            layer.paths,
        )
        self.layer = layer
        self.avg_neighbors = float(avg_neighbors)
        self.radial = radial
        self.up = nn.ModuleList(
            Linear(mul, mul, generator, biased and ir == EVEN) for ir, mul in inputs
        )
        self.products = nn.ModuleList(
            TensorProduct(
                ir.l,
                harmonics,
                [(p.harmonic, outputs[p.output][0].l) for p in paths if p.input == index],
            )
            for index, (ir, _) in enumerate(inputs)
        )
        self.convolution = WeightedConvolution(layer, harmonics)
        self.n_weights = [
            sum(p.input == index for p in paths) * mul for index, (_, mul) in enumerate(inputs)
        ]
        self.slots = [
            [slot for slot, p in enumerate(paths) if p.output == index]
            for index in range(len(outputs))
        ]
        n_channels = [sum(inputs[paths[slot].input][1] for slot in slots) for slots in self.slots]
        self.dims = [2 * ir.l + 1 for ir, _ in outputs]
        self.down = nn.ModuleList(
            Linear(n, mul, generator, biased and ir == EVEN)
            for n, (ir, mul) in zip(n_channels, outputs)
        )
        own = [
            (i, o)
            for o, (ir, _) in enumerate(outputs)
            for i, (source, _) in enumerate(inputs)
            if n_species and source == ir
        ]
        self.own_inputs, self.own_outputs = [i for i, _ in own], [o for _, o in own]
        self.self_connection = nn.ModuleList(
            SharedLinear(inputs[i][1], outputs[o][1], generator)
            if shared
            else SpeciesLinear(n_species, inputs[i][1], outputs[o][1], generator)
            for i, o in own
        )
        self.gate = Gate(layer, nonlinearities, norms)

    def forward(
        self, features: list[Tensor], species: Species, around: Neighborhood
    ) -> list[Tensor]:
        """New features of all atoms, in plain torch."""
        weights = torch.split(self.radial(around.basis), self.n_weights, dim=1)
        sources = self.sources(features)
        messages: list[Tensor] = []
        for index, product in enumerate(self.products):
            messages += product(sources[index], weights[index], around)
        gathered: list[Tensor] = []
        for index, slots in enumerate(self.slots):
            nothing = features[0].new_zeros(features[0].size(0), self.dims[index], 0)
            gathered.append(torch.cat([nothing] + [messages[slot] for slot in slots], dim=2))
        return self.updated(features, gathered, species)

    def on_edges(
        self,
        features: list[Tensor],
        species: Species,
        basis: Tensor,
        stencil: Stencil | None,
        edges: Edges,
    ) -> list[Tensor]:
        """The same with the fused convolution; basis of the pairs, or of the nodes of a stencil."""
        weights = self.radial(basis)
        if stencil is not None:
            weights = interpolation(weights, stencil)
        messages = self.convolution(self.sources(features), weights, edges)
        return self.updated(features, messages, species)

    def sources(self, features: list[Tensor]) -> list[Tensor]:
        """L_up h/n̄: what neighbours read."""
        sources: list[Tensor] = []
        for index, up in enumerate(self.up):
            sources.append(up(features[index]) / self.avg_neighbors)
        return sources

    def updated(
        self, features: list[Tensor], messages: list[Tensor], species: Species
    ) -> list[Tensor]:
        """New features from the old ones and the messages (n_atoms, 2l+1, channels of all paths) of
        each output."""
        blocks: list[Tensor] = []
        for index, down in enumerate(self.down):
            blocks.append(down(messages[index]))
        for index, connection in enumerate(self.self_connection):
            target = self.own_outputs[index]
            blocks[target] = blocks[target] + connection(features[self.own_inputs[index]], species)
        return self.gate(blocks)
