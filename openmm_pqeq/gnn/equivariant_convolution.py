"""The convolution of a layer as one operator: gather, tensor product, radial weights and sum over
neighbours at once.

    m_i,p[m₃, c] = Σ_j R_p,c(r_ij) Σ_{m₁ m₂} C_p[m₁ m₂ m₃] x_j[m₁, c] Y_ij[m₂]      for each path p and channel c

R comes from a table (radial_table.py), so that nothing per pair and channel is ever stored: neither
forward nor backward, which gives the derivatives with respect to features, distances and harmonics.
`equivariant_convolution_reference` is the same in plain torch, for comparison; the operator
(plugin/) has kernels for CPU and CUDA and no second derivative.

Channels come in chunks of `LANES`, filled up with zeros: the width of the largest vector registers,
half a warp on a GPU.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from openmm_pqeq.gnn.edges import Edges
from openmm_pqeq.gnn.paths import Layer
from openmm_pqeq.gnn.radial_table import RadialTable, evaluated, locate
from openmm_pqeq.gnn.spherical import coupling

LANES = 16
"""Channels of a chunk."""


def padded(channels: int) -> int:
    """Channels filled up to whole chunks."""
    return -(-channels // LANES) * LANES


class Plan(NamedTuple):
    """What a layer's convolution does, as numbers.

    paths : ten integers for each path: input, 2l₁+1, output, 2l₃+1, chunks of channels, first chunk
        in the table, first chunk in the output, first entry in `couplings`, first harmonic, number
        of harmonics
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
    begin = [
        sum(2 * degree + 1 for degree in harmonics[:block]) for block in range(len(harmonics) + 1)
    ]
    widths = [0] * len(outputs)
    table_chunk, entry = 0, 0
    paths: list[int] = []
    columns = [torch.zeros(begin[-1], 0, dtype=torch.float64)]
    for path in layer.paths:
        ir, mul = inputs[path.input]
        l_out, l_sh = outputs[path.output].l, harmonics[path.harmonic]
        chunks, size = padded(mul) // LANES, (2 * ir.l + 1) * (2 * l_out + 1)
        paths += [
            path.input,
            2 * ir.l + 1,
            path.output,
            2 * l_out + 1,
            chunks,
            table_chunk,
            widths[path.output],
            entry,
        ]
        paths += [begin[path.harmonic], 2 * l_sh + 1]
        column = torch.zeros(begin[-1], size, dtype=torch.float64)
        column[begin[path.harmonic] : begin[path.harmonic + 1]] = (
            coupling(ir.l, l_sh, l_out).transpose(0, 1).flatten(1)
        )
        columns.append(column)
        widths[path.output] += chunks
        table_chunk, entry = table_chunk + chunks, entry + size
    sizes = [
        number for ir, width in zip(outputs, widths) for number in (2 * ir.l + 1, width * LANES)
    ]
    return Plan(paths, sizes, torch.cat(columns, dim=1))


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
) -> list[Tensor]:
    """The sum above in plain torch, differentiable any number of times.

    features : (n_atoms, 2l+1, channels) of each input
    table : flat, from `packed`
    couplings, paths, outputs : of a `Plan`
    grid : of the `RadialTable`
    """
    n_atoms, n_edges = edges.rows.size(0) - 1, edges.centers.size(0)
    row, place = locate(edges.distances, grid)
    n_rows, t = int(grid[2] + grid[5]), place.to(table.dtype).unsqueeze(1)
    inside = (edges.distances < grid[6]).to(table.dtype).unsqueeze(1)
    n_chunks = sum([paths[first + 4] for first in range(0, len(paths), 10)])
    n_coefficients = table.numel() // max(n_rows * n_chunks * LANES, 1)
    matrices = edges.harmonics @ couplings
    parts: list[list[Tensor]] = [
        [edges.harmonics.new_zeros(n_atoms, outputs[2 * o], 0)] for o in range(len(outputs) // 2)
    ]
    for first in range(0, len(paths), 10):
        rows_in, output, rows_out, chunks = (
            paths[first + 1],
            paths[first + 2],
            paths[first + 3],
            paths[first + 4],
        )
        begin, size = (
            paths[first + 5] * n_rows * n_coefficients * LANES,
            n_rows * chunks * n_coefficients * LANES,
        )
        own = (
            table[begin : begin + size]
            .view(n_rows, chunks, n_coefficients, LANES)
            .transpose(1, 2)
            .flatten(2)
        )
        weights = (evaluated(own[row], t) * inside).unsqueeze(1)
        matrix = matrices[:, paths[first + 7] : paths[first + 7] + rows_in * rows_out].view(
            n_edges, rows_in, rows_out
        )
        message = torch.bmm(
            matrix.transpose(1, 2), features[paths[first]][edges.neighbors] * weights
        )
        parts[output].append(
            message.new_zeros(n_atoms, rows_out, chunks * LANES).index_add(
                0, edges.centers, message
            )
        )
    return [torch.cat(part, dim=2) for part in parts]


class EquivariantConvolution(nn.Module):
    """The operator with its tables.

    Parameters
    ----------
    plan : of the layer
    table : of its radial network
    n_weights : weights of each path, side by side in the table
    """

    couplings: Tensor
    table: Tensor
    paths: list[int]
    outputs: list[int]
    grid: list[float]

    def __init__(self, plan: Plan, table: RadialTable, n_weights: list[int]):
        super().__init__()
        self.paths, self.outputs, self.grid = plan.paths, plan.outputs, table.grid
        self.register_buffer("table", packed(table.coefficients, n_weights), persistent=False)
        self.register_buffer("couplings", plan.couplings.to(self.table.dtype), persistent=False)

    def forward(self, features: list[Tensor], edges: Edges) -> list[Tensor]:
        """Messages (n_atoms, 2l+1, channels of all paths) of each output from features (n_atoms,
        2l+1, padded channels)."""
        return torch.ops.openmm_pqeq.equivariant_convolution(
            features,
            edges.distances,
            edges.harmonics,
            edges.rows,
            edges.centers,
            edges.neighbors,
            edges.neighbor_rows,
            edges.by_neighbor,
            self.table,
            self.couplings,
            self.paths,
            self.outputs,
            self.grid,
        )
