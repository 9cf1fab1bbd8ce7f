"""The potential: structure → pairs → {GNN, PQEq, D3} → energy.

    E(r, Z, cell; Q, F) = Σ_i E0_i (network) + E_PQEq (charges, shells, field) + E_D3

`build` makes one from a plain config; `checkpoint.load` from a file. Energies in eV, forces in eV/Å
by autograd, stress σ = (1/V) ∂E/∂ε in eV/Å³ from a strain that acts on positions and cell alike.
Any subset of the terms will do.
"""

import copy
import inspect
from typing import Any, Mapping, NamedTuple

import torch
from torch import Tensor, nn

from openmm_pqeq import ops
from openmm_pqeq.d3.inference import InferenceD3
from openmm_pqeq.d3.model import D3
from openmm_pqeq.gnn import InferenceNequIP, NequIP, can_be_fused
from openmm_pqeq.neighbors.half_list import KeptSearch
from openmm_pqeq.neighbors.pairs import Pairs
from openmm_pqeq.neighbors.search import NeighborSearch
from openmm_pqeq.neighbors.verlet import SKIN
from openmm_pqeq.pqeq import (
    COUPLINGS,
    Groups,
    PQEq,
    as_mapping,
    check_choice,
    check_settings,
    check_switch,
    resolve_parameters,
)
from openmm_pqeq.structure import ATOMIC_NUMBERS, SYMBOLS, Structure

TERMS = ("gnn", "pqeq", "d3")
PRECISIONS = ("double", "mixed", "single")


