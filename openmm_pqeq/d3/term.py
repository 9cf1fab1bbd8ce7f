"""D3 as a term of a potential. It reaches farther than the others, who would otherwise sift through
its pairs: it has a search of its own."""

from collections.abc import Mapping
from typing import Any, Self

from torch import Tensor, nn

from openmm_pqeq import ops
from openmm_pqeq.contract import Contribution, dtype_of, made_of, of_atoms
from openmm_pqeq.d3.inference import InferenceD3
from openmm_pqeq.d3.model import D3
from openmm_pqeq.neighbors.half_list import KeptSearch
from openmm_pqeq.neighbors.pairs import Pairs
from openmm_pqeq.neighbors.search import NeighborSearch
from openmm_pqeq.start.short_pieces import ShortPieces
from openmm_pqeq.structure import Structure


class DispersionTerm(nn.Module):
    """Σ_i E_i of a D3 with the search for its pairs; a `contract.Term`.

    skin : Å, of the list of neighbours; 0: none is kept
    """

    __jit_ignored_attributes__ = ("settings",)

    def __init__(self, model: D3 | InferenceD3, settings: Mapping[str, Any], skin: float = 0.0):
        super().__init__()
        self.label = "dispersion"
        self.model = model
        search = KeptSearch if isinstance(model, InferenceD3) else NeighborSearch
        self.search = search(model.cutoff, skin)
        self.settings = dict(settings)
        self.species, self.cutoff = model.species, 0.0

    @classmethod
    def from_settings(cls, settings: Mapping[str, Any], species: list[str] | None) -> Self:
        """With a `D3` of these arguments, its tables of the network's elements alone unless they
        say otherwise."""
        if species is not None:
            settings = {"species": list(species), **settings}
        return cls(made_of("d3", D3, settings), settings)

    def forward(self, structure: Structure, pairs: Pairs, unstrained: Tensor) -> Contribution:
        """Differentiable as the D3 is; `pairs` are not read."""
        with ShortPieces(structure.numbers.size(0)):
            energies = self.model(structure, self.search(structure))
        return of_atoms(energies, structure)

    def in_precision(self, precision: str) -> Self:
        """Tables in float64 or float32."""
        self.model.to(dtype_of(precision))
        return self

    def for_inference(self, skin: float) -> "DispersionTerm":
        """With an `InferenceD3` where the native operator is there, and a list that is kept."""
        model = self.model
        if isinstance(model, D3) and ops.available("dispersion"):
            model = InferenceD3(model)
        return DispersionTerm(model, self.settings, skin)
