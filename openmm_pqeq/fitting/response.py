"""Response of one structure to a field, and its derivatives in the parameters, by implicit
differentiation.

With E(x; r, F, p), x = (q, s) at its minimum and H = ∂²E/∂x∂x on Σ dq = 0, the solution moves along
D_y = dx/dy = −H⁻¹ ∂²E/∂x∂y for y = F, r, p. Second derivatives of the minimum energy follow from
D_F alone, third derivatives from first-order changes alone:

    α_ab      = −E''[D_Fa, D_Fb]                      dα_ab/dp      = −E'''[D_Fa, D_Fb, D_p]
    Z*_i,ab   = −E''[D_Fa, D_rib] (+ q_i δ_ab)        dZ*_i,ab/dp   = −E'''[D_Fa, D_rib, D_p] (+ δ_ab dq_i/dp)

(the 2n+1 theorem; the terms in brackets belong to the coupling `shell`, see pqeq/coupling.py). The
Hessian is made as a matrix: this is for molecules and for cells of up to a few hundred atoms. Its
smallest eigenvalue on Σ dq = 0 says how far the structure is from a polarization catastrophe. e, Å,
eV; at zero field; float64.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from openmm_pqeq.neighbors.pairs import Pairs
from openmm_pqeq.pqeq import PQEq
from openmm_pqeq.pqeq.coupling import ionic_born_charges, ionic_charge_change
from openmm_pqeq.pqeq.derivatives.adjoint import parameters_as, without_gradient
from openmm_pqeq.pqeq.minimum.newton import Problem, linearize, minimize, product
from openmm_pqeq.structure import Structure

COLUMNS_AT_ONCE = 64
"""Columns of the Hessian made in one go."""
SOLVER_DEPTH = 1e-3
"""The solution's residual over the truncation of the Ewald sum."""


class Place(NamedTuple):
    """Where a parameter lives: the buffer's name and the atomic number."""

    name: str
    number: int


class Answer(NamedTuple):
    """The response of one structure.

    charges (n_atoms,) e; shells (n_atoms, 3) Å; dipole (3,) e Å; polarizability (3, 3) e²Å²/eV;
    born (n_atoms, 3, 3) e, [atom, field, force], or nothing where it is not wanted; forces
    (n_atoms, 3) eV/Å; softest () smallest eigenvalue of the (q, s) Hessian on Σ dq = 0, eV/e² and
    eV/Å²; longest () Å, the longest shell
    """

    charges: Tensor
    shells: Tensor
    dipole: Tensor
    polarizability: Tensor
    born: Tensor | None
    forces: Tensor | None
    softest: Tensor
    longest: Tensor


class Unsolved(RuntimeError):
    """There is no stable charge solution with these parameters."""


class _Hessian(NamedTuple):
    """Eigenvalues (4n,) and vectors (4n, 4n) of the Hessian with the mean of the charges projected
    out."""

    values: Tensor
    vectors: Tensor

    def solve(self, right: Tensor) -> Tensor:
        """H⁻¹·right on Σ dq = 0, of columns (4n, m)."""
        return self.vectors @ ((self.vectors.t() @ _centred(right)) / self.values.unsqueeze(1))


def _centred(columns: Tensor) -> Tensor:
    n = columns.size(0) // 4
    return torch.cat([columns[:n] - columns[:n].mean(dim=0), columns[n:]])


def _hessian(problem: Problem, charges: Tensor, shells: Tensor) -> _Hessian:
    n = charges.size(0)
    at = linearize(problem, charges, shells)

    def times(direction: Tensor) -> Tensor:
        on_q, on_s = product(problem, at, shells, direction[:n], direction[n:].view(n, 3))
        return torch.cat([on_q, on_s.flatten()])

    identity = torch.eye(4 * n, dtype=charges.dtype)
    matrix = torch.cat([torch.vmap(times)(rows) for rows in identity.split(COLUMNS_AT_ONCE)])
    matrix = _centred(_centred(0.5 * (matrix + matrix.t())).t())
    # the direction of all charges together, which the constraint forbids, is put out of the way
    matrix[:n, :n] += float(matrix.diagonal().max()) / n
    return _Hessian(*torch.linalg.eigh(matrix))


def _gradients(value: Tensor, inputs: Sequence[Tensor], graph: bool = False) -> list[Tensor]:
    if not value.requires_grad:
        return [torch.zeros_like(x) for x in inputs]
    found = torch.autograd.grad(
        value, inputs, create_graph=graph, retain_graph=True, allow_unused=True
    )
    return [torch.zeros_like(x) if g is None else g for g, x in zip(found, inputs)]


