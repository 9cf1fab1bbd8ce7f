"""PQEq whose parameters are trained with the network.

A parameter p that starts at p_0 moves between bounds that it cannot leave,

    p = p_0 + (p_max − p_0)·tanh(u)  for u > 0,     p_0 + (p_0 − p_min)·tanh(u)  else,     p_max,min = p_0 ± b·|p_0|

with u trained, 0 at the start; a slope χ' that is 0 stays 0. The lower bound of a hardness is raised to where the charges keep a
minimum: the self-energy 2k_e γ_ii/√π of the element's Gaussian at its smallest radius. Of charges by
bonds, that of a spring is raised to the self-energy Z²·4k_e γ_ii³/(3√π) of its dipole, and that of a
radius to where hardness and spring are at these limits, so that their energy stays convex. Energies,
forces and stress are those of the converged solution; the forces are the Hellmann–Feynman ones, and
their derivatives in the parameters go through the solution (pqeq/derivatives/adjoint.py), or
through the sweeps of the protocol `reaxnet`. eV, e, Å.
"""

import copy
from typing import Sequence

import torch
from torch import Tensor, nn

from openmm_pqeq.neighbors.search import NeighborSearch
from openmm_pqeq.pqeq import PQEq
from openmm_pqeq.pqeq.coulomb.kernels import dipole_self_energy, gaussian_self_energy
from openmm_pqeq.pqeq.derivatives.adjoint import parameters_as, unknowns_with_gradient
from openmm_pqeq.pqeq.parameters import STEEPEST
from openmm_pqeq.structure import Structure, deformed
from openmm_pqeq.training.prediction import Prediction
from openmm_pqeq.training.samples import Samples

SLOPE = "electronegativity_slope"
MARGIN = 0.05
"""eV, eV/Å² by which a hardness stays above the self-energy of its Gaussian, and of charges by bonds a
spring above that of its dipole."""