class Output(NamedTuple):
    """energy (n_structures,) eV; terms: "gnn", "pqeq", "d3" → (n_structures,) eV; atomic_energies
    (n_atoms,) eV of network and D3; charges (n_atoms,) e; shells (n_atoms, 3) Å; dipole
    (n_structures, 3) e Å (all zero without PQEq)."""

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
    """A sum of terms, each of which may be absent.

    Parameters
    ----------
    gnn, pqeq, d3 : the terms, or None
    config : what `build` made them from; kept in checkpoints
    """

    def __init__(
        self,
        gnn: NequIP | None,
        pqeq: PQEq | None,
        d3: D3 | None,
        config: dict[str, dict[str, Any]],
    ):
        super().__init__()
        self.gnn, self.pqeq, self.d3 = gnn, pqeq, d3
        self.config = config
        self.single = False
        self.gnn_cutoff = gnn.cutoff if gnn is not None else 0.0
        self.pqeq_cutoff = pqeq.cutoff if pqeq is not None else 0.0
        cutoff = max(self.gnn_cutoff, self.pqeq_cutoff)
        self.search = NeighborSearch(max(cutoff, 1.0))
        # D3 reaches farther than the others, who would otherwise sift through its pairs
        dispersion_cutoff = d3.cutoff if d3 is not None else 1.0
        self.dispersion_search = (
            KeptSearch(dispersion_cutoff)
            if isinstance(d3, InferenceD3)
            else NeighborSearch(dispersion_cutoff)
        )
        self.species = [
            s
            for s in SYMBOLS[1:]
            if all(s in term.species for term in (gnn, pqeq, d3) if term is not None)
        ]

    def forward(self, structure: Structure, strain: Tensor | None = None) -> Output:
        """Energies, charges and shells of a batch of structures, differentiable in positions, cell,
        field and strain.

        strain : (n_structures, 3, 3); positions and cell become r(1 + ε), for the stress
        """
        unstrained = structure.positions
        if strain is not None:
            structure = deformed(structure, strain)
        positions, batch = structure.positions, structure.batch
        n_atoms, n_structures = positions.size(0), structure.cell.size(0)
        zeros = torch.zeros(n_structures, dtype=positions.dtype, device=positions.device)
        atomic = torch.zeros(n_atoms, dtype=positions.dtype, device=positions.device)
        charges, shells = torch.zeros_like(atomic), torch.zeros_like(positions)
        dipole = torch.zeros(n_structures, 3, dtype=positions.dtype, device=positions.device)
        energy = zeros
        terms: dict[str, Tensor] = {}
        pairs = self.search(structure)
        check_distances(pairs, structure.numbers)
        if self.gnn is not None:
            network = self.gnn(structure.numbers, pairs).to(positions.dtype)
            terms["gnn"] = zeros.index_add(0, batch, network)
            atomic, energy = atomic + network, energy + terms["gnn"]
        if self.pqeq is not None:
            solution = self.pqeq(structure, pairs, unstrained)
            terms["pqeq"] = solution.energy
            charges, shells, dipole = solution.charges, solution.shells, solution.dipole
            energy = energy + solution.energy
        if self.d3 is not None:
            dispersion = self.d3(structure, self.dispersion_search(structure)).to(positions.dtype)
            terms["d3"] = zeros.index_add(0, batch, dispersion)
            atomic, energy = atomic + dispersion, energy + terms["d3"]
        return Output(energy, terms, atomic, charges, shells, dipole)

    @torch.jit.unused
    def evaluate(
        self, structure: Structure, forces: bool = True, stress: bool = False
    ) -> Evaluation:
        """Energies with forces and stress, detached.

        Raises ValueError for atoms at the same place or a structure the terms are not for,
        RuntimeError where charges do not converge.
        """
        structure = structure._replace(
            positions=structure.positions.detach().requires_grad_(forces or stress)
        )
        strain = None
        if stress:
            strain = torch.zeros_like(structure.cell).requires_grad_(True)
        with torch.set_grad_enabled(forces or stress):
            output = self(structure, strain)
        force_values, stress_values = None, None
        if forces or stress:
            wanted = [structure.positions] if strain is None else [structure.positions, strain]
            slopes = [torch.zeros_like(w) for w in wanted]
            if output.energy.requires_grad:
                found = torch.autograd.grad([output.energy.sum()], wanted, allow_unused=True)
                slopes = [zero if slope is None else slope for slope, zero in zip(found, slopes)]
            force_values = -slopes[0]
            if stress:
                volume = torch.linalg.det(structure.cell).abs().reshape(-1, 1, 1)
                stress_values = 0.5 * (slopes[1] + slopes[1].transpose(1, 2)) / volume
        return Evaluation(
            output.energy.detach(),
            {name: value.detach() for name, value in output.terms.items()},
            output.atomic_energies.detach(),
            output.charges.detach(),
            output.shells.detach(),
            output.dipole.detach(),
            force_values,
            stress_values,
        )

    @torch.jit.unused
    def select(self, *terms: str) -> "Potential":
        """The same potential with only the named terms."""
        for name in terms:
            if name not in TERMS or getattr(self, name) is None:
                present = [term for term in TERMS if getattr(self, term) is not None]
                raise ValueError(
                    f"select: no term {name!r} here; this potential has {', '.join(present)}"
                )
        if not terms:
            raise ValueError(
                "select: name at least one of "
                f"{', '.join(t for t in TERMS if getattr(self, t) is not None)}"
            )
        parts = [copy.deepcopy(getattr(self, name)) if name in terms else None for name in TERMS]
        config = {name: values for name, values in self.config.items() if name in terms}
        selected = Potential(parts[0], parts[1], parts[2], config)
        selected.single = self.single
        return selected.train(self.training)

    @torch.jit.unused
    def configured(
        self,
        coupling: str | None = None,
        tolerance: float | None = None,
        protocol: str | None = None,
        precision: str | None = None,
        groups: Groups | None = None,
    ) -> "Potential":
        """A copy with other settings.

        coupling : how a field enters the charge solution, "shell", "full" or "fragment"
        tolerance : of the charge solution, eV/e and eV/Å
        protocol : "ewald", "pme" or "direct", where the potential was made for one of them
        precision : "double", "mixed" (network, D3 and pair kernels float32; the rest float64) or
            "single"
        groups : fragments and electrodes of the one structure that the copy is for, from
            `groups_of`
        """
        config = copy.deepcopy(self.config)
        for name, value in (
            ("coupling", coupling),
            ("tolerance", tolerance),
            ("protocol", protocol),
        ):
            if value is not None and self.pqeq is not None:
                config["pqeq"][name] = value
        if protocol is not None and self.pqeq is not None:
            check_switch(self.pqeq.protocol, protocol)
        check_choice("coupling", coupling, COUPLINGS)
        check_choice("precision", precision, PRECISIONS)
        pqeq = None
        if self.pqeq is not None:
            check_settings(config["pqeq"])
            pqeq = _build_pqeq(config["pqeq"])
            pqeq.set_groups(self.pqeq.groups() if groups is None else groups)
            pqeq.set_precision(self.pqeq.precision if precision is None else precision)
        made = Potential(copy.deepcopy(self.gnn), pqeq, copy.deepcopy(self.d3), config)
        made.single = self.single
        made.train(self.training)
        if precision is not None:
            kernels = torch.float64 if precision == "double" else torch.float32
            made.single = precision == "single"
            if made.gnn is not None:
                made.gnn.to(kernels)
            if made.d3 is not None:
                made.d3.to(kernels)
        return made.to(_device_of(self))

    @torch.jit.unused
    def compile_for_inference(self) -> "Potential":
        """The same numbers, faster: a copy for evaluation only, whose charge solver starts from its
        last solutions, and which keeps lists of neighbours as long as they hold. The sweeps of the
        protocol `reaxnet` meet each pair once and form no matrix.

        Where the native operators are there, the network becomes an `InferenceNequIP`, for the
        precision it has now, and D3 an `InferenceD3`. They may be differentiated once, and they
        cannot be saved as a model: save the original. The energy has derivatives in positions,
        cell, field and strain; in those of the dipole charges and shells are held fixed.
        """
        compiled = copy.deepcopy(self).eval().requires_grad_(False)
        if isinstance(compiled.gnn, NequIP) and can_be_fused(compiled.gnn):
            compiled.add_module("gnn", InferenceNequIP(compiled.gnn))
        if compiled.pqeq is not None:
            compiled.pqeq.prepare_for_dynamics(SKIN)
        device = _device_of(self)
        shared = (
            self.gnn_cutoff
            if compiled.pqeq is not None and compiled.pqeq.swept is not None
            else self.search.cutoff
        )
        compiled.add_module("search", NeighborSearch(max(shared, 1.0), SKIN))
        if compiled.d3 is not None:
            if isinstance(compiled.d3, D3) and ops.available("dispersion"):
                compiled.add_module("d3", InferenceD3(compiled.d3))
            search = KeptSearch if isinstance(compiled.d3, InferenceD3) else NeighborSearch
            compiled.add_module("dispersion_search", search(self.dispersion_search.cutoff, SKIN))
        return compiled.to(device)

    @torch.jit.unused
    def check_elements(self, numbers: Any) -> None:
        """ValueError that names the elements which this potential does not know."""
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


