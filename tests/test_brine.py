"""The shipped model `brine`: charges of its own, a molecule's dipole, ions far apart."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import molecule
from ase.units import Debye

import openmm_pqeq as pq
from openmm_pqeq.units import COULOMB


@pytest.fixture(scope="module")
def brine():
    return pq.PQEqCalculator("brine")


def test_a_molecule_of_water_in_vacuum(brine):
    """Experiment: 1.855 D, 1.47 Å³; no molecule by itself was trained on."""
    water = molecule("H2O")
    assert brine.get_charges(water) == pytest.approx([-0.714, 0.357, 0.357])
    assert np.linalg.norm(brine.get_dipole_moment(water)) / Debye == pytest.approx(1.86, abs=0.04)
    polarizability = np.trace(brine.get_property("polarizability", water)) / 3 * COULOMB
    assert polarizability == pytest.approx(1.47, abs=0.02)
    assert np.abs(brine.get_forces(water)).max() < 1.0  # eV/Å; its own O-H are 0.956, not 0.969 Å


def test_an_ion_pair_pulled_apart_feels_coulombs_force(brine):
    for distance in (10.0, 14.0):
        pair = Atoms("NaCl", [[0, 0, 0], [0, 0, distance]])
        assert brine.get_charges(pair) == pytest.approx([1, -1])
        assert brine.get_forces(pair)[1, 2] == pytest.approx(-COULOMB / distance**2, rel=0.01)
