"""PQEq as a term of a potential: its settings checked, and changed in a copy."""

from collections.abc import Mapping
from typing import Any, Self

import torch
from torch import Tensor, nn

from openmm_pqeq.contract import Contribution, check_choice, made_of
from openmm_pqeq.neighbors.pairs import Pairs
from openmm_pqeq.pqeq.coupling import COUPLINGS
from openmm_pqeq.pqeq.groups import Groups
from openmm_pqeq.pqeq.model import PROTOCOLS, PQEq
from openmm_pqeq.pqeq.parameters import as_mapping, resolve_parameters
from openmm_pqeq.structure import Structure

CONVERGED_PROTOCOLS = ("ewald", "pme", "direct")
"""Those that give the same energies."""


class ChargeTerm(nn.Module):
    """Energy, charges and shells of a PQEq; a `contract.Term`."""

    def __init__(self, model: PQEq, settings: Mapping[str, Any]):
        super().__init__()
        self.label = "charges"
        self.model = model
        self.settings = dict(settings)
        # the sweeps of a compiled one have a list of their own
        self.species, self.cutoff = model.species, 0.0 if model.swept is not None else model.cutoff

    @classmethod
    def from_settings(cls, settings: Mapping[str, Any], species: list[str] | None) -> Self:
        """With a `PQEq` of these arguments; `parameters` a mapping, the path of a table, or the
        name of a published set."""
        _check(settings)
        parameters = resolve_parameters(settings.get("parameters", "reaxnet"))
        model = made_of("pqeq", PQEq, {**settings, "parameters": parameters})
        return cls(model, {**settings, "parameters": as_mapping(parameters)})

    def forward(self, structure: Structure, pairs: Pairs, unstrained: Tensor) -> Contribution:
        """Differentiable as the PQEq is."""
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
        self.model.lattice.float32_products = precision != "double"
        return self

    def for_inference(self, skin: float) -> "ChargeTerm":
        """Solutions begin where the last ones ended; the sweeps of `reaxnet` meet each pair once and
        form no matrix."""
        self.model.prepare_for_dynamics(skin)
        return ChargeTerm(self.model, self.settings)

    def configured(
        self,
        coupling: str | None,
        tolerance: float | None,
        protocol: str | None,
        groups: Groups | None,
    ) -> "ChargeTerm":
        """A new one with other settings where they are given; its solutions begin from nothing."""
        if protocol is not None:
            _check_switch(self.model.protocol, protocol)
        given = {"coupling": coupling, "tolerance": tolerance, "protocol": protocol}
        changed = {name: value for name, value in given.items() if value is not None}
        made = ChargeTerm.from_settings(self.settings | changed, None)
        old, new = self.model, made.model
        new.lattice.float32_products = old.lattice.float32_products
        new.group_of_atom, new.group_charge, new.group_first, new.voltage = (
            groups
            if groups is not None
            else (old.group_of_atom, old.group_charge, old.group_first, old.voltage)
        )
        return made


def _check(settings: Mapping[str, Any]) -> None:
    check_choice("protocol", settings.get("protocol", "reaxnet"), PROTOCOLS)
    check_choice("coupling", settings.get("coupling", "shell"), COUPLINGS)
    for name in ("cutoff", "tolerance", "sweeps", "max_shell", "mesh_spacing"):
        value = settings.get(name)
        if value is not None and not (
            isinstance(value, (int, float)) and value > 0 and value == value
        ):
            raise ValueError(f"{name}: expected a positive number, got {value!r}")
    if settings.get("protocol", "reaxnet") != "reaxnet":
        for name in ("sweeps", "stop_gradient"):
            if name in settings:
                raise ValueError(
                    f"{name}: belongs to the protocol 'reaxnet' alone, not to "
                    f"{settings['protocol']!r}; remove it"
                )


def _check_switch(made_for: str, wanted: str) -> None:
    check_choice("protocol", wanted, PROTOCOLS)
    if wanted != made_for and not {wanted, made_for} <= set(CONVERGED_PROTOCOLS):
        raise ValueError(
            f"protocol: this model was made for {made_for!r} and cannot be evaluated with "
            f"{wanted!r}; only {' and '.join(CONVERGED_PROTOCOLS)} may stand for each other"
        )
