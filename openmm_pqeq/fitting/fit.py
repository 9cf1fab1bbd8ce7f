"""PQEq parameters fitted to what a field does: Born charges, polarizability or ε∞, dipoles,
charges.

The loss of residuals.py is minimised over the free parameters within their bounds, by trust-region
least squares (scipy) with the analytic Jacobian of response.py. After every step the state is
written, and what led to it (evaluations.py), so that a fit can be interrupted and resumed.
"""

import json
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy.optimize import least_squares

from openmm_pqeq.fitting import parameters as choice
from openmm_pqeq.fitting.evaluations import Evaluations
from openmm_pqeq.fitting.residuals import Residuals
from openmm_pqeq.jobs.files import write_text
from openmm_pqeq.pqeq.parameters import Parameters

EVALUATIONS = "evaluations.npz"
"""Beside the state."""


class Fitted(NamedTuple):
    """Parameters, whether the fit went on until it converged or used its iterations up, and its
    loss."""

    parameters: Parameters
    finished: bool
    loss: float


def fit(
    residuals: Residuals, state: Path | None = None, say: Callable[[str], None] = lambda _line: None
) -> Fitted:
    """Minimise; with `state` write the parameters after every step, and beside it what the residuals
    gave, from which a resumed fit goes on as if it had not been ended.

    KeyboardInterrupt ends the fit with what it has.
    """
    free, start = residuals.free, residuals.start
    evaluations = Evaluations(residuals, state and state.with_name(EVALUATIONS))
    if state is not None and state.is_file() and not evaluations.known:
        say(
            f"{state} has no {EVALUATIONS} beside it, which an earlier version did not write, or which "
            "was removed: the fit begins again at its start"
        )
    first = residuals(residuals.origin)  # decides which limits the start violates by itself
    if not np.all(np.isfinite(first)):
        raise ValueError("fit: the starting parameters have no finite response")
    evaluations.check(residuals.origin, first)
    best, best_loss, began = residuals.origin, float("inf"), time.perf_counter()
    steps = 0

    def jacobian(at: np.ndarray) -> np.ndarray:
        nonlocal best, best_loss, steps
        is_known = evaluations.has_jacobian(at)
        slopes = evaluations.jacobian(at)
        best, best_loss = at.copy(), float(np.sum(evaluations(at) ** 2))
        if not is_known:
            limits = residuals.last_limits
            say(
                f"step {steps:3d}   loss {best_loss:10.4f}   closest to a limit "
                f"{-100 * limits.max():6.1f} %"
                f"   {time.perf_counter() - began:7.1f} s"
            )
        if state is not None and not is_known:
            kept = {
                "free": [str(item) for item in free],
                "u": at.tolist(),
                "steps": steps,
                "loss": best_loss,
            }
            write_text(state, json.dumps(kept, indent=1))
        steps += 1
        return slopes

    inside = np.clip(residuals.origin, residuals.low + 1e-9, residuals.high - 1e-9)
    finished = True
    try:
        found = least_squares(
            evaluations,
            inside,
            jac=jacobian,
            bounds=(residuals.low, residuals.high),
            method="trf",
            x_scale="jac",
            ftol=residuals.settings.ftol,
            xtol=1e-5,
            gtol=1e-8,
            max_nfev=residuals.settings.iterations,
        )
        best, best_loss = found.x, float(2.0 * found.cost)
        say(f"{found.message}")
    except KeyboardInterrupt:
        if not math.isfinite(best_loss):
            raise
        finished = False
        say("interrupted: the best parameters so far are kept")
    values = [float(value) for value in choice.from_fit(free, best)]
    return Fitted(choice.with_values(start, free, values), finished, best_loss)
