"""A network made for evaluation: the same energies from fewer operations.

What depends on the weights alone is computed once:

    R(r)             a table of polynomials (radial_table.py), inside the fused convolution (equivariant_convolution.py)
    L_up/n̄           one matrix; channels filled up with zeros to whole vector registers, and the rows of L_down with them
    W[Z] of layer 1  the embedding times L_up and times the self-connection: rows picked by species,
    no matrices at all
    L_1 L_2          one vector, with the scale and shift of the elements after it

The original stays as it is: it is what is trained, saved and differentiated twice.
"""

import torch
from torch import Tensor, nn

from openmm_pqeq import ops
from openmm_pqeq.gnn.convolution import Interaction, Linear, SharedLinear, SpeciesLinear
from openmm_pqeq.gnn.edges import Edges, edges_of
from openmm_pqeq.gnn.equivariant_convolution import EquivariantConvolution, padded, plan_convolution
from openmm_pqeq.gnn.neighborhood import Species, by_species, species_index
from openmm_pqeq.gnn.network import NequIP
from openmm_pqeq.gnn.packed_table import packed_table
from openmm_pqeq.gnn.radial_table import DERIVATIVES
from openmm_pqeq.neighbors.pairs import Pairs, within
from openmm_pqeq.start.threads import one_thread

OPERATORS = ("equivariant_convolution", "equivariant_convolution_backward")


def can_be_fused(network: NequIP) -> bool:
    """Whether the native operators are there and take this network: dtype float32 or float64, l up
    to 8.

    Without them the network is fastest as it is: in plain torch the tables would cost more than the
    radial networks they replace.
    """
    irreps = [
        ir for layer in layers_of(network) for ir in (*layer.layer.inputs, *layer.layer.outputs)
    ]
    fits = network.embedding.dtype in DERIVATIVES and max(ir.l for ir in irreps) <= 8
    return fits and all(ops.available(operator) for operator in OPERATORS)


class InferenceNequIP(nn.Module):
    """The energies of a `NequIP`, differentiable once, in its dtype at the time this is made.

    Parameters
    ----------
    network : read, not changed
    """

    scale: Tensor
    shift: Tensor
    index_of: Tensor
    readout: Tensor

    @one_thread()
    def __init__(self, network: NequIP):
        super().__init__()
        self.species, self.cutoff, self.sign = list(network.species), network.cutoff, network.sign
        self.harmonics, self.solid_harmonics = network.harmonics, network.solid_harmonics
        self.interactions = nn.ModuleList(
            InferenceInteraction(layer, network, from_species=k == 0)
            for k, layer in enumerate(layers_of(network))
        )
        one, two = (folded(linear) for linear in network.readout)
        for name, value in (
            ("readout", one @ two),
            ("scale", network.scale),
            ("shift", network.shift),
        ):
            self.register_buffer(name, value.detach().clone(), persistent=False)
        self.register_buffer("index_of", network.index_of.clone(), persistent=False)

    def forward(self, numbers: Tensor, pairs: Pairs) -> Tensor:
        """Atomic energies (n_atoms,) eV, in the dtype of the pair vectors.

        numbers : (n_atoms,) atomic numbers
        pairs : all pairs within the cutoff or a larger one, sorted by centre
        """
        index, species, edges = self.layout(numbers, pairs)
        features: list[Tensor] = []
        for interaction in self.interactions:
            features = interaction(features, index, species, edges)
        return self.read_out(features, index).to(pairs.vectors.dtype)

    def layout(self, numbers: Tensor, pairs: Pairs) -> tuple[Tensor, Species, Edges]:
        """The inputs that all layers share: the place in `species` of each atom (n_atoms,), atoms
        by species, and edges."""
        index = species_index(numbers, self.index_of, self.species)
        near = within(pairs, self.cutoff)
        vectors = self.sign * near.vectors.to(self.readout.dtype)
        distances = vectors.norm(2, dim=1)
        directions = vectors / distances.unsqueeze(1)
        harmonics = self.harmonics(vectors if self.solid_harmonics else directions)
        edges = edges_of(numbers.size(0), near.centers, near.neighbors, distances, harmonics)
        return index, by_species(index, len(self.species)), edges

    def read_out(self, features: list[Tensor], index: Tensor) -> Tensor:
        """Atomic energies (n_atoms,) eV, float64, from the features of the last layer."""
        return self.scale[index] * (features[0] @ self.readout).flatten() + self.shift[index]


class InferenceInteraction(nn.Module):
    """A layer. `from_species`: the first one, whose input is the embedding of each atom's
    species."""

    own_outputs: list[int]
    rows: list[int]

    def __init__(self, layer: Interaction, network: NequIP, from_species: bool):
        super().__init__()
        self.rows, self.own_outputs = layer.dims, layer.own_outputs
        self.source = (
            SpeciesSource(layer, network.embedding) if from_species else FeatureSource(layer)
        )
        plan = plan_convolution(layer.layer, network.harmonics.degrees)
        inputs = list(layer.layer.inputs.values())
        self.convolution = EquivariantConvolution(plan, *packed_table(layer, network))
        self.down = nn.ModuleList(
            Matrix(
                _padded_rows(
                    folded(down), [inputs[layer.layer.paths[slot].input] for slot in slots]
                ),
                constant(down),
            )
            for down, slots in zip(layer.down, layer.slots)
        )
        self.gate = layer.gate

    def forward(
        self, features: list[Tensor], index: Tensor, species: Species, edges: Edges
    ) -> list[Tensor]:
        """New features of all atoms."""
        sources, own = self.source(features, index, species)
        messages = self.convolution(sources, edges)
        blocks: list[Tensor] = []
        for output, down in enumerate(self.down):
            blocks.append(down(messages[output]))
        for connection, output in enumerate(self.own_outputs):
            blocks[output] = blocks[output] + own[connection]
        return self.gate(blocks)


