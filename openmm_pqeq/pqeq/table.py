"""The parameters of PQEq as a module holds them: a row for each element, and for elements with a
reference charge of their own; and which row an atom takes. Units as in parameters.py, K in eV/Å².
"""

import torch
from torch import Tensor, nn

from openmm_pqeq.pqeq.bonds import BOND_RANGE
from openmm_pqeq.pqeq.coulomb.kernels import gaussian_self_energy
from openmm_pqeq.pqeq.kinds import split_kind
from openmm_pqeq.pqeq.parameters import (
    Parameters,
    check_convex,
    elements_of,
    kind_of,
    parameter_rows,
)
from openmm_pqeq.structure import ATOMIC_NUMBERS, SYMBOLS, Structure


class ParameterTable(nn.Module):
    """Rows by atomic number, then those of further kinds; rows of elements without parameters are
    never read, the doors see to that.

    Parameters
    ----------
    parameters, polarizable, gaussian : as in `parameter_rows`
    charge_flow : "free" or "bonds"
    """

    electronegativity: Tensor
    hardness: Tensor
    core_charge: Tensor
    radius: Tensor
    spring_constant: Tensor
    softness: Tensor
    bond_radius: Tensor
    bond_decay: Tensor
    electronegativity_slope: Tensor
    kind_of: Tensor

    def __init__(self, parameters: Parameters, charge_flow: str, polarizable: bool, gaussian: bool):
        super().__init__()
        self.charge_flow = charge_flow
        self.species = elements_of(parameters)
        # of the rows
        self.symbols = [*SYMBOLS, *(k for k in parameters if split_kind(k)[1] is not None)]
        rows, kinds = parameter_rows(parameters, polarizable, gaussian)
        if charge_flow == "bonds":
            check_convex(parameters, rows)
        self.register_buffer("electronegativity", rows[:, 0].contiguous(), persistent=False)
        self.register_buffer("hardness", rows[:, 1].contiguous(), persistent=False)
        self.register_buffer("core_charge", rows[:, 2].contiguous(), persistent=False)
        self.register_buffer("radius", rows[:, 3].contiguous(), persistent=False)
        self.register_buffer("spring_constant", rows[:, 4].contiguous(), persistent=False)
        self.register_buffer("softness", rows[:, 5].contiguous(), persistent=False)
        self.register_buffer("bond_radius", rows[:, 6].contiguous(), persistent=False)
        self.register_buffer("bond_decay", rows[:, 7].contiguous(), persistent=False)
        self.register_buffer("electronegativity_slope", rows[:, 8].contiguous(), persistent=False)
        self.register_buffer("kind_of", kinds, persistent=False)

    def kinds(self, structure: Structure) -> Tensor:
        """(n_atoms,) int64, the rows of the atoms."""
        charges = structure.reference_charges
        if self.charge_flow == "free" or charges is None:
            return structure.numbers
        return kind_of(self.kind_of, structure.numbers, charges)

    @torch.jit.unused
    def longest_bond(self, elements: list[str]) -> float:
        """Å, among these elements; 0 where charges flow freely."""
        if self.charge_flow == "free":
            return 0.0
        here = [ATOMIC_NUMBERS[element] for element in elements]
        return 2.0 * BOND_RANGE * float(self.bond_radius[here].max())

    def soft_elements(self, numbers: Tensor) -> str:
        """Elements whose hardness does not exceed the self-energy of their Gaussian, for an error
        message."""
        soft = self.hardness < gaussian_self_energy(self.radius)
        names: list[str] = []
        present = torch.unique(numbers[soft[numbers]])
        for index in range(present.size(0)):
            names.append(self.symbols[int(present[index])])
        return ", ".join(names) if len(names) > 0 else "none"
