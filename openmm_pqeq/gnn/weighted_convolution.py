"""The convolution of a layer whose radial weights change, as they do in training: gather, tensor
product and sum over neighbours as one operator.

    m_i,p[m₃, c] = Σ_j w_ij,p[c] Σ_m₁ M_ij,p[m₁, m₃] x_j[m₁, c]           for each path p and channel c
    M_ij,p[m₁, m₃] = Σ_m₂ C_p[m₁ m₂ m₃] Y_ij[m₂]                          for a scalar Y: one number times 1

is linear in the features x, the weights w and the matrices M. Each first derivative is therefore a
sum of the same kind, and so is each second one, which training on forces needs. The operator
(plugin/src/weighted_convolution/) has kernels for all of them on the CPU, and may be differentiated
any number of times; no message and no product of weights and features is ever stored.
`weighted_convolution_reference` is the same in plain torch, for comparison. Where there is no
kernel, `TensorProduct` in convolution.py does what this does.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from openmm_pqeq import ops
from openmm_pqeq.gnn.couplings import coupling_columns, first_rows
from openmm_pqeq.gnn.edges import Edges
from openmm_pqeq.gnn.paths import Layer
from openmm_pqeq.gnn.spherical import ExactBuffers

native_on = ops.native_on("weighted_convolution")


class WeightedPath(NamedTuple):
    """A path as the operator reads it: the integers of one path in `WeightedPlan.paths`, in this
    order.

    input, rows_in : which of the features, and its 2l₁+1
    output, rows_out : which of the outputs, and its 2l₃+1
    channels : of the input
    weight : the first of its columns in w
    output_channel : the first of its channels in the output
    entry, n_entries : its columns in M, (m₁, m₃); one where M is a number times 1
    """

    input: int
    rows_in: int
    output: int
    rows_out: int
    channels: int
    weight: int
    output_channel: int
    entry: int
    n_entries: int


def weighted_paths(p: list[int]) -> list[WeightedPath]:
    """The paths of a plan by name."""
    return [
        WeightedPath(
            p[k], p[k + 1], p[k + 2], p[k + 3], p[k + 4], p[k + 5], p[k + 6], p[k + 7], p[k + 8]
        )
        for k in range(0, len(p), 9)
    ]  # fmt: skip


class WeightedPlan(NamedTuple):
    """A layer's convolution as numbers.

    paths : those of a `WeightedPath` for path after path
    outputs : 2l+1 and channels of each output
    couplings : (n_harmonics, n_entries) float64, M = Y · couplings
    """

    paths: list[int]
    outputs: list[int]
    couplings: Tensor


def plan_weighted(layer: Layer, harmonics: list[int]) -> WeightedPlan:
    """The plan of a layer whose blocks of harmonics have the degrees `harmonics`; paths, and their
    weights, are in the order of `layer.paths`."""
    inputs, outputs = list(layer.inputs.items()), list(layer.outputs)
    columns = [torch.zeros(first_rows(harmonics)[-1], 0, dtype=torch.float64)]
    widths = [0] * len(outputs)
    weight, entry = 0, 0
    paths: list[int] = []
    for path, column in zip(layer.paths, coupling_columns(layer, harmonics)):
        ir, mul = inputs[path.input]
        l_out = outputs[path.output].l
        columns.append(column[:, :1] if harmonics[path.harmonic] == 0 else column)
        paths += WeightedPath(
            input=path.input,
            rows_in=2 * ir.l + 1,
            output=path.output,
            rows_out=2 * l_out + 1,
            channels=mul,
            weight=weight,
            output_channel=widths[path.output],
            entry=entry,
            n_entries=columns[-1].size(1),
        )
        widths[path.output] += mul
        weight, entry = weight + mul, entry + columns[-1].size(1)
    sizes = [number for ir, width in zip(outputs, widths) for number in (2 * ir.l + 1, width)]
    return WeightedPlan(paths, sizes, torch.cat(columns, dim=1))


def weighted_convolution_reference(
    features: list[Tensor],
    weights: Tensor,
    matrices: Tensor,
    edges: Edges,
    paths: list[int],
    outputs: list[int],
) -> list[Tensor]:
    """The sum above in plain torch.

    features : (n_atoms, 2l+1, channels) of each input
    weights : (n_pairs, n_weights)
    matrices : (n_pairs, n_entries)
    paths, outputs : of a `WeightedPlan`
    """
    n_atoms = edges.rows.size(0) - 1
    parts: list[list[Tensor]] = [
        [weights.new_zeros(n_atoms, outputs[2 * k], 0)] for k in range(len(outputs) // 2)
    ]
    for path in weighted_paths(paths):
        own = weights[:, path.weight : path.weight + path.channels].unsqueeze(1)
        weighted = features[path.input][edges.neighbors] * own
        matrix = matrices[:, path.entry : path.entry + path.n_entries]
        if path.n_entries == 1:
            message = matrix.unsqueeze(2) * weighted
        else:
            of_pairs = matrix.reshape(-1, path.rows_in, path.rows_out)
            message = torch.bmm(of_pairs.transpose(1, 2), weighted)
        sums = message.new_zeros(n_atoms, path.rows_out, path.channels)
        parts[path.output].append(sums.index_add(0, edges.centers, message))
    return [torch.cat(part, dim=2) for part in parts]


def weighted_convolution_native(
    features: list[Tensor],
    weights: Tensor,
    matrices: Tensor,
    edges: Edges,
    paths: list[int],
    outputs: list[int],
) -> list[Tensor]:
    """`weighted_convolution_reference` by the native operator."""
    messages: list[Tensor] = torch.ops.openmm_pqeq.weighted_convolution(
        features,
        weights,
        matrices,
        edges.rows,
        edges.neighbors,
        paths,
        outputs,
    )
    return messages


weighted_convolution = ops.pick(
    "weighted_convolution", weighted_convolution_native, weighted_convolution_reference
)


class WeightedConvolution(ExactBuffers):
    """The operator with the couplings of a layer.

    Parameters
    ----------
    layer : its blocks and paths
    harmonics : l of each block of spherical harmonics
    """

    __jit_ignored_attributes__ = ("plan",)

    couplings: Tensor
    paths: list[int]
    outputs: list[int]

    def __init__(self, layer: Layer, harmonics: list[int]):
        super().__init__()
        self.plan = plan_weighted(layer, harmonics)
        self.paths, self.outputs = self.plan.paths, self.plan.outputs
        self.register_constants()

    def constants(self) -> dict[str, Tensor]:
        return {"couplings": self.plan.couplings}

    def forward(self, features: list[Tensor], weights: Tensor, edges: Edges) -> list[Tensor]:
        """Messages (n_atoms, 2l+1, channels of all paths) of each output from features (n_atoms,
        2l+1, channels) and weights (n_pairs, n_weights)."""
        matrices = edges.harmonics @ self.couplings
        return weighted_convolution(features, weights, matrices, edges, self.paths, self.outputs)
