"""The network as a term of a potential."""

from collections.abc import Mapping
from typing import Any, Self

from torch import Tensor, nn

from openmm_pqeq.contract import Contribution, dtype_of, made_of, of_atoms
from openmm_pqeq.gnn.inference import InferenceNequIP, can_be_fused
from openmm_pqeq.gnn.network import NequIP
from openmm_pqeq.neighbors.pairs import Pairs
from openmm_pqeq.structure import Structure


class NetworkTerm(nn.Module):
    """Σ_i E_i of a network; a `contract.Term`."""

    __jit_ignored_attributes__ = ("settings",)

    def __init__(self, model: NequIP | InferenceNequIP, settings: Mapping[str, Any]):
        super().__init__()
        self.label = "network"
        self.model = model
        self.settings = dict(settings)
        self.species, self.cutoff = model.species, model.cutoff

    @classmethod
    def from_settings(cls, settings: Mapping[str, Any], species: list[str] | None) -> Self:
        """A `NequIP` with these arguments."""
        if "species" not in settings:
            raise ValueError(
                "config['gnn']: species is missing; give the element symbols the network is for"
            )
        return cls(made_of("gnn", NequIP, settings), settings)

    def forward(self, structure: Structure, pairs: Pairs, unstrained: Tensor) -> Contribution:
        """Differentiable as the network is."""
        return of_atoms(self.model(structure.numbers, pairs), structure)

    def in_precision(self, precision: str) -> Self:
        """Weights in float64 or float32."""
        self.model.to(dtype_of(precision))
        return self

    def for_inference(self, skin: float) -> "NetworkTerm":
        """Fused, for the precision it has now, where the native operators are there."""
        if isinstance(self.model, NequIP) and can_be_fused(self.model):
            return NetworkTerm(InferenceNequIP(self.model), self.settings)
        return self
