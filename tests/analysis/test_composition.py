"""Profiles along an axis: atoms whose places are known, in cells of any shape."""

import numpy as np
import pytest

from openmm_pqeq.analysis import composition

CELL = np.array([[4.0, 0, 0], [1.0, 5.0, 0], [0.5, -1.0, 20.0]])  # Å


def test_two_layers():
    fractions = np.random.default_rng(0).random((30, 40, 3))
    fractions[:, :20, 2] = 0.05 + 0.4 * fractions[:, :20, 2]
    fractions[:, 20:, 2] = 0.55 + 0.4 * fractions[:, 20:, 2]
    images = np.random.default_rng(1).integers(-2, 3, size=fractions.shape)
    positions = (fractions + images) @ CELL
    lower = np.repeat([1.0, 0.0], 20)
    found = composition.densities(positions, CELL, lower, 2, 2)
    assert np.abs(found - np.array([20 / (400 / 2), 0.0])).max() < 1e-12  # 4 · 5 · 20 Å³
    charges = np.repeat([0.5, -0.5], 20)
    density = composition.densities(positions, CELL, charges, 2, 10)
    assert np.abs(density.sum(axis=1)).max() < 1e-12
    assert (density[:, :4].sum(axis=1) > 0).all()
    assert np.abs(composition.centers(CELL, 2, 10) - np.arange(1.0, 20, 2)).max() < 1e-12


def test_what_comes_with_time_is_seen_in_time():
    rows = np.repeat([[1.0, 0.0], [0.0, 1.0]], 10, axis=0)
    when, found = composition.against_time(rows, np.arange(20.0), 4)
    assert when.tolist() == [2.0, 7.0, 12.0, 17.0]
    assert found.tolist() == [[1, 0], [1, 0], [0, 1], [0, 1]]
    mean, error = composition.mean_profile(rows, 2)
    assert mean.tolist() == [0.5, 0.5]
    assert error.tolist() == [0.5, 0.5]


def test_an_ideal_gas_is_uniform_within_its_error():
    positions = np.random.default_rng(0).random((400, 50, 3)) @ CELL
    mean, error = composition.mean_profile(
        composition.densities(positions, CELL, np.ones(50), 0, 8), 20
    )
    assert np.abs((mean - 50 / 400) / error).max() < 4
    binomial = np.sqrt(50 / 8 * 7 / 8) / 50  # of a frame's density: 50 atoms, slabs of 50 Å³
    assert abs(error.mean() / (binomial / np.sqrt(400)) - 1) < 0.2


def test_what_is_no_grid_is_refused():
    with pytest.raises(ValueError, match="axis"):
        composition.densities(np.zeros((2, 3, 3)), CELL, np.ones(3), 3, 10)
    with pytest.raises(ValueError, match="n_times: expected 1 to 2"):
        composition.against_time(np.zeros((2, 3)), np.zeros(2), 3)
