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

from openmm_pqeq.neighbors.pairs import Pairs, of_atoms, subset
from openmm_pqeq.pqeq.bonds import (
    Bonds,
    bond_dipole,
    bond_energy,
    bond_energy_once,
    charges_at,
    make_bonds,
    metal_dipole,
)
from openmm_pqeq.pqeq.coulomb.dipoles import coulomb_energy_of_dipoles
from openmm_pqeq.pqeq.coulomb.kernels import gaussian_exponents
from openmm_pqeq.pqeq.coulomb.split import Lattice
from openmm_pqeq.pqeq.coulomb.sum import coulomb_energy
from openmm_pqeq.pqeq.coupling import (
    BONDS,
    check_field,
    check_groups,
    electronegativity_in_field,
    field_on_shell,
    ionic_charges,
    ionic_energy_of_free_directions,
    ionic_field_energy,
    within_groups,
)
from openmm_pqeq.pqeq.groups import Groups, at_voltage, in_metal, shared_by_metal
from openmm_pqeq.pqeq.minimum.memory import Memory
from openmm_pqeq.pqeq.minimum.newton import MAX_SHELL, Minimum, unsolved_message
from openmm_pqeq.pqeq.minimum.preconditioner import Preconditioner, near_atoms
from openmm_pqeq.pqeq.minimum.problem import Problem, charges_of, reachable, site_energy
from openmm_pqeq.pqeq.minimum.solution import find_minimum
from openmm_pqeq.pqeq.parameters import Parameters
from openmm_pqeq.pqeq.settings import default_cutoff
from openmm_pqeq.pqeq.sweeps.dynamics import Sweeps
from openmm_pqeq.pqeq.sweeps.reference import sweep, tapered_pair_energy
from openmm_pqeq.pqeq.table import ParameterTable
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


