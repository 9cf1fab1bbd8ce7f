"""Levenberg–Marquardt over thousands of crystals: only JᵀJ is ever kept.

    minimise  Σ_crystals w ρ(|r|²)  +  Σ_rows |(u − u_parent)/(width/prior)|²

within bounds. ρ(c) = 2δ²(√(1 + c/δ²) − 1) weighs a crystal's JᵀJ with 1/√(1 + c/δ²). An element's
row is drawn to where it started, the row of a type to that of its element, so that what data leave
open stays where chemistry put it. A parameter at a bound that the gradient pushes outwards rests
for the step. A crystal without a solution costs a constant and has no slope.

After each step the state is written, whole or not at all; a fit that is asked to stop ends there.
"""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from openmm_pqeq.fitting.crystals.guard import Guard
from openmm_pqeq.fitting.crystals.problem import LOST, ROBUST, Linearized, Problem
from openmm_pqeq.fitting.crystals.table import parents_of
from openmm_pqeq.jobs.files import write_text
from openmm_pqeq.jobs.progress import Progress, Watch, unwatched
from openmm_pqeq.jobs.stop import StopSignals

DAMPING, LEAST_DAMPING, GROWTH = 1e-2, 1e-3, 5.0
"""Of the diagonal of JᵀJ: at the start, at least, and by what it grows where a step fails."""
TRIES = 6
"""Steps that are tried, each more damped, before a fit ends."""
SLOW = 3
"""Iterations in a row with less than `ftol` that end a fit."""
GUARD_EVERY = 10
"""Iterations from one look at the strained crystals to the next."""


class Prior(NamedTuple):
    """xᵀHx − 2cᵀx + constant over all coordinates."""

    hessian: np.ndarray
    linear: np.ndarray
    constant: float

    def value(self, x: np.ndarray) -> float:
        """The pull, squared."""
        return float(x @ self.hessian @ x - 2 * self.linear @ x + self.constant)

    def slope(self, x: np.ndarray) -> np.ndarray:
        """Half of its gradient."""
        return self.hessian @ x - self.linear


class Found(NamedTuple):
    """Coordinates, loss, iterations, and whether the fit went on until it converged or used its
    iterations up."""

    x: np.ndarray
    loss: float
    steps: int
    finished: bool


class State(NamedTuple):
    """A moment of a fit, as its file has it.

    steps : done
    x, damping, slow, done : see `fit`
    watched : numbers of the strained crystals that have joined
    """

    steps: int
    x: list[float]
    damping: float
    slow: int = 0
    done: bool = False
    watched: tuple[int, ...] = ()


def read_state(file: Path, size: int) -> State:
    """The moment of a fit of `size` coordinates from its file; ValueError where it is none."""
    try:
        kept = json.loads(file.read_text(encoding="utf-8"))
        state = State(**{name: kept[name] for name in State._fields if name in kept})
        numbers = [*state.x, state.damping, state.steps, state.slow, *state.watched]
        whole = all(type(one) is int for one in (state.steps, state.slow, *state.watched))
        if len(state.x) != size or not whole or not np.isfinite(numbers).all():
            raise ValueError(f"expected {size} finite numbers x, and whole numbers of steps")
    except (ValueError, TypeError, AttributeError) as error:
        raise ValueError(
            f"resume: {file} is damaged, or of another fit ({error}); bring it back, or start the fit "
            "anew with --overwrite"
        ) from None
    return state


def make_prior(problem: Problem, weight: float, typed: float) -> Prior:
    """The pull of elements to their start, with `weight`, and of types to their element, with
    `typed`, in units of the columns' widths."""
    start, size = problem.start, len(problem.start)
    parents, n_columns = parents_of(problem.kinds), len(problem.columns.names)
    hessian, linear = np.zeros((size, size)), np.zeros(size)
    for row, parent in enumerate(parents):
        pulls = ((weight if parent < 0 else typed) / np.array(problem.columns.width)) ** 2
        for column in range(n_columns):
            own, pull = row * n_columns + column, pulls[column]
            hessian[own, own] += pull
            if parent < 0:
                linear[own] += pull * start[own]
            else:
                other = parent * n_columns + column
                hessian[other, other] += pull
                hessian[own, other] -= pull
                hessian[other, own] -= pull
    return Prior(hessian, linear, float(start @ hessian @ start))


