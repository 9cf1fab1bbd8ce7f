"""The Coulomb energy of one structure: pairs, less what every atom would do to itself, and waves or
a mesh.

    E = E_pairs − E_self + E_waves,      E_waves a sum over waves (ewald.py) or on a mesh (mesh.py)

Pairs alone where nothing is periodic; split.py decides what a structure needs. The charge solution
takes a gradient, the second derivative in each atom's own shell, which is kept as a matrix, and the
product of the rest of the Hessian with a vector. No Hessian is formed. Å, eV, e.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from openmm_pqeq.pqeq.coulomb.ewald import (
    Reciprocal,
    ReciprocalState,
    reciprocal_energy,
    reciprocal_gradient,
    reciprocal_local_hessian,
    reciprocal_product,
    reciprocal_state,
)
from openmm_pqeq.pqeq.coulomb.kernels import Radial
from openmm_pqeq.pqeq.coulomb.mesh import (
    Mesh,
    MeshState,
    mesh_energy,
    mesh_energy_once,
    mesh_error_of_step,
    mesh_gradient,
    mesh_local_hessian,
    mesh_product,
    mesh_state,
    mesh_state_in_single_precision,
    mesh_state_on,
)
from openmm_pqeq.pqeq.coulomb.mesh_size import ROUGH_ERROR
from openmm_pqeq.pqeq.coulomb.pairs import (
    PairState,
    PairSum,
    pair_energy,
    pair_gradient,
    pair_local_hessian,
    pair_product,
    pair_state,
    pair_state_for_products,
)
from openmm_pqeq.pqeq.coulomb.self_interaction import (
    SelfInteraction,
    self_attraction,
    self_energy,
    self_gradient,
    self_local_hessian,
    self_product,
)

ROUNDING = 1e-6
"""Of a residual, no less than what products in float32 leave. Measured: 2e-7."""
ROUGH_PRODUCTS = 5e-4
"""Of a residual, no less than what products on a rough mesh leave, but where a step is large for its
residual (`step_error`). Measured at salts, waters, a slab and a perovskite: 1e-5 to 3.2e-4."""


class CoulombSum(NamedTuple):
    """The parts of the sum; positions, cell and elements fix them.

    pairs : of the sum in real space
    self_interaction, and either reciprocal or mesh : where the structure is periodic
    rough : the mesh of Hessian–vector products, where they may be in float32 and it is coarser
    """

    pairs: PairSum
    self_interaction: SelfInteraction | None
    reciprocal: Reciprocal | None
    mesh: Mesh | None
    rough: Mesh | None


class CoulombState(NamedTuple):
    """Kernels, waves and potentials at given charges and shells, for derivatives there; attraction
    is that of each atom's own core and shell; the mesh's state knows its mesh."""

    pairs: PairState
    attraction: Radial | None
    reciprocal: ReciprocalState | None
    mesh: MeshState | None


def coulomb_energy(
    coulomb: CoulombSum, charges: Tensor, core_charge: Tensor, shells: Tensor, once: bool
) -> Tensor:
    """The Coulomb energy, a scalar in eV, differentiable any number of times.

    once : a single derivative in positions and cell at given charges and shells is enough, which a
        mesh has in a fraction of the time
    """
    z = core_charge
    energy = pair_energy(coulomb.pairs, charges, z, shells)
    self_interaction = coulomb.self_interaction
    if self_interaction is not None:
        energy = energy - self_energy(self_interaction, charges, z, shells)
    reciprocal = coulomb.reciprocal
    if reciprocal is not None:
        energy = energy + reciprocal_energy(reciprocal, charges, z, shells)
    mesh = coulomb.mesh
    if mesh is not None:
        if once:
            energy = energy + mesh_energy_once(mesh, charges, z, shells)
        else:
            energy = energy + mesh_energy(mesh, charges, z, shells)
    return energy


def coulomb_state(
    coulomb: CoulombSum, charges: Tensor, core_charge: Tensor, shells: Tensor
) -> CoulombState:
    """Kernels, waves and potentials at these charges and shells."""
    attraction: Radial | None = None
    waves: ReciprocalState | None = None
    on_mesh: MeshState | None = None
    self_interaction = coulomb.self_interaction
    if self_interaction is not None:
        attraction = self_attraction(self_interaction, shells)
    reciprocal = coulomb.reciprocal
    if reciprocal is not None:
        waves = reciprocal_state(reciprocal, charges, core_charge, shells)
    mesh = coulomb.mesh
    if mesh is not None:
        on_mesh = mesh_state(mesh, charges, core_charge, shells)
    return CoulombState(pair_state(coulomb.pairs, shells), attraction, waves, on_mesh)


def coulomb_gradient(
    coulomb: CoulombSum, state: CoulombState, charges: Tensor, core_charge: Tensor, shells: Tensor
) -> tuple[Tensor, Tensor]:
    """The potential ∂E/∂q (n_atoms,) eV/e, and ∂E/∂s (n_atoms, 3) eV/Å, the shell force with its
    sign turned."""
    z = core_charge
    potential, shell_gradient = pair_gradient(coulomb.pairs, state.pairs, charges, z)
    self_interaction, attraction = coulomb.self_interaction, state.attraction
    if self_interaction is not None and attraction is not None:
        self_q, self_s = self_gradient(self_interaction, attraction, charges, z, shells)
        potential, shell_gradient = potential - self_q, shell_gradient - self_s
    reciprocal, waves = coulomb.reciprocal, state.reciprocal
    if reciprocal is not None and waves is not None:
        smooth_q, smooth_s = reciprocal_gradient(reciprocal, waves, z)
        potential, shell_gradient = potential + smooth_q, shell_gradient + smooth_s
    on_mesh = state.mesh
    if on_mesh is not None:
        smooth_q, smooth_s = mesh_gradient(on_mesh, z)
        potential, shell_gradient = potential + smooth_q, shell_gradient + smooth_s
    return potential, shell_gradient


def coulomb_local_hessian(
    coulomb: CoulombSum, state: CoulombState, charges: Tensor, core_charge: Tensor, shells: Tensor
) -> Tensor:
    """Second derivative in each atom's own shell, (n_atoms, 3, 3) eV/Å²."""
    z = core_charge
    local = pair_local_hessian(coulomb.pairs, state.pairs, charges, z)
    attraction = state.attraction
    if attraction is not None:
        local = local - self_local_hessian(attraction, charges, z, shells)
    reciprocal, waves = coulomb.reciprocal, state.reciprocal
    if reciprocal is not None and waves is not None:
        local = local + reciprocal_local_hessian(reciprocal, waves, z)
    on_mesh = state.mesh
    if on_mesh is not None:
        local = local + mesh_local_hessian(on_mesh, z)
    return local


