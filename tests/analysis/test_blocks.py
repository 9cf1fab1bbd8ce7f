"""Averages of correlated series: series of known correlation time, and errors that are the spread of
repeated series."""

import numpy as np
import pytest

from openmm_pqeq.analysis.blocks import average, block_error, statistical_inefficiency


def remembering(phi, n, seed, mean=0.0):
    """A Gaussian series x' = φx + noise of variance 1/(1 − φ²), in equilibrium."""
    rng = np.random.default_rng(seed)
    noise, series = rng.normal(size=n), np.empty(n)
    series[0] = noise[0] / np.sqrt(1 - phi**2)
    for k in range(1, n):
        series[k] = phi * series[k - 1] + noise[k]
    return mean + series


@pytest.mark.parametrize("phi", [0.0, 0.5, 0.9])
def test_samples_that_count_as_one(phi):
    """g = (1 + φ)/(1 − φ): 1, 3, 19."""
    found = statistical_inefficiency(remembering(phi, 200_000, seed=1))
    # the sum over lags stops at noise: some 6 % of 19
    assert abs(found / ((1 + phi) / (1 - phi)) - 1) < 0.1


def test_errors_are_the_spread_of_repeated_series():
    found = [average(remembering(0.8, 5000, seed, mean=7.0)) for seed in range(60)]
    spread = np.std([each.mean for each in found], ddof=1)
    # 60 means give their spread to 9 %
    assert abs(np.mean([each.error for each in found]) / spread - 1) < 0.3
    assert abs(np.mean([each.mean for each in found]) - 7) < 4 * spread / np.sqrt(60)


def test_blocks_and_autocorrelation_agree():
    series = remembering(0.8, 100_000, seed=3)
    assert abs(average(series).error / float(block_error(series, 50)) - 1) < 0.3


def test_a_constant_has_no_error_and_a_word_is_no_series():
    assert average(np.full(10, 3.0)) == (3.0, 0.0, 1.0, 10.0)
    assert average(0.1 * np.ones(10) + 1e-17 * np.arange(10)).error == 0.0
    with pytest.raises(ValueError, match="series: expected at least 2"):
        average([1.0])
    with pytest.raises(ValueError, match="NaN"):
        average([1.0, np.nan])
