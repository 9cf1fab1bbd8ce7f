"""The potential: structure → pairs → terms → energy.

    E(r, Z, cell; Q, F) = Σ_terms E_term,
    such as Σ_i E_i (network) + E_PQEq (charges, shells, field) + E_D3

`build` makes one from a plain config; `checkpoint.load` from a file; `terms.TERMS` lists what may
be summed. Energies in eV, forces in eV/Å by autograd, stress σ = (1/V) ∂E/∂ε in eV/Å³ from a strain
that acts on positions and cell alike. Any subset of the terms will do.
"""

import copy
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn

from openmm_pqeq.contract import Term
from openmm_pqeq.d3 import D3
from openmm_pqeq.finite import check_energy, check_forces
from openmm_pqeq.gnn import NequIP
from openmm_pqeq.gradients import make_ordinary, ordinary_structure, recorded
from openmm_pqeq.jobs.values import one_of
from openmm_pqeq.limits import Limits
from openmm_pqeq.neighbors.pairs import check_distances
from openmm_pqeq.neighbors.search import NeighborSearch
from openmm_pqeq.neighbors.verlet import SKIN
from openmm_pqeq.pqeq import COUPLINGS, Groups, PQEq
from openmm_pqeq.pqeq.term import ChargeTerm
from openmm_pqeq.structure import ATOMIC_NUMBERS, SYMBOLS, Structure, deformed
from openmm_pqeq.terms import TERMS, make_terms

PRECISIONS = ("double", "mixed", "single")

CLOSE = 1.0
"""Å; pairs so close are always searched, so that atoms at the same place are seen and refused."""


class Output(NamedTuple):
    """energy (n_structures,) eV; terms: name → (n_structures,) eV; atomic_energies (n_atoms,) eV of
    all terms but PQEq; charges (n_atoms,) e; shells (n_atoms, 3) Å; dipole (n_structures, 3) e Å
    (all zero without PQEq)."""

    energy: Tensor
    terms: dict[str, Tensor]
    atomic_energies: Tensor
    charges: Tensor
    shells: Tensor
    dipole: Tensor


class Evaluation(NamedTuple):
    """An `Output` without derivatives attached, with forces (n_atoms, 3) eV/Å and stress
    (n_structures, 3, 3) eV/Å³ where asked for."""

    energy: Tensor
    terms: dict[str, Tensor]
    atomic_energies: Tensor
    charges: Tensor
    shells: Tensor
    dipole: Tensor
    forces: Tensor | None
    stress: Tensor | None