class Respondent:
    """One structure whose response is asked for again and again with other parameters. Each solution
    starts from none: answers depend on the parameters alone, not on those asked for before.

    Parameters
    ----------
    pqeq : of protocol `ewald`, `pme` or `direct`; its own parameters hold where `places` says
        nothing
    structure : one structure at zero field
    pairs : within the model's cutoff
    born, forces : whether Born charges and forces are wanted
    """

    def __init__(
        self, pqeq: PQEq, structure: Structure, pairs: Pairs, born: bool, forces: bool = False
    ):
        self.pqeq, self.structure, self.pairs, self.wanted = pqeq, structure, pairs, (born, forces)
        # the slopes are asked for where the response has just been found
        self._kept: tuple[list[float], Tensor, Tensor, _Hessian] | None = None

    def answer(self, places: Sequence[Place], values: Tensor) -> Answer:
        """The response with `values` (n_parameters,) at `places`. Raises Unsolved."""
        return self._respond(places, values, False)[0]

    def answer_with_slopes(self, places: Sequence[Place], values: Tensor) -> tuple[Answer, Answer]:
        """The response, and its derivatives in the parameters: every field with a leading axis of
        n_parameters."""
        answer, slopes = self._respond(places, values, True)
        if slopes is None:
            raise RuntimeError("answer_with_slopes: no slopes")
        return answer, slopes

    def _respond(
        self, places: Sequence[Place], values: Tensor, want_slopes: bool
    ) -> tuple[Answer, Answer | None]:
        pqeq = self.pqeq
        p = values.detach().clone().requires_grad_(True)
        positions = self.structure.positions.detach().clone().requires_grad_(True)
        field = self.structure.field.detach().clone().requires_grad_(True)
        structure = self.structure._replace(positions=positions, field=field)
        with parameters_as(
            pqeq,
            {name: _placed(pqeq, name, places, p) for name in {place.name for place in places}},
        ):
            problem = pqeq.problem(structure, _moved(self.pairs, structure))
            charges, shells, hessian = self._solve(without_gradient(problem), values.tolist())
            x = torch.cat([charges, shells.flatten()]).requires_grad_(True)
            n = charges.size(0)
            energy = pqeq.energy(problem, x[:n], x[n:].view(n, 3))
        return _differentiate(
            pqeq, problem, energy, x, (positions, field, p), hessian, self.wanted, want_slopes
        )

    def _solve(self, problem: Problem, values: list[float]) -> tuple[Tensor, Tensor, _Hessian]:
        if self._kept is not None and self._kept[0] == values:
            return self._kept[1:]
        with torch.no_grad():
            # deeper than the Ewald sum is exact, so that the loss is as smooth as its derivatives
            # say
            tolerance = SOLVER_DEPTH * self.pqeq.tolerance
            found = minimize(problem, tolerance)
            if found.failure:
                raise Unsolved(found.failure)
            hessian = _hessian(problem, found.unknowns, found.shells)
        if float(hessian.values[0]) <= 0.0:
            raise Unsolved("the Hessian of charges and shells is not positive definite")
        self._kept = (values, found.unknowns, found.shells, hessian)
        return found.unknowns, found.shells, hessian


def _placed(pqeq: PQEq, name: str, places: Sequence[Place], p: Tensor) -> Tensor:
    rows = [row for row, place in enumerate(places) if place.name == name]
    return getattr(pqeq, name).index_put(
        (torch.tensor([places[row].number for row in rows]),), p[rows]
    )


def _moved(pairs: Pairs, structure: Structure) -> Pairs:
    """Pairs with vectors that follow the positions (which are those of the search)."""
    shift = structure.positions - structure.positions.detach()
    vectors = pairs.vectors.detach() + shift[pairs.neighbors] - shift[pairs.centers]
    return pairs._replace(vectors=vectors, distances=vectors.norm(2, dim=1))


