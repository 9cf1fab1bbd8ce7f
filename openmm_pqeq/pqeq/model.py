"""Polarizable charge equilibration: charges and shells from the structure, and the energy they
give.

    E_PQEq = Σ_i [ χ_i q_i + ½ η_i q_i² + ½ K_i |s_i|² ]
             + Coulomb over core–core, core–shell, shell–core, shell–shell

with core charges q_i + Z_i at r_i and shell charges −Z_i at r_i + s_i, Gaussians of one width per
element, and Σ q_i = Q.

Naserifar et al., J. Chem. Phys. 146, 124117 (2017), doi:10.1063/1.4978891; Gao et al., Nat. Commun.
16, 10484 (2025). Protocols are in settings.py, fields in coupling.py, fragments and electrodes in
groups.py, the Coulomb sum in coulomb/sum.py. Å, eV, e.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from openmm_pqeq.neighbors.pairs import Pairs, of_atoms
from openmm_pqeq.pqeq.bonds import bond_dipole, metal_dipole
from openmm_pqeq.pqeq.coupling import (
    ionic_charges,
    ionic_energy_of_free_directions,
    ionic_field_energy,
    within_groups,
)
from openmm_pqeq.pqeq.energy import ChargeEnergy
from openmm_pqeq.pqeq.minimum.memory import Memory
from openmm_pqeq.pqeq.minimum.newton import MAX_SHELL, Minimum, unsolved_message
from openmm_pqeq.pqeq.minimum.preconditioner import Preconditioner, near_atoms
from openmm_pqeq.pqeq.minimum.problem import Problem, charges_of, reachable
from openmm_pqeq.pqeq.minimum.solution import find_minimum
from openmm_pqeq.pqeq.parameters import Parameters
from openmm_pqeq.pqeq.sweeps.dynamics import Sweeps
from openmm_pqeq.pqeq.sweeps.reference import sweep
from openmm_pqeq.structure import Structure, select_structure


class Solved(NamedTuple):
    """Of one structure: energy (scalar) eV, charges (n_atoms,) e, shells (n_atoms, 3) Å, dipole (3,)
    e Å."""

    energy: Tensor
    charges: Tensor
    shells: Tensor
    dipole: Tensor


class Solution(NamedTuple):
    """energy (n_structures,) eV; charges (n_atoms,) e; shells (n_atoms, 3) Å; dipole (n_structures,
    3) e Å, Σ (q r − Z s); of charges by bonds Σ_b p_b d_b + Σ (Q⁰ r − Z s), which is that where
    nothing is periodic."""

    energy: Tensor
    charges: Tensor
    shells: Tensor
    dipole: Tensor


class PQEq(ChargeEnergy):
    """Charges, shells and energy of structures.

    Parameters
    ----------
    parameters : per element, from `resolve_parameters`
    protocol : "reaxnet", "ewald", "pme" or "direct"
    cutoff : Å; `reaxnet`: the taper's range (default 12.5); `ewald`, `pme`: the range of the
        real-space sum (default 6 and 4), which sets κ
    tolerance : eV/e and eV/Å, of the solution and of the truncation of the Ewald sum
    sweeps, stop_gradient : `reaxnet` only
    charge_flow : "free", or "bonds": along bonds from reference charges (bonds.py), with linear
        dipoles in place of shells, and a field that enters in one way
    coupling : how a field enters where charges flow freely: "shell" (the default), "full" or
        "fragment"
    polarizable : False leaves the shells out (QEq, for comparison)
    gaussian : False makes the charges points (Gaussians of 0.01 Å), for comparison
    max_shell : Å, the longest displacement of a shell; beyond it is a polarization catastrophe, and
        an error
    mesh_spacing : Å, of `pme`; default: as the tolerance needs it. A coarser one is refused
    """

    def __init__(
        self,
        parameters: Parameters,
        protocol: str = "reaxnet",
        cutoff: float | None = None,
        tolerance: float = 1e-5,
        sweeps: int = 2,
        stop_gradient: bool = False,
        charge_flow: str = "free",
        coupling: str | None = None,
        polarizable: bool = True,
        gaussian: bool = True,
        max_shell: float = MAX_SHELL,
        mesh_spacing: float | None = None,
    ):
        super().__init__(
            parameters,
            protocol,
            cutoff,
            tolerance,
            charge_flow,
            coupling,
            polarizable,
            gaussian,
            mesh_spacing,
        )
        self.sweeps = int(sweeps)
        self.stop_gradient = bool(stop_gradient)
        self.max_shell = float(max_shell)
        self.memory = Memory()
        self.swept: Sweeps | None = None

    def forward(self, structure: Structure, pairs: Pairs, unstrained: Tensor) -> Solution:
        """Solve every structure of a batch.

        pairs : within at least `cutoff` (not read by `direct`), and the longest bond
        unstrained : (n_atoms, 3) Å, the positions that the field's force on ionic charges refers
            to, which is not in the stress
        """
        energies: list[Tensor] = []
        charges: list[Tensor] = []
        shells: list[Tensor] = []
        dipoles: list[Tensor] = []
        first = 0
        for index in range(structure.cell.size(0)):
            one, one_pairs = structure, pairs
            if structure.cell.size(0) > 1:
                one = select_structure(structure, index)
                one_pairs = of_atoms(pairs, first, first + one.numbers.size(0))
            last = first + one.numbers.size(0)
            solved = self.solve(one, one_pairs)
            ionic = self.ionic_charges(one, solved.charges)
            at, field = unstrained[first:last], one.field[0]
            energy = solved.energy + ionic_field_energy(ionic, at, field)
            if self.charge_flow == "bonds":
                energy = energy + ionic_energy_of_free_directions(ionic, at, one)
            energies.append(energy)
            charges.append(solved.charges)
            shells.append(solved.shells)
            dipoles.append(solved.dipole)
            first = last
        return Solution(
            torch.stack(energies), torch.cat(charges), torch.cat(shells), torch.stack(dipoles)
        )

    def ionic_charges(self, structure: Structure, charges: Tensor) -> Tensor:
        """Charges (n_atoms,) e that feel the field outside of what the solution's energy has."""
        if self.charge_flow == "bonds":
            if structure.reference_charges is None:  # nothing had to be solved
                return torch.zeros_like(charges)
            return self.reference_charges(structure)
        return ionic_charges(self.coupling, charges, self.groups())

    def solve(self, structure: Structure, pairs: Pairs) -> Solved:
        """Energy, charges, shells and dipole of one structure."""
        problem = self.problem(structure, pairs)
        if self.swept is not None:
            energy, q, s = self.swept(structure, problem, self.lattice.float32_products)
            return self.solved(structure, problem, energy, q, s)
        if self.protocol == "reaxnet":
            charges, shells = sweep(problem, self.cutoff, self.sweeps)
            if self.stop_gradient:
                charges, shells = charges.data, shells.data  # freezing removes a `detach`
        else:
            with torch.no_grad():
                minimum = self.minimum(problem, structure, pairs)
            if len(minimum.failure) > 0:
                self.raise_unsolved(structure, minimum)
            charges, shells = minimum.unknowns, minimum.shells
        energy = self.energy(problem, charges, shells)
        return self.solved(structure, problem, energy, charges, shells)

    def solved(
        self,
        structure: Structure,
        problem: Problem,
        energy: Tensor,
        unknowns: Tensor,
        shells: Tensor,
    ) -> Solved:
        """The solution at what was varied, `unknowns` (n_atoms,) as in `Minimum`."""
        q, z = charges_of(problem, unknowns), problem.core_charge.unsqueeze(1)
        bonds = problem.bonds
        if bonds is None:
            moments = q.unsqueeze(1) * structure.positions - z * shells
            return Solved(energy, q, shells, moments.sum(dim=0))
        q, within = q.data, within_groups(structure, self.groups())
        dipole = bond_dipole(bonds, unknowns) + metal_dipole(bonds, q, within)
        dipole = dipole + bonds.reference @ structure.positions - (z * shells).sum(dim=0)
        return Solved(energy, q, shells, dipole.data)

    @property
    @torch.jit.unused
    def products(self) -> int:
        """Hessian–vector products and gradients of the last solution that began at an earlier
        one."""
        return int(self.memory.products if self.swept is None else self.swept.products)

    @torch.jit.unused
    def prepare_for_dynamics(self, skin: float) -> None:
        """Begin solutions where the last ones ended, and sweep with the gradient in closed form.
        First derivatives alone are left.

        skin : Å, of the list of neighbours
        """
        self.warm_start = True
        if self.protocol == "reaxnet":
            self.swept = Sweeps(self.cutoff, self.sweeps, self.stop_gradient, self.tolerance, skin)
            self.has_own_pairs = True

    def minimum(self, problem: Problem, structure: Structure, pairs: Pairs) -> Minimum:
        """Charges and shells at the minimum: from the last solutions where `warm_start` is on, else
        cold."""
        tolerance = reachable(self.tolerance, structure.positions.dtype)
        positions = structure.positions.detach()
        start: tuple[Tensor, Tensor] | None = None
        inverse: Preconditioner | None = None
        if self.warm_start:
            positions = self.memory.unwrapped(structure)
            start, inverse = self.memory.start(positions), self.memory.preconditioner(positions)
        # by symmetry a saddle point can pass for a minimum, where an element's hardness does not
        # exclude one
        probe = not self.warm_start and self.soft_elements(structure.numbers) != "none"
        by_bonds, near = self.charge_flow == "bonds", near_atoms(pairs)
        minimum = find_minimum(
            problem, by_bonds, tolerance, start, near, inverse, self.max_shell, probe
        )
        if self.warm_start:
            self.memory.remember(positions, minimum, inverse is not None)
        return minimum

    def raise_unsolved(self, structure: Structure, minimum: Minimum) -> None:
        """RuntimeError with the residual, where it is worst, and what to do."""
        symbol = self.symbols[int(structure.numbers[minimum.worst])]
        soft = self.soft_elements(structure.numbers)
        raise RuntimeError(unsolved_message(minimum, self.tolerance, symbol, soft))
