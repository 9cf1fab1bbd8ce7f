"""What the residuals of a fit gave, kept in a file, so that a resumed fit is the unbroken one.

SciPy's trust region keeps no state, but it is a function of what it is told: told the same again,
it asks for the same again, down to where the fit was ended. Residuals remember nothing of earlier
parameters either.
"""

import hashlib
import zipfile
from pathlib import Path

import numpy as np

from openmm_pqeq.fitting.residuals import Residuals
from openmm_pqeq.jobs.files import whole

SAME = 1e-6
"""Relative difference of residuals that another machine or number of threads makes at most."""


class Evaluations:
    """Residuals and their Jacobian as functions of u, told from memory where they were asked before.

    Parameters
    ----------
    residuals : what is asked
    file : where all is kept after each Jacobian; read where it exists. None: nowhere

    Raises
    ------
    ValueError
        where the file is damaged
    """

    def __init__(self, residuals: Residuals, file: Path | None):
        self.residuals, self.file = residuals, file
        self.known: dict[str, np.ndarray] = {}
        if file is not None and file.is_file():
            self.known = read(file)

    def check(self, u: np.ndarray, values: np.ndarray) -> None:
        """ValueError where the file is of another fit: residuals of the start `u`, which have been
        computed now, (n_residuals,), are others there, or are not there."""
        known = self.known.get(_key("values", u), None if self.known else values)
        if (
            known is None
            or known.shape != values.shape
            or np.abs(known - values).max() > SAME * (1.0 + np.abs(values).max())
        ):
            raise ValueError(
                f"resume: {self.file} is of a fit with another start, other parameters, frames or weights; "
                "remove it, and the fit computes again what it held"
            )
        self.known[_key("values", u)] = known

    def __call__(self, u: np.ndarray) -> np.ndarray:
        """Residuals (n_residuals,); infinite where a step is refused."""
        key = _key("values", u)
        if key not in self.known:
            self.known[key] = self.residuals(u)
        return self.known[key].copy()

    def jacobian(self, u: np.ndarray) -> np.ndarray:
        """Derivatives of the residuals, (n_residuals, n_free)."""
        key = _key("slopes", u)
        if key not in self.known:
            self.known[key] = self.residuals.jacobian(u)
            self.write()
        return self.known[key].copy()

    def has_jacobian(self, u: np.ndarray) -> bool:
        """Whether it has been asked for before."""
        return _key("slopes", u) in self.known

    def write(self) -> None:
        """Keep everything, whole or not at all."""
        if self.file is None:
            return
        with whole(self.file) as part, open(part, "wb") as opened:
            np.savez(opened, **self.known)  # type: ignore[arg-type]


def _key(what: str, u: np.ndarray) -> str:
    return f"{what} {hashlib.sha256(u.tobytes()).hexdigest()}"


def read(file: Path) -> dict[str, np.ndarray]:
    """What was kept, by what was asked; ValueError where the file is damaged."""
    try:
        with np.load(file, allow_pickle=False) as kept:
            return {name: kept[name] for name in kept.files}
    except (ValueError, KeyError, EOFError, OSError, zipfile.BadZipFile) as error:
        raise ValueError(
            f"resume: {file} is damaged ({error}); remove it, and the fit computes again what it held"
        ) from None
