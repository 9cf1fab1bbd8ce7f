"""The energy that charges and shells are varied in: the charge problem of a structure, and E_PQEq at
any charges and shells. What is solved, and how, is model.py's.
"""

import torch
from torch import Tensor

from openmm_pqeq.neighbors.pairs import Pairs, subset
from openmm_pqeq.pqeq.bonds import (
    Bonds,
    bond_energy,
    bond_energy_once,
    charges_at,
    make_bonds,
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
    within_groups,
)
from openmm_pqeq.pqeq.groups import Groups, at_voltage, in_metal, shared_by_metal
from openmm_pqeq.pqeq.minimum.problem import Problem, site_energy
from openmm_pqeq.pqeq.parameters import Parameters
from openmm_pqeq.pqeq.settings import default_cutoff
from openmm_pqeq.pqeq.sweeps.reference import tapered_pair_energy
from openmm_pqeq.pqeq.table import ParameterTable
from openmm_pqeq.structure import Structure


class ChargeEnergy(ParameterTable):
    """E_PQEq of charges and shells.

    Parameters
    ----------
    parameters, protocol, cutoff, tolerance, charge_flow, coupling, polarizable, gaussian,
    mesh_spacing : as of `PQEq`
    """

    group_of_atom: Tensor
    group_charge: Tensor
    group_first: Tensor
    voltage: Tensor
    metal: Tensor

    def __init__(
        self,
        parameters: Parameters,
        protocol: str,
        cutoff: float | None,
        tolerance: float,
        charge_flow: str,
        coupling: str | None,
        polarizable: bool,
        gaussian: bool,
        mesh_spacing: float | None,
    ):
        super().__init__(parameters, charge_flow, polarizable, gaussian)
        self.protocol = protocol
        self.cutoff = float(cutoff) if cutoff is not None else default_cutoff(protocol)
        self.tolerance = float(tolerance)
        self.coupling = BONDS if charge_flow == "bonds" else coupling or "shell"
        self.warm_start = False  # whether derivatives are taken once, at a solution
        self.has_own_pairs = False  # whether what solves has a list of its own
        # what is cut off the sums is an interaction of cores, and grows with the square of their
        # charges
        largest = max(1.0, *(p.core_charge for p in parameters.values()))
        self.lattice = Lattice(
            protocol, self.cutoff, self.tolerance / largest**2, mesh_spacing or 0.0
        )
        # groups of the atoms of one structure; none: all atoms of any structure share their charge
        self.register_buffer("group_of_atom", torch.zeros(0, dtype=torch.int64), persistent=False)
        self.register_buffer("group_charge", torch.zeros(0, dtype=torch.float64), persistent=False)
        self.register_buffer("group_first", torch.zeros(0, dtype=torch.int64), persistent=False)
        self.register_buffer("voltage", torch.zeros(0, dtype=torch.float64), persistent=False)
        self.register_buffer("metal", torch.zeros(0, dtype=torch.bool), persistent=False)

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
        return Groups(
            self.group_of_atom, self.group_charge, self.group_first, self.voltage, self.metal
        )

    @torch.jit.unused
    def set_groups(self, groups: Groups) -> None:
        """From now on for the one structure that has these fragments and electrodes."""
        self.group_of_atom, self.group_charge, self.group_first = groups[:3]
        self.voltage, self.metal = groups[3:]

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

    def check_periodicity(self, pbc: Tensor) -> None:
        """ValueError where the protocol does not fit the periodic directions (3,)."""
        if self.protocol == "direct" and bool(pbc.any()):
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
                self.electronegativity_slope.to(dtype)[kinds],
                structure.field[0],
                self.reference_charges(structure),
                in_metal(structure, groups).to(dtype) / hardness,
                metal_drop,
                group,
                groups.fragment.size(0) > 0,
            )
        if self.has_own_pairs:
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
