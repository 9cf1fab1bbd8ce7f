"""Lattice parameters: cells of known shape, and an expansion that is known."""

import numpy as np
import pytest
from ase.geometry import cellpar_to_cell

from openmm_pqeq.analysis import lattice


def test_parameters_are_those_of_ase():
    cell = cellpar_to_cell([8.0, 10.0, 18.0, 80.0, 95.0, 110.0])
    found = lattice.parameters(cell[None], (2, 2, 3))[0]
    assert np.abs(found[:6] - [4.0, 5.0, 6.0, 80.0, 95.0, 110.0]).max() < 1e-9
    assert abs(found[6] - np.linalg.det(cell) / 12) < 1e-9


def test_means_with_errors():
    lengths = 4 + 0.05 * np.random.default_rng(0).normal(size=(4000, 3))
    found = lattice.averages(lengths[:, :, None] * np.eye(3))
    assert abs(found[0].mean - 4) < 4 * found[0].error
    assert abs(found[0].error / (0.05 / np.sqrt(4000)) - 1) < 0.2
    assert found[3].mean == pytest.approx(90)


def test_expansion():
    kelvin = np.array([100.0, 200.0, 300.0, 400.0])
    volume = 64.0 * (1 + 3e-5 * (kelvin - 250))
    slope = lattice.expansion(kelvin, volume, np.full(4, 0.01))
    assert abs(slope.value - 3e-5) < 1e-12
    assert abs(slope.error - 0.01 / 64 / np.sqrt(((kelvin - 250) ** 2).sum())) < 1e-12
    assert np.isnan(lattice.expansion(kelvin, volume, np.zeros(4)).error)
    with pytest.raises(ValueError, match="at least two that differ"):
        lattice.expansion([300.0], [64.0], [0.1])
    with pytest.raises(ValueError, match="repeats"):
        lattice.parameters(np.eye(3)[None], (0, 1, 1))
