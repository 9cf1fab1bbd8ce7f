"""Paths and diffusion: walks of known D, motion that does not diffuse, and errors that are errors."""

import numpy as np
import pytest

from openmm_pqeq.analysis import diffusion as d
from openmm_pqeq.analysis.paths import largest_step, unwrapped, without_drift

INTERVAL = 0.1  # ps


def walk(n_frames, n_atoms, coefficient, seed=0):
    """Brownian paths (n_frames, n_atoms, 3) Å of D Å²/ps: steps of variance 2Dt along each axis."""
    steps = np.random.default_rng(seed).normal(size=(n_frames, n_atoms, 3))
    return np.cumsum(steps * np.sqrt(2 * np.asarray(coefficient) * INTERVAL), axis=0)


def window_of(path, **options):
    msd = d.mean_square_displacement(path).sum(axis=1)
    return d.diffusive_window(INTERVAL * np.arange(len(msd)), msd, **options)


def test_msd_is_the_double_loop():
    path = walk(40, 3, 0.5) + 100.0
    found = d.mean_square_displacement(path, 20)
    for lag in (0, 1, 7, 19):
        expected = ((path[lag:] - path[: len(path) - lag]) ** 2).mean(axis=(0, 1))
        assert np.abs(found[lag] - expected).max() < 1e-9


def test_a_random_walk_has_its_coefficient():
    path = walk(2000, 200, 0.3)
    window = window_of(path)
    assert window is not None
    assert abs(window.exponent - 1) < 0.1
    found = d.diffusion(path, INTERVAL, window)
    assert abs(found.coefficient - 0.3) < 4 * found.error
    assert found.error < 0.03
    assert np.abs(found.components - 0.3).max() < 5 * found.components_error.max()


def test_each_direction_has_its_own():
    path = walk(2000, 300, [0.1, 0.2, 0.4])
    found = d.diffusion(path, INTERVAL, d.Window(0.1, 5.0, 1.0))
    assert np.abs(found.components / [0.1, 0.2, 0.4] - 1).max() < 0.1


def test_errors_are_the_spread_of_repeated_walks():
    window = d.Window(0.5, 5.0, 1.0)
    found = [d.diffusion(walk(500, 20, 0.3, seed), INTERVAL, window) for seed in range(40)]
    spread = np.std([each.coefficient for each in found], ddof=1)
    # 40 walks give it to 11 %; lags of the blocks are shorter, so their own spread is not the same
    assert 0.5 < np.mean([each.error for each in found]) / spread < 1.6
    assert abs(np.mean([each.coefficient for each in found]) - 0.3) < 4 * spread / np.sqrt(40)


def test_effective_hops_of_a_lattice_walk():
    """Hops of 2 Å once in a picosecond: MSD = 4 Å² by lag in ps, N_eff = n · MSD(0.7 · 400 ps)/a²."""
    rng = np.random.default_rng(0)
    hops = np.zeros((4000, 50, 3))
    jumps = rng.random((4000, 50)) < INTERVAL
    axis, sign = rng.integers(3, size=(4000, 50)), rng.choice([-2.0, 2.0], size=(4000, 50))
    np.put_along_axis(hops, axis[..., None], (jumps * sign)[..., None], axis=2)
    found = d.diffusion(np.cumsum(hops, axis=0), INTERVAL, d.Window(1.0, 20.0, 1.0), hop_length=2.0)
    assert abs(found.coefficient / (4 / 6) - 1) < 0.1
    assert abs(found.effective_hops / (50 * 280) - 1) < 0.15
    expected = 3.43 / np.sqrt(found.effective_hops) + 0.04
    assert abs(found.hops_error / found.coefficient - expected) < 1e-12


def test_what_rattles_and_what_flies_has_no_window():
    times = INTERVAL * np.arange(2000)
    rattling = np.random.default_rng(0).normal(size=(2000, 50, 3)) * 0.2
    assert window_of(rattling) is None
    flying = np.random.default_rng(0).normal(size=(1, 50, 3)) * times[:, None, None]
    assert window_of(flying) is None
    with pytest.raises(ValueError, match="no diffusive window; run longer or hotter"):
        d.diffusion(rattling, INTERVAL, None)


def test_the_window_begins_behind_the_rattling():
    path = walk(4000, 100, 0.05) + 0.4 * np.random.default_rng(1).normal(size=(4000, 100, 3))
    window = window_of(path)
    assert window is not None
    assert window.start > 1.0  # 6 D t has to outgrow 6 · 0.16 Å² there
    found = d.diffusion(path, INTERVAL, window)
    assert abs(found.coefficient / 0.05 - 1) < 0.15
    assert window_of(path, smallest=20.0) is None or window_of(path, smallest=20.0).start > 40


def test_paths_do_not_know_where_the_cell_ends():
    cell = np.array([[8.0, 0, 0], [2.0, 9.0, 0], [-1.0, 1.5, 7.0]])
    path = walk(300, 10, 0.3) + 3.0
    fractions = path @ np.linalg.inv(cell)
    wrapped = (fractions % 1.0) @ cell
    found = unwrapped(wrapped, cell)
    assert np.abs(found - found[0] - (path - path[0])).max() < 1e-9
    assert largest_step(found, cell) < 0.4


def test_a_barostat_moves_no_atom():
    scales = 1 + 0.02 * np.sin(np.arange(50))
    cells = scales[:, None, None] * np.diag([5.0, 6.0, 7.0])
    still = np.random.default_rng(0).random((4, 3)) @ cells
    assert np.abs(unwrapped(still, cells) - still[0]).max() < 1e-9


def test_the_drift_of_the_whole_is_no_diffusion():
    path = walk(200, 30, 0.1)
    masses = np.arange(1.0, 31.0)
    drifting = path + 0.5 * np.arange(200)[:, None, None]
    one, two = without_drift(path, masses), without_drift(drifting, masses)
    assert np.abs(one - two).max() < 1e-9
    center = np.einsum("tia,i->ta", one, masses) / masses.sum()
    assert np.ptp(center, axis=0).max() < 1e-9


def test_short_series_say_so():
    with pytest.raises(ValueError, match="path: expected at least 4 frames"):
        d.mean_square_displacement(np.zeros((2, 3, 3)))
    with pytest.raises(ValueError, match="window: expected at least three lags"):
        d.diffusion(walk(20, 3, 0.1), INTERVAL, d.Window(0.1, 5.0, 1.0))
    short = d.diffusion(walk(20, 3, 0.1), INTERVAL, d.Window(0.8, 1.5, 1.0))
    assert np.isnan(short.error)
    assert short.hops_error > 0
