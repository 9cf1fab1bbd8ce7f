"""The convolution of a layer as one operator: gather, tensor product, radial weights and sum over
neighbours at once.

    m_i,p[m₃, c] = Σ_j R_p,c(r_ij) Σ_{m₁ m₂} C_p[m₁ m₂ m₃] x_j[m₁, c] Y_ij[m₂]      for each path p and channel c

R comes from a table (radial_table.py), so that nothing per pair and channel is ever stored: neither
forward nor backward, which gives the derivatives with respect to features, distances and harmonics.
`equivariant_convolution_reference` is the same in plain torch, for comparison; the operator
(plugin/src/equivariant_convolution/) has kernels for CPU and CUDA, one in torch's operations for
other devices, and no second derivative.

Channels come in chunks of `LANES`, filled up with zeros: the width of the largest vector registers,
half a warp on a GPU.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from openmm_pqeq import ops
from openmm_pqeq.gnn.couplings import coupling_columns, first_rows
from openmm_pqeq.gnn.edges import Edges
from openmm_pqeq.gnn.paths import Layer
from openmm_pqeq.gnn.radial_table import evaluated, locate

LANES = 16
"""Channels of a chunk."""


def padded(channels: int) -> int:
    """Channels filled up to whole chunks."""
    return -(-channels // LANES) * LANES


class PlannedPath(NamedTuple):
    """A path as the operator reads it: the integers of one path in `Plan.paths`, in this order.

    input, rows_in : which of the features, and its 2l₁+1
    output, rows_out : which of the outputs, and its 2l₃+1
    chunks : of channels
    table_chunk, output_chunk : the first chunk in the table, and of channels in the output
    entry : the first column in `Plan.couplings`
    harmonic, n_harmonics : the first row in `Plan.couplings`, and how many
    """

    input: int
    rows_in: int
    output: int
    rows_out: int
    chunks: int
    table_chunk: int
    output_chunk: int
    entry: int
    harmonic: int
    n_harmonics: int


def planned_paths(p: list[int]) -> list[PlannedPath]:
    """The paths of a plan by name."""
    return [
        PlannedPath(
            p[k], p[k + 1], p[k + 2], p[k + 3], p[k + 4], p[k + 5], p[k + 6], p[k + 7], p[k + 8], p[k + 9]
        )
        for k in range(0, len(p), 10)
    ]  # fmt: skip


class Plan(NamedTuple):
    """A layer's convolution as numbers.

    paths : those of a `PlannedPath` for path after path
    outputs : 2l+1 and channels of each output
    couplings : (n_harmonics, n_entries) float64; the entries (m₁, m₃) of path after path
    """

    paths: list[int]
    outputs: list[int]
    couplings: Tensor


def plan_convolution(layer: Layer, harmonics: list[int]) -> Plan:
    """The plan of a layer whose blocks of harmonics have the degrees `harmonics`; paths are in the
    order of `layer.paths`."""
    inputs, outputs = list(layer.inputs.items()), list(layer.outputs)
    begin, columns = first_rows(harmonics), coupling_columns(layer, harmonics)
    widths = [0] * len(outputs)
    table_chunk, entry = 0, 0
    paths: list[int] = []
    for path, column in zip(layer.paths, columns):
        ir, mul = inputs[path.input]
        l_out, l_sh = outputs[path.output].l, harmonics[path.harmonic]
        chunks = padded(mul) // LANES
        paths += PlannedPath(
            input=path.input,
            rows_in=2 * ir.l + 1,
            output=path.output,
            rows_out=2 * l_out + 1,
            chunks=chunks,
            table_chunk=table_chunk,
            output_chunk=widths[path.output],
            entry=entry,
            harmonic=begin[path.harmonic],
            n_harmonics=2 * l_sh + 1,
        )
        widths[path.output] += chunks
        table_chunk, entry = table_chunk + chunks, entry + column.size(1)
    sizes = [
        number for ir, width in zip(outputs, widths) for number in (2 * ir.l + 1, width * LANES)
    ]
    none = torch.zeros(begin[-1], 0, dtype=torch.float64)
    return Plan(paths, sizes, torch.cat([none, *columns], dim=1))


def packed(coefficients: Tensor, n_weights: list[int]) -> Tensor:
    """A table (n_rows, n_coefficients, Σ n_weights) as the operator reads it: path, then row,
    chunk, coefficient, lane."""
    parts = []
    for part in torch.split(coefficients, n_weights, dim=2):
        whole = part.new_zeros(part.size(0), part.size(1), padded(part.size(2)))
        whole[:, :, : part.size(2)] = part
        parts.append(whole.unflatten(2, (-1, LANES)).transpose(1, 2).flatten())
    return torch.cat([coefficients.new_zeros(0), *parts])


def equivariant_convolution_reference(
    features: list[Tensor],
    edges: Edges,
    table: Tensor,
    couplings: Tensor,
    paths: list[int],
    outputs: list[int],
    grid: list[float],
    lanes: int = LANES,
) -> list[Tensor]:
    """The sum above in plain torch, differentiable any number of times.

    features : (n_atoms, 2l+1, channels) of each input
    table : flat, from `packed`
    couplings, paths, outputs : of a `Plan`
    grid : of the `RadialTable`
    lanes : as an argument, because TorchScript reads no numbers from modules
    """
    n_atoms, n_edges = edges.rows.size(0) - 1, edges.centers.size(0)
    row, place = locate(edges.distances, grid)
    n_rows, t = int(grid[2] + grid[5]), place.to(table.dtype).unsqueeze(1)
    inside = (edges.distances < grid[6]).to(table.dtype).unsqueeze(1)
    planned = planned_paths(paths)
    n_chunks = sum([path.chunks for path in planned])
    n_coefficients = table.numel() // max(n_rows * n_chunks * lanes, 1)
    matrices = edges.harmonics @ couplings
    parts: list[list[Tensor]] = [
        [edges.harmonics.new_zeros(n_atoms, outputs[2 * o], 0)] for o in range(len(outputs) // 2)
    ]
    for path in planned:
        begin = path.table_chunk * n_rows * n_coefficients * lanes
        own = table[begin : begin + n_rows * path.chunks * n_coefficients * lanes]
        rows = own.view(n_rows, path.chunks, n_coefficients, lanes).transpose(1, 2).flatten(2)
        weights = (evaluated(rows[row], t) * inside).unsqueeze(1)
        n_entries = path.rows_in * path.rows_out
        matrix = matrices[:, path.entry : path.entry + n_entries].view(
            n_edges, path.rows_in, path.rows_out
        )
        message = torch.bmm(matrix.transpose(1, 2), features[path.input][edges.neighbors] * weights)
        sums = message.new_zeros(n_atoms, path.rows_out, path.chunks * lanes)
        parts[path.output].append(sums.index_add(0, edges.centers, message))
    return [torch.cat(part, dim=2) for part in parts]


def equivariant_convolution_native(
    features: list[Tensor],
    edges: Edges,
    table: Tensor,
    couplings: Tensor,
    paths: list[int],
    outputs: list[int],
    grid: list[float],
) -> list[Tensor]:
    """`equivariant_convolution_reference` by the native operator, which runs on every device and
    may be differentiated once."""
    messages: list[Tensor] = torch.ops.openmm_pqeq.equivariant_convolution(
        features,
        edges.distances,
        edges.harmonics,
        edges.rows,
        edges.centers,
        edges.neighbors,
        edges.neighbor_rows,
        edges.by_neighbor,
        table,
        couplings,
        paths,
        outputs,
        grid,
    )
    return messages


equivariant_convolution = ops.pick(
    "equivariant_convolution", equivariant_convolution_native, equivariant_convolution_reference
)


class EquivariantConvolution(nn.Module):
    """The operator with its tables.

    Parameters
    ----------
    plan : of the layer
    table : of its radial network, from `packed`
    grid : of the `RadialTable`
    """

    couplings: Tensor
    table: Tensor
    paths: list[int]
    outputs: list[int]
    grid: list[float]

    def __init__(self, plan: Plan, table: Tensor, grid: list[float]):
        super().__init__()
        self.paths, self.outputs, self.grid = plan.paths, plan.outputs, grid
        self.register_buffer("table", table, persistent=False)
        self.register_buffer("couplings", plan.couplings.to(table.dtype), persistent=False)

    def forward(self, features: list[Tensor], edges: Edges) -> list[Tensor]:
        """Messages (n_atoms, 2l+1, channels of all paths) of each output from features (n_atoms,
        2l+1, padded channels)."""
        return equivariant_convolution(
            features,
            edges,
            self.table,
            self.couplings,
            self.paths,
            self.outputs,
            self.grid,
        )
