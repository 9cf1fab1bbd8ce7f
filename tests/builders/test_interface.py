"""Interfaces: matches that are known, strains that are what they are said to be."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, make_supercell

from openmm_pqeq.builders.interface import best_match, interface
from openmm_pqeq.builders.slab import slab


def square(symbol, a, thickness=6.0):
    return slab(bulk(symbol, "fcc", a=a, cubic=True), (0, 0, 1), thickness).atoms


def test_equal_lattices_match_one_to_one():
    found = interface(square("Cu", 3.6), square("Ni", 3.5), 0.03)
    assert found.match.strain == pytest.approx(3.6 / 3.5 - 1)
    ratio = np.linalg.det(found.match.lower) / np.linalg.det(found.match.upper)
    assert ratio == pytest.approx(1)
    assert len(found.atoms) == found.match.n_atoms


def test_a_turn_by_45_degrees():
    """a and a √2 fit after a turn by 45°: one cell of the larger on two of the smaller."""
    found = best_match(square("Cu", 4.0), square("Ni", 4.0 * np.sqrt(2)), 0.01, 100.0)
    areas = [abs(np.linalg.det(each)) for each in (found.lower, found.upper)]
    assert areas[0] / areas[1] == pytest.approx(2)
    assert found.strain < 1e-9


def test_a_match_of_five_on_six():
    found = best_match(square("Cu", 3.0), square("Ni", 3.6), 0.002, 300.0)
    assert found.strain < 0.002
    strict = best_match(square("Cu", 3.0), square("Ni", 3.6), 0.02, 300.0)
    assert strict.n_atoms <= found.n_atoms
    with pytest.raises(ValueError, match="no common cell up to 10 Å²"):
        best_match(square("Cu", 3.0), square("Ni", 3.6), 0.002, 10.0)


def test_any_basis_of_a_lattice_gives_the_same_match():
    lower, upper = square("Cu", 3.61), slab(bulk("Mg", "hcp", a=3.2, c=5.2), (0, 0, 1), 6).atoms
    skewed = make_supercell(upper, [[1, 2, 0], [0, 1, 0], [0, 0, 1]])
    one, two = best_match(lower, upper, 0.03, 200.0), best_match(lower, skewed, 0.03, 200.0)
    assert one.n_atoms == two.n_atoms
    assert one.strain == pytest.approx(two.strain)


def test_both_crystals_are_there_and_apart():
    lower, upper = square("Cu", 3.6), square("Ag", 4.09)
    found = interface(lower, upper, 0.03, gap=2.2, vacuum=12.0)
    below, above = (found.atoms[found.atoms.get_tags() == tag] for tag in (0, 1))
    assert set(below.symbols) == {"Cu"}
    assert set(above.symbols) == {"Ag"}
    gap = above.positions[:, 2].min() - below.positions[:, 2].max()
    assert gap == pytest.approx(2.2)
    top = found.atoms.cell[2, 2] - above.positions[:, 2].max()
    assert top == pytest.approx(12.0)
    copper = below.get_all_distances(mic=True)
    assert copper[copper > 0.1].min() == pytest.approx(3.6 / np.sqrt(2))  # it is not strained
    silver = above.get_all_distances(mic=True)
    nearest = silver[silver > 0.1].min() / (4.09 / np.sqrt(2))
    assert abs(nearest - 1) <= found.match.strain + 1e-9


def test_what_is_no_slab_is_refused():
    with pytest.raises(ValueError, match="lower: expected a slab"):
        interface(bulk("Cu"), square("Ni", 3.5))
    with pytest.raises(ValueError, match="gap"):
        interface(square("Cu", 3.6), square("Ni", 3.6), gap=0.0)
    with pytest.raises(ValueError, match="largest_strain"):
        interface(square("Cu", 3.6), square("Ni", 3.6), 0.7)


def test_angles_of_60_and_120_degrees_are_one_lattice():
    lower, upper = (Atoms("Cu", cell=np.eye(3), pbc=True) for _ in range(2))
    lower.set_cell([[3.0, 0, 0], [-1.5, 1.5 * np.sqrt(3), 0], [0, 0, 6]])
    upper.set_cell([[3.0, 0, 0], [1.49, 2.61, 0], [0, 0, 6]])
    found = best_match(lower, upper, 0.01, 20.0)
    assert found.n_atoms == 2
    assert found.strain < 0.01