class Matrix(nn.Module):
    """x W + b on the last axis; b may be absent."""

    weight: Tensor
    bias: Tensor | None

    def __init__(self, weight: Tensor, bias: Tensor | None = None):
        super().__init__()
        self.register_buffer("weight", weight.contiguous(), persistent=False)
        self.register_buffer("bias", bias, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """(..., n_in) → (..., n_out)."""
        y = x @ self.weight
        bias = self.bias
        return y if bias is None else y + bias


class SpeciesMatrix(nn.Module):
    """x W[Z_i]."""

    weight: Tensor

    def __init__(self, weight: Tensor):
        super().__init__()
        self.register_buffer("weight", weight.contiguous(), persistent=False)

    def forward(self, x: Tensor, species: Species) -> Tensor:
        """(n_atoms, 2l+1, n_in) → (n_atoms, 2l+1, n_out)."""
        groups = torch.split(x[species.order], species.counts)
        mapped: list[Tensor] = []
        for index, count in enumerate(species.counts):
            if count > 0:
                mapped.append(groups[index] @ self.weight[index])
        return torch.cat(mapped)[species.rank]


class SharedMatrix(nn.Module):
    """x W, whatever the species."""

    weight: Tensor

    def __init__(self, weight: Tensor):
        super().__init__()
        self.register_buffer("weight", weight.contiguous(), persistent=False)

    def forward(self, x: Tensor, species: Species) -> Tensor:
        """(n_atoms, 2l+1, n_in) → (n_atoms, 2l+1, n_out)."""
        return x @ self.weight


class FeatureSource(nn.Module):
    """The inputs of a layer: L_up x/n̄ for the convolution, W[Z] x for the
    self-connection."""

    own_inputs: list[int]

    def __init__(self, layer: Interaction):
        super().__init__()
        self.own_inputs = layer.own_inputs
        self.up = nn.ModuleList(_up_matrix(up, layer.avg_neighbors) for up in layer.up)
        self.own = nn.ModuleList(
            (SharedMatrix if isinstance(connection, SharedLinear) else SpeciesMatrix)(
                folded(connection)
            )
            for connection in layer.self_connection
        )

    def forward(
        self, features: list[Tensor], index: Tensor, species: Species
    ) -> tuple[list[Tensor], list[Tensor]]:
        """One of each per input and per self-connection."""
        up: list[Tensor] = []
        for block, matrix in enumerate(self.up):
            up.append(matrix(features[block]))
        own: list[Tensor] = []
        for connection, matrix in enumerate(self.own):
            own.append(matrix(features[self.own_inputs[connection]], species))
        return up, own


class SpeciesSource(nn.Module):
    """The inputs of the first layer, which come from the embedding of each species."""

    up: Tensor
    own: Tensor

    def __init__(self, layer: Interaction, embedding: Tensor):
        super().__init__()
        self.has_own = len(layer.self_connection) > 0
        up = _up_matrix(layer.up[0], layer.avg_neighbors)(embedding)
        own = up[:, :0]
        for connection in layer.self_connection:  # one at most: scalars to scalars
            own = torch.matmul(embedding.unsqueeze(1), folded(connection)).squeeze(1)
        self.register_buffer("up", up.detach().clone(), persistent=False)
        self.register_buffer("own", own.detach().clone(), persistent=False)

    def forward(
        self, features: list[Tensor], index: Tensor, species: Species
    ) -> tuple[list[Tensor], list[Tensor]]:
        """One per input and per self-connection."""
        own: list[Tensor] = []
        if self.has_own:
            own.append(self.own[index].unsqueeze(1))
        return [self.up[index].unsqueeze(1)], own


def layers_of(network: NequIP) -> list[Interaction]:
    """The interactions of a network, first to last."""
    return [layer for layer in network.interactions if isinstance(layer, Interaction)]


def folded(linear: nn.Module) -> Tensor:
    """The matrix of a linear map, or those of a `SpeciesLinear`, normalisation included."""
    if not isinstance(linear, Linear | SharedLinear | SpeciesLinear):
        raise TypeError(f"linear: expected a map of convolution.py, got {type(linear).__name__}")
    return linear.weight.detach() * linear.gain


def constant(linear: nn.Module) -> Tensor | None:
    """The bias of a `Linear`, if it has one."""
    bias = linear.bias if isinstance(linear, Linear) else None
    return None if bias is None else bias.detach().clone()


def _up_matrix(up: nn.Module, avg_neighbors: float) -> Matrix:
    bias = constant(up)
    return Matrix(
        _padded_columns(folded(up) / avg_neighbors),
        None if bias is None else _padded_columns(bias / avg_neighbors),
    )


def _padded_columns(matrix: Tensor) -> Tensor:
    n_columns = matrix.size(-1)
    return torch.nn.functional.pad(matrix, [0, padded(n_columns) - n_columns])


def _padded_rows(matrix: Tensor, channels: list[int]) -> Tensor:
    """Rows of zeros after those of each path, for its channels that are not there."""
    parts = [
        torch.nn.functional.pad(part, [0, 0, 0, padded(part.size(0)) - part.size(0)])
        for part in torch.split(matrix, channels)
    ]
    return torch.cat([matrix[:0], *parts])
