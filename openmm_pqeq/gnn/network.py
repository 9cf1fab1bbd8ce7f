"""NequIP: an equivariant network from species and pair vectors to an energy per atom.

    h⁰_i = W[Z_i]                                            embedding
    hᵏ⁺¹ = gate( L_down (1/n̄) Σ_j R(r_ij) ⊙ (L_up hᵏ)_j ⊗ Y(v̂_ij) + W_{Z_i} hᵏ_i )      interactions, convolution.py
    E_i  = scale_{Z_i} · (h_i L_1 L_2) + shift_{Z_i}         readout, eV

v_ij = ± (r_j − r_i): + for `edge_sign="training"`, − for "notebook". The sign is part of a model.
It does not matter where parities are labelled truly, but it does in models that label vectors '1e'
(the published ReaxNet among them).

Batzner et al., Nat. Commun. 13, 2453 (2022), https://doi.org/10.1038/s41467-022-29939-5
"""

from collections.abc import Callable, Mapping
from typing import Self, Sequence

import torch
from torch import Tensor, nn

from openmm_pqeq.gnn.convolution import Interaction, Linear, normal
from openmm_pqeq.gnn.edges import edges_of
from openmm_pqeq.gnn.irreps import irreps_of
from openmm_pqeq.gnn.neighborhood import by_species, neighborhood, species_index
from openmm_pqeq.gnn.paths import EVEN, plan_layers
from openmm_pqeq.gnn.radial import NORMS, RadialBasis, RadialNetwork, basis_gain
from openmm_pqeq.gnn.radial_nodes import NODES, RadialNodes, Stencil
from openmm_pqeq.gnn.spherical import SphericalHarmonics
from openmm_pqeq.gnn.weighted_convolution import native_on
from openmm_pqeq.neighbors.pairs import Pairs, within
from openmm_pqeq.structure import ATOMIC_NUMBERS, SYMBOLS

MOST_FEATURES = 10**5
"""Of an atom, and of a hidden layer."""
LARGEST = {"layers": 100, "r_max": 100.0, "n_basis": 1000, "avg_neighbors": 1e6}
"""Å of r_max; far beyond what a network can be trained with."""


