"""The vector whose square is the loss of a fit, and its Jacobian; and what a set of parameters gives
for frames.

    Σ_targets mean[(PQEq − label)²]/scale²  +  prior² Σ [(u − u_start)/(u_high − u_low)]²  +  guard

The guard keeps, on every fitted frame, the smallest eigenvalue of the (q, s) Hessian and, for every
element, η minus the self-energy of its Gaussian above a margin, and every shell within a distance of
its core. Close to a limit it is a rising residual; beyond it a step is refused, unless the starting
parameters were beyond it themselves.
"""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch

from openmm_pqeq.fitting import parameters as choice
from openmm_pqeq.fitting.parameters import Free
from openmm_pqeq.fitting.response import Respondent, Unsolved
from openmm_pqeq.fitting.targets import ResponseFrame, predicted, predicted_slopes
from openmm_pqeq.neighbors.search import NeighborSearch
from openmm_pqeq.pqeq import PQEq
from openmm_pqeq.pqeq.parameters import Parameters

GUARD_ZONE = 1.1
"""The guard's residual begins at this multiple of a margin (at the inverse for the shells)."""
GUARD_WEIGHT = 10.0
"""The guard's residual per relative violation."""
GUARD_SOFTNESS = 0.03
"""How softly that residual begins, relative to the limit: a step has to see it coming."""


class Guard(NamedTuple):
    """Limits: smallest eigenvalue of the Hessian (eV/e², eV/Å²), smallest excess of the hardness
    (eV), longest shell (Å)."""

    eigenvalue: float = 0.3
    hardness: float = 0.3
    shell: float = 0.5


class FitSettings(NamedTuple):
    """How to fit.

    scales : per target, the error that counts as one
    prior : pull towards the start; it decides what the data leaves open, such as a common shift of
        all electronegativities
    iterations : most evaluations of the loss
    ftol : relative decrease of the loss that ends the fit
    tolerance : eV/e and eV/Å, of the charge solution and the Ewald sum during the fit
    """

    scales: dict[str, float]
    guard: Guard = Guard()
    prior: float = 0.05
    iterations: int = 60
    ftol: float = 1e-5
    tolerance: float = 1e-4


class Measured(NamedTuple):
    """One frame with one set of parameters: predictions by target, smallest eigenvalue, longest
    shell (Å)."""

    values: dict[str, np.ndarray]
    softest: float
    longest: float


def respondents(
    parameters: Parameters,
    frames: Sequence[ResponseFrame],
    tolerance: float,
    coupling: str = "shell",
) -> list[Respondent]:
    """One solver per frame: `ewald` where there is a cell, `direct` where there is none."""
    solvers = {
        protocol: PQEq(parameters, protocol, tolerance=tolerance, coupling=coupling)
        for protocol in ("ewald", "direct")
    }
    search = NeighborSearch(solvers["ewald"].cutoff)
    found = []
    for frame in frames:
        pqeq = solvers["ewald" if bool(frame.structure.pbc.any()) else "direct"]
        found.append(
            Respondent(
                pqeq,
                frame.structure,
                search(frame.structure),
                "born_charge" in frame.labels,
                "forces" in frame.labels,
            )
        )
    return found


def measure(
    parameters: Parameters,
    frames: Sequence[ResponseFrame],
    tolerance: float = 1e-6,
    coupling: str = "shell",
) -> list[Measured | None]:
    """Predictions for frames; None where there is no stable solution."""
    results: list[Measured | None] = []
    for frame, respondent in zip(frames, respondents(parameters, frames, tolerance, coupling)):
        try:
            answer = respondent.answer([], torch.zeros(0, dtype=torch.float64))
            results.append(
                Measured(predicted(frame, answer), float(answer.softest), float(answer.longest))
            )
        except Unsolved:
            results.append(None)
    return results


