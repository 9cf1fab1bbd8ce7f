"""Arrhenius' law: exact lines, a published table, and errors that are the spread of repeated fits."""

import numpy as np
import pytest

from openmm_pqeq.analysis.arrhenius import arrhenius
from openmm_pqeq.units import BOLTZMANN


def law(temperatures, prefactor=2.0, energy=0.3):
    return prefactor * np.exp(-energy / (BOLTZMANN * np.asarray(temperatures)))


def test_points_on_a_line_give_the_line():
    kelvin = np.array([300.0, 500.0, 900.0])
    found = arrhenius(kelvin, law(kelvin), 0.1 * law(kelvin))
    assert abs(found.activation_energy - 0.3) < 1e-9
    assert abs(found.log_prefactor - np.log(2.0)) < 1e-9
    assert found.chi_squared < 1e-12
    value, _ = found.at([400.0])
    assert abs(value[0] / law([400.0])[0] - 1) < 1e-9


def test_cubic_llzo():
    """D of c-LLZO as tabulated with Gao et al., Nat. Commun. 16, 10484 (2025): the slope of ln D
    against 1/kT, written out for four points."""
    kelvin = np.array([950.0, 1000.0, 1100.0, 1200.0])
    coefficients = np.array([0.804, 0.967, 1.293, 1.655]) * 1e-5  # cm²/s
    found = arrhenius(kelvin, coefficients)
    x, y = 1 / (8.617333262e-5 * kelvin), np.log(coefficients)
    slope = ((x - x.mean()) * (y - y.mean())).sum() / ((x - x.mean()) ** 2).sum()
    assert abs(found.activation_energy + slope) < 1e-9
    assert 0.27 < found.activation_energy < 0.29
    assert 0.002 < found.activation_energy_error < 0.01


def test_errors_are_the_spread_of_repeated_fits():
    kelvin = np.array([600.0, 800.0, 1000.0, 1200.0, 1500.0])
    relative = np.array([0.3, 0.2, 0.1, 0.1, 0.05])
    rng = np.random.default_rng(0)
    tables = law(kelvin) * np.exp(relative * rng.normal(size=(400, 5)))
    fits = [arrhenius(kelvin, table, relative * table) for table in tables]
    energies = np.array([fit.activation_energy for fit in fits])
    errors = np.mean([fit.activation_energy_error for fit in fits])
    assert abs(energies.std(ddof=1) / errors - 1) < 0.2
    assert abs(energies.mean() - 0.3) < 4 * errors / np.sqrt(400)
    extrapolated = np.log([fit.at([300.0])[0][0] for fit in fits])
    band = np.mean([fit.at([300.0])[1][0] / fit.at([300.0])[0][0] for fit in fits])
    assert abs(extrapolated.std(ddof=1) / band - 1) < 0.2


def test_what_is_no_table_is_refused():
    with pytest.raises(ValueError, match="at least 3 that differ"):
        arrhenius([300.0, 400.0], [1.0, 2.0])
    with pytest.raises(ValueError, match="values: expected 3 positive"):
        arrhenius([300.0, 400.0, 500.0], [1.0, -2.0, 3.0])
    with pytest.raises(ValueError, match="errors"):
        arrhenius([300.0, 400.0, 500.0], [1.0, 2.0, 3.0], [0.1, 0.1])