class Potential(nn.Module):
    """A sum of terms.

    Parameters
    ----------
    terms : by name, in the order of their sum
    skin : Å; above zero the list of neighbours is kept from call to call

    `limits` is what it is for, as the card of its file says.
    """

    limits: Limits
    __jit_ignored_attributes__ = ("limits",)
    __jit_unused_properties__ = ("gnn", "pqeq", "d3", "config")

    def __init__(self, terms: Mapping[str, Term], skin: float = 0.0):
        super().__init__()
        self.limits = Limits()
        self.terms = nn.ModuleDict(cast(Mapping[str, nn.Module], terms))
        cutoff = max(CLOSE, *(term.cutoff for term in terms.values()))
        self.search = NeighborSearch(cutoff, skin)
        self.species = [s for s in SYMBOLS[1:] if all(s in term.species for term in terms.values())]

    def forward(self, structure: Structure, strain: Tensor | None = None) -> Output:
        """Energies, charges and shells of a batch of structures, differentiable in positions, cell,
        field and strain.

        strain : (n_structures, 3, 3); positions and cell become r(1 + ε), for the stress
        """
        unstrained = structure.positions
        if strain is not None:
            structure = deformed(structure, strain)
        pairs = self.search(structure)
        check_distances(pairs, structure.numbers)
        energy = structure.positions.new_zeros([structure.cell.size(0)])
        atomic_energies = structure.positions.new_zeros([structure.numbers.size(0)])
        charges = torch.zeros_like(atomic_energies)
        shells, dipole = torch.zeros_like(structure.positions), torch.zeros_like(structure.field)
        terms: dict[str, Tensor] = {}
        for name, term in self.terms.items():
            part = term(structure, pairs, unstrained)
            terms[name] = part.energy
            energy = energy + part.energy
            atomic_energies = atomic_energies + part.atomic_energies
            charges, shells = charges + part.charges, shells + part.shells
            dipole = dipole + part.dipole
        return Output(energy, terms, atomic_energies, charges, shells, dipole)

    def evaluate(
        self, structure: Structure, forces: bool = True, stress: bool = False
    ) -> Evaluation:
        """Energies with forces and stress, detached; also inside `torch.inference_mode` and
        `torch.no_grad`.

        Raises ValueError for atoms at the same place, a structure the terms are not for, or the
        stress of one without a volume, RuntimeError where charges do not converge, or an energy or force is not finite.
        """
        if stress and bool((torch.linalg.det(structure.cell) == 0).any()):
            raise ValueError(
                "stress: expected structures with a volume, got one without three lattice "
                "vectors; leave stress out, or give it a cell"
            )
        with recorded(forces or stress):
            make_ordinary(self)
            structure = ordinary_structure(structure)
            structure = structure._replace(
                positions=structure.positions.detach().requires_grad_(forces or stress)
            )
            strain = None
            if stress:
                strain = torch.zeros_like(structure.cell).requires_grad_(True)
            output = self(structure, strain)
            parts = [output.atomic_energies.detach(), output.charges.detach()]
            check_energy(output.energy.detach(), parts, structure.numbers)
            force_values, stress_values = None, None
            if forces or stress:
                wanted = [structure.positions] if strain is None else [structure.positions, strain]
                slopes = self._slopes(output.energy.sum(), wanted, structure)
                force_values = -slopes[0]
                check_forces(force_values, structure.numbers)
                if stress:
                    volume = torch.linalg.det(structure.cell).abs().reshape(-1, 1, 1)
                    stress_values = 0.5 * (slopes[1] + slopes[1].transpose(1, 2)) / volume
        values = {
            name: value.detach() for name, value in output._asdict().items() if name != "terms"
        }
        terms = {name: value.detach() for name, value in output.terms.items()}
        return Evaluation(**values, terms=terms, forces=force_values, stress=stress_values)

    @property
    def gnn(self) -> NequIP | None:
        """The network, if there is one; fused in a compiled potential."""
        return cast(NequIP | None, self._model("gnn"))

    @property
    def pqeq(self) -> PQEq | None:
        """The charges, if there are any."""
        return cast(PQEq | None, self._model("pqeq"))

    @property
    def d3(self) -> D3 | None:
        """The dispersion, if there is one; an `InferenceD3` in a compiled potential."""
        return cast(D3 | None, self._model("d3"))

    @property
    def config(self) -> dict[str, dict[str, Any]]:
        """The config from which `build` makes this potential; kept in files."""
        return {name: dict(term.settings) for name, term in self._terms().items()}

    @recorded()
    def select(self, *terms: str) -> "Potential":
        """A copy with only the named terms."""
        present = ", ".join(self.terms)
        for name in terms:
            if name not in self.terms:
                raise ValueError(f"select: no term {name!r} here; this potential has {present}")
        if not terms:
            raise ValueError(f"select: name at least one of {present}")
        return self._with({n: term for n, term in self._copies().items() if n in terms})

    @recorded()
    def configured(
        self,
        coupling: str | None = None,
        tolerance: float | None = None,
        protocol: str | None = None,
        precision: str | None = None,
        groups: Groups | None = None,
        elements: Sequence[str] | None = None,
    ) -> "Potential":
        """A copy with other settings.

        coupling : how a field enters the charge solution, "shell", "full" or "fragment"
        tolerance : of the charge solution, eV/e and eV/Å
        protocol : "ewald", "pme" or "direct", where the potential was made for one of them
        precision : "double", "mixed" (network, sums over pairs of other terms and pair kernels of
            the charges float32; the rest float64) or "single"
        groups : fragments and electrodes of the one structure that the copy is for, from
            `groups_of`
        elements : of the structures that the copy is for; charges by bonds need no longer lists of
            neighbours than these have bonds
        """
        for name, value, choices in (
            ("coupling", coupling, COUPLINGS),
            ("precision", precision, PRECISIONS),
        ):
            if value is not None:
                one_of(name, value, choices)
        if protocol is not None and self.pqeq is None:
            raise ValueError(
                "protocol: this potential has no charges (no PQEq term), so there is none to choose, "
                f"and {protocol!r} came; leave it away"
            )
        terms = self._copies()
        for name, term in terms.items():
            if isinstance(term, ChargeTerm):
                terms[name] = term.configured(coupling, tolerance, protocol, groups, elements)
            if precision is not None:
                terms[name] = terms[name].in_precision(precision)
        return self._with(terms)

    def with_dispersion(self, functional: str = "pbe") -> "Potential":
        """A copy with D3(BJ) added, for energies of this functional that have no dispersion."""
        if "d3" in self.terms:
            raise ValueError(
                "with_dispersion: this potential has D3 already "
                f"({self.config['d3'].get('functional', 'with its own parameters')})"
            )
        beside = None if self.gnn is None else self.gnn.species
        added = TERMS["d3"].from_settings({"damping": "bj", "functional": functional}, beside)
        terms = {**self._copies(), "d3": added}
        return self._with({name: terms[name] for name in TERMS if name in terms})

    @recorded()
    def compile_for_inference(self) -> "Potential":
        """A faster copy with equal numbers, for evaluation only, whose charge solver starts from
        its last solutions, and which keeps lists of neighbours as long as they hold. The sweeps of
        the protocol `reaxnet` meet each pair once and form no matrix.

        Where the native operators are there, the network becomes an `InferenceNequIP`, for the
        precision it has now, and D3 an `InferenceD3`. They may be differentiated once, and they
        cannot be saved as a model: save the original. The energy has derivatives in positions,
        cell, field and strain; in those of the dipole charges and shells are held fixed.
        """
        fast = {name: term.for_inference(SKIN) for name, term in self._copies().items()}
        return self._with(fast, SKIN).eval().requires_grad_(False)

    def check_elements(self, numbers: Any) -> None:
        """ValueError that names the elements which this potential does not know; a warning for
        those that its card leaves out."""
        unknown = sorted({int(n) for n in numbers} - {ATOMIC_NUMBERS[s] for s in self.species})
        if unknown:
            names = ", ".join(
                SYMBOLS[n] if 0 < n < len(SYMBOLS) else f"atomic number {n}" for n in unknown
            )
            known = (
                ", ".join(self.species)
                if len(self.species) < 20
                else f"{len(self.species)} other elements"
            )
            raise ValueError(
                f"elements: this potential does not know {names}; it knows {known}. Use a model "
                "made for these elements"
            )
        self.limits.warn_of_elements(SYMBOLS[int(n)] for n in numbers)

    def _slopes(self, energy: Tensor, wanted: list[Tensor], structure: Structure) -> list[Tensor]:
        """∂E/∂x of positions, and of the strain. It is zero without a derivative for atoms that
        have no neighbours, whose energy depends on neither; anywhere else a term has lost it."""
        found: list[Tensor | None] = [None] * len(wanted)
        if energy.requires_grad:
            found = list(torch.autograd.grad([energy], wanted, allow_unused=True))
        if any(slope is None for slope in found) and len(self.search(structure).centers) > 0:
            raise RuntimeError(
                "potential: atoms have neighbours, and the energy has no derivative in their "
                "positions; a term computes it without recording, so that there are no forces"
            )
        return [torch.zeros_like(x) if slope is None else slope for slope, x in zip(found, wanted)]

    def _terms(self) -> dict[str, Term]:
        return cast(dict[str, Term], dict(self.terms.items()))

    def _copies(self) -> dict[str, Term]:
        make_ordinary(self)
        return {name: copy.deepcopy(term) for name, term in self._terms().items()}

    def _model(self, name: str) -> nn.Module | None:
        return cast(nn.Module, self.terms[name].model) if name in self.terms else None

    def _with(self, terms: Mapping[str, Term], skin: float | None = None) -> "Potential":
        """A potential of these terms, in the mode and on the device of this one."""
        made = Potential(terms, self.search.skin if skin is None else skin).train(self.training)
        made.limits = self.limits
        for tensor in (*self.parameters(), *self.buffers()):
            return made.to(tensor.device)
        return made


@recorded()
def build(config: Mapping[str, Mapping[str, Any]]) -> Potential:
    """A potential from a plain config: any subset of `terms.TERMS`, such as "gnn", "pqeq" and "d3",
    each with the keys of its class.

    >>> build({"pqeq": {"protocol": "ewald", "parameters": "pqeq1"}}).species
    ['H', 'C', 'N', 'O', 'F', 'Si', 'P', 'S', 'Cl']

    Raises ValueError for an unknown term, key, protocol, coupling, functional or parameter set.
    """
    return Potential(make_terms(config)).eval()
