"""Infrared spectra: oscillators of known frequency and strength, and sum rules."""

import numpy as np
import pytest
from oscillators import INTENSITY, POSITION, TEMPERATURE, oscillator, per_ps

from openmm_pqeq.analysis import infrared
from openmm_pqeq.analysis.blocks import autocorrelation
from openmm_pqeq.analysis.dielectric import static_from_fluctuations
from openmm_pqeq.analysis.infrared import spectrum_from_current, spectrum_from_dipole


def liquid(seed=0, duration=400.0, interval=0.02):
    """A dipole (n, 3) e Å of damped oscillators around 300 cm⁻¹ in thermal noise."""
    rng, frequency, friction = np.random.default_rng(seed), per_ps(300.0), 20.0
    position, velocity, step = np.zeros(3), np.zeros(3), interval / 10
    dipoles = []
    for i in range(round(duration / step)):
        velocity += step * -(frequency**2) * position
        velocity = velocity * np.exp(-friction * step) + np.sqrt(
            1 - np.exp(-2 * friction * step)
        ) * 50 * rng.normal(size=3)
        position = position + step * velocity
        if i % 10 == 0:
            dipoles.append(position)
    return np.array(dipoles)


# Oscillators


@pytest.mark.parametrize("wavenumber", [150.0, 1650.0, 3700.0])
@pytest.mark.parametrize("kind", ["dipole", "current"])
def test_a_mode_has_its_wavenumber_and_its_intensity(kind, wavenumber):
    dipole, current = oscillator(wavenumber, strength=1.7)
    series = {"dipole": (spectrum_from_dipole, dipole), "current": (spectrum_from_current, current)}
    function, values = series[kind]
    found = function(values, 0.001, TEMPERATURE, longest_lag=2.0)
    assert found.unit == "km/mol/cm⁻¹"
    assert (
        abs(found.wavenumbers[found.isotropic.argmax()] - wavenumber) < 5
    )  # grid points are 2 cm⁻¹ apart
    assert abs(max(infrared.peaks(found), key=lambda peak: peak[1])[0] - wavenumber) < POSITION
    area = found.area(wavenumber - 100, wavenumber + 100)
    assert abs(area / (1.7**2 * INTENSITY) - 1) < 0.01  # sidelobes of the window beyond 100 cm⁻¹


def test_a_mode_sampled_five_times_a_period_keeps_its_intensity():
    dipole, _ = oscillator(3700.0, interval=0.0018)
    found = spectrum_from_dipole(dipole, 0.0018, TEMPERATURE, longest_lag=2.0)
    assert abs(found.area(3500, 3900) / INTENSITY - 1) < 0.01


@pytest.mark.parametrize("window", infrared.WINDOWS)
@pytest.mark.parametrize("lag", [0.5, 1.0])
def test_the_resolution_is_the_width_of_a_sharp_line_and_windows_keep_areas(window, lag):
    dipole, _ = oscillator(1000.0, duration=50.0)
    found = spectrum_from_dipole(dipole, 0.001, TEMPERATURE, longest_lag=lag, window=window)
    above = found.wavenumbers[found.isotropic > found.isotropic.max() / 2]
    step = found.wavenumbers[1]
    assert abs(np.ptp(above) + step - found.resolution) < 1.5 * step
    assert (
        abs(found.area(0, 3000) / INTENSITY - 1) < 0.03
    )  # "none" falls off as slowly as 1/distance


def test_a_mode_absorbs_light_polarized_along_it_alone():
    dipole, _ = oscillator(1000.0, axis=2)
    found = spectrum_from_dipole(dipole, 0.001, TEMPERATURE)
    assert np.abs(found.components[:, :2]).max() == 0
    assert np.abs(found.isotropic - found.components[:, 2] / 3).max() < 1e-12


