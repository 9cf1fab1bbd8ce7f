"""PQEq parameters fitted to what a field does: Born charges, polarizability or ε∞, dipoles,
charges.

The loss of residuals.py is minimised over the free parameters within their bounds, by trust-region
least squares (scipy) with the analytic Jacobian of response.py. After every step the state is
written, so that a fit can be interrupted and resumed.
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
from openmm_pqeq.fitting.residuals import Residuals
from openmm_pqeq.jobs.files import write_text
from openmm_pqeq.pqeq.parameters import Parameters


class Fitted(NamedTuple):
    """Parameters, whether the fit went on until it converged or used its iterations up, and its
    loss."""

    parameters: Parameters
    finished: bool
    loss: float


def fit(
    residuals: Residuals, state: Path | None = None, say: Callable[[str], None] = lambda _line: None
) -> Fitted:
    """Minimise; with `state` write the best parameters after every step, and begin with those it
    holds.

    KeyboardInterrupt ends the fit with what it has.
    """
    free, start = residuals.free, residuals.start
    u = residuals.origin.copy()
    steps = 0
    if state is not None and state.exists():
        kept = json.loads(state.read_text(encoding="utf-8"))
        if kept["free"] != [str(item) for item in free]:
            raise ValueError(
                f"resume: {state} was written for other parameters ({', '.join(kept['free'])}); "
                "use --overwrite"
            )
        u, steps = np.array(kept["u"]), int(kept["steps"])
    first = residuals(residuals.origin)  # decides which limits the start violates by itself
    if not np.all(np.isfinite(first)):
        raise ValueError("fit: the starting parameters have no finite response")
    best, best_loss, began = u, float("inf"), time.perf_counter()
    counter = {"steps": steps}

    def jacobian(at: np.ndarray) -> np.ndarray:
        nonlocal best, best_loss
        slopes = residuals.jacobian(at)
        best, best_loss = at.copy(), residuals.last_loss
        limits = residuals.last_limits
        say(
            f"step {counter['steps']:3d}   loss {best_loss:10.4f}   closest to a limit "
            f"{-100 * limits.max():6.1f} %"
            f"   {time.perf_counter() - began:7.1f} s"
        )
        if state is not None:
            kept = {
                "free": [str(item) for item in free],
                "u": at.tolist(),
                "steps": counter["steps"],
                "loss": best_loss,
            }
            write_text(state, json.dumps(kept, indent=1))
        counter["steps"] += 1
        return slopes

    inside = np.clip(u, residuals.low + 1e-9, residuals.high - 1e-9)
    finished = True
    try:
        found = least_squares(
            residuals,
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
