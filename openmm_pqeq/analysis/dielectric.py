"""Dielectric constants of a periodic cell.

    ε∞_ab = δ_ab + 4π k_e α_ab/V                                          from the polarizability of the cell
    ε_ab  = ε∞_ab + 4π k_e (⟨M_a M_b⟩ − ⟨M_a⟩⟨M_b⟩)/(V kT)                   from fluctuations without a field
    ε_ab  = ε∞_ab + 4π k_e (⟨P_a⟩_F − ⟨P_a⟩_−F)/(2F_b)                     from the polarization in two opposite fields

with k_e = e²/4πε₀ and conducting surroundings, which is what Ewald sums without a surface term
mean: the field F of this package is then the macroscopic field. M is the whole dipole, of ions and
shells; its fluctuations are those of the nuclei, the electrons' own response is ε∞. Neumann, Mol.
Phys. 50, 841 (1983), doi:10.1080/00268978300102721.

In a crystal M is volume times the polarization that `DipoleReporter` sums. Where charges fluctuate
much while atoms diffuse, that sum depends on the path (Σ q dr is no exact differential) and its
variance grows with time: look at the running estimate, or use two fields. Errors are standard
errors over blocks, which have to be longer than the correlation time. Units: e Å, Å³, K, V/Å, e/Å².
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from openmm_pqeq.analysis.blocks import block_error
from openmm_pqeq.units import BOLTZMANN, COULOMB

Array = NDArray[np.float64]


class Dielectric(NamedTuple):
    """A dielectric tensor (3, 3) with its standard errors (3, 3), and a third of the trace with its
    own."""

    tensor: Array
    tensor_error: Array
    isotropic: float
    isotropic_error: float


def high_frequency(polarizability: ArrayLike, volume: float) -> Array:
    """(3, 3) ε∞, from the polarizability (3, 3) e²Å²/eV of a cell of `volume` Å³."""
    alpha = np.asarray(polarizability, dtype=float)
    if alpha.shape != (3, 3):
        raise ValueError(f"polarizability: expected a tensor of shape (3, 3), got {alpha.shape}")
    _positive("volume", volume, "Å³")
    return np.eye(3) + 4 * np.pi * COULOMB * alpha / volume


def static_from_fluctuations(
    dipole: ArrayLike,
    volume: float,
    temperature: float,
    high_frequency: ArrayLike = 1.0,
    n_blocks: int = 5,
    mean: ArrayLike | None = None,
) -> Dielectric:
    """Static dielectric tensor from a dipole in equilibrium without a field.

    Parameters
    ----------
    dipole : (n, 3) e Å
    volume : Å³
    temperature : K
    high_frequency : ε∞, a number or a tensor (3, 3)
    n_blocks : blocks for the standard error
    mean : (3,) e Å, where symmetry gives it (zeros for a liquid); default: the mean of the series
    """
    series = _series("dipole", dipole, n_blocks)
    _positive("volume", volume, "Å³")
    _positive("temperature", temperature, "K")
    deviation = series - (series.mean(axis=0) if mean is None else _vector("mean", mean))
    factor = 4 * np.pi * COULOMB / (volume * BOLTZMANN * temperature)
    products = factor * deviation[:, :, None] * deviation[:, None, :]
    tensor, error = _tensor(high_frequency) + products.mean(axis=0), block_error(products, n_blocks)
    trace = np.trace(products, axis1=1, axis2=2) / 3
    return Dielectric(
        tensor, error, float(np.trace(tensor) / 3), float(block_error(trace, n_blocks))
    )


def running_static(
    dipole: ArrayLike, volume: float, temperature: float, high_frequency: float = 1.0
) -> Array:
    """(n,) isotropic ε from the first 1, 2, ... n moments of a dipole (n, 3) e Å: flat at the end
    if these are enough."""
    series = _series("dipole", dipole, 1)
    _positive("volume", volume, "Å³")
    _positive("temperature", temperature, "K")
    series = series - series.mean(axis=0)
    counts = np.arange(1, len(series) + 1)[:, None]
    mean = np.cumsum(series, axis=0) / counts
    variance = np.cumsum(series**2, axis=0) / counts - mean**2
    return np.asarray(
        high_frequency
        + 4 * np.pi * COULOMB * variance.mean(axis=1) / (volume * BOLTZMANN * temperature)
    )


class Response(NamedTuple):
    """ε along one direction of the field: ε_ab for a = x, y, z, (3,), with standard errors (3,)."""

    column: Array
    error: Array


def static_from_fields(
    plus: ArrayLike,
    minus: ArrayLike,
    field: ArrayLike,
    high_frequency: ArrayLike = 1.0,
    n_blocks: int = 5,
) -> Response:
    """Dielectric response along a field, from polarizations in the field and in its opposite.

    Parameters
    ----------
    plus, minus : (n, 3) e/Å², polarization in the fields F and −F, each counted from the same
        positions of the nuclei in its own field, as `DipoleReporter` does in two runs that start
        from one structure
    field : (3,) V/Å, F
    high_frequency : ε∞, a number or a tensor (3, 3); 1 where both polarizations are counted from
        one common zero, so that they contain the electrons' part
    n_blocks : blocks for the standard error
    """
    up, down = _series("plus", plus, n_blocks), _series("minus", minus, n_blocks)
    strength = _vector("field", field)
    size = float(np.linalg.norm(strength))
    _positive("field", size, "V/Å")
    factor = 4 * np.pi * COULOMB / (2 * size)
    error = np.hypot(block_error(up, n_blocks), block_error(down, n_blocks))
    change = up.mean(axis=0) - down.mean(axis=0)
    return Response(_tensor(high_frequency) @ strength / size + factor * change, factor * error)


def _series(name: str, values: ArrayLike, n_blocks: int) -> Array:
    series = np.asarray(values, dtype=float)
    if series.ndim != 2 or series.shape[1] != 3 or len(series) < n_blocks:
        raise ValueError(
            f"{name}: expected at least {n_blocks} moments with three components each, got shape "
            f"{series.shape}"
        )
    if not np.isfinite(series).all():
        raise ValueError(f"{name}: expected finite numbers, got NaN or infinity")
    return series


def _vector(name: str, value: ArrayLike) -> Array:
    vector = np.asarray(value, dtype=float)
    if vector.shape != (3,) or not np.isfinite(vector).all():
        raise ValueError(f"{name}: expected three finite components, got {value!r}")
    return vector


def _tensor(value: ArrayLike) -> Array:
    given = np.asarray(value, dtype=float)
    if given.shape not in ((), (3, 3)) or not np.isfinite(given).all():
        raise ValueError(
            f"high_frequency: expected a number or a tensor of shape (3, 3), finite, got {value!r}"
        )
    return given * np.eye(3) if given.ndim == 0 else given


def _positive(name: str, value: float, unit: str) -> None:
    if not 0 < value < np.inf:
        raise ValueError(f"{name}: expected a positive number ({unit}), got {value!r}")
