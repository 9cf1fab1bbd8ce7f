"""Phonons: a crystal of springs whose frequencies are known."""

import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.lj import LennardJones

from openmm_pqeq.analysis import phonons
from openmm_pqeq.analysis.born import write_born
from openmm_pqeq.units import COULOMB

DISTANCE = 2 ** (1 / 6)  # Å
STIFFNESS = 72 / 2 ** (1 / 3)  # eV/Å²


@pytest.fixture(scope="module")
def work():
    pytest.importorskip("phonopy", reason="phonopy is not installed")
    atoms = bulk("Ar", "fcc", a=DISTANCE * np.sqrt(2))
    atoms.calc = LennardJones(sigma=1, epsilon=1, rc=1.3, ro=1.25, smooth=True)
    return phonons.phonons_of(atoms, (2, 2, 2), 1e-3)


def test_nearest_neighbours_of_fcc_at_x(work):
    """ω² = 4k/m (twice) and 8k/m at X; √(eV/Å²/amu) = 521.47 cm⁻¹."""
    found = phonons.frequencies(work, [0.5, 0.0, 0.5])[0]
    root = np.sqrt(STIFFNESS / 39.948) * 521.4709
    assert np.abs(found / (root * np.array([2, 2, np.sqrt(8)])) - 1).max() < 1e-4


def test_sound_at_small_q(work):
    """ω = v q, v² = C11/ρ along 100, with C11 = 2k/a: ω² = 8 k/m sin²(qa/4)."""
    found = phonons.frequencies(work, [0.05, 0.0, 0.05])[0]  # q = 0.1 · 2π/a
    expected = np.sqrt(8 * STIFFNESS / 39.948) * 521.4709 * np.sin(0.1 * 2 * np.pi / 4)
    assert abs(found[2] / expected - 1) < 1e-4


def test_translation_costs_nothing(work):
    assert phonons.acoustic_error(work) < 1e-2


def test_born_charges_split_longitudinal_and_transverse_modes(tmp_path):
    """ω_LO² − ω_TO² = 4π k_e Z²/(V ε∞ μ) of a rocksalt crystal, and ω_TO² = 2k/μ of its springs."""
    pytest.importorskip("phonopy", reason="phonopy is not installed")
    atoms = bulk("MgO", "rocksalt", a=2 * DISTANCE)
    atoms.calc = LennardJones(sigma=1, epsilon=1, rc=1.3, ro=1.25, smooth=True)
    charges = np.array([1.0, -1.0])[:, None, None] * 0.2 * np.eye(3)
    write_born(tmp_path / "BORN", 3.0 * np.eye(3), charges, [0, 1])
    split = phonons.phonons_of(atoms, (2, 2, 2), 1e-3, tmp_path / "BORN")
    found = np.sort(phonons.frequencies(split, [0, 0, 0], [1, 0, 0])[0])[3:]
    mass = 1 / (1 / atoms.get_masses()).sum()
    transverse = 2 * STIFFNESS / mass
    added = 4 * np.pi * COULOMB * 0.2**2 / (atoms.get_volume() * 3.0 * mass)
    expected = 521.4709 * np.sqrt([transverse, transverse, transverse + added])
    assert expected[2] - expected[0] > 5
    assert np.abs(found - expected).max() < 0.1
    plain = phonons.phonons_of(atoms, (2, 2, 2), 1e-3)
    assert np.ptp(np.sort(phonons.frequencies(plain, [0, 0, 0])[0])[3:]) < 1e-3


def test_bands_and_density(work):
    found = phonons.bands(work, 60)
    names = [name for _, name in found.labels]
    assert names[:2] == ["Γ", "X"]
    assert found.frequencies.shape == (60, 3)
    density = phonons.density_of_states(work, (8, 8, 8))
    modes = np.trapezoid(density.density, density.wavenumbers)
    assert abs(modes - 3) < 0.03


def test_settings_that_are_none():
    pytest.importorskip("phonopy", reason="phonopy is not installed")
    atoms = bulk("Ar", "fcc", a=2.0)
    with pytest.raises(ValueError, match="supercell"):
        phonons.phonons_of(atoms, (0, 1, 1))
    atoms.pbc = False
    with pytest.raises(ValueError, match="periodic in all directions"):
        phonons.phonons_of(atoms, (1, 1, 1))