def _differentiate(
    pqeq: PQEq,
    problem: Problem,
    energy: Tensor,
    x: Tensor,
    others: tuple[Tensor, Tensor, Tensor],
    hessian: _Hessian,
    wanted: tuple[bool, bool],
    want_slopes: bool,
) -> tuple[Answer, Answer | None]:
    positions, field, p = others
    want_born, want_forces = wanted
    n = positions.size(0)
    identity = torch.eye(3, dtype=x.dtype)
    on_x, on_r, on_f, on_p = _gradients(energy, (x, positions, field, p), graph=True)
    mixed = torch.stack([_gradients(on_f[0, a], (x,))[0] for a in range(3)], dim=1)
    to_field = -hessian.solve(mixed)  # (4n, 3), D_F
    turned = [
        _gradients(on_f[0, a] + on_x @ to_field[:, a], (x, positions, field, p), graph=want_slopes)
        for a in range(3)
    ]  # gradients of dE/dF_a along D_F, in everything
    alpha = -torch.stack([field_part[0].detach() for _, _, field_part, _ in turned])
    charges, shells = x.detach()[:n], x.detach()[n:].view(n, 3)
    born: Tensor | None = None
    if want_born:
        born = -torch.stack([r.detach() for _, r, _, _ in turned], dim=1)
        born = born + ionic_born_charges(
            pqeq.coupling, charges, to_field[:n], field.detach()[0], pqeq.groups()
        )
    z = problem.core_charge
    moment = charges.unsqueeze(1) * positions.detach() - z.unsqueeze(1) * shells
    longest = shells.norm(dim=1).max()
    forces = -on_r.detach() if want_forces else None
    answer = Answer(
        charges, shells, moment.sum(dim=0).detach(), alpha, born, forces, hessian.values[0], longest
    )
    if not want_slopes:
        return answer, None

    n_parameters = p.size(0)
    to_p = -hessian.solve(
        torch.stack([_gradients(on_p[m], (x,))[0] for m in range(n_parameters)], dim=1)
    )  # (4n, m), D_p
    d_alpha = torch.zeros(n_parameters, 3, 3, dtype=x.dtype)
    for a in range(3):
        for b in range(a + 1):
            second = turned[a][2][0, b] + turned[a][0] @ to_field[:, b]
            g_x, g_p = _gradients(second, (x, p))
            d_alpha[:, a, b] = d_alpha[:, b, a] = -(g_p + to_p.t() @ g_x)
    dq, ds = to_p[:n].t(), to_p[n:].t().reshape(n_parameters, n, 3)
    d_born: Tensor | None = None
    if want_born:
        d_born = -_third_with_positions(turned, on_x, x, positions, to_p, hessian)
        change = ionic_charge_change(pqeq.coupling, dq)
        d_born = d_born + change.view(n_parameters, n, 1, 1) * identity
    d_forces: Tensor | None = None
    if want_forces:
        moving = [on_p[m] + on_x @ to_p[:, m] for m in range(n_parameters)]
        d_forces = -torch.stack([_gradients(slope, (positions,))[0] for slope in moving])
    direct = torch.stack(
        [_gradients((z * axis).sum(), (p,))[0] for axis in shells.t()], dim=1
    )  # dZ/dp·s, (m, 3)
    d_dipole = dq @ positions.detach() - (z.detach().unsqueeze(1) * ds).sum(dim=1) - direct
    far = int(shells.norm(dim=1).argmax())
    d_longest = ds[:, far] @ shells[far] / longest.clamp(min=1e-12)
    soft = hessian.vectors[:, 0]
    (curved,) = _gradients(on_x @ soft, (x,), graph=True)
    g_x, g_p = _gradients(curved @ soft, (x, p))
    d_softest = g_p + to_p.t() @ g_x
    return answer, Answer(
        dq, ds, d_dipole.detach(), d_alpha, d_born, d_forces, d_softest, d_longest
    )


def _third_with_positions(
    turned: list[list[Tensor]],
    on_x: Tensor,
    x: Tensor,
    positions: Tensor,
    to_p: Tensor,
    hessian: _Hessian,
) -> Tensor:
    """E'''[D_F, D_r, D_p], (n_parameters, n_atoms, 3, 3) with axes [parameter, atom, field,
    position]."""
    n, n_parameters = positions.size(0), to_p.size(1)
    third = torch.zeros(n_parameters, n, 3, 3, dtype=x.dtype)
    for m in range(n_parameters):
        on_solution = []
        for a in range(3):
            along = turned[a][0] @ to_p[:, m] + turned[a][3][m]
            g_x, g_r = _gradients(along, (x, positions))
            on_solution.append(g_x)
            third[m, :, a] = g_r
        adjoint = hessian.solve(torch.stack(on_solution, dim=1))
        for a in range(3):
            third[m, :, a] -= _gradients(on_x @ adjoint[:, a], (positions,))[0]
    return third
