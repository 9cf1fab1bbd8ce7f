"""Hysteresis: a square loop, an ellipse, and fields that make none."""

import numpy as np
import pytest

from openmm_pqeq.analysis.hysteresis import hysteresis


def square_loop(times, strength=0.1, coercive=0.04, saturated=0.02):
    """P switches where a sine field passes ± the coercive field."""
    field = strength * np.sin(2 * np.pi * times)
    p, state = np.empty_like(field), -saturated
    for k, value in enumerate(field):
        if value > coercive:
            state = saturated
        elif value < -coercive:
            state = -saturated
        p[k] = state
    return field, p


def test_a_square_loop():
    field, p = square_loop(np.linspace(0, 5, 5001))
    found = hysteresis(field, p + 0.3)  # a change since the start has any zero
    assert abs(found.remanent - 0.02) < 1e-6
    assert abs(found.coercive - 0.04) < 3e-4  # a step of the field there is 1.2e-4
    assert abs(found.bias) < 3e-4
    assert abs(found.loss / (4 * 0.04 * 0.02) - 1) < 0.01
    assert found.coercive_error < 1e-4
    assert abs(found.polarization.mean()) < 1e-3


def test_an_ellipse():
    """P = P₀ sin(ωt − δ): F_c = F₀ sin δ, P_r = P₀ sin δ, loss π F₀ P₀ sin δ."""
    times = np.linspace(0, 4, 4001)
    found = hysteresis(0.1 * np.sin(2 * np.pi * times), 0.02 * np.sin(2 * np.pi * times - 0.5))
    assert abs(found.coercive - 0.1 * np.sin(0.5)) < 1e-4
    assert abs(found.remanent - 0.02 * np.sin(0.5)) < 1e-5
    assert abs(found.loss / (np.pi * 0.1 * 0.02 * np.sin(0.5)) - 1) < 0.01


def test_noise_has_an_error_that_covers_it():
    times = np.linspace(0, 20, 20001)
    noise = 0.002 * np.random.default_rng(0).normal(size=len(times))
    found = hysteresis(
        0.1 * np.sin(2 * np.pi * times), 0.02 * np.sin(2 * np.pi * times - 0.5) + noise
    )
    assert found.remanent_error > 0
    assert abs(found.remanent - 0.02 * np.sin(0.5)) < 4 * found.remanent_error
    assert abs(found.coercive - 0.1 * np.sin(0.5)) < 4 * found.coercive_error


def test_what_does_not_switch_is_refused():
    times = np.linspace(0, 3, 301)
    with pytest.raises(ValueError, match="goes up and down through zero"):
        hysteresis(0.1 * times, times)
    with pytest.raises(ValueError, match="does not change its sign"):
        hysteresis(0.1 * np.sin(2 * np.pi * times), np.ones_like(times), centered=False)
    with pytest.raises(ValueError, match="at least 8"):
        hysteresis([1.0, 2.0], [1.0, 2.0])
