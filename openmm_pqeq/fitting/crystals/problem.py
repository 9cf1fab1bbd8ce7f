"""What a fit minimises: errors of crystals, a batch at a time.

    r = (Z* − label)/s_Z/√(9n),    log(tr ε∞/tr label)/s_ε,    (ε∞/⅓tr ε∞ − label/⅓tr label)/3s_ε

with s_Z = 0.1 e + 0.1 of the label's root mean square, and s_ε = 0.12: errors of ε∞ are relative.
Guarded crystals (guard.py) have one residual, log(⅓tr ε∞/limit)/s_ε above their limit.
Crystals of a narrow gap (ε∞ above 14) count a fifth. The Jacobian is that of a batch in the rows
its crystals have: for charges by bonds by torch's forward mode, for free flow by differences of
re-solved batches.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from openmm_pqeq.fitting.crystals import free_flow, table
from openmm_pqeq.fitting.crystals import response as by_bonds
from openmm_pqeq.fitting.crystals.bonds import make_bonds
from openmm_pqeq.fitting.crystals.data import Crystal
from openmm_pqeq.fitting.crystals.response import Geometry, Response, Rows
from openmm_pqeq.fitting.crystals.table import Columns, Kind
from openmm_pqeq.fitting.crystals.waves import batches_of, make_waves, shortest_waves

BORN_SCALE, BORN_RELATIVE, EPSILON_SCALE = 0.1, 0.1, 0.12
ROBUST = 2.0
"""δ: beyond this |r| a crystal pulls with a bounded force."""
LOST = 100.0
"""What a crystal without a finite solution costs."""
NARROW_GAP, NARROW_GAP_WEIGHT = 14.0, 0.2
TIMES_LABEL, LARGEST = 3.0, 40.0
"""Limits of ⅓ tr ε∞ of guarded crystals: times a label, and without one."""
WORK = 1500
"""Atoms² of a batch."""
DIFFERENCE = 1e-4
"""Of a coordinate, for the slopes of free flow."""


class Batch(NamedTuple):
    """Crystals of one size.

    rows : (b, n_slots) indices of rows, each crystal's own first, −1 behind them
    members : (b, n, n_slots), 1 where an atom has the row of a slot
    born : (b, n, 3, 3) e; epsilon : (b, 3, 3); weight : (b,); crystals : their indices
    limits : (b,) of ⅓ tr ε∞ in a batch of guarded crystals, which are not fitted; else (0,)
    """

    geometry: Geometry
    rows: np.ndarray
    members: Tensor
    born: Tensor
    epsilon: Tensor
    weight: Tensor
    crystals: list[int]
    limits: Tensor


class Linearized(NamedTuple):
    """residuals : (b, n_residuals); jacobian : (b, n_residuals, n_slopes); columns : (b, n_slopes)
    the coordinate of each slope, −1 where there is none."""

    residuals: Tensor
    jacobian: Tensor
    columns: np.ndarray


class Problem:
    """Crystals in batches, and the coordinates of their rows."""

    def __init__(
        self,
        crystals: Sequence[Crystal],
        kinds: Sequence[Kind],
        columns: Columns,
        start: np.ndarray,
        tolerance: float = 1e-7,
    ):
        self.kinds, self.columns, self.start = list(kinds), columns, start
        self.low, self.high = table.bounds_of(start, columns)
        self.widths = np.tile(columns.width, len(start) // len(columns.names))
        self.count = len(crystals)
        self._fitted = make_batches(crystals, kinds, tolerance)
        self._watched: list[Batch] = []
        self._solutions: dict[int, free_flow.Solution] = {}

    @property
    def batches(self) -> list[Batch]:
        """What is fitted, and what is watched."""
        return self._fitted + self._watched

    def watch(self, crystals: Sequence[Crystal]) -> None:
        """Take these as guarded crystals, in place of those before."""
        self._watched = make_batches(crystals, self.kinds, guarded=True)

    @property
    def flows(self) -> bool:
        """Whether charge flows freely."""
        return "Z" in self.columns.names

    def response(self, batch: Batch, x: np.ndarray) -> Response:
        """Born charges and ε∞ at coordinates x, NaN where there is no solution."""
        u = self._local(batch, x)
        if not self.flows:
            rows = bond_rows(batch.members @ u)
            return by_bonds.response(batch.geometry, rows, by_bonds.solve(batch.geometry, rows))
        shells = shell_rows(batch.members @ u)
        guess = self._solutions.get(id(batch), free_flow.cold(batch.geometry))
        found = free_flow.solve(batch.geometry, shells, guess)
        response = free_flow.response(batch.geometry, shells, found)
        if bool(torch.isfinite(response.epsilon).all()):
            self._solutions[id(batch)] = found
        return response

    def residuals(self, batch: Batch, x: np.ndarray) -> Tensor:
        """(b, 9n + 10), NaN where there is no solution."""
        return residuals_of(batch, self.response(batch, x))

    def linearized(self, batch: Batch, x: np.ndarray) -> Linearized:
        """Residuals and their Jacobian."""
        u = self._local(batch, x)
        slopes = self._by_differences if self.flows else self._by_forward_mode
        residuals, jacobian = slopes(batch, u)
        rows, n_columns = batch.rows[:, :, None], u.shape[2]
        columns = np.where(rows < 0, -1, rows * n_columns + np.arange(n_columns))
        return Linearized(residuals, jacobian, columns.reshape(len(batch.crystals), -1))

    def _local(self, batch: Batch, x: np.ndarray) -> Tensor:
        """Coordinates by slot, (b, n_slots, n_columns)."""
        return torch.from_numpy(x.reshape(len(self.kinds), -1)[batch.rows])

    def _by_forward_mode(self, batch: Batch, u: Tensor) -> tuple[Tensor, Tensor]:
        solved = by_bonds.solve(batch.geometry, bond_rows(batch.members @ u))

        def at(u: Tensor) -> Tensor:
            rows = bond_rows(batch.members @ u)
            return residuals_of(batch, by_bonds.response(batch.geometry, rows, solved))

        def slope(step: Tensor) -> Tensor:
            tangent: Tensor = torch.func.jvp(at, (u,), (step,))[1]
            return tangent

        count = u[0].numel()
        steps = torch.eye(count, dtype=torch.float64).reshape(count, 1, *u.shape[1:])
        slopes = torch.func.vmap(slope)(steps.expand(-1, len(u), -1, -1))
        return at(u), slopes.permute(1, 2, 0)

    def _by_differences(self, batch: Batch, u: Tensor) -> tuple[Tensor, Tensor]:
        guess = self._solutions.get(id(batch), free_flow.cold(batch.geometry))
        rows = shell_rows(batch.members @ u)
        found = free_flow.solve(batch.geometry, rows, guess)

        def at(u: Tensor) -> Tensor:
            rows = shell_rows(batch.members @ u)
            near = free_flow.solve(batch.geometry, rows, found, steps=2)
            return residuals_of(batch, free_flow.response(batch.geometry, rows, near))

        here, slopes = at(u), []
        for slot in range(u.shape[1]):
            for column in range(u.shape[2]):
                there = u.clone()
                there[:, slot, column] += DIFFERENCE
                slopes.append((at(there) - here) / DIFFERENCE)
        return here, torch.stack(slopes, dim=2)


def bond_rows(u: Tensor) -> Rows:
    """Parameters of charges by bonds by atom, (b, n), of coordinates (b, n, 7)."""
    radius = torch.exp(u[..., 3])
    return Rows(
        u[..., 0],
        table.hardness_of(u[..., 1], radius),
        table.stiffness_of(u[..., 2], radius),
        radius,
        torch.exp(u[..., 4]),
        torch.exp(u[..., 5]),
        u[..., 6],
    )


def shell_rows(u: Tensor) -> free_flow.ShellRows:
    """Parameters of free flow by atom, (b, n), of coordinates (b, n, 5)."""
    radius, core = torch.exp(u[..., 3]), torch.exp(u[..., 4])
    spring = core**2 * table.stiffness_of(u[..., 2], radius)
    hardness = table.hardness_of(u[..., 1], radius)
    return free_flow.ShellRows(u[..., 0], hardness, core, radius, spring)


def make_batches(
    crystals: Sequence[Crystal],
    kinds: Sequence[Kind],
    tolerance: float = 1e-7,
    guarded: bool = False,
) -> list[Batch]:
    """All crystals, in batches of equal size; `guarded`: to be kept within limits, not fitted."""
    longest = shortest_waves(table.NARROWEST, tolerance)
    sizes = [len(crystal.atoms) for crystal in crystals]
    return [
        _batch([crystals[i] for i in index], kinds, index, longest, guarded)
        for index in batches_of(sizes, WORK)
    ]


def _batch(
    crystals: Sequence[Crystal],
    kinds: Sequence[Kind],
    index: list[int],
    longest: float,
    guarded: bool,
) -> Batch:
    cells = np.stack([np.asarray(crystal.atoms.cell) for crystal in crystals])
    positions = np.stack([crystal.atoms.positions for crystal in crystals])
    slots, members = _slots([table.rows_of(crystal, kinds) for crystal in crystals])
    of = torch.from_numpy
    geometry = Geometry(
        make_waves(cells, positions, longest),
        make_bonds([crystal.atoms for crystal in crystals]),
        of(np.abs(np.linalg.det(cells))),
        of(np.stack([crystal.charges for crystal in crystals])),
    )
    born = of(np.stack([crystal.born for crystal in crystals]))
    epsilon = of(np.stack([crystal.epsilon for crystal in crystals]))
    narrow = _parted(epsilon)[0] > NARROW_GAP
    weight = 1.0 - (1.0 - NARROW_GAP_WEIGHT) * narrow.double()
    limits = torch.tensor([limit_of(c) for c in crystals if guarded], dtype=torch.float64)
    return Batch(geometry, slots, of(members), born, epsilon, weight, index, limits)


def limit_of(crystal: Crystal) -> float:
    """The largest ⅓ tr ε∞ of a guarded crystal."""
    label = float(np.trace(crystal.epsilon)) / 3.0
    return TIMES_LABEL * label if np.isfinite(label) else LARGEST


def _slots(rows: Sequence[Sequence[int]]) -> tuple[np.ndarray, np.ndarray]:
    own = [list(dict.fromkeys(one)) for one in rows]
    most = max(map(len, own))
    slots = np.full((len(own), most), -1)
    members = np.zeros((len(own), len(rows[0]), most))
    for i, (atoms, kept) in enumerate(zip(rows, own)):
        slots[i, : len(kept)] = kept
        members[i, range(len(atoms)), [kept.index(row) for row in atoms]] = 1.0
    return slots, members


def residuals_of(batch: Batch, found: Response) -> Tensor:
    """(b, 9n + 10), or (b, 1) of guarded crystals."""
    b, n = batch.members.shape[:2]
    if len(batch.limits):
        mean, _ = _parted(found.epsilon)
        return torch.relu(torch.log(mean / batch.limits)).unsqueeze(1) / EPSILON_SCALE
    size = batch.born.square().mean(dim=(1, 2, 3)).sqrt()
    scale = (BORN_SCALE + BORN_RELATIVE * size) * (9 * n) ** 0.5
    born = ((found.born - batch.born) / scale.view(-1, 1, 1, 1)).reshape(b, -1)
    mean, shape = _parted(found.epsilon)
    label_mean, label_shape = _parted(batch.epsilon)
    relative = torch.log(mean / label_mean).unsqueeze(1) / EPSILON_SCALE
    anisotropy = (shape - label_shape).reshape(b, -1) / (3 * EPSILON_SCALE)
    return torch.cat([born, relative, anisotropy], dim=1)


def _parted(epsilon: Tensor) -> tuple[Tensor, Tensor]:
    """A third of the trace, and the tensor over it."""
    mean = epsilon.diagonal(dim1=-2, dim2=-1).mean(dim=-1)
    return mean, epsilon / mean.unsqueeze(-1).unsqueeze(-1)
