"""PQEq as a term of a potential: its settings checked, and changed in a copy."""

from collections.abc import Mapping, Sequence
from typing import Any, Self

import torch
from torch import Tensor, nn

from openmm_pqeq.contract import Contribution, made_of
from openmm_pqeq.neighbors.pairs import Pairs
from openmm_pqeq.pqeq.field_energy import FieldEnergy
from openmm_pqeq.pqeq.groups import Groups
from openmm_pqeq.pqeq.model import PQEq
from openmm_pqeq.pqeq.parameters import as_mapping, resolve_parameters
from openmm_pqeq.pqeq.settings import check_settings, check_switch
from openmm_pqeq.start.short_pieces import ShortPieces
from openmm_pqeq.structure import Structure

BESIDES = ("energy", "reference_charges")
"""Settings of the term that its PQEq does not have."""


class ChargeTerm(nn.Module):
    """Energy, charges and shells of a PQEq; a `contract.Term`.

    elements : of the structures to come, which decide how long bonds may be; default: all it knows
    """

    __jit_ignored_attributes__ = ("settings", "elements")

    def __init__(
        self, model: PQEq, settings: Mapping[str, Any], elements: Sequence[str] | None = None
    ):
        super().__init__()
        self.label = "charges"
        self.model = model
        self.settings = dict(settings)
        self.species = model.species
        self.elements = list(model.species if elements is None else elements)
        # the sweeps of a compiled one have a list of their own
        reach = max(model.cutoff, model.longest_bond(self.elements))
        self.cutoff = 0.0 if model.swept is not None else reach

    @classmethod
    def from_settings(cls, settings: Mapping[str, Any], species: list[str] | None) -> Self:
        """With a `PQEq` of these arguments; `parameters` a mapping, the path of a table, or the
        name of a published set; `energy` "all", or "field" for a `FieldEnergy`;
        `reference_charges` by element (e), which the doors take where nobody gives others."""
        check_settings(settings)
        parameters = resolve_parameters(settings.get("parameters", "reaxnet"))
        kind = FieldEnergy if settings.get("energy") == "field" else PQEq
        model = made_of("pqeq", kind, {**settings, "parameters": parameters}, BESIDES)
        return cls(model, {**settings, "parameters": as_mapping(parameters)})

    def forward(self, structure: Structure, pairs: Pairs, unstrained: Tensor) -> Contribution:
        """Differentiable as the PQEq is."""
        with ShortPieces(structure.numbers.size(0)):
            solution = self.model(structure, pairs, unstrained)
        return Contribution(
            solution.energy,
            torch.zeros_like(solution.charges),
            solution.charges,
            solution.shells,
            solution.dipole,
        )

    @torch.jit.export
    def products(self) -> int:
        """Hessian–vector products of the last solution of a form for inference."""
        if self.model.swept is not None:
            return int(self.model.swept.products)
        return int(self.model.memory.products)

    def in_precision(self, precision: str) -> Self:
        """Products with the pair kernels in float64 or float32; parameters stay float64."""
        self.model.set_precision(precision)
        return self

    def for_inference(self, skin: float) -> "ChargeTerm":
        """Solutions begin where the last ones ended; the sweeps of `reaxnet` meet each pair once and
        form no matrix."""
        self.model.prepare_for_dynamics(skin)
        return ChargeTerm(self.model, self.settings, self.elements)

    def configured(
        self,
        coupling: str | None,
        tolerance: float | None,
        protocol: str | None,
        groups: Groups | None,
        elements: Sequence[str] | None = None,
    ) -> "ChargeTerm":
        """A new one with other settings, or for structures of these elements, where they are given;
        its solutions begin from nothing."""
        if protocol is not None:
            check_switch(self.model.protocol, protocol)
        given = {"coupling": coupling, "tolerance": tolerance, "protocol": protocol}
        changed = {name: value for name, value in given.items() if value is not None}
        made = ChargeTerm.from_settings(self.settings | changed, None)
        made = ChargeTerm(
            made.model, made.settings, self.elements if elements is None else elements
        )
        made.model.set_groups(self.model.groups() if groups is None else groups)
        made.model.set_precision(self.model.precision)
        return made