def test_where_the_dipole_is_counted_from_and_how_the_axes_lie_does_not_matter():
    dipole, turn = (
        liquid(duration=20.0),
        np.linalg.qr(np.random.default_rng(1).normal(size=(3, 3)))[0],
    )
    one = spectrum_from_dipole(dipole, 0.02, TEMPERATURE)
    two = spectrum_from_dipole(dipole @ turn.T + [1, 2, 3], 0.02, TEMPERATURE)
    assert np.abs(one.isotropic - two.isotropic).max() < 1e-9 * one.isotropic.max()


def test_a_steady_current_is_no_absorption():
    _, current = oscillator(1000.0, duration=2.0)
    one, two = (
        spectrum_from_current(current + drift, 0.001, TEMPERATURE)
        for drift in (0.0, 10.0 * current.max())
    )
    assert np.abs(one.components - two.components).max() < 1e-6 * one.components.max()


def test_correlations_are_those_of_an_endless_series():
    times = np.arange(0, 5.0, 0.001)
    series = np.cos(2 * np.pi * 7.0 * times)[:, None] * np.ones(3)
    found = autocorrelation(series, 4000)
    assert (
        np.abs(found[:, 0] - 0.5 * np.cos(2 * np.pi * 7.0 * times[:4000])).max() < 0.02
    )  # 7 periods are left at the longest lag


def test_a_current_comes_from_born_charges_and_velocities():
    rng = np.random.default_rng(0)
    born, velocities = rng.normal(size=(7, 4, 3, 3)), rng.normal(size=(7, 4, 3))
    current = infrared.current_of(born, velocities)
    assert current.shape == (7, 3)
    assert abs(current[2, 1] - sum(born[2, i, 1] @ velocities[2, i] for i in range(4))) < 1e-14


# Sum rules of a liquid


def test_the_loss_sums_to_the_static_dielectric_constant():
    """Kramers and Kronig: (2/π)∫ε''/ω dω = ε(0) − ε∞, here from the fluctuations of the same
    dipole."""
    dipole, volume = liquid(), 500.0
    found = spectrum_from_dipole(dipole, 0.02, TEMPERATURE, volume, longest_lag=4.0)
    assert found.unit == "cm⁻¹"
    wavenumbers, loss = found.wavenumbers[1:], found.loss[1:].mean(axis=1)
    total = 2 / np.pi * np.trapezoid(loss / wavenumbers, wavenumbers)
    static = static_from_fluctuations(dipole, volume, TEMPERATURE).isotropic - 1
    assert static > 0.5
    assert abs(total / static - 1) < 0.03  # noise at the lowest wavenumbers


def test_half_the_volume_absorbs_twice():
    dipole = liquid(duration=20.0)
    one, two = (
        spectrum_from_dipole(dipole, 0.02, TEMPERATURE, volume) for volume in (1000.0, 500.0)
    )
    assert np.abs(2 * one.components - two.components).max() < 1e-9 * two.components.max()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"current": np.zeros((5, 3))}, "current: expected at least 8"),
        ({"current": np.full((50, 3), np.inf)}, "current: expected finite"),
        ({"interval": 0.0}, "interval: expected a positive"),
        ({"temperature": np.nan}, "temperature: expected a positive"),
        ({"volume": -1.0}, "volume: expected a positive"),
        ({"longest_lag": np.inf}, "longest_lag: expected a positive"),
        ({"longest_lag": np.nan}, "longest_lag: expected a positive"),
    ],
)
def test_unusable_arguments_are_named(change, message):
    with pytest.raises(ValueError, match=message):
        spectrum_from_current(
            **{"current": np.zeros((50, 3)), "interval": 0.001, "temperature": 300.0, **change}
        )


def test_a_dipole_that_is_too_short_is_called_a_dipole():
    """Its differences are one fewer."""
    with pytest.raises(ValueError, match="dipole: expected at least 9"):
        spectrum_from_dipole(np.zeros((8, 3)), 0.001, 300.0)
    assert spectrum_from_dipole(np.zeros((9, 3)), 0.001, 300.0).isotropic.max() == 0


def test_a_molecule_has_no_dielectric_function():
    with pytest.raises(ValueError, match="molecule"):
        _ = spectrum_from_dipole(liquid(duration=1.0), 0.02, TEMPERATURE).loss