class PQEq(ParameterTable):
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

    group_of_atom: Tensor
    group_charge: Tensor
    group_first: Tensor
    voltage: Tensor

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
        super().__init__(parameters, charge_flow, polarizable, gaussian)
        self.protocol = protocol
        self.cutoff = float(cutoff) if cutoff is not None else default_cutoff(protocol)
        self.tolerance = float(tolerance)
        self.sweeps = int(sweeps)
        self.stop_gradient = bool(stop_gradient)
        self.coupling = BONDS if charge_flow == "bonds" else coupling or "shell"
        self.max_shell = float(max_shell)
        self.warm_start = False
        # what is cut off the sums is an interaction of cores, and grows with the square of their
        # charges
        largest = max(1.0, *(p.core_charge for p in parameters.values()))
        self.lattice = Lattice(
            protocol, self.cutoff, self.tolerance / largest**2, mesh_spacing or 0.0
        )
        self.memory = Memory()
        self.swept: Sweeps | None = None
        # groups of the atoms of one structure; none: all atoms of any structure share their charge
        self.register_buffer("group_of_atom", torch.zeros(0, dtype=torch.int64), persistent=False)
        self.register_buffer("group_charge", torch.zeros(0, dtype=torch.float64), persistent=False)
        self.register_buffer("group_first", torch.zeros(0, dtype=torch.int64), persistent=False)
        self.register_buffer("voltage", torch.zeros(0, dtype=torch.float64), persistent=False)

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

    def reference_charges(self, structure: Structure) -> Tensor:
        """Q⁰ (n_atoms,) e of one structure; atoms of a metal take what is left of its total charge."""
        given = structure.reference_charges
        if given is None:
            raise ValueError(
                "reference_charges: charges by bonds flow from them, and none are known here; give "
                "reference_charges={'Na': 1, 'Cl': -1} or one for each atom, where the force, the "
                "System or the calculator is made"
            )
        return shared_by_metal(given.to(structure.positions.dtype), structure, self.groups())

    def groups(self) -> Groups:
        """Fragments and electrodes of the one structure this is for; empty where there are none."""
        return Groups(self.group_of_atom, self.group_charge, self.group_first, self.voltage)

    @torch.jit.unused
    def set_groups(self, groups: Groups) -> None:
        """From now on for the one structure that has these fragments and electrodes."""
        self.group_of_atom, self.group_charge, self.group_first, self.voltage = groups

    @property
    @torch.jit.unused
    def precision(self) -> str:
        """The precision: "double", or "mixed" where kernels of pairs and a mesh are float32 in
        Hessian–vector products, and kernels of the sweeps for dynamics."""
        return "mixed" if self.lattice.float32_products else "double"

    @torch.jit.unused
    def set_precision(self, precision: str) -> None:
        """From now on in "double", "mixed" or "single"; of these two the kernels are the same."""
        self.lattice.float32_products = precision != "double"

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

    def check_periodicity(self, pbc: Tensor) -> None:
        """ValueError where the protocol does not fit the periodic directions (3,)."""
        periodic = bool(pbc.any())
        if self.protocol == "direct" and periodic:
            raise ValueError(
                "protocol 'direct' has no images; this structure is periodic: use 'ewald', or give "
                "no cell"
            )

    def problem(self, structure: Structure, pairs: Pairs) -> Problem:
        """The charge problem of one structure: parameters per atom, the field's part in them, and
        the sums over pairs and waves."""
        groups = self.groups()
        self.check_periodicity(structure.pbc[0])
        check_field(self.coupling, structure)
        check_groups(self.coupling, structure, groups)
        kinds, dtype = self.kinds(structure), structure.positions.dtype
        electronegativity = electronegativity_in_field(
            self.coupling, self.electronegativity.to(dtype)[kinds], structure, groups
        )
        group, group_charge = torch.zeros_like(kinds), structure.total_charge
        if groups.fragment.size(0) > 0:
            group, group_charge = groups.fragment, groups.charge.to(dtype)
            electronegativity = at_voltage(electronegativity, groups)
        z = self.core_charge.to(dtype)[kinds]
        exponents = gaussian_exponents(self.radius).to(dtype)
        hardness = self.hardness.to(dtype)[kinds]
        bonds: Bonds | None = None
        if self.charge_flow == "bonds":
            metal_drop = within_groups(structure, groups) @ structure.field[0]
            electronegativity = electronegativity - metal_drop
            bonds = make_bonds(
                pairs,
                self.softness.to(dtype)[kinds],
                self.bond_radius.to(dtype)[kinds],
                self.bond_decay.to(dtype)[kinds],
                structure.field[0],
                self.reference_charges(structure),
                in_metal(structure, groups).to(dtype) / hardness,
                metal_drop,
            )
        if self.swept is not None:  # which has pairs of its own
            pairs = subset(pairs, pairs.centers[:0])
        return Problem(
            electronegativity,
            hardness,
            z,
            self.spring_constant.to(dtype)[kinds],
            field_on_shell(z, structure.field[0]),
            group,
            group_charge,
            exponents[kinds],
            self.lattice(structure, pairs, kinds, exponents, self.warm_start),
            bonds,
        )

    def energy(self, problem: Problem, charges: Tensor, shells: Tensor) -> Tensor:
        """E_PQEq at given charges and shells, a scalar in eV, field included as the coupling has
        it; of charges by bonds at given v (`Minimum.unknowns`)."""
        if self.charge_flow == "bonds":
            bonds = problem.bonds
            assert bonds is not None
            return self.energy_by_bonds(problem, bonds, charges, shells)
        return site_energy(problem, charges, shells) + self.coulomb_energy(problem, charges, shells)

    def energy_by_bonds(self, problem: Problem, bonds: Bonds, v: Tensor, shells: Tensor) -> Tensor:
        """E of bonds.py but for the field on Q⁰, a scalar in eV."""
        charges, z = charges_at(bonds, v), problem.core_charge
        if self.warm_start:  # a single derivative, at the solution
            charges, tied = charges.data, bond_energy_once(bonds, v)
        else:
            tied = bond_energy(bonds, v)
        coulomb = coulomb_energy_of_dipoles(problem.coulomb, charges, z, shells, self.warm_start)
        return site_energy(problem, charges, shells) + coulomb + tied

    def coulomb_energy(self, problem: Problem, charges: Tensor, shells: Tensor) -> Tensor:
        """The four Gaussian interactions of all pairs and images, a scalar in eV."""
        coulomb, z = problem.coulomb, problem.core_charge
        if self.protocol == "reaxnet":
            return tapered_pair_energy(coulomb.pairs, self.cutoff, charges, z, shells)
        return coulomb_energy(coulomb, charges, z, shells, self.warm_start)
