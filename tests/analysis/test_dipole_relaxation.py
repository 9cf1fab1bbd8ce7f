"""Relaxation of dipoles: rigid ones that turn by diffusion, and their Kirkwood factor."""

import numpy as np
import pytest

from openmm_pqeq.analysis.relaxation import kirkwood_factor, relaxation

INTERVAL = 0.05  # ps


def turning(n_moments, n_dipoles, diffusion, seed=0):
    """(n, n_dipoles, 3) unit vectors that turn with D_r = `diffusion` 1/ps."""
    rng = np.random.default_rng(seed)
    vectors = np.empty((n_moments, n_dipoles, 3))
    now = rng.normal(size=(n_dipoles, 3))
    now /= np.linalg.norm(now, axis=1, keepdims=True)
    for k in range(n_moments):
        vectors[k] = now
        now = now + np.cross(np.sqrt(2 * diffusion * INTERVAL) * rng.normal(size=now.shape), now)
        now /= np.linalg.norm(now, axis=1, keepdims=True)
    return vectors


def test_debye_relaxation():
    """φ = exp(−2 D_r t): τ = 1 ps for D_r = 0.5/ps."""
    dipole = 0.4 * turning(40_000, 20, 0.5).sum(axis=1)
    found = relaxation(dipole, INTERVAL, 10.0, mean=np.zeros(3))
    assert found.ended
    assert abs(found.time - 1.0) < 4 * found.time_error
    assert found.time_error < 0.1
    early = found.lags < 1.5
    assert np.abs(found.correlation[early] - np.exp(-found.lags[early])).max() < 0.06


def test_free_dipoles_have_a_kirkwood_factor_of_one():
    free = turning(20_000, 20, 0.5)
    factor, error = kirkwood_factor(0.4 * free.sum(axis=1), 20, 0.4)
    assert abs(factor - 1) < 4 * error
    assert error < 0.05
    pairs = np.concatenate([free, free], axis=1)  # each with one that points as it does
    factor, error = kirkwood_factor(0.4 * pairs.sum(axis=1), 40, 0.4)
    assert abs(factor - 2) < 4 * error


def test_what_does_not_come_to_zero_says_so():
    ramp = np.linspace(-1, 1, 400)[:, None] * np.ones(3)
    found = relaxation(ramp, 1.0, 20.0)
    assert not found.ended
    with pytest.raises(ValueError, match="at least 20 moments"):
        relaxation(np.zeros((5, 3)), 1.0)
    with pytest.raises(ValueError, match="longest_lag"):
        relaxation(ramp, 1.0, 1e5)
    with pytest.raises(ValueError, match="moment"):
        kirkwood_factor(ramp, 3, 0.0)
