"""Boxes of molecules: numbers, density, distances, and the same again from a seed."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import molecule

from openmm_pqeq.builders.solution import Component, cubic_edge, solution
from openmm_pqeq.topology.molecules import find_molecules

WATER = molecule("H2O")


def brine(seed=0, **options):
    components = [Component(WATER, 60), Component(Atoms("Na"), 3), Component(Atoms("Cl"), 3)]
    edge = cubic_edge(components, 1.05)
    return solution(components, (edge, edge, edge), seed, **options)


def test_a_salt_solution():
    found = brine()
    symbols = found.get_chemical_symbols()
    assert [symbols.count(s) for s in ("O", "H", "Na", "Cl")] == [60, 120, 3, 3]
    density = found.get_masses().sum() * 1.66053907 / found.get_volume()
    assert density == pytest.approx(1.05, rel=1e-6)
    molecules, _ = find_molecules(found.positions, found.numbers, found.cell.array, found.pbc)
    assert sorted(molecules.names).count("HOH") == 60 or len(molecules.members) == 66
    distances = found.get_all_distances(mic=True)
    own = np.zeros_like(distances, dtype=bool)
    for members in molecules.members:
        own[np.ix_(members, members)] = True
    assert distances[~own].min() > 1.2


def test_a_seed_gives_the_same_again():
    assert np.array_equal(brine(3).positions, brine(3).positions)
    assert not np.array_equal(brine(3).positions, brine(4).positions)


def test_a_solute_keeps_its_place():
    solute = molecule("CH3CH2OH")
    found = solution([Component(WATER, 50)], (13.0, 13.0, 13.0), 0, solute)
    assert found.numbers[: len(solute)].tolist() == solute.numbers.tolist()
    inside = found.positions[: len(solute)]
    assert np.abs(inside.mean(axis=0) - 6.5).max() < 1e-9
    distances = found.get_all_distances(mic=True)[: len(solute), len(solute) :]
    assert distances.min() > 1.2


def test_water_has_its_volume():
    """1000 molecules of water at 0.997 g/cm³: 31.07 Å of edge."""
    assert cubic_edge([Component(WATER, 1000)], 0.997) == pytest.approx(31.07, abs=0.02)


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="do not fit into"):
        solution([Component(WATER, 100)], (8.0, 8.0, 8.0), 0, closest=2.0)
    with pytest.raises(ValueError, match="box: expected three lengths"):
        solution([Component(WATER, 1)], (8.0, 8.0), 0)
    with pytest.raises(ValueError, match="density"):
        cubic_edge([Component(WATER, 1)], 0.0)
