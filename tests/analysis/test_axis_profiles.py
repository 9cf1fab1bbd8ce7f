"""Profiles obey Poisson's equation, and are those of a plate capacitor where the charges are
one."""

import numpy as np
import pytest

from openmm_pqeq.analysis.axis_profiles import axis_of, profile
from openmm_pqeq.units import COULOMB

LENGTH, AREA = 30.0, 50.0  # Å, Å²
FIELD, POTENTIAL = (
    1e-6,
    1e-6,
)  # V/Å, V: the series ends where its Gaussians are 1.5e-8 of their middle
CONSTANT = 4 * np.pi * COULOMB


def cloud(seed=0, n=20):
    """Coordinates (Å, well inside the cell) and charges (e) whose sum is zero."""
    rng = np.random.default_rng(seed)
    charges = rng.normal(size=n)
    return rng.uniform(8, 22, n), charges - charges.mean()


def test_a_plate_capacitor_has_its_field_inside_and_none_outside():
    """Plates at 10 and 20 Å with ±2 e: E = 4πk_e σ between them, and a potential difference E·d, 10
    Å apart."""
    found = profile([10.0, 20.0], [2.0, -2.0], LENGTH, AREA, 300, 0.3, isolated=True)
    inside = (found.positions > 13) & (found.positions < 17)
    outside = (found.positions < 7) | (found.positions > 23)
    assert np.abs(found.field[inside] - CONSTANT * 2 / AREA).max() < FIELD
    assert np.abs(found.field[outside]).max() < FIELD
    assert (
        np.abs(found.potential[found.positions > 23] + CONSTANT * 2 / AREA * 10).max() < POTENTIAL
    )


def test_along_a_periodic_axis_field_and_potential_have_no_mean():
    found = profile(*cloud(), LENGTH, AREA, 300)
    assert abs(found.field.mean()) < FIELD
    assert abs(found.potential.mean()) < POTENTIAL
    both = profile(*cloud(), LENGTH, AREA, 300, isolated=True)
    assert np.abs(np.diff(both.field - found.field)).max() < FIELD  # they differ by a uniform field


@pytest.mark.parametrize("isolated", [False, True])
def test_density_field_and_potential_obey_poisson(isolated):
    found = profile(*cloud(), LENGTH, AREA, 3000, isolated=isolated)
    step = found.positions[1]
    inner = slice(1, -1)
    assert (
        np.abs((np.gradient(found.field, step) - CONSTANT * found.charge_density)[inner]).max()
        < 1e-2
    )  # V/Å² of 20, step² f'''
    assert (
        np.abs((np.gradient(found.potential, step) + found.field)[inner]).max() < 1e-3
    )  # V/Å of 5
    assert np.abs(found.charge_density).max() > 0.01


def test_the_density_holds_all_charges_and_their_dipole():
    places, charges = cloud()
    found = profile(places, charges + 0.1, LENGTH, AREA, 300)
    element = AREA * found.positions[1]
    assert abs(found.charge_density.sum() * element - 2.0) < 1e-9  # e, 20 atoms with 0.1 e more
    assert (
        abs(found.charge_density @ found.positions * element - (charges + 0.1) @ places) < 1e-6
    )  # e Å


def test_a_slab_with_a_dipole_has_a_step_in_its_potential():
    places, charges = cloud()
    found = profile(places, charges, LENGTH, AREA, 300, isolated=True)
    assert abs(found.potential[-1] - CONSTANT * (charges @ places) / AREA) < POTENTIAL
    assert abs(found.potential[0]) < POTENTIAL


@pytest.mark.parametrize("isolated", [False, True])
def test_images_do_not_matter(isolated):
    places, charges = cloud()
    images = places + LENGTH * np.random.default_rng(1).integers(-2, 3, len(places))
    one, two = (
        profile(coordinates, charges, LENGTH, AREA, isolated=isolated)
        for coordinates in (places, images)
    )
    assert np.abs(one.potential - two.potential).max() < 1e-9


def test_an_axis_is_the_normal_of_the_other_two_vectors():
    cell = np.array([[4.0, 0, 0], [1.0, 5.0, 0], [0.5, -1.0, 6.0]])
    normal, length, area = axis_of(cell, 2)
    assert np.abs(normal - [0, 0, 1]).max() < 1e-15
    assert abs(length - 6) < 1e-14
    assert abs(area - 20) < 1e-13
    normal, length, area = axis_of(cell, 0)
    assert np.abs(cell[1:] @ normal).max() < 1e-14
    assert abs(length * area - np.linalg.det(cell)) < 1e-12
    with pytest.raises(ValueError, match="span a volume"):
        axis_of(np.diag([1.0, 1.0, 0.0]), 0)


@pytest.mark.parametrize("name", ["length", "area", "width", "n_points"])
def test_what_is_not_positive_is_named(name):
    with pytest.raises(ValueError, match=f"^{name}: expected a positive"):
        profile([1.0], [1.0], **{"length": 1.0, "area": 1.0, name: 0})