class Residuals:
    """The vector whose square is the loss, and its Jacobian, as functions of u."""

    def __init__(
        self,
        start: Parameters,
        frames: Sequence[ResponseFrame],
        free: Sequence[Free],
        settings: FitSettings,
        coupling: str = "shell",
        on_frame: Callable[[int], None] = lambda _index: None,
    ):
        self.start, self.frames, self.free, self.settings, self.on_frame = (
            start,
            frames,
            free,
            settings,
            on_frame,
        )
        self.solvers = respondents(start, frames, settings.tolerance, coupling)
        self.origin = choice.to_fit(free, [item.start for item in free])
        self.low = choice.to_fit(free, [item.low for item in free])
        self.high = choice.to_fit(free, [item.high for item in free])
        self.elements = sorted({item.element for item in free})
        self.weights = {
            target: 1.0
            / (scale * math.sqrt(sum(f.labels[target].size for f in frames if target in f.labels)))
            for target, scale in settings.scales.items()
            if any(target in f.labels for f in frames)
        }
        # (smallest eigenvalue, longest shell) per frame and hardness margin per element that the
        # start already violates
        self.allowed: np.ndarray | None = None
        self.size = 0
        self.last_limits = np.zeros(0)
        self.last_loss = float("inf")

    def __call__(self, u: np.ndarray) -> np.ndarray:
        """Residuals; infinite where a solution is missing or a limit is passed, which makes the
        trust region shrink."""
        try:
            values, _ = self._evaluate(u, False)
        except Unsolved:
            if self.allowed is None:
                raise
            return np.full(self.size, np.inf)
        limits = self.last_limits
        if self.allowed is None:
            self.size = values.size
            self.allowed = np.maximum(limits, 0.0) + 1e-9
        return values if np.all(limits <= self.allowed) else np.full(self.size, np.inf)

    def jacobian(self, u: np.ndarray) -> np.ndarray:
        """Derivatives of the residuals, (n_residuals, n_free)."""
        _, slopes = self._evaluate(u, True)
        if slopes is None:
            raise RuntimeError("jacobian: no slopes")
        return slopes

    def _evaluate(self, u: np.ndarray, want_slopes: bool) -> tuple[np.ndarray, np.ndarray | None]:
        table = choice.from_fit(self.free, u)
        p = torch.tensor(table * choice.inside(self.free))
        chain = choice.slopes_in_fit(self.free, u)
        parts: list[np.ndarray] = []
        rows: list[np.ndarray] = []
        violations: list[float] = []
        guard = self.settings.guard
        for index, (frame, solver) in enumerate(zip(self.frames, self.solvers)):
            present = set(frame.structure.numbers.tolist())
            own = [k for k, item in enumerate(self.free) if item.place.number in present]
            places = [self.free[k].place for k in own]
            try:
                answer, slopes = (
                    solver.answer_with_slopes(places, p[own])
                    if want_slopes
                    else (solver.answer(places, p[own]), None)
                )
            except Unsolved as error:
                raise Unsolved(f"{frame.name}: {error}") from None
            found = predicted(frame, answer)
            for target, weight in self.weights.items():
                if target in frame.labels:
                    parts.append(weight * (found[target] - frame.labels[target]).ravel())
                    if slopes is not None:
                        derivative = predicted_slopes(frame, slopes)[target].reshape(len(own), -1).T
                        rows.append(_spread(weight * derivative * chain[own], own, len(u)))
            for value, limit, sign, slope in (
                (
                    float(answer.softest),
                    guard.eigenvalue,
                    -1.0,
                    None if slopes is None else slopes.softest,
                ),
                (
                    float(answer.longest),
                    guard.shell,
                    1.0,
                    None if slopes is None else slopes.longest,
                ),
            ):
                violations.append(sign * (value - limit) / limit)
                push, rate = _barrier(value, limit, sign)
                parts.append(np.array([push]))
                if slope is not None:
                    rows.append(_spread((rate * slope.numpy() * chain[own])[None], own, len(u)))
            self.on_frame(index)
        self._hardness_guard(u, table, parts, rows, violations)
        width = self.high - self.low
        parts.append(self.settings.prior * (u - self.origin) / width)
        rows.append(np.diag(self.settings.prior / width))
        self.last_limits = np.array(violations)
        residuals = np.concatenate(parts)
        self.last_loss = float(residuals @ residuals)
        return residuals, np.concatenate(rows) if want_slopes else None

    def _hardness_guard(
        self,
        u: np.ndarray,
        table: np.ndarray,
        parts: list[np.ndarray],
        rows: list[np.ndarray],
        violations: list[float],
    ) -> None:
        limit = self.settings.guard.hardness
        current = choice.with_values(self.start, self.free, [float(value) for value in table])
        for symbol, margin in choice.hardness_margins(current, self.elements).items():
            push, rate = _barrier(margin, limit, -1.0)
            violations.append((limit - margin) / limit)
            parts.append(np.array([push]))
            row = np.zeros((1, len(u)))
            for k, item in enumerate(self.free):
                if item.element == symbol and item.name == "hardness":
                    row[0, k] = rate * current[symbol].hardness
                if item.element == symbol and item.name == "radius":
                    # the self-energy goes as 1/R, so that −d(self)/d(log R) is the self-energy
                    row[0, k] = rate * (current[symbol].hardness - margin)
            rows.append(row)


def _spread(columns: np.ndarray, own: list[int], size: int) -> np.ndarray:
    full = np.zeros((columns.shape[0], size))
    full[:, own] = columns
    return full


def _barrier(value: float, limit: float, sign: float) -> tuple[float, float]:
    """Residual that rises where `value` comes close to its limit (from below for sign 1, from above
    for −1), and its derivative."""
    edge = limit * GUARD_ZONE if sign < 0 else limit / GUARD_ZONE
    beyond = sign * (value - edge) / (limit * GUARD_SOFTNESS)
    rate = GUARD_WEIGHT / (1.0 + math.exp(-min(max(beyond, -60.0), 60.0)))
    return GUARD_WEIGHT * GUARD_SOFTNESS * float(np.logaddexp(0.0, beyond)), rate * sign / limit
