"""The coupling coefficients of a layer's paths as one matrix, which makes of the harmonics of a pair
the matrices M of its convolution."""

import torch
from torch import Tensor

from openmm_pqeq.gnn.irreps import coupling
from openmm_pqeq.gnn.paths import Layer


def first_rows(harmonics: list[int]) -> list[int]:
    """Of blocks of spherical harmonics of these degrees, the row in which each begins, and how many
    rows there are."""
    return [sum(2 * degree + 1 for degree in harmonics[:k]) for k in range(len(harmonics) + 1)]


def coupling_columns(layer: Layer, harmonics: list[int]) -> list[Tensor]:
    """Of path after path, the matrix that makes M[m₁, m₃] = Σ_m₂ C[m₁ m₂ m₃] Y[m₂] of all harmonics
    side by side: (n_harmonics, (2l₁+1)(2l₃+1)) float64."""
    inputs, outputs, begin = list(layer.inputs), list(layer.outputs), first_rows(harmonics)
    columns = []
    for path in layer.paths:
        l_in, l_sh, l_out = inputs[path.input].l, harmonics[path.harmonic], outputs[path.output].l
        column = torch.zeros(begin[-1], (2 * l_in + 1) * (2 * l_out + 1), dtype=torch.float64)
        rows = slice(begin[path.harmonic], begin[path.harmonic + 1])
        column[rows] = coupling(l_in, l_sh, l_out).transpose(0, 1).flatten(1)
        columns.append(column)
    return columns
