"""Slabs: composition, surface cells as known, bonds that are spared."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk

from openmm_pqeq.builders.slab import slab


def test_faces_of_rocksalt():
    """(001) of a = 4.2 Å has surface vectors of a; (110) is a by a/√2 or its double."""
    crystal = bulk("MgO", "rocksalt", a=4.2, cubic=True)
    found = slab(crystal, (0, 0, 1), 10.0, vacuum=15.0)
    symbols = found.atoms.get_chemical_symbols()
    assert symbols.count("Mg") == symbols.count("O")
    assert np.ptp(found.atoms.positions[:, 2]) == pytest.approx(4.2 * 3 - 2.1)
    assert found.atoms.cell[2, 2] == pytest.approx(4.2 * 3 - 2.1 + 15)
    assert found.atoms.pbc.tolist() == [True, True, False]
    other = slab(crystal, (1, 1, 0), 8.0)
    area = np.linalg.norm(np.cross(*other.atoms.cell.array[:2]))
    assert area / (4.2**2 / np.sqrt(2)) == pytest.approx(round(area / (4.2**2 / np.sqrt(2))))


def test_without_vacuum_it_is_the_crystal():
    crystal = bulk("MgO", "rocksalt", a=4.2, cubic=True)
    found = slab(crystal, (0, 0, 1), 8.0).atoms
    assert found.get_volume() / len(found) == pytest.approx(crystal.get_volume() / len(crystal))
    distances = found.get_all_distances(mic=True)
    assert distances[distances > 0.1].min() == pytest.approx(2.1)


def test_terminations_of_a_perovskite():
    """(001) begins with BaO or with TiO2."""
    places = [[0, 0, 0], [0.5, 0.5, 0.5], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]]
    crystal = Atoms("BaTiO3", scaled_positions=places, cell=4.0 * np.eye(3), pbc=True)
    lowest = []
    for termination in range(2):
        found = slab(crystal, (0, 0, 1), 8.0, 10.0, termination=termination)
        assert found.terminations == 2
        atoms = found.atoms
        bottom = atoms.positions[:, 2] < atoms.positions[:, 2].min() + 0.1
        lowest.append("".join(sorted(atoms[bottom].get_chemical_symbols())))
        assert len(atoms) == 10
    assert sorted(lowest) == ["BaO", "OOTi"]
    with pytest.raises(ValueError, match="termination: expected 0 to 1"):
        slab(crystal, (0, 0, 1), 8.0, termination=2)


def test_bonds_are_spared():
    """Carbon dioxide upright in a cubic cell: only the cut between molecules breaks no bond."""
    crystal = Atoms("OCO", [[2, 2, 0.2], [2, 2, 1.36], [2, 2, 2.52]], cell=[4, 4, 4.1], pbc=True)
    found = slab(crystal, (0, 0, 1), 8.0, 8.0, unbroken={("C", "O"): 1.4})
    assert found.broken == 0
    heights = np.sort(found.atoms.positions[:, 2])
    assert np.allclose(np.diff(heights)[:2], 1.16)
    broken = [slab(crystal, (0, 0, 1), 8.0, 8.0, {("C", "O"): 1.4}, k).broken for k in range(3)]
    assert sorted(broken) == [0, 1, 1]


def test_what_is_no_face_is_refused():
    crystal = bulk("Cu", cubic=True)
    with pytest.raises(ValueError, match="miller"):
        slab(crystal, (0, 0, 0), 8.0)
    with pytest.raises(ValueError, match="thickness"):
        slab(crystal, (0, 0, 1), 0.0)
