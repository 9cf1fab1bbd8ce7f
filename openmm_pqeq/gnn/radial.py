"""Radial part of the network: what a pair of atoms at distance r contributes, before any direction.

    b_n(r) = (2/r_c) sin(f_n r/r_c)/r · u(r),   R(r) = MLP(b(r))

f_n are trained and start as nπ. The envelope u goes smoothly to zero at the cutoff r_c; the MLP has
no bias, so R does too.

    polynomial   1 − 28 x⁶ + 48 x⁷ − 21 x⁸,  x = r/r_c                                    (two continuous derivatives at r_c)
    xplor        1 up to r_on = r_c − 0.5 Å, then (r_c² − r²)² (r_c² + 2r² − 3 r_on²)/(r_c² − r_on²)³     (one)

Gasteiger et al., ICLR 2020, https://doi.org/10.48550/arXiv.2003.03123 (basis and polynomial).
Distances in Å.
"""

import math
from collections.abc import Mapping
from itertools import pairwise

import torch
from torch import Tensor, nn

XPLOR_WIDTH = 0.5
"""Å between the onset of the xplor envelope and the cutoff."""

NORMS = {"silu": 0.5964586854233045, "tanh": 0.6279282481638502}
"""√⟨act(x)²⟩ of a normal variable x, which activations are divided by: the estimates that the
published ReaxNet models were made with (exact: 0.596469, 0.627929). A model made with other
estimates brings its own."""


class Activation(nn.Module):
    """act(x)/√⟨act²⟩ with act = silu (x·sigmoid(x)) or tanh; smooth, and zero at zero.

    norms : √⟨act²⟩ of each, where not those of `NORMS`
    """

    def __init__(self, name: str, norms: Mapping[str, float] = NORMS):
        super().__init__()
        if name not in NORMS:
            raise ValueError(f"a nonlinearity must be one of {sorted(NORMS)}, got '{name}'")
        self.name = name
        self.scale = 1.0 / norms.get(name, NORMS[name])

    def forward(self, x: Tensor) -> Tensor:
        """Elementwise."""
        if self.name == "tanh":
            return torch.tanh(x) * self.scale
        return torch.nn.functional.silu(x) * self.scale


def polynomial_envelope(x: Tensor) -> Tensor:
    """1 at x = 0, and 0 at x = 1 with its first two derivatives; x = r/r_c."""
    x2 = x * x
    return 1.0 + x2 * x2 * x2 * (-28.0 + x * (48.0 - 21.0 * x))


def xplor_envelope(distances: Tensor, onset: float, cutoff: float) -> Tensor:
    """1 up to `onset`, 0 at `cutoff` with its first derivative (Å)."""
    r2 = distances * distances
    on2, off2 = onset * onset, cutoff * cutoff
    switch = (off2 - r2) ** 2 * (off2 + 2.0 * r2 - 3.0 * on2) / (off2 - on2) ** 3
    return torch.where(distances < onset, torch.ones_like(distances), switch)


class RadialBasis(nn.Module):
    """Bessel functions under an envelope, shared by all layers.

    Parameters
    ----------
    cutoff : Å
    n_basis : number of functions
    envelope : "polynomial" or "xplor"
    """

    def __init__(self, cutoff: float, n_basis: int, envelope: str):
        super().__init__()
        if envelope not in ("polynomial", "xplor"):
            raise ValueError(f"envelope must be 'polynomial' or 'xplor', got '{envelope}'")
        self.cutoff = float(cutoff)
        self.envelope = envelope
        self.onset = self.cutoff - XPLOR_WIDTH
        self.frequencies = nn.Parameter(math.pi * torch.arange(1, n_basis + 1, dtype=torch.float64))

    def forward(self, distances: Tensor) -> Tensor:
        """Basis (n_pairs, n_basis) at distances (n_pairs,) Å, none beyond the cutoff."""
        x = distances / self.cutoff
        if self.envelope == "polynomial":
            u = polynomial_envelope(x)
        else:
            u = xplor_envelope(distances, self.onset, self.cutoff)
        prefactor = 2.0 / self.cutoff * u / distances
        return prefactor.unsqueeze(1) * torch.sin(x.unsqueeze(1) * self.frequencies)


def basis_gain(basis: RadialBasis) -> float:
    """1/√(Σ_n ⟨b_n²⟩), the average over the cutoff sphere: brings the first layer of an MLP to unit
    scale."""
    with torch.no_grad():
        x = torch.linspace(0.0, 1.0, 2001, dtype=torch.float64)[1:]
        squares = (basis(x * basis.cutoff) ** 2).sum(1)
        return float((3.0 * x**2 * squares).mean() ** -0.5)


class RadialNetwork(nn.Module):
    """MLP from the basis to one weight per path and channel, without bias: R(b) → 0 as b → 0.

    x ← act(g_k x W_k), the last layer linear; W start as normal variables, g_k = 1/√width keeps the
    scale.

    Parameters
    ----------
    widths : n_basis, hidden layers, number of weights
    nonlinearity : of the hidden layers
    gain : g_0; the others follow from the widths
    norms : as of `Activation`
    """

    def __init__(
        self,
        widths: list[int],
        nonlinearity: str,
        gain: float,
        generator: torch.Generator,
        norms: Mapping[str, float] = NORMS,
    ):
        super().__init__()
        self.activation = Activation(nonlinearity, norms)
        self.gains = [gain] + [width**-0.5 for width in widths[1:-1]]
        self.weights = nn.ParameterList(
            nn.Parameter(torch.randn(n_in, n_out, dtype=torch.float64, generator=generator))
            for n_in, n_out in pairwise(widths)
        )

    def forward(self, basis: Tensor) -> Tensor:
        """Weights (n_pairs, n_weights) from the basis (n_pairs, n_basis)."""
        x = basis
        for layer, weight in enumerate(self.weights):
            if layer > 0:
                x = self.activation(x)
            x = x @ (weight * self.gains[layer])
        return x