class TrainedPQEq(nn.Module):
    """PQEq with moving parameters.

    Parameters
    ----------
    pqeq : where they start
    names : which of electronegativity, hardness, radius, spring_constant, softness,
        electronegativity_slope move
    bounds : b, as a fraction
    numbers : the rows of PQEq's parameters that move: atomic numbers, and further kinds
    """

    elements: Tensor

    def __init__(self, pqeq: PQEq, names: Sequence[str], bounds: float, numbers: Sequence[int]):
        super().__init__()
        self.pqeq = copy.deepcopy(pqeq)
        self.names = list(names)
        self.search = NeighborSearch(max(pqeq.cutoff, pqeq.longest_bond(pqeq.species), 1.0))
        self.register_buffer("elements", torch.tensor(list(numbers)), persistent=False)
        self.moves = nn.ParameterDict(
            {name: torch.zeros(len(numbers), dtype=torch.float64) for name in names}
        )
        smallest = smallest_radius(pqeq, self.elements, bounds if "radius" in names else 0.0)
        dipole = pqeq.core_charge[self.elements] ** 2 * dipole_self_energy(smallest)
        least = {"hardness": gaussian_self_energy(smallest) + MARGIN, "radius": smallest}
        if pqeq.charge_flow == "bonds":
            least["spring_constant"] = dipole + MARGIN
        for name in names:
            start = getattr(pqeq, name)[self.elements]
            lower, upper = start - bounds * start.abs(), start + bounds * start.abs()
            if name == SLOPE:
                lower, upper = lower.clamp(min=-STEEPEST), upper.clamp(max=STEEPEST)
            if name in least:
                lower = torch.minimum(start, torch.maximum(lower, least[name]))
            self.register_buffer(f"lower_{name}", lower, persistent=False)
            self.register_buffer(f"upper_{name}", upper, persistent=False)

    def moved(self, name: str) -> Tensor:
        """(n_elements,) the present values of a parameter, in the unit of PQEq's buffers."""
        start = getattr(self.pqeq, name)[self.elements]
        lower, upper = getattr(self, f"lower_{name}"), getattr(self, f"upper_{name}")
        u = self.moves[name]
        return start + torch.where(u > 0, upper - start, start - lower) * torch.tanh(u)

    def values(self) -> dict[str, Tensor]:
        """Each parameter that moves, in the shape of PQEq's buffer."""
        return {
            name: getattr(self.pqeq, name).index_copy(0, self.elements, self.moved(name))
            for name in self.names
        }

    def predict(self, samples: Samples, create_graph: bool = False) -> Prediction:
        """Energy, forces and stress (where labelled) of every frame, float64."""
        parts: list[Prediction] = []
        first, by_bonds = 0, self.pqeq.charge_flow == "bonds"
        for index, count in enumerate(samples.counts.tolist()):
            atoms = slice(first, first + count)
            first += count
            one = slice(index, index + 1)
            structure = Structure(
                samples.positions[atoms],
                samples.numbers[atoms],
                samples.cell[one],
                samples.pbc[one],
                torch.zeros_like(samples.numbers[atoms]),
                samples.total_charge[one],
                torch.zeros_like(samples.cell[one, 0]),
                reference_charges=samples.reference_charges[atoms] if by_bonds else None,
            )
            stress = bool(torch.isfinite(samples.stress[index]).all())
            parts.append(self._predict_one(structure, stress, create_graph))
        return Prediction(*(torch.cat(list(values)) for values in zip(*parts)))

    def _predict_one(self, structure: Structure, stress: bool, create_graph: bool) -> Prediction:
        with torch.enable_grad():
            positions = structure.positions.detach().requires_grad_(True)
            strain = torch.zeros_like(structure.cell).requires_grad_(True)
            structure = structure._replace(positions=positions)
            structure = deformed(structure, strain) if stress else structure
            pairs = self.search(structure)
            with parameters_as(self.pqeq, self.values()) as pqeq:
                if pqeq.protocol == "reaxnet":
                    energy = pqeq.solve(structure, pairs).energy
                else:
                    unknowns, shells = unknowns_with_gradient(pqeq, structure, pairs)
                    energy = pqeq.energy(pqeq.problem(structure, pairs), unknowns, shells)
                slopes = torch.autograd.grad(
                    [energy],
                    [positions, strain] if stress else [positions],
                    create_graph=create_graph,
                )
            virial = slopes[1] if stress else torch.zeros_like(strain)
            volume = (
                torch.linalg.det(structure.cell.detach()).abs().reshape(1, 1, 1)
                if stress
                else torch.ones_like(energy)
            )
            return Prediction(
                energy.reshape(1), -slopes[0], 0.5 * (virial + virial.transpose(1, 2)) / volume
            )

    def table(self) -> dict[str, dict[str, tuple[float, float]]]:
        """{element, or kind such as Ti4+: {parameter: (start, now)}}, K in eV/Å²."""
        return {
            self.pqeq.symbols[z]: {
                name: (float(getattr(self.pqeq, name)[z]), float(self.moved(name).detach()[index]))
                for name in self.names
            }
            for index, z in enumerate(self.elements.tolist())
        }

    def config(self, parameters: dict[str, dict[str, float]]) -> dict[str, dict[str, float]]:
        """The parameters of a model's config with those that have moved; K in its unit,
        kcal/mol/Å²."""
        moved = copy.deepcopy(parameters)
        for symbol, values in self.table().items():
            for name, (start, now) in values.items():
                if name != "spring_constant":
                    moved[symbol][name] = now
                elif start > 0:
                    moved[symbol][name] *= now / start
        return moved


def smallest_radius(pqeq: PQEq, rows: Tensor, bounds: float) -> Tensor:
    """The smallest radii (n_rows,) Å within a fraction `bounds` of the present ones with which charges by
    bonds keep a convex energy at the present hardness and spring: self-energies go as 1/R and 1/R³."""
    radius = pqeq.radius[rows]
    if pqeq.charge_flow == "free":
        return radius * (1.0 - bounds)
    hardness, spring = pqeq.hardness[rows] - MARGIN, pqeq.spring_constant[rows] - MARGIN
    dipole = pqeq.core_charge[rows] ** 2 * dipole_self_energy(radius)
    share = torch.maximum(gaussian_self_energy(radius) / hardness, (dipole / spring) ** (1.0 / 3.0))
    return radius * torch.clamp(share, min=1.0 - bounds, max=1.0)


class Polarizable(nn.Module):
    """A network and the PQEq that is trained with it."""

    def __init__(self, gnn: nn.Module, pqeq: TrainedPQEq):
        super().__init__()
        self.gnn, self.pqeq = gnn, pqeq
