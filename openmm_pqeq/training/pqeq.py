"""PQEq whose parameters are trained with the network.

A parameter p that starts at p_0 moves between bounds that it cannot leave,

    p = p_0 + (p_max − p_0)·tanh(u)  for u > 0,     p_0 + (p_0 − p_min)·tanh(u)  else,     p_max,min = p_0 ± b·|p_0|

with u trained, 0 at the start. The lower bound of a hardness is raised to where the charges keep a
minimum: the self-energy 2k_e γ_ii/√π of the element's Gaussian at its smallest radius. Energies,
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
from openmm_pqeq.pqeq.coulomb.kernels import gaussian_self_energy
from openmm_pqeq.pqeq.derivatives.adjoint import parameters_as, solve_with_gradient
from openmm_pqeq.structure import SYMBOLS, Structure, deformed
from openmm_pqeq.training.prediction import Prediction
from openmm_pqeq.training.samples import Samples

MARGIN = 0.05
"""eV by which a hardness stays above the self-energy of its Gaussian."""


class TrainedPQEq(nn.Module):
    """PQEq with moving parameters.

    Parameters
    ----------
    pqeq : where they start
    names : which of electronegativity, hardness, radius, spring_constant move
    bounds : b, as a fraction
    numbers : atomic numbers of the elements whose parameters move
    """

    elements: Tensor

    def __init__(self, pqeq: PQEq, names: Sequence[str], bounds: float, numbers: Sequence[int]):
        super().__init__()
        self.pqeq = copy.deepcopy(pqeq)
        self.names = list(names)
        self.search = NeighborSearch(max(pqeq.cutoff, 1.0))
        self.register_buffer("elements", torch.tensor(list(numbers)), persistent=False)
        self.moves = nn.ParameterDict(
            {name: torch.zeros(len(numbers), dtype=torch.float64) for name in names}
        )
        for name in names:
            start = getattr(pqeq, name)[self.elements]
            lower, upper = start - bounds * start.abs(), start + bounds * start.abs()
            if name == "hardness":
                smallest = pqeq.radius[self.elements] * (1 - bounds if "radius" in names else 1.0)
                least = gaussian_self_energy(smallest) + MARGIN
                lower = torch.minimum(start, torch.maximum(lower, least))
            self.register_buffer(f"lower_{name}", lower, persistent=False)
            self.register_buffer(f"upper_{name}", upper, persistent=False)

    def moved(self, name: str) -> Tensor:
        """(n_elements,) the present values of a parameter, in the unit of PQEq's buffers."""
        start = getattr(self.pqeq, name)[self.elements]
        lower, upper = getattr(self, f"lower_{name}"), getattr(self, f"upper_{name}")
        u = self.moves[name]
        return start + torch.where(u > 0, upper - start, start - lower) * torch.tanh(u)

    def values(self) -> dict[str, Tensor]:
        """(119,) by atomic number, each parameter that moves."""
        return {
            name: getattr(self.pqeq, name).index_copy(0, self.elements, self.moved(name))
            for name in self.names
        }

    def predict(self, samples: Samples, create_graph: bool = False) -> Prediction:
        """Energy, forces and stress (where labelled) of every frame, float64."""
        parts: list[Prediction] = []
        first = 0
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
                    charges, shells = solve_with_gradient(pqeq, structure, pairs)
                    energy = pqeq.energy(pqeq.problem(structure, pairs), charges, shells)
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
        """{element: {parameter: (start, now)}}, K in eV/Å²."""
        return {
            SYMBOLS[int(z)]: {
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


class Polarizable(nn.Module):
    """A network and the PQEq that is trained with it."""

    def __init__(self, gnn: nn.Module, pqeq: TrainedPQEq):
        super().__init__()
        self.gnn, self.pqeq = gnn, pqeq
