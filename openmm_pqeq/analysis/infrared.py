"""Infrared spectrum from the fluctuating dipole of a simulation without a field.

    J = dM/dt = Σ_i Z*_i·v_i ,      S_a(ω) = ∫ dt cos(ωt) w(t) ⟨δJ_a(0) δJ_a(t)⟩
    n(ω) a(ω) = (2π k_e / c V kT) S(ω)               a crystal or a liquid: absorption coefficient times refractive index
    σ(ω)      = (2π k_e / c kT) S(ω)                 one molecule: absorption cross-section
    ε''(ω)    = (2π k_e / V kT) S(ω)/ω = n a c/ω

with k_e = e²/4πε₀ and S the mean of x, y and z; a component by itself is the absorption of light
polarized along that axis.

Classical dynamics. The correlation function of a classical simulation, times the harmonic quantum
correction ħω/kT/(1−exp(−ħω/kT)), gives just these formulae, in which ħ does not appear; they are
exact for harmonic oscillators. Frequencies remain classical.

Estimate. The autocorrelation (unbiased, of the deviation from the mean, by zero-padded FFT) is
multiplied by a window w(t) that falls from 1 to 0 at `longest_lag`, and transformed. w(0) = 1 keeps
areas, so intensities do not depend on the window. Differences of a sampled dipole are a current
averaged over the sampling interval Δt; the factor (sin x/x)², x = ωΔt/2, is divided out.

McQuarrie, Statistical Mechanics (1976), ch. 21; Ramírez, López-Ciudad, Kumar, Marx, J. Chem. Phys.
121, 3973 (2004), doi:10.1063/1.1774986. Units: ps, e Å, e Å/ps, Å³, K; cm⁻¹, km/mol.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from openmm_pqeq.analysis.blocks import autocorrelation
from openmm_pqeq.units import (
    BOLTZMANN,
    COULOMB,
    PER_ANGSTROM_IN_PER_CM,
    SPEED_OF_LIGHT,
    SQUARE_ANGSTROM_IN_KM_PER_MOL_PER_CM,
)

Array = NDArray[np.float64]

WINDOWS = ("hann", "gaussian", "none")
PADDING = 4
"""The spectrum is drawn on a grid that many times finer than the longest lag resolves."""


class Spectrum(NamedTuple):
    """An absorption spectrum.

    wavenumbers : (n,) cm⁻¹
    components : (n, 3) absorption of light polarized along x, y, z
    unit : of the components: "cm⁻¹" (absorption coefficient times refractive index), or
        "km/mol/cm⁻¹" where there is no volume
    resolution : cm⁻¹, full width at half maximum of an infinitely sharp line
    volume : Å³, or None
    """

    wavenumbers: Array
    components: Array
    unit: str
    resolution: float
    volume: float | None

    @property
    def isotropic(self) -> Array:
        """(n,) mean over the directions of polarization."""
        return np.asarray(self.components.mean(axis=1))

    @property
    def loss(self) -> Array:
        """(n, 3) imaginary part of the dielectric function, ε''; ValueError where there is no
        volume."""
        if self.volume is None:
            raise ValueError(
                "volume: a dielectric function needs one; this spectrum is that of a molecule"
            )
        frequency = 2 * np.pi * self.wavenumbers[:, None]  # ω/c, cm⁻¹
        return np.divide(
            self.components, frequency, out=np.zeros_like(self.components), where=frequency > 0
        )

    def area(self, lowest: float, highest: float) -> float:
        """Integral of the isotropic spectrum between two wavenumbers: km/mol of a molecule, cm⁻² of
        a crystal or liquid."""
        inside = (self.wavenumbers >= lowest) & (self.wavenumbers <= highest)
        return float(np.trapezoid(self.isotropic[inside], self.wavenumbers[inside]))


def current_of(born_charges: ArrayLike, velocities: ArrayLike) -> Array:
    """(..., 3) e Å/ps: the current Σ Z*·v from Born charges (..., n_atoms, 3, 3) e, [atom, field,
    force], and velocities (..., n_atoms, 3) Å/ps."""
    return np.asarray(
        np.einsum("...iab,...ib->...a", np.asarray(born_charges), np.asarray(velocities))
    )


def spectrum_from_current(
    current: ArrayLike,
    interval: float,
    temperature: float,
    volume: float | None = None,
    longest_lag: float | None = None,
    window: str = "hann",
) -> Spectrum:
    """Absorption from dM/dt.

    Parameters
    ----------
    current : (n, 3) e Å/ps, at equal intervals
    interval : ps, from one to the next
    temperature : K
    volume : Å³; None for one molecule
    longest_lag : ps, where the window has fallen to zero; default: a tenth of the series. The
        resolution is 1/(c · longest_lag): 33 cm⁻¹ for 1 ps
    window : "hann", "gaussian" (σ a third of the longest lag) or "none"

    Raises
    ------
    ValueError
        for a series that is too short or not finite, and for settings that are not positive
    """
    series = _checked("current", current, 8)
    _check_settings(interval, temperature, volume, longest_lag)
    lags = _lags(len(series), interval, longest_lag)
    return _spectrum(
        autocorrelation(series - series.mean(axis=0), lags), interval, temperature, volume, window
    )


def spectrum_from_dipole(
    dipole: ArrayLike,
    interval: float,
    temperature: float,
    volume: float | None = None,
    longest_lag: float | None = None,
    window: str = "hann",
) -> Spectrum:
    """Absorption from M(t), which must not jump: in a crystal, volume times the polarization of
    `DipoleReporter`.

    Parameters
    ----------
    dipole : (n, 3) e Å, at equal intervals
    interval, temperature, volume, longest_lag, window
        as for `spectrum_from_current`
    """
    series = _checked("dipole", dipole, 9)
    _check_settings(interval, temperature, volume, longest_lag)
    found = spectrum_from_current(
        np.diff(series, axis=0) / interval, interval, temperature, volume, longest_lag, window
    )
    angle = np.pi * found.wavenumbers * SPEED_OF_LIGHT / PER_ANGSTROM_IN_PER_CM * interval
    return found._replace(components=found.components / np.sinc(angle[:, None] / np.pi) ** 2)


def window_of(name: str, n_lags: int) -> Array:
    """(n_lags,) the window: 1 at lag 0, and (unless "none") next to nothing at the last."""
    x = np.arange(n_lags) / n_lags
    if name == "hann":
        return np.asarray(0.5 * (1 + np.cos(np.pi * x)))
    if name == "gaussian":
        return np.asarray(np.exp(-0.5 * (3 * x) ** 2))
    if name == "none":
        return np.ones(n_lags)
    raise ValueError(f"window: expected one of {', '.join(WINDOWS)}; got {name!r}")


def peaks(spectrum: Spectrum, smallest: float = 0.05) -> list[tuple[float, float]]:
    """Wavenumber and height of each maximum of the isotropic spectrum that reaches `smallest` of
    the highest.

    By parabolas through three points.
    """
    y = spectrum.isotropic
    found = []
    for i in range(1, len(y) - 1):
        if y[i - 1] < y[i] >= y[i + 1] and y[i] >= smallest * y.max():
            bend = y[i - 1] - 2 * y[i] + y[i + 1]
            shift = 0.5 * (y[i - 1] - y[i + 1]) / bend
            step = spectrum.wavenumbers[1] - spectrum.wavenumbers[0]
            found.append(
                (
                    float(spectrum.wavenumbers[i] + shift * step),
                    float(y[i] - 0.25 * (y[i - 1] - y[i + 1]) * shift),
                )
            )
    return found


def _spectrum(
    correlation: Array, interval: float, temperature: float, volume: float | None, window: str
) -> Spectrum:
    n_lags = len(correlation)
    weighted = correlation * window_of(window, n_lags)[:, None]
    weighted[0] *= 0.5  # the integral over t and −t counts lag 0 once
    n_points = PADDING * 2 * n_lags
    power = 2 * interval * np.fft.rfft(weighted, n_points, axis=0).real
    wavenumbers = np.fft.rfftfreq(n_points, interval) / SPEED_OF_LIGHT * PER_ANGSTROM_IN_PER_CM
    scale = 2 * np.pi * COULOMB / (SPEED_OF_LIGHT * BOLTZMANN * temperature)
    if volume is None:
        scale, unit = scale * SQUARE_ANGSTROM_IN_KM_PER_MOL_PER_CM, "km/mol/cm⁻¹"
    else:
        scale, unit = scale * PER_ANGSTROM_IN_PER_CM / volume, "cm⁻¹"
    widths = {"hann": 1.0, "gaussian": 3 * np.sqrt(2 * np.log(2)) / np.pi, "none": 0.603355}
    lag = n_lags * interval
    resolution = widths[window] / lag / SPEED_OF_LIGHT * PER_ANGSTROM_IN_PER_CM
    return Spectrum(np.asarray(wavenumbers), scale * power, unit, float(resolution), volume)


def _checked(name: str, series: ArrayLike, least: int) -> Array:
    values = np.asarray(series, dtype=float)
    if values.ndim != 2 or values.shape[1] != 3 or len(values) < least:
        raise ValueError(
            f"{name}: expected at least {least} moments with three components each, got an array "
            f"of shape {values.shape}"
        )
    if not np.isfinite(values).all():
        raise ValueError(
            f"{name}: expected finite numbers, got NaN or infinity at moment "
            f"{int(np.argwhere(~np.isfinite(values))[0, 0])}"
        )
    return values


def _check_settings(
    interval: float, temperature: float, volume: float | None, longest_lag: float | None
) -> None:
    settings = {"interval": (interval, "ps"), "temperature": (temperature, "K")}
    optional = {"volume": (volume, "Å³"), "longest_lag": (longest_lag, "ps")}
    for name, (value, unit) in {**settings, **optional}.items():
        if value is not None and not 0 < value < np.inf:
            raise ValueError(f"{name}: expected a positive number ({unit}), got {value!r}")


def _lags(n: int, interval: float, longest_lag: float | None) -> int:
    lags = n // 10 if longest_lag is None else round(longest_lag / interval)
    lags = max(lags, 4) if longest_lag is None else lags
    if not 4 <= lags <= n:
        raise ValueError(
            f"longest_lag: expected 4 to {n} intervals of {interval:g} ps, got {longest_lag!r} ps; "
            "longer lags need longer series"
        )
    return lags
