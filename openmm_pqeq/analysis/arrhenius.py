"""Arrhenius' law, with errors.

    D(T) = D₀ exp(−E_a/kT) ,      ln D = ln D₀ − E_a/kT        a weighted straight line

Weights are 1/(δD/D)²; the covariance of (ln D₀, E_a) gives the error of E_a and the band of what is
interpolated or extrapolated, δ² = (1, −1/kT) C (1, −1/kT)ᵀ. Without errors all points weigh the
same, and the scatter about the line is the error. Any quantity with a barrier: diffusion
coefficients, σT of ionic conductors, rates. Units: K, eV, the quantity's own.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from openmm_pqeq.units import BOLTZMANN

Array = NDArray[np.float64]


class Arrhenius(NamedTuple):
    """A fit.

    activation_energy, activation_energy_error : eV
    log_prefactor, log_prefactor_error : ln of the quantity at infinite temperature
    covariance : (2, 2) of (ln D₀, E_a)
    chi_squared : Σ (deviation/error)² by degrees of freedom: far above 1, the points do not lie
        on a line within their errors; NaN where there are no errors or no degrees
    """

    activation_energy: float
    activation_energy_error: float
    log_prefactor: float
    log_prefactor_error: float
    covariance: Array
    chi_squared: float

    def at(self, temperature: ArrayLike) -> tuple[Array, Array]:
        """The quantity at temperatures (n,) K, and its standard errors (n,)."""
        inverse = -1 / (BOLTZMANN * np.asarray(temperature, dtype=float))
        value = np.exp(self.log_prefactor + self.activation_energy * inverse)
        row = np.stack([np.ones_like(inverse), inverse])
        variance = np.einsum("i...,ij,j...->...", row, self.covariance, row)
        return np.asarray(value), np.asarray(value * np.sqrt(np.maximum(variance, 0.0)))


def arrhenius(
    temperatures: ArrayLike, values: ArrayLike, errors: ArrayLike | None = None
) -> Arrhenius:
    """Fit Arrhenius' law.

    Parameters
    ----------
    temperatures : (n,) K, at least two that differ; three where there are no errors
    values : (n,) positive
    errors : (n,) standard errors, positive; None: taken from the scatter

    Raises ValueError for anything else.
    """
    kelvin, quantity = (np.asarray(each, dtype=float) for each in (temperatures, values))
    known = errors is not None
    spread = np.asarray(errors, dtype=float) if known else quantity
    least = 2 if known else 3
    for name, numbers in (("temperatures", kelvin), ("values", quantity), ("errors", spread)):
        if numbers.shape != kelvin.shape or not ((numbers > 0) & np.isfinite(numbers)).all():
            raise ValueError(
                f"{name}: expected {len(np.atleast_1d(kelvin))} positive numbers, got "
                f"{numbers.tolist()}"
            )
    if kelvin.ndim != 1 or len(set(kelvin.tolist())) < least:
        raise ValueError(
            f"temperatures: expected at least {least} that differ"
            f"{'' if known else ' (2 where the values have errors)'}, got {kelvin.tolist()}"
        )
    relative = spread / quantity
    design = np.stack([np.ones_like(kelvin), -1 / (BOLTZMANN * kelvin)], axis=1) / relative[:, None]
    # Columns of one size: inverse temperatures are some ten times a constant.
    scale = np.linalg.norm(design, axis=0)
    inverse = np.linalg.inv((design / scale).T @ (design / scale)) / np.outer(scale, scale)
    target = np.log(quantity) / relative
    parameters = inverse @ design.T @ target
    degrees = len(kelvin) - 2
    residual = float(((target - design @ parameters) ** 2).sum())
    reduced = residual / degrees if degrees else float("nan")
    covariance = inverse if known else inverse * reduced
    deviations = np.sqrt(np.diag(covariance))
    return Arrhenius(
        float(parameters[1]),
        float(deviations[1]),
        float(parameters[0]),
        float(deviations[0]),
        covariance,
        reduced if known else float("nan"),
    )
