"""Ionic conductivity: Nernst–Einstein, collective, and from the drift in a field.

    σ_NE = Σ_s n_s z_s² D_s/(V kT)                                  each ion by itself
    σ    = (1/6VkT) d⟨|Σ_i z_i Δr_i(t)|²⟩/dt                         all of them (Einstein, of the charge displacement)
    H_R  = σ_NE/σ                                                   Haven ratio: below 1 where ions move together
    v_s  = ⟨Δr_s⟩/t ,   μ_s = v_s·F/F² ,   σ_F = Σ_s n_s z_s v_s·F/(V F²)    drift in a field F

z are the charges that ions carry (formal ones), D their self-diffusion coefficients. The collective
average has one sample where the self-diffusion has as many as there are ions, so its error is
larger by √n. Both Einstein formulae hold without a field. Errors: blocks. France-Lanord and
Grossman, Phys. Rev. Lett. 122, 136001 (2019), doi:10.1103/PhysRevLett.122.136001. Units: Å, ps, e,
V/Å; conductivities in e²/(eV Å ps) = 16.02176634 S/cm inside and S/cm where they are returned.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from openmm_pqeq.analysis.blocks import blocks, error_of_mean
from openmm_pqeq.analysis.diffusion import Diffusion, Window, diffusion
from openmm_pqeq.units import BOLTZMANN, CONDUCTIVITY_IN_SIEMENS_PER_CM

Array = NDArray[np.float64]


class Conductivity(NamedTuple):
    """Conductivities in S/cm with standard errors, and the Haven ratio with its own."""

    nernst_einstein: float
    nernst_einstein_error: float
    collective: float
    collective_error: float
    haven_ratio: float
    haven_ratio_error: float


class Drift(NamedTuple):
    """Velocity (3,) Å/ps with standard errors (3,)."""

    velocity: Array
    error: Array


def nernst_einstein(
    found: Sequence[Diffusion],
    counts: Sequence[int],
    charges: Sequence[float],
    volume: float,
    temperature: float,
) -> tuple[float, float]:
    """σ_NE and its error, S/cm, of kinds of ions: their diffusion, numbers and charges (e) in a cell
    of `volume` Å³ at `temperature` K. Of the two errors of each D the larger one counts."""
    _check(volume, temperature)
    factor = CONDUCTIVITY_IN_SIEMENS_PER_CM / (volume * BOLTZMANN * temperature)
    shares = [factor * n * z**2 for n, z in zip(counts, charges)]
    value = sum(share * each.coefficient for share, each in zip(shares, found))
    error = np.sqrt(sum((share * _error(each)) ** 2 for share, each in zip(shares, found)))
    return float(value), float(error)


def charge_displacement(path: ArrayLike, charges: ArrayLike) -> Array:
    """(n_frames, 1, 3) e Å: Σ z_i (r_i(t) − r_i(0)), as the path of one particle.

    path : (n_frames, n_ions, 3) Å, continuous and without drift of the whole
    charges : (n_ions,) e
    """
    given = np.asarray(path, dtype=float)
    return np.asarray(
        np.einsum("tia,i->ta", given - given[0], np.asarray(charges, dtype=float))[:, None]
    )


def collective(
    path: ArrayLike,
    charges: ArrayLike,
    interval: float,
    window: Window,
    volume: float,
    temperature: float,
    n_blocks: int = 5,
) -> tuple[float, float]:
    """σ and its error by blocks, S/cm, from the charge displacement of all ions.

    path, charges : as for `charge_displacement`
    interval : ps, from one frame to the next
    window : lags of the fit, those of the ions' self-diffusion
    """
    _check(volume, temperature)
    found = diffusion(charge_displacement(path, charges), interval, window, 1.0, n_blocks)
    factor = CONDUCTIVITY_IN_SIEMENS_PER_CM / (volume * BOLTZMANN * temperature)
    return factor * found.coefficient, factor * found.error


def conductivity(separate: tuple[float, float], together: tuple[float, float]) -> Conductivity:
    """σ_NE and σ with their errors (S/cm) side by side, and the Haven ratio; its error takes both
    as independent."""
    (single, single_error), (joint, joint_error) = separate, together
    ratio = single / joint if joint else float("nan")
    relative = np.hypot(single_error / single, joint_error / joint) if single and joint else np.nan
    return Conductivity(
        single, single_error, joint, joint_error, ratio, float(abs(ratio) * relative)
    )


def drift_velocity(path: ArrayLike, interval: float, n_blocks: int = 5) -> Drift:
    """Mean velocity of the atoms of a path (n_frames, n_atoms, 3) Å, with the error by blocks."""
    given = np.asarray(path, dtype=float)
    if given.ndim != 3 or n_blocks < 2 or len(given) < 2 * n_blocks:
        raise ValueError(
            f"path: expected at least {2 * n_blocks} frames for {n_blocks} blocks, got shape "
            f"{given.shape}"
        )
    parts = [
        (block[-1] - block[0]) / (interval * (len(block) - 1))
        for block in blocks(given.mean(axis=1), n_blocks)
    ]
    velocity = (given[-1] - given[0]).mean(axis=0) / (interval * (len(given) - 1))
    return Drift(velocity, error_of_mean(np.stack(parts)))


def mobility(drift: Drift, field: ArrayLike) -> tuple[float, float]:
    """μ and its error, Å²/(V ps) = 1e-4 cm²/(V s), of a drift along a field (3,) V/Å."""
    strength = _field(field)
    along = strength / (strength @ strength)
    return float(drift.velocity @ along), float(np.sqrt((drift.error**2) @ along**2))


def drift_conductivity(
    path: ArrayLike,
    charges: ArrayLike,
    interval: float,
    volume: float,
    field: ArrayLike,
    n_blocks: int = 5,
) -> tuple[float, float]:
    """σ_F and its error by blocks, S/cm, from the current of ions (n_frames, n_ions, 3) Å with
    charges (n_ions,) e in a field (3,) V/Å."""
    _check(volume, 1.0)
    current = drift_velocity(charge_displacement(path, charges), interval, n_blocks)
    value, error = mobility(current, field)
    factor = CONDUCTIVITY_IN_SIEMENS_PER_CM / volume
    return factor * value, factor * error


def _error(found: Diffusion) -> float:
    """The larger one of that by blocks and that by effective hops."""
    return float(np.nanmax([found.error, found.hops_error]))


def _field(field: ArrayLike) -> Array:
    strength = np.asarray(field, dtype=float)
    if strength.shape != (3,) or not np.isfinite(strength).all() or not strength.any():
        raise ValueError(f"field: expected three numbers (V/Å), not all zero, got {field!r}")
    return strength


def _check(volume: float, temperature: float) -> None:
    for name, value, unit in (("volume", volume, "Å³"), ("temperature", temperature, "K")):
        if not 0 < value < np.inf:
            raise ValueError(f"{name}: expected a positive number ({unit}), got {value!r}")