def coulomb_state_for_products(coulomb: CoulombSum, state: CoulombState) -> CoulombState:
    """The state with pairs in float32, and the mesh too, a rougher one, where that is enough for
    `coulomb_product`."""
    pairs, on_mesh, rough = (
        pair_state_for_products(coulomb.pairs, state.pairs),
        state.mesh,
        coulomb.rough,
    )
    if coulomb.pairs.float32_products and on_mesh is not None:
        if rough is not None:
            on_mesh = mesh_state_on(rough, on_mesh)
        else:
            on_mesh = mesh_state_in_single_precision(on_mesh)
    return CoulombState(pairs, state.attraction, state.reciprocal, on_mesh)


def product_error(
    coulomb: CoulombSum, rounding: float = ROUNDING, rough: float = ROUGH_PRODUCTS
) -> float:
    """What products with `coulomb_state_for_products` leave of a residual, no less."""
    if not coulomb.pairs.float32_products:
        return 0.0
    return rounding if coulomb.rough is None else rough


def step_error(
    coulomb: CoulombSum, core_charge: Tensor, dq: Tensor, ds: Tensor, error: float = ROUGH_ERROR
) -> Tensor:
    """What products on a rough mesh leave unseen of a step (dq, ds), a scalar, eV/e and eV/Å, no
    less."""
    rough = coulomb.rough
    if rough is None:
        return torch.zeros_like(dq).sum()
    return mesh_error_of_step(rough, core_charge, dq, ds, error)


def coulomb_product(
    coulomb: CoulombSum,
    state: CoulombState,
    core_charge: Tensor,
    shells: Tensor,
    dq: Tensor,
    ds: Tensor,
) -> tuple[Tensor, Tensor]:
    """The charge Hessian times (dq, ds), without the part of `coulomb_local_hessian`: (n_atoms,)
    eV/e and (n_atoms, 3) eV/Å."""
    z = core_charge
    potential, shell_gradient = pair_product(coulomb.pairs, state.pairs, z, dq, ds)
    self_interaction, attraction = coulomb.self_interaction, state.attraction
    if self_interaction is not None and attraction is not None:
        self_q, self_s = self_product(self_interaction, attraction, z, shells, dq, ds)
        potential, shell_gradient = potential - self_q, shell_gradient - self_s
    reciprocal, waves = coulomb.reciprocal, state.reciprocal
    if reciprocal is not None and waves is not None:
        smooth_q, smooth_s = reciprocal_product(reciprocal, waves, z, dq, ds)
        potential, shell_gradient = potential + smooth_q, shell_gradient + smooth_s
    on_mesh = state.mesh
    if on_mesh is not None:
        smooth_q, smooth_s = mesh_product(on_mesh, z, dq, ds)
        potential, shell_gradient = potential + smooth_q, shell_gradient + smooth_s
    return potential, shell_gradient
