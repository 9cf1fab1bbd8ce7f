"""The Coulomb energy of charges and linear dipoles: what sum.py has to second order in (q, s).

    E = ½ Σ' [q_i + μ_i·∇_i][q_j + μ_j·∇_j] k_e erf(γ_ij r_ij)/r_ij,      μ = −Z s

over pairs of atoms and all images but an atom with itself. It is bilinear: the Hessian of PQEq's
energy where there are no charges and all shells are at their cores, so that `coulomb_product` at
that state is its gradient. Å, eV, e.
"""

import torch
from torch import Tensor

from openmm_pqeq.pqeq.coulomb.ewald import (
    ReciprocalState,
    reciprocal_energy_of_dipoles,
    reciprocal_state_at_rest,
)
from openmm_pqeq.pqeq.coulomb.kernels import Radial
from openmm_pqeq.pqeq.coulomb.mesh import (
    MeshState,
    mesh_energy_of_dipoles,
    mesh_energy_of_dipoles_once,
    mesh_state_at_rest,
)
from openmm_pqeq.pqeq.coulomb.pairs import (
    pair_energy_of_dipoles,
    pair_state_at_rest,
)
from openmm_pqeq.pqeq.coulomb.self_interaction import (
    dipole_self_interaction,
    self_attraction,
    self_energy_of_dipoles,
)
from openmm_pqeq.pqeq.coulomb.sum import CoulombState, CoulombSum


def coulomb_energy_of_dipoles(
    coulomb: CoulombSum, charges: Tensor, core_charge: Tensor, shells: Tensor, once: bool
) -> Tensor:
    """The Coulomb energy of charges q and linear dipoles −Z s, a scalar in eV, differentiable any
    number of times.

    once : as in `coulomb_energy`
    """
    z = core_charge
    energy = pair_energy_of_dipoles(coulomb.pairs, charges, z, shells)
    self_interaction = coulomb.self_interaction
    if self_interaction is not None:
        energy = energy - self_energy_of_dipoles(self_interaction, charges, z, shells)
    reciprocal = coulomb.reciprocal
    if reciprocal is not None:
        energy = energy + reciprocal_energy_of_dipoles(reciprocal, charges, z, shells)
    mesh = coulomb.mesh
    if mesh is not None:
        if once:
            energy = energy + mesh_energy_of_dipoles_once(mesh, charges, z, shells)
        else:
            energy = energy + mesh_energy_of_dipoles(mesh, charges, z, shells)
    return energy


def coulomb_state_at_rest(coulomb: CoulombSum, shells: Tensor) -> CoulombState:
    """Kernels and waves where there are no charges, and shells (n_atoms, 3) are at their cores."""
    attraction: Radial | None = None
    waves: ReciprocalState | None = None
    on_mesh: MeshState | None = None
    self_interaction = coulomb.self_interaction
    if self_interaction is not None:
        attraction = self_attraction(self_interaction, shells)
    reciprocal = coulomb.reciprocal
    if reciprocal is not None:
        waves = reciprocal_state_at_rest(reciprocal)
    mesh = coulomb.mesh
    if mesh is not None:
        on_mesh = mesh_state_at_rest(mesh)
    return CoulombState(pair_state_at_rest(coulomb.pairs), attraction, waves, on_mesh)


def own_dipole(coulomb: CoulombSum, core_charge: Tensor) -> Tensor:
    """(n_atoms,) eV/Å², what `coulomb_product` lacks in each atom's own shell: minus the dipole's
    interaction with itself, which a sum over waves has too much."""
    self_interaction = coulomb.self_interaction
    if self_interaction is None:
        return torch.zeros_like(core_charge)
    return -(core_charge**2) * dipole_self_interaction(self_interaction)
