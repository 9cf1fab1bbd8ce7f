"""The energy of the field alone, for networks that have learned the whole energy without one.

    E_term = E_PQEq(r; F, V; Q) − E_PQEq(r; 0, 0; Q),      f_i = −∂E_term/∂r_i + c_i F

Each energy is at a minimum of its own; forces and stress are differences too. Charges, shells,
dipole and responses are those in the field F and at the electrodes' voltages V, and so are the
ionic charges c of the push (coupling.py), which acts once. At F = 0 and V = 0 both minima are one:
E_term and its gradients in positions and cell are exactly zero, and ∂E_term/∂F = −P remains. V/Å,
V, eV, e.
"""

import functools
from typing import Any

import torch
from torch import Tensor

from openmm_pqeq.neighbors.pairs import Pairs
from openmm_pqeq.pqeq.bonds import bond_energy_once, without_drop
from openmm_pqeq.pqeq.minimum.memory import Memory
from openmm_pqeq.pqeq.minimum.newton import Minimum
from openmm_pqeq.pqeq.minimum.preconditioner import Preconditioner, near_atoms
from openmm_pqeq.pqeq.minimum.problem import Problem, charges_of, reachable
from openmm_pqeq.pqeq.minimum.solution import find_minimum
from openmm_pqeq.pqeq.model import PQEq, Solved
from openmm_pqeq.structure import Structure

CHANGES_KEPT = 2
"""Differences of two solutions are small: a guess from more of them is worse by what the tolerance
leaves in each."""


class FieldEnergy(PQEq):
    """A PQEq, of a converged protocol, whose energy is that of the field; parameters are those of
    `PQEq`."""

    met_field: Tensor

    @functools.wraps(PQEq.__init__)  # type: ignore[misc]
    def __init__(self, *arguments: Any, **settings: Any):
        super().__init__(*arguments, **settings)
        # of the solution without field less the one in it
        self.changes = Memory()
        self.register_buffer("met_field", torch.tensor(False), persistent=False)

    def solve(self, structure: Structure, pairs: Pairs) -> Solved:
        """E_term (scalar, eV), and charges, shells and dipole in the field.

        Where only the energy is wanted and there has never been a field, nothing is solved:
        charges and shells are zero, and the derivative of the energy in the field is NaN.
        """
        at_rest = self.at_rest(structure)
        if at_rest and structure.only_energy and not bool(self.met_field):
            self.memory.products = torch.tensor(0)
            nothing = torch.zeros_like(structure.positions)
            energy = nothing.sum() + unknown_slope(structure.field)
            return Solved(energy, nothing[:, 0], nothing, nothing.sum(dim=0))
        if not at_rest:
            self.met_field = torch.ones_like(self.met_field)
        inside = self.problem(structure, pairs)
        outside = self.without_field(inside, structure)
        minima = self.converged([inside] if at_rest else [inside, outside], structure, pairs)
        unknowns, shells = minima[0].unknowns, minima[0].shells
        if at_rest:
            energy = field_part(inside, outside, unknowns, shells)
        else:
            energies: list[Tensor] = []
            for problem, minimum in zip([inside, outside], minima):
                energies.append(self.energy(problem, minimum.unknowns, minimum.shells))
            energy = energies[0] - energies[1]
        return self.solved(structure, inside, energy, unknowns, shells)

    def at_rest(self, structure: Structure) -> bool:
        """Whether neither a field nor a voltage is there."""
        return not bool((structure.field != 0).any()) and not bool((self.voltage != 0).any())

    def without_field(self, problem: Problem, structure: Structure) -> Problem:
        """The same problem at F = 0 and V = 0, with the same sums."""
        bonds = problem.bonds
        return Problem(
            self.electronegativity.to(structure.positions.dtype)[self.kinds(structure)],
            problem.hardness,
            problem.core_charge,
            problem.spring_constant,
            torch.zeros_like(problem.field_on_shell),
            problem.group,
            problem.group_charge,
            problem.exponent,
            problem.coulomb,
            None if bonds is None else without_drop(bonds),
        )

    def converged(
        self, problems: list[Problem], structure: Structure, pairs: Pairs
    ) -> list[Minimum]:
        """The minima, without derivatives; RuntimeError where there is none."""
        with torch.no_grad():
            minima = self.minima(problems, structure, pairs)
        for minimum in minima:
            if len(minimum.failure) > 0:
                self.raise_unsolved(structure, minimum)
        return minima

    def minima(
        self, problems: list[Problem], structure: Structure, pairs: Pairs, kept: int = CHANGES_KEPT
    ) -> list[Minimum]:
        """Of the problem in the field and, where there is another, of that without: it begins at
        the first, by as much away as earlier solutions differed."""
        tolerance = reachable(self.tolerance, structure.positions.dtype)
        positions = structure.positions.detach()
        dq, ds = torch.zeros_like(positions[:, 0]), torch.zeros_like(positions)
        start: tuple[Tensor, Tensor] | None = None
        inverse: Preconditioner | None = None
        if self.warm_start:
            positions = self.memory.unwrapped(structure)
            start, inverse = self.memory.start(positions), self.memory.preconditioner(positions)
            step = self.changes.start(positions)
            if step is not None:
                dq, ds = step
        by_bonds, was_kept, near = (
            self.charge_flow == "bonds",
            inverse is not None,
            near_atoms(pairs),
        )
        probe = not self.warm_start and self.soft_elements(structure.numbers) != "none"
        minima: list[Minimum] = []
        products = 0
        # TorchScript copies what it calls to every place of a call: one place for both
        for problem in problems:
            found = find_minimum(
                problem, by_bonds, tolerance, start, near, inverse, self.max_shell, probe
            )
            minima.append(found)
            products += found.products
            start, inverse = (found.unknowns + dq, found.shells + ds), found.preconditioner
        if self.warm_start:
            self.memory.remember(positions, minima[0], was_kept)
            if len(minima) == 2:
                change = difference(minima[1], minima[0])
                self.changes.remember(positions, change, was_kept=True, length=kept)
            self.memory.products = torch.tensor(products)
        return minima


def unknown_slope(field: Tensor) -> Tensor:
    """Zero, a scalar, whose derivative in the field is NaN: it is −P, and P is not known."""
    return torch.sqrt(((field - field.data) ** 2).sum())


def difference(one: Minimum, other: Minimum) -> Minimum:
    """Unknowns and shells of one solution less those of another; the rest is the first one's."""
    return Minimum(
        one.unknowns - other.unknowns,
        one.shells - other.shells,
        one.residual,
        one.products,
        one.failure,
        one.worst,
        one.preconditioner,
    )


def field_part(inside: Problem, outside: Problem, unknowns: Tensor, shells: Tensor) -> Tensor:
    """E(F, V) − E(0, 0) at the same unknowns and shells, a scalar in eV, where F and V are zero: what
    the field and the voltages do to χ, what the field does along bonds, and Σ Z F·s."""
    change = inside.electronegativity - outside.electronegativity
    energy = (change * charges_of(inside, unknowns).data).sum()
    energy = energy + (inside.field_on_shell * shells).sum()
    bonds, free = inside.bonds, outside.bonds
    if bonds is not None and free is not None:
        energy = energy + bond_energy_once(bonds, unknowns) - bond_energy_once(free, unknowns)
    return energy
