"""Conductivity: ions that do not feel each other, ions that move in pairs, ions that drift."""

import numpy as np
import pytest

from openmm_pqeq.analysis import conductivity as c
from openmm_pqeq.analysis.diffusion import Window, diffusion

INTERVAL, VOLUME, TEMPERATURE = 0.1, 5000.0, 800.0  # ps, Å³, K
WINDOW = Window(0.5, 3.0, 1.0)


def walk(n_frames, n_atoms, seed, coefficient=0.2):
    steps = np.random.default_rng(seed).normal(size=(n_frames, n_atoms, 3))
    return np.cumsum(steps * np.sqrt(2 * coefficient * INTERVAL), axis=0)


def both(path, charges):
    found = [diffusion(path[:, charges == z], INTERVAL, WINDOW) for z in (1.0, -1.0)]
    counts = [int((charges == z).sum()) for z in (1.0, -1.0)]
    separate = c.nernst_einstein(found, counts, [1.0, -1.0], VOLUME, TEMPERATURE)
    together = c.collective(path, charges, INTERVAL, WINDOW, VOLUME, TEMPERATURE)
    return c.conductivity(separate, together)


def test_free_ions_obey_nernst_and_einstein():
    """n z² e² D/(V kT) in SI: 40 ions of D = 0.2 Å²/ps = 2e-9 m²/s in 5e-27 m³ at 800 K."""
    charges = np.repeat([1.0, -1.0], 20)
    found = both(walk(20_000, 40, 0), charges)
    expected = 40 * 1.602176634e-19**2 * 2e-9 / (5e-27 * 1.380649e-23 * 800) / 100  # S/cm
    assert abs(found.nernst_einstein / expected - 1) < 0.05
    assert abs(found.collective / expected - 1) < 0.3
    assert abs(found.collective - expected) < 4 * found.collective_error
    assert abs(found.haven_ratio - 1) < 4 * found.haven_ratio_error


def test_pairs_carry_no_current():
    one = walk(2000, 20, 1)
    found = both(np.concatenate([one, one + 2.5], axis=1), np.repeat([1.0, -1.0], 20))
    assert found.nernst_einstein > 0.1
    assert abs(found.collective) < 1e-9


def test_ions_in_step_have_a_small_haven_ratio():
    """Four ions that move as one: σ = 4 σ_NE."""
    one = walk(20_000, 10, 2)
    path, charges = np.concatenate([one] * 4, axis=1), np.ones(40)
    own = diffusion(path, INTERVAL, WINDOW)
    found = c.conductivity(
        c.nernst_einstein([own], [40], [1.0], VOLUME, TEMPERATURE),
        c.collective(path, charges, INTERVAL, WINDOW, VOLUME, TEMPERATURE),
    )
    assert abs(found.haven_ratio - 0.25) < 0.08


def test_drift_in_a_field_is_mobility_times_field():
    """Einstein's relation: μ = D/kT, so that the current in a field has the conductivity σ_NE."""
    field = np.array([0.0, 0.003, 0.004])  # V/Å
    mobility = 0.2 / (8.617333262e-5 * TEMPERATURE)  # Å²/(V ps)
    times = INTERVAL * np.arange(5000)
    charges = np.repeat([1.0, -1.0], 100)
    drifting = charges[None, :, None] * mobility * field * times[:, None, None]
    path = walk(5000, 200, 3) + drifting
    drift = c.drift_velocity(path[:, :100], INTERVAL)
    assert np.abs(drift.velocity - mobility * field).max() < 5 * drift.error.max()
    found, error = c.mobility(drift, field)
    assert abs(found - mobility) < 4 * error
    value, spread = c.drift_conductivity(path, charges, INTERVAL, VOLUME, field)
    expected = 200 * mobility / VOLUME * 16.02176634
    assert abs(value - expected) < 4 * spread
    assert spread < 0.2 * expected


def test_settings_that_are_none():
    with pytest.raises(ValueError, match="volume"):
        c.nernst_einstein([], [], [], 0.0, 300.0)
    with pytest.raises(ValueError, match="field: expected three numbers"):
        c.mobility(c.Drift(np.zeros(3), np.zeros(3)), [0, 0, 0])
    with pytest.raises(ValueError, match="at least 10 frames"):
        c.drift_velocity(np.zeros((4, 1, 3)), 0.1)
