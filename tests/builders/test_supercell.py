"""Supercells: of the wanted size, near a cube, of the same crystal."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk

from openmm_pqeq.builders.supercell import near_cubic


@pytest.mark.parametrize("wanted", [32, 108, 256])
def test_a_primitive_cell_becomes_cubes(wanted):
    """fcc has 4 atoms a cube: 32, 108 and 256 are those of 2, 3 and 4 cubes along an edge."""
    found = near_cubic(bulk("Cu"), wanted)
    assert len(found.atoms) == wanted
    lengths, angles = found.atoms.cell.lengths(), found.atoms.cell.angles()
    assert np.ptp(lengths) < 1e-9
    assert np.abs(angles - 90).max() < 1e-9
    assert abs(found.atoms.get_volume() / len(found.atoms) - bulk("Cu").get_volume()) < 1e-9


def test_a_long_cell_is_repeated_across():
    crystal = Atoms("LiF", [[0, 0, 0], [1.5, 1.5, 4]], cell=[3.0, 3.2, 12.0], pbc=True)
    found = near_cubic(crystal, 40)
    widths = 1 / np.linalg.norm(np.linalg.inv(found.atoms.cell.array), axis=0)
    assert widths.min() > 8
    assert 32 <= len(found.atoms) <= 48
    assert np.abs(found.matrix @ crystal.cell.array - found.atoms.cell.array).max() < 1e-9


def test_sizes_that_are_not_possible_are_named():
    with pytest.raises(ValueError, match="n_atoms: expected at least 8"):
        near_cubic(bulk("Cu", cubic=True).repeat((2, 1, 1)), 4)
    with pytest.raises(ValueError, match="periodic along all three"):
        near_cubic(Atoms("H2", [[0, 0, 0], [0, 0, 1]]), 8)
    with pytest.raises(ValueError, match="the nearest has"):
        near_cubic(bulk("Cu", cubic=True), 7, 0.1)