def deformed(structure: Structure, strain: Tensor) -> Structure:
    """The structure under a homogeneous strain (n_structures, 3, 3): every vector v becomes v(1 +
    ε)."""
    positions = structure.positions
    stretched = positions + torch.matmul(positions.unsqueeze(1), strain[structure.batch]).squeeze(1)
    cell = structure.cell + torch.matmul(structure.cell, strain)
    return Structure(
        stretched,
        structure.numbers,
        cell,
        structure.pbc,
        structure.batch,
        structure.total_charge,
        structure.field,
    )


def check_distances(pairs: Pairs, numbers: Tensor, shortest: float = 0.05) -> None:
    """ValueError where two atoms are closer than `shortest` (Å)."""
    close = torch.nonzero(pairs.distances < shortest).squeeze(1)
    if close.size(0) > 0:
        i, j = int(pairs.centers[close[0]]), int(pairs.neighbors[close[0]])
        distance = float(pairs.distances[close[0]].detach())
        raise ValueError(
            f"positions: atoms {i} and {j} (atomic numbers {int(numbers[i])} and "
            f"{int(numbers[j])}) are {distance} Å apart;"
            " two atoms cannot be at the same place: remove one, or check the cell and the units"
        )


def build(config: Mapping[str, Mapping[str, Any]]) -> Potential:
    """A potential from a plain config: terms "gnn", "pqeq", "d3" (any subset), each with the keys
    of its class.

    >>> build({"pqeq": {"protocol": "ewald", "parameters": "pqeq1"}}).species
    ['H', 'C', 'N', 'O', 'F', 'Si', 'P', 'S', 'Cl']

    Raises ValueError for an unknown term, key, protocol, coupling, functional or parameter set.
    """
    if not isinstance(config, Mapping) or not config:
        raise ValueError(
            f"config: expected a mapping with one or more of {', '.join(TERMS)}; got {config!r}"
        )
    for name, values in config.items():
        if name not in TERMS:
            raise ValueError(f"config: no term {name!r}; the terms are {', '.join(TERMS)}")
        if not isinstance(values, Mapping):
            raise ValueError(f"config[{name!r}]: expected a mapping of settings, got {values!r}")
    complete: dict[str, dict[str, Any]] = {
        name: dict(config[name]) for name in TERMS if name in config
    }
    gnn = d3 = pqeq = None
    if "gnn" in complete:
        if "species" not in complete["gnn"]:
            raise ValueError(
                "config['gnn']: species is missing; give the element symbols the network is for"
            )
        gnn = _construct("gnn", NequIP, complete["gnn"])
    if "pqeq" in complete:
        settings = complete["pqeq"]
        check_settings(settings)
        settings["parameters"] = as_mapping(
            resolve_parameters(settings.get("parameters", "reaxnet"))
        )
        pqeq = _build_pqeq(settings)
    if "d3" in complete:
        if "gnn" in complete:  # tables of these elements alone: the network knows no others
            complete["d3"].setdefault("species", list(complete["gnn"]["species"]))
        d3 = _construct("d3", D3, complete["d3"])
    return Potential(gnn, pqeq, d3, complete).eval()


def _construct(name: str, kind: type, settings: dict[str, Any]) -> Any:
    names = list(inspect.signature(kind).parameters)
    if unknown := [key for key in settings if key not in names]:
        raise ValueError(
            f"config[{name!r}]: unknown key {unknown[0]!r}; the keys are {', '.join(names)}"
        )
    return kind(**settings)


def _build_pqeq(settings: dict[str, Any]) -> PQEq:
    return _construct(
        "pqeq", PQEq, {**settings, "parameters": resolve_parameters(settings["parameters"])}
    )


def _device_of(potential: Potential) -> torch.device:
    for tensor in (*potential.parameters(), *potential.buffers()):
        return tensor.device
    return torch.device("cpu")
