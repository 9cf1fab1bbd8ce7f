"""The published sweeps (reference.py) for dynamics: pairs met once, charges by MINRES, the gradient
by an adjoint solution.

With g_q = ∂E/∂q and g_s = ∂E/∂s of the tapered pair sum, sweep k = 1 … N from s_0 = 0 is

    η q_k + χ + g_q(q_k, s_{k−1}) = λ_f,   Σ q_k = Q;        s_k = clip(y_k),   K y_k + Z F + g_s(q_k, s_{k−1}) = 0

and the energy is E(q_N, s_N). Its true gradient is that of

    E(q_N, s_N) + Σ_k [ p_k·(χ + η q_k + g_q(q_k, s_{k−1})) + t_k·(Z F + g_s(q_k, s_{k−1})) ]

with charges, shells and multipliers held fixed. From the last sweep to the first, t_k =
−(∂s_k/∂y_k)ᵀ s̄_k / K, and p_k solves

    η p_k + ∂²E/∂q∂q p_k − μ_f = −q̄_k,   Σ p_k = 0

for the derivatives q̄_k and s̄_k of everything that follows. So a gradient takes as many solutions
as the energy, and no matrix is stored but one number for each pair. With `stop_gradient` the
multipliers are zero. The results are those of reference.py, which stays the reference. Å, eV, e.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from openmm_pqeq.neighbors.half_list import KeptSearch
from openmm_pqeq.pqeq.coulomb.kernels import pair_exponents
from openmm_pqeq.pqeq.minimum.history import HISTORY_LENGTH, nearest_images, weights
from openmm_pqeq.pqeq.minimum.preconditioner import CLUSTER_AGE
from openmm_pqeq.pqeq.minimum.problem import (
    Problem,
    constrained,
    group_means,
    reachable,
    site_energy,
)
from openmm_pqeq.pqeq.sweeps.minres import (
    ChargeMatrix,
    ChargeSolution,
    ClusterInverse,
    cluster_inverse,
    diagonal_inverse,
    solve_by_minres,
)
from openmm_pqeq.pqeq.sweeps.reference import SHELL_CLIP, clip_shells
from openmm_pqeq.pqeq.sweeps.tapered import (
    TaperedPairs,
    tapered_forces,
    tapered_gradient,
    tapered_pairs,
    tapered_product,
    tapered_radials,
)
from openmm_pqeq.structure import Structure

SWEEP_DEPTH, LEAST_SWEEP_DEPTH = 0.01, 1e-11
"""How deep the charges of the sweeps for dynamics are solved: a part of the tolerance, and eV/e at
least."""


class Swept(NamedTuple):
    """charges (n_atoms,) e and shells (n_atoms, 3) Å after the last sweep; coulomb, the pair sum in
    eV; position_gradient (n_atoms, 3) eV/Å and cell_gradient (3, 3) eV/Å, the gradient of all pair terms;
    multipliers p (n_atoms,) and t (n_atoms, 3), summed over the sweeps."""

    charges: Tensor
    shells: Tensor
    coulomb: Tensor
    position_gradient: Tensor
    cell_gradient: Tensor
    charge_multiplier: Tensor
    shell_multiplier: Tensor


class Sweeps(nn.Module):
    """Energy, charges and shells of one structure by the protocol `reaxnet`; it may be
    differentiated once.

    cutoff : Å, the taper's range
    sweeps, stop_gradient, tolerance : as in `PQEq`
    skin : Å, of the list of neighbours
    """

    last_positions: Tensor
    last_vectors: Tensor
    products: Tensor
    kept_centers: Tensor
    kept_neighbors: Tensor
    kept_values: Tensor
    kept_diagonal: Tensor
    kept_hardness: Tensor
    kept_evaluations: Tensor

    def __init__(
        self, cutoff: float, sweeps: int, stop_gradient: bool, tolerance: float, skin: float
    ):
        super().__init__()
        self.cutoff, self.sweeps, self.stop_gradient = cutoff, sweeps, stop_gradient
        self.depth = max(SWEEP_DEPTH * tolerance, LEAST_SWEEP_DEPTH)
        self.search = KeptSearch(cutoff, skin)
        # newest first: unwrapped positions (n_kept, n_atoms, 3), charges and multipliers of every
        # sweep (n_kept, 2 sweeps, n_atoms)
        self.register_buffer(
            "last_positions", torch.zeros(0, 0, 3, dtype=torch.float64), persistent=False
        )
        self.register_buffer(
            "last_vectors", torch.zeros(0, 0, 0, dtype=torch.float64), persistent=False
        )
        self.register_buffer("products", torch.tensor(0), persistent=False)
        # the preconditioner, what it was made for, and how many evaluations it still serves
        self.register_buffer("kept_centers", torch.zeros(0, dtype=torch.int32), persistent=False)
        self.register_buffer("kept_neighbors", torch.zeros(0, dtype=torch.int32), persistent=False)
        self.register_buffer("kept_values", torch.zeros(0, dtype=torch.float64), persistent=False)
        self.register_buffer("kept_diagonal", torch.zeros(0, dtype=torch.float64), persistent=False)
        self.register_buffer("kept_hardness", torch.zeros(0, dtype=torch.float64), persistent=False)
        self.register_buffer("kept_evaluations", torch.tensor(0), persistent=False)

    def forward(
        self, structure: Structure, problem: Problem, float32: bool
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Energy (scalar, eV), charges (n_atoms,) and shells (n_atoms, 3); `float32`: whether
        kernels are."""
        kept = self.search(structure)
        cell = structure.cell[0]
        follow = kept.positions.requires_grad or cell.requires_grad or structure.field.requires_grad
        with torch.no_grad():
            pairs = tapered_pairs(kept, cell, self.cutoff, torch.float32 if float32 else cell.dtype)
            swept = self.swept(structure, problem, pairs, follow)
        q, s = swept.charges, swept.shells
        chi, on_shell = problem.electronegativity, problem.field_on_shell
        energy = site_energy(problem, q, s) + swept.coulomb
        # what follows has the value zero, and the derivatives of the equations above
        energy = (
            energy
            + ((chi - chi.data) * swept.charge_multiplier).sum()
            + ((on_shell - on_shell.data) * swept.shell_multiplier).sum()
        )
        energy = energy + ((kept.positions - kept.positions.data) * swept.position_gradient).sum()
        return energy + ((cell - cell.data) * swept.cell_gradient).sum(), q, s

    def swept(
        self, structure: Structure, problem: Problem, pairs: TaperedPairs, follow: bool
    ) -> Swept:
        """All sweeps, and where `follow`, the gradient."""
        present, kind = torch.unique(structure.numbers, return_inverse=True)
        exponent = torch.zeros(present.size(0), dtype=problem.exponent.dtype, device=present.device)
        exponent = exponent.index_put((kind,), problem.exponent)
        gamma = pair_exponents(exponent.unsqueeze(1), exponent.unsqueeze(0))
        z, hardness = problem.core_charge, problem.hardness
        springs = problem.spring_constant.unsqueeze(1)
        at_cores = tapered_radials(pairs, kind, gamma, self.cutoff, None)
        matrix = ChargeMatrix(
            hardness, pairs, at_cores[0], problem.group, problem.group_charge.size(0)
        )
        inverse = self.inverse(problem, pairs)
        positions, guesses = self.guesses(structure)
        depth = reachable(self.depth, hardness.dtype)
        products = 0
        nothing, still = torch.zeros_like(hardness), torch.zeros_like(problem.field_on_shell)
        shells, charges = still, nothing
        all_charges: list[Tensor] = []
        all_shells: list[Tensor] = [still]
        all_unclipped: list[Tensor] = []
        all_radials: list[Tensor] = [at_cores]
        for k in range(self.sweeps):
            # with all shells at rest on their cores nothing is left of neutral atoms
            of_shells = nothing
            if k > 0:
                of_shells, _ = tapered_gradient(
                    pairs, at_cores, all_radials[k], z, nothing, shells, True, False
                )
            start = constrained(problem, guesses[k])
            solution = self.solved(
                matrix, inverse, -problem.electronegativity - of_shells, start, depth
            )
            charges, products = solution.charges, products + solution.products
            _, shell_gradient = tapered_gradient(
                pairs, at_cores, all_radials[k], z, charges, shells, False, True
            )
            unclipped = -(shell_gradient + problem.field_on_shell) / springs
            shells = clip_shells(unclipped)
            all_charges.append(charges)
            all_shells.append(shells)
            all_unclipped.append(unclipped)
            all_radials.append(tapered_radials(pairs, kind, gamma, self.cutoff, shells))
        last = self.sweeps
        multipliers: list[Tensor] = []
        coulomb, total, total_on_cell = tapered_forces(
            pairs, at_cores, all_radials[last], z, charges, shells, nothing, still, 1.0
        )
        all_p, all_t = nothing, still
        if follow and not self.stop_gradient:
            charge_gradient, shell_gradient = tapered_gradient(
                pairs, at_cores, all_radials[last], z, charges, shells, True, True
            )
            charge_gradient = charge_gradient + problem.electronegativity + hardness * charges
            shell_gradient = shell_gradient + springs * shells + problem.field_on_shell
            for k in range(last - 1, -1, -1):
                t = -clipped_back(all_unclipped[k], shell_gradient) / springs
                q, s, radials = all_charges[k], all_shells[k], all_radials[k]
                from_t, _ = tapered_product(
                    pairs, at_cores, radials, z, q, s, nothing, t, True, False
                )
                right = -(charge_gradient + from_t)
                start = guesses[last + k] - group_means(problem, guesses[last + k])
                solution = self.solved(matrix, inverse, right, start, depth)
                p, products = solution.charges, products + solution.products
                if k > 0:
                    _, shell_gradient = tapered_product(
                        pairs, at_cores, radials, z, q, s, p, t, False, True
                    )
                charge_gradient = nothing
                _, position_gradient, cell_gradient = tapered_forces(
                    pairs, at_cores, radials, z, q, s, p, t, 0.0
                )
                total, total_on_cell = total + position_gradient, total_on_cell + cell_gradient
                all_p, all_t = all_p + p, all_t + t
                multipliers.append(p)
        self.remember(positions, guesses, all_charges, multipliers)
        self.products = torch.tensor(products)
        return Swept(charges, shells, coulomb, total, total_on_cell, all_p, all_t)

    def solved(
        self,
        matrix: ChargeMatrix,
        inverse: ClusterInverse,
        right: Tensor,
        start: Tensor,
        depth: float,
    ) -> ChargeSolution:
        """Charges to `depth` eV/e, else RuntimeError. Where clusters are no good preconditioner, it
        begins once more without."""
        products = 0
        for attempt in range(2):
            solution = solve_by_minres(matrix, inverse, right, start, depth)
            products += solution.products
            if solution.residual <= depth:
                return ChargeSolution(solution.charges, solution.residual, products)
            inverse = diagonal_inverse(matrix.hardness)
            if attempt == 1:
                raise RuntimeError(
                    "PQEq: the charges of the protocol 'reaxnet' have no reliable solution "
                    f"(residual {solution.residual} eV/e): their"
                    " matrix is all but singular. Look for atoms that are too close, or use "
                    "protocol 'pme' with a model made for it"
                )
        return ChargeSolution(start, 0.0, products)

    def inverse(
        self, problem: Problem, pairs: TaperedPairs, lifetime: int = CLUSTER_AGE
    ) -> ClusterInverse:
        """The preconditioner, made anew every `lifetime` evaluations."""
        hardness, kept_hardness = problem.hardness, self.kept_hardness
        if (
            int(self.kept_evaluations) <= 0
            or kept_hardness.dtype != hardness.dtype
            or not torch.equal(kept_hardness, hardness)
        ):
            made = cluster_inverse(hardness, problem.exponent, pairs)
            self.kept_diagonal, self.kept_values, self.kept_hardness = (
                made.diagonal,
                made.values,
                hardness.clone(),
            )
            self.kept_centers, self.kept_neighbors = made.pairs.centers, made.pairs.neighbors
            self.kept_evaluations = torch.tensor(lifetime)
        self.kept_evaluations = self.kept_evaluations - 1
        nowhere = torch.zeros(
            self.kept_values.size(0), 3, dtype=hardness.dtype, device=hardness.device
        )
        index = TaperedPairs(
            self.kept_centers, self.kept_neighbors, nowhere.to(torch.int8), nowhere
        )
        return ClusterInverse(self.kept_diagonal, index, self.kept_values)

    def guesses(self, structure: Structure) -> tuple[Tensor, Tensor]:
        """Unwrapped positions (n_atoms, 3), and where to begin the solutions: (2 sweeps, n_atoms),
        charges, then multipliers."""
        positions, earlier = structure.positions.detach(), self.last_positions
        n = positions.size(0)
        if earlier.size(0) == 0 or earlier.size(1) != n or earlier.dtype != positions.dtype:
            return positions, torch.zeros(
                2 * self.sweeps, n, dtype=positions.dtype, device=positions.device
            )
        cell, periodic = structure.cell[0].detach(), structure.pbc[0]
        positions = nearest_images(positions, cell, periodic, earlier[0])
        return positions, torch.tensordot(weights(earlier, positions), self.last_vectors, dims=1)

    def remember(
        self,
        positions: Tensor,
        guesses: Tensor,
        charges: list[Tensor],
        multipliers: list[Tensor],
        length: int = HISTORY_LENGTH,
    ) -> None:
        """Take in charges of all sweeps, and multipliers from the last sweep to the first, or none
        of them."""
        vectors = guesses.clone()
        for k in range(self.sweeps):
            vectors[k] = charges[k]
        for k in range(len(multipliers)):
            vectors[2 * self.sweeps - 1 - k] = multipliers[k]
        earlier = self.last_positions
        if (
            earlier.size(0) == 0
            or earlier.size(1) != positions.size(0)
            or earlier.dtype != positions.dtype
        ):
            self.last_positions, self.last_vectors = positions.unsqueeze(0), vectors.unsqueeze(0)
        else:
            first = 1 if bool((positions == earlier[0]).all()) else 0
            last = first + length - 1
            self.last_positions = torch.cat([positions.unsqueeze(0), earlier[first:last]])
            self.last_vectors = torch.cat([vectors.unsqueeze(0), self.last_vectors[first:last]])


def clipped_back(unclipped: Tensor, derivative: Tensor, longest: float = SHELL_CLIP) -> Tensor:
    """The derivative in shells before `clip_shells`, (n_atoms, 3), from that in shells after it."""
    square = (unclipped * unclipped).sum(dim=1, keepdim=True) + 1e-30
    scale = longest / torch.sqrt(square)
    radial = unclipped * (unclipped * derivative).sum(dim=1, keepdim=True) / square
    return torch.where(scale < 1.0, scale * (derivative - radial), derivative)
