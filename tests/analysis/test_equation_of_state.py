"""Equation of state: a curve that is one, and a crystal of springs."""

import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.lj import LennardJones
from ase.eos import birchmurnaghan

from openmm_pqeq.analysis.equation_of_state import energies_of_volumes, equation_of_state
from openmm_pqeq.units import EV_PER_CUBIC_ANGSTROM_IN_GPA as GPA


def test_a_curve_gives_itself_back():
    volumes = np.linspace(55, 66, 9)
    found = equation_of_state(volumes, birchmurnaghan(volumes, -30.0, 1.1, 4.7, 60.0))
    assert abs(found.volume - 60) < 1e-6
    assert abs(found.bulk_modulus - 1.1 * GPA) < 1e-4
    assert abs(found.derivative - 4.7) < 1e-4
    assert found.bulk_modulus_error < 1e-4
    assert np.abs(found.at(volumes) - birchmurnaghan(volumes, -30.0, 1.1, 4.7, 60.0)).max() < 1e-9


def test_noise_has_an_error_that_covers_it():
    volumes, rng = np.linspace(55, 66, 15), np.random.default_rng(0)
    clean = birchmurnaghan(volumes, -30.0, 1.1, 4.7, 60.0)
    fits = [equation_of_state(volumes, clean + 0.002 * rng.normal(size=15)) for _ in range(60)]
    spread = np.std([fit.bulk_modulus for fit in fits], ddof=1)
    assert abs(np.mean([fit.bulk_modulus_error for fit in fits]) / spread - 1) < 0.4


def test_nearest_neighbours_of_fcc():
    """B = (C11 + 2 C12)/3 = 4k/3a; B' = (12 + 6)/3 + 2 = 8 of a 12–6 potential."""
    distance = 2 ** (1 / 6)
    atoms = bulk("Ar", "fcc", a=distance * np.sqrt(2))
    atoms.calc = LennardJones(sigma=1, epsilon=1, rc=1.3, ro=1.25, smooth=True)
    found = equation_of_state(*energies_of_volumes(atoms, 0.01))
    expected = 4 / 3 * 72 / 2 ** (1 / 3) / (distance * np.sqrt(2)) * GPA
    assert abs(found.bulk_modulus / expected - 1) < 2e-3
    assert abs(found.derivative - 8) < 0.1
    assert abs(found.volume - atoms.get_volume()) < 1e-4


def test_a_curve_without_a_minimum_is_refused():
    volumes = np.linspace(50, 60, 7)
    with pytest.raises(ValueError, match="no minimum between 50 and 60"):
        equation_of_state(volumes, birchmurnaghan(volumes, -30.0, 1.1, 4.7, 70.0))
    with pytest.raises(ValueError, match="at least 5"):
        equation_of_state([1, 2], [1, 2])