def robust(residuals: torch.Tensor, weight: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """ρ (b,) of residuals (b, m), and the weight (b,) of each crystal's JᵀJ."""
    square = residuals.square().sum(dim=1)
    root = torch.sqrt(1 + square / ROBUST**2)
    there = torch.isfinite(square)
    value = torch.where(there, weight * 2 * ROBUST**2 * (root - 1), torch.full_like(square, LOST))
    return value, torch.where(there, weight / root, torch.zeros_like(square))


def loss_at(problem: Problem, prior: Prior, x: np.ndarray) -> float:
    """The loss; infinite where it is not a number."""
    total = prior.value(x)
    for batch in problem.batches:
        total += float(robust(problem.residuals(batch, x), batch.weight)[0].sum())
    return total if np.isfinite(total) else np.inf


def normal_equations(
    problem: Problem, prior: Prior, x: np.ndarray, watch: Watch = unwatched
) -> tuple[np.ndarray, np.ndarray]:
    """JᵀWJ and JᵀWr of the crystals and the prior."""
    hessian, gradient = prior.hessian.copy(), prior.slope(x)
    for number, batch in enumerate(problem.batches):
        found = problem.linearized(batch, x)
        _add(hessian, gradient, found, robust(found.residuals, batch.weight)[1].numpy())
        watch(Progress("crystals", number + 1, len(problem.batches)))
    return hessian, gradient


def _add(hessian: np.ndarray, gradient: np.ndarray, found: Linearized, weights: np.ndarray) -> None:
    jacobian = torch.nan_to_num(found.jacobian, nan=0.0, posinf=0.0, neginf=0.0).numpy()
    residuals = torch.nan_to_num(found.residuals, nan=0.0, posinf=0.0, neginf=0.0).numpy()
    for weight, columns, j, r in zip(weights, found.columns, jacobian, residuals):
        j = j[:, columns >= 0]
        columns = columns[columns >= 0]
        hessian[np.ix_(columns, columns)] += weight * (j.T @ j)
        gradient[columns] += weight * (j.T @ r)


def step_of(
    hessian: np.ndarray, gradient: np.ndarray, x: np.ndarray, problem: Problem, damping: float
) -> np.ndarray:
    """The damped step, of coordinates that are free to move."""
    low, high = problem.low, problem.high
    edge = 1e-9
    stuck = ((x <= low + edge) & (gradient > 0)) | ((x >= high - edge) & (gradient < 0))
    free = np.flatnonzero(~stuck & (high > low))
    diagonal = np.diag(hessian)[free]
    damped = hessian[np.ix_(free, free)] + damping * np.diag(diagonal + 1e-4)
    step = np.zeros_like(x)
    step[free] = -np.linalg.solve(damped, gradient[free])
    return np.clip(x + np.clip(step, -problem.widths, problem.widths), low, high)


def fit(
    problem: Problem,
    prior: Prior,
    start: np.ndarray,
    iterations: int,
    state: Path | None = None,
    say: Callable[[str], object] = print,
    watch: Watch = unwatched,
    ftol: float = 1e-3,
    guard: Guard | None = None,
) -> Found:
    """Fit; goes on from `state` where that file is there, which has the strained crystals that the
    guard has let join, too.

    guard : looks at strained crystals every tenth iteration, and says what it found
    """
    x, damping, first = np.clip(start, problem.low, problem.high), DAMPING, 0
    slow, done = 0, False
    if state is not None and state.is_file():
        kept = read_state(state, len(x))
        x, damping, first, slow, done = (
            np.array(kept.x),
            kept.damping,
            kept.steps,
            kept.slow,
            kept.done,
        )
        if guard is not None:
            guard.watch(kept.watched)
    loss, steps, begun = loss_at(problem, prior, x), first, time.monotonic()
    count = problem.count
    say(f"loss per crystal {loss / count:.4f}, {count} crystals, {len(x)} parameters")
    if done:
        return Found(x, loss, steps, True)
    with StopSignals() as stop:
        for steps in range(first + 1, iterations + 1):
            if guard is not None and steps % GUARD_EVERY == 0:
                say(guard(x))
                loss = loss_at(problem, prior, x)
            hessian, gradient = normal_equations(problem, prior, x, watch)
            before = loss
            for _ in range(TRIES):
                trial = step_of(hessian, gradient, x, problem, damping)
                there = loss_at(problem, prior, trial)
                if there < loss:
                    x, loss, damping = trial, there, max(damping / GROWTH, LEAST_DAMPING)
                    break
                damping *= GROWTH
            slow = slow + 1 if before - loss < ftol * before else 0
            done = loss == before or slow >= SLOW
            if state is not None:
                watched = () if guard is None else tuple(sorted(guard.watched))
                kept = State(steps, x.tolist(), damping, slow, done, watched)
                write_text(state, json.dumps({"loss": loss} | kept._asdict()))
            seconds = time.monotonic() - begun
            say(f"step {steps}: loss per crystal {loss / count:.4f}, {seconds:.0f} s")
            if done:
                return Found(x, loss, steps, True)
            if stop.requested:
                return Found(x, loss, steps, steps == iterations)
    return Found(x, loss, steps, True)