class NequIP(nn.Module):
    """Atomic energies of the short-range part.

    Made in float64; cast with `.to(torch.float32)`. May be differentiated any number of times in
    the vectors (training on forces needs two); across the cutoff the energy has as many continuous
    derivatives as the envelope.

    Parameters
    ----------
    species : element symbols, in the order of the weights
    hidden_irreps : features, such as "32x0e + 16x1o + 8x2e"
    sh_irreps : spherical harmonics, such as "1x0e + 1x1o + 1x2e"
    layers : number of interactions
    r_max : cutoff, Å
    n_basis : radial functions
    radial_hidden : widths of the hidden layers of the radial networks
    avg_neighbors : constant the sum over neighbours is divided by
    edge_sign : "training" (v = r_j − r_i) or "notebook" (r_i − r_j)
    self_connection : whether a layer adds a species-dependent linear map of its input; "shared":
        one that is the same for all species
    nonlinearities : "silu" or "tanh" of even scalars and gates, "tanh" of odd ones
    radial_nonlinearity : "silu" or "tanh"
    envelope : "polynomial" or "xplor", see radial.py
    readout_hidden : width between the two readout layers; default half the even scalars
    scale, shift : eV, of all species or one each
    solid_harmonics : Y(v), which grows as r^l (r in Å), in the place of Y(v̂)
    scalar_bias : whether L_up and L_down add a constant to the even scalars
    activation_norms : {"silu": √⟨silu²⟩, …} of a normal variable, which activations are divided
        by; default: those of radial.py. A model belongs to the estimates it was made with
    seed : of the initial weights
    """

    scale: Tensor
    shift: Tensor
    index_of: Tensor

    def __init__(
        self,
        species: Sequence[str],
        hidden_irreps: str = "32x0e + 16x1o + 8x2e",
        sh_irreps: str = "1x0e + 1x1o + 1x2e",
        layers: int = 3,
        r_max: float = 5.0,
        n_basis: int = 8,
        radial_hidden: Sequence[int] = (64, 64),
        avg_neighbors: float = 30.0,
        edge_sign: str = "training",
        self_connection: bool | str = True,
        nonlinearities: dict[str, str] | None = None,
        radial_nonlinearity: str = "silu",
        envelope: str = "polynomial",
        readout_hidden: int | None = None,
        scale: float | Sequence[float] = 1.0,
        shift: float | Sequence[float] = 0.0,
        solid_harmonics: bool = False,
        scalar_bias: bool = False,
        activation_norms: Mapping[str, float] | None = None,
        seed: int = 0,
    ):
        super().__init__()
        nonlinearities = {"e": "silu", "o": "tanh"} if nonlinearities is None else nonlinearities
        norms = NORMS if activation_norms is None else activation_norms
        self.species = list(species)
        self.cutoff = float(r_max)
        self.sign = _sign(edge_sign)
        self.solid_harmonics = solid_harmonics
        sizes = {
            "layers": layers,
            "r_max": r_max,
            "n_basis": n_basis,
            "avg_neighbors": avg_neighbors,
        }
        _check_irreps(hidden_irreps=hidden_irreps, sh_irreps=sh_irreps)
        _check(self.species, sh_irreps, nonlinearities, sizes)
        _check_widths(radial_hidden, readout_hidden, seed)
        _check_choices(self_connection, norms)
        degrees = [ir.l for _, ir in irreps_of(sh_irreps)]
        plan = plan_layers(hidden_irreps, sh_irreps, layers, bool(self_connection))
        generator = torch.Generator().manual_seed(seed)

        n_species, n_scalars = len(self.species), plan[0].inputs[EVEN]
        self.embedding = normal(n_species, n_scalars, generator=generator)
        self.basis = RadialBasis(r_max, n_basis, envelope)
        kink = self.basis.onset if envelope == "xplor" else None
        self.nodes = RadialNodes(r_max, NODES * n_basis, kink)
        self.harmonics = SphericalHarmonics(degrees)
        self.interactions = nn.ModuleList()
        for layer in plan:
            n_weights = sum(list(layer.inputs.values())[path.input] for path in layer.paths)
            widths = [n_basis, *radial_hidden, n_weights]
            radial = RadialNetwork(
                widths, radial_nonlinearity, basis_gain(self.basis), generator, norms
            )
            self.interactions.append(
                Interaction(
                    layer,
                    degrees,
                    radial,
                    n_species if self_connection else 0,
                    avg_neighbors,
                    nonlinearities,
                    generator,
                    self_connection == "shared",
                    scalar_bias,
                    norms,
                )
            )
        n_last = plan[-1].scalars[EVEN]
        n_readout = max(n_last // 2, 1) if readout_hidden is None else readout_hidden
        self.readout = nn.Sequential(
            Linear(n_last, n_readout, generator), Linear(n_readout, 1, generator)
        )

        self.register_buffer("scale", _per_species("scale", scale, self.species))
        self.register_buffer("shift", _per_species("shift", shift, self.species))
        index_of = torch.full(
            (len(SYMBOLS) + 1,), -1, dtype=torch.int64
        )  # the last entry: anything beyond the table
        index_of[[ATOMIC_NUMBERS[symbol] for symbol in self.species]] = torch.arange(n_species)
        self.register_buffer("index_of", index_of, persistent=False)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        """Scale and shift stay float64: energies of isolated atoms have more digits than
        float32."""
        scale, shift = self.scale, self.shift
        super()._apply(fn, recurse)
        self.scale, self.shift = scale.to(self.scale.device), shift.to(self.shift.device)
        return self

    def species_index(self, numbers: Tensor) -> Tensor:
        """Position in `species` of each atomic number (n_atoms,); raises for one that is not
        there."""
        return species_index(numbers, self.index_of, self.species)

    def forward(self, numbers: Tensor, pairs: Pairs) -> Tensor:
        """Atomic energies (n_atoms,) eV, in the dtype of the pair vectors; computed in the module's
        own.

        numbers : (n_atoms,) atomic numbers
        pairs : all pairs within the cutoff or a larger one
        """
        index = self.species_index(numbers)
        species = by_species(index, len(self.species))
        near = within(pairs, self.cutoff)
        vectors = self.sign * near.vectors.to(self.embedding.dtype)
        distances = vectors.norm(2, dim=1)
        directions = vectors / distances.unsqueeze(1)
        harmonics = self.harmonics(vectors if self.solid_harmonics else directions)
        n_atoms, i, j = numbers.size(0), near.centers, near.neighbors
        features = [self.embedding[index].unsqueeze(1)]
        if native_on(distances):
            edges = edges_of(n_atoms, i, j, distances, harmonics)
            basis, stencil = self.radial(distances)
            for interaction in self.interactions:
                features = interaction.on_edges(features, species, basis, stencil, edges)  # type: ignore[operator]
        else:
            around = neighborhood(n_atoms, i, j, self.basis(distances), harmonics)
            for interaction in self.interactions:
                features = interaction(features, species, around)
        energies = self.readout(features[0]).flatten()
        return (self.scale[index] * energies + self.shift[index]).to(pairs.vectors.dtype)

    def radial(self, distances: Tensor) -> tuple[Tensor, Stencil | None]:
        """The radial basis at distances (n_pairs,) Å; in training in float32, where the pairs are
        more than the nodes that do for them, at the nodes, and where the pairs are between them."""
        nodes = self.nodes.distances
        if self.training and distances.dtype == torch.float32 and distances.size(0) > nodes.size(0):
            return self.basis(nodes), self.nodes(distances)
        return self.basis(distances), None


def _sign(edge_sign: str) -> float:
    signs = {"training": 1.0, "notebook": -1.0}
    if edge_sign not in signs:
        raise ValueError(f"edge_sign must be 'training' or 'notebook', got '{edge_sign}'")
    return signs[edge_sign]


def _check_irreps(hidden_irreps: str, sh_irreps: str) -> None:
    """Irreps that e3nn reads."""
    for name, value in (("hidden_irreps", hidden_irreps), ("sh_irreps", sh_irreps)):
        try:
            n_features = sum(mul * (2 * ir.l + 1) for mul, ir in irreps_of(value))
        except ValueError:
            n_features = 0
        if not 1 <= n_features <= MOST_FEATURES:
            raise ValueError(f"{name}: expected irreps such as 16x0e + 8x1o, got {value!r}")


def _check_widths(radial_hidden: Sequence[int], readout_hidden: int | None, seed: int) -> None:
    """Hidden layers that there can be, and a seed that is no other one's."""
    for name, widths in (("radial_hidden", radial_hidden), ("readout_hidden", [readout_hidden])):
        for width in widths:
            if width is not None and not 1 <= width <= MOST_FEATURES:
                raise ValueError(f"{name}: expected 1 to {MOST_FEATURES} features, got {width}")
    if not 0 <= seed < 2**63:
        raise ValueError(f"seed: expected a whole number from 0, got {seed}")


def _check(
    species: list[str], sh_irreps: str, nonlinearities: dict[str, str], positive: dict[str, float]
) -> None:
    unknown = [symbol for symbol in species if symbol not in ATOMIC_NUMBERS]
    if unknown or len(set(species)) < len(species) or not species:
        raise ValueError(
            f"species must be different element symbols such as ['Ba', 'Ti', 'O'], got {species}"
        )
    if any(mul != 1 for mul, _ in irreps_of(sh_irreps)):
        raise ValueError(
            "sh_irreps must have multiplicity one throughout, such as '1x0e + 1x1o', got "
            f"'{sh_irreps}'"
        )
    if set(nonlinearities) != {"e", "o"} or nonlinearities["o"] != "tanh":
        raise ValueError(
            f"nonlinearities must be {{'e': ..., 'o': 'tanh'}} (odd scalars need an odd function), "
            f"got {nonlinearities}"
        )
    for name, value in positive.items():
        if not 0 < value <= LARGEST[name]:
            raise ValueError(f"{name} must be positive and at most {LARGEST[name]:g}, got {value}")


def _check_choices(self_connection: bool | str, norms: Mapping[str, float]) -> None:
    if self_connection not in (True, False, "shared"):
        raise ValueError(
            f"self_connection must be True, False or 'shared', got {self_connection!r}"
        )
    if not set(norms) <= set(NORMS) or not all(norm > 0 for norm in norms.values()):
        raise ValueError(
            f"activation_norms must be positive numbers of some of {sorted(NORMS)}, got {norms}"
        )


def _per_species(name: str, value: float | Sequence[float], species: list[str]) -> Tensor:
    values = torch.as_tensor(value, dtype=torch.float64)
    if values.dim() > 0 and values.shape != (len(species),):
        raise ValueError(f"{name} must be one number or one for each of {species}, got {value}")
    return values.expand(len(species)).clone()
