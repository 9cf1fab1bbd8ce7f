"""The charge problem of one structure: its energy to second order in charges and shells.

    E(q, s) = Σ_i [ χ_i q_i + ½ η_i q_i² + ½ K_i |s_i|² + pull_i·s_i ] + Coulomb,      Σ_{i in f} q_i = Q_f for every group f

`linearize` gives the gradient at (q, s), `product` the Hessian times a vector, both from the sums
over pairs (pairs.py) and waves (ewald.py or mesh.py). No matrix is formed. Å, eV, e.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from openmm_pqeq.pqeq.coulomb.ewald import (
    Reciprocal,
    ReciprocalState,
    reciprocal_gradient,
    reciprocal_local_hessian,
    reciprocal_product,
    reciprocal_state,
)
from openmm_pqeq.pqeq.coulomb.kernels import Radial
from openmm_pqeq.pqeq.coulomb.mesh import (
    Mesh,
    MeshState,
    mesh_gradient,
    mesh_local_hessian,
    mesh_product,
    mesh_state,
)
from openmm_pqeq.pqeq.coulomb.pairs import (
    PairState,
    PairSum,
    for_products,
    pair_gradient,
    pair_local_hessian,
    pair_product,
    pair_state,
)
from openmm_pqeq.pqeq.coulomb.self_interaction import (
    SelfInteraction,
    self_attraction,
    self_gradient,
    self_local_hessian,
    self_product,
)


class Problem(NamedTuple):
    """The charge problem of one structure.

    electronegativity : (n_atoms,) eV, with −r·F added where cores see the field, and −V on
        electrodes
    hardness : (n_atoms,) eV
    core_charge : (n_atoms,) e
    spring_constant : (n_atoms,) eV/Å²
    pull : (n_atoms, 3) eV/Å, Z F
    group : (n_atoms,) int64, which atoms share their charge
    group_charge : (n_groups,) e
    exponent : (n_atoms,) Å⁻², of the Gaussians
    pairs : of the sum in real space
    own, space, mesh : where the structure is periodic, reciprocal space as waves or as a mesh, and
        what it has too much
    """

    electronegativity: Tensor
    hardness: Tensor
    core_charge: Tensor
    spring_constant: Tensor
    pull: Tensor
    group: Tensor
    group_charge: Tensor
    exponent: Tensor
    pairs: PairSum
    own: SelfInteraction | None
    space: Reciprocal | None
    mesh: Mesh | None


class Linearized(NamedTuple):
    """Gradient at (q, s), with the constraint not yet projected out, and all that a Hessian–vector
    product needs."""

    charge_gradient: Tensor
    shell_gradient: Tensor
    local: Tensor
    pairs: PairState
    attraction: Radial | None
    waves: ReciprocalState | None
    on_mesh: MeshState | None


def group_means(problem: Problem, values: Tensor) -> Tensor:
    """The mean over each atom's group, (n_atoms,)."""
    zeros = torch.zeros_like(problem.group_charge)
    members = zeros.index_add(0, problem.group, torch.ones_like(values))
    return (zeros.index_add(0, problem.group, values) / members)[problem.group]


def constrained(problem: Problem, charges: Tensor) -> Tensor:
    """Charges shifted, equally within each group, to the charge the group has to have."""
    members = torch.zeros_like(problem.group_charge).index_add(
        0, problem.group, torch.ones_like(charges)
    )
    return charges - group_means(problem, charges) + (problem.group_charge / members)[problem.group]


def linearize(problem: Problem, charges: Tensor, shells: Tensor) -> Linearized:
    """Gradient of the energy and the state for Hessian–vector products."""
    z = problem.core_charge
    state = pair_state(problem.pairs, shells)
    potential, on_shell = pair_gradient(problem.pairs, state, charges, z)
    local = pair_local_hessian(problem.pairs, state, charges, z)
    attraction: Radial | None = None
    waves: ReciprocalState | None = None
    on_mesh: MeshState | None = None
    own, space, mesh = problem.own, problem.space, problem.mesh
    if own is not None:
        attraction = self_attraction(own, shells)
        self_q, self_s = self_gradient(own, attraction, charges, z, shells)
        potential, on_shell = potential - self_q, on_shell - self_s
        local = local - self_local_hessian(attraction, charges, z, shells)
    if space is not None:
        waves = reciprocal_state(space, charges, z, shells)
        smooth_q, smooth_s = reciprocal_gradient(space, waves, z)
        potential, on_shell = potential + smooth_q, on_shell + smooth_s
        local = local + reciprocal_local_hessian(space, waves, z)
    if mesh is not None:
        on_mesh = mesh_state(mesh, charges, z, shells)
        smooth_q, smooth_s = mesh_gradient(mesh, on_mesh, z)
        potential, on_shell = potential + smooth_q, on_shell + smooth_s
        local = local + mesh_local_hessian(mesh, on_mesh, z)
    potential = potential + problem.electronegativity + problem.hardness * charges
    on_shell = on_shell + problem.spring_constant.unsqueeze(1) * shells + problem.pull
    state = for_products(problem.pairs, state)
    return Linearized(potential, on_shell, local, state, attraction, waves, on_mesh)


def product(
    problem: Problem, at: Linearized, shells: Tensor, dq: Tensor, ds: Tensor
) -> tuple[Tensor, Tensor]:
    """Hessian of the energy at `at` times (dq, ds)."""
    z = problem.core_charge
    potential, on_shell = pair_product(problem.pairs, at.pairs, z, dq, ds)
    own, attraction = problem.own, at.attraction
    if own is not None and attraction is not None:
        self_q, self_s = self_product(own, attraction, z, shells, dq, ds)
        potential, on_shell = potential - self_q, on_shell - self_s
    space, waves = problem.space, at.waves
    if space is not None and waves is not None:
        smooth_q, smooth_s = reciprocal_product(space, waves, z, dq, ds)
        potential, on_shell = potential + smooth_q, on_shell + smooth_s
    mesh, on_mesh = problem.mesh, at.on_mesh
    if mesh is not None and on_mesh is not None:
        smooth_q, smooth_s = mesh_product(mesh, on_mesh, z, dq, ds)
        potential, on_shell = potential + smooth_q, on_shell + smooth_s
    potential = potential + problem.hardness * dq
    on_shell = (
        on_shell
        + problem.spring_constant.unsqueeze(1) * ds
        + torch.matmul(at.local, ds.unsqueeze(2)).squeeze(2)
    )
    return potential, on_shell
