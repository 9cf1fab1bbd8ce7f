"""Elastic tensors: a crystal of springs whose constants are known, symmetry, moduli as published."""

import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.lj import LennardJones

from openmm_pqeq.analysis import elasticity as e
from openmm_pqeq.units import EV_PER_CUBIC_ANGSTROM_IN_GPA as GPA

pytest.importorskip("spglib", reason="the symmetry of crystals needs spglib")

DISTANCE = 2 ** (1 / 6)  # Å, of the minimum of a Lennard-Jones pair with σ = 1 Å
STIFFNESS = 72 / 2 ** (1 / 3)  # eV/Å², its second derivative there, ε = 1 eV


def springs(cubic=True):
    """fcc argon in which only nearest neighbours feel each other, at rest."""
    atoms = bulk("Ar", "fcc", a=DISTANCE * np.sqrt(2), cubic=cubic)
    atoms.calc = LennardJones(sigma=1, epsilon=1, rc=1.3, ro=1.25, smooth=True)
    return atoms


@pytest.mark.parametrize("cubic", [True, False])
def test_nearest_neighbours_of_fcc(cubic):
    """C11 = 2k/a, C12 = C44 = k/a: Cauchy's relation of central forces at rest."""
    found = e.elastic_tensor(springs(cubic), 1e-3)
    expected = STIFFNESS / (DISTANCE * np.sqrt(2)) * GPA
    assert abs(found.tensor[0, 0] / (2 * expected) - 1) < 1e-3
    assert abs(found.tensor[0, 1] / expected - 1) < 1e-3
    assert abs(found.tensor[3, 3] / expected - 1) < 1e-3
    assert abs(found.tensor[0, 1] - found.tensor[3, 3]) < 1e-4 * expected
    assert found.error.max() < 1e-4 * expected
    assert len(found.strains) == 2
    assert np.abs(found.tensor[:3, 3:]).max() < 1e-6 * expected


def test_symmetry_saves_strains_and_changes_nothing():
    atoms = springs(cubic=False)
    atoms.rotate(33, (1, 2, 3), rotate_cell=True)
    one = e.elastic_tensor(atoms, 1e-3)
    two = e.elastic_tensor(atoms, 1e-3, symmetry_precision=None)
    assert len(two.strains) == 6
    assert len(one.strains) < 6
    assert np.abs(one.tensor - two.tensor).max() < 1e-4 * one.tensor.max()
    here, there = e.moduli(one.tensor), e.moduli(e.elastic_tensor(springs(), 1e-3).tensor)
    assert np.abs(np.array(here) / np.array(there) - 1).max() < 1e-4


@pytest.mark.parametrize(
    ("generators", "number"),
    [
        ([], 21),
        ([np.diag([-1.0, 1, -1])], 13),
        ([np.diag([-1.0, 1, -1]), np.diag([-1.0, -1, 1])], 9),
        ([[[0, -1, 0], [1, 0, 0], [0, 0, 1]]], 7),
        ([[[0, -1, 0], [1, 0, 0], [0, 0, 1]], np.diag([1.0, -1, -1])], 6),
        ([[[0, 0, 1], [1, 0, 0], [0, 1, 0]], np.diag([-1.0, -1, 1])], 3),
        (
            [
                [[0.5, -np.sqrt(0.75), 0], [np.sqrt(0.75), 0.5, 0], [0, 0, 1]],
                np.diag([1.0, -1, -1]),
            ],
            5,
        ),
    ],
)
def test_numbers_of_constants(generators, number):
    """Nye: triclinic 21, monoclinic 13, orthorhombic 9, tetragonal 7 or 6, cubic 3, hexagonal 5."""
    group = [np.eye(3)]
    for _ in range(6):
        products = [a @ np.asarray(g, dtype=float) for a in group for g in generators]
        for product in products:
            if not any(np.abs(product - known).max() < 1e-9 for known in group):
                group.append(product)
    basis = e.invariant_tensors(np.array(group))
    assert len(basis) == number
    assert len(e.needed_strains(basis)) == {21: 6, 3: 2}.get(number, len(e.needed_strains(basis)))


def test_moduli_of_copper():
    """C11, C12, C44 = 168.4, 121.4, 75.4 GPa: K = 137.1, G by Voigt 54.6, by Reuss
    5(C11 − C12)C44/(4C44 + 3(C11 − C12)) = 40.0 GPa."""
    tensor = np.zeros((6, 6))
    tensor[:3, :3] = 121.4
    tensor[range(3), range(3)] = 168.4
    tensor[range(3, 6), range(3, 6)] = 75.4
    found = e.moduli(tensor)
    assert found.bulk_voigt == pytest.approx((168.4 + 2 * 121.4) / 3)
    assert found.bulk_reuss == pytest.approx(found.bulk_voigt)
    assert found.shear_voigt == pytest.approx((47.0 + 3 * 75.4) / 5)
    assert found.shear_reuss == pytest.approx(5 * 47.0 * 75.4 / (4 * 75.4 + 3 * 47.0))
    assert 0.3 < found.poisson < 0.4
    assert found.anisotropy > 1
    isotropic = tensor.copy()
    isotropic[range(3, 6), range(3, 6)] = 23.5
    assert abs(e.moduli(isotropic).anisotropy) < 1e-9


def test_errors_of_moduli_are_those_of_the_constants():
    basis = e.invariant_tensors(np.eye(3)[None])
    tensor = np.diag([200.0, 200, 200, 80, 80, 80])
    tensor[:3, :3] += 100
    changes = np.array([0.5 * one for one in basis])
    found = e.Elasticity(tensor, np.ones((6, 6)), changes, (0, 1, 2, 3, 4, 5))
    errors = e.moduli_errors(found)
    expected = 0.5 / 9 * 3  # K_V is 1/9 of nine components of independent error
    assert errors.bulk_voigt == pytest.approx(expected, rel=1e-6)


def test_what_is_no_stable_crystal_is_refused():
    with pytest.raises(ValueError, match="not stable"):
        e.moduli(np.diag([1.0, 1, 1, 1, 1, -1]))
    atoms = springs()
    with pytest.raises(ValueError, match="largest_strain"):
        e.elastic_tensor(atoms, 0.0)
    atoms.pbc = (True, True, False)
    with pytest.raises(ValueError, match="periodic in all directions"):
        e.elastic_tensor(atoms)
