"""Local polarization: displacements of known size, cells that differ, any supercell."""

import numpy as np
import pytest
from ase import Atoms

from openmm_pqeq.analysis.paths import fractions
from openmm_pqeq.analysis.perovskite import local_polarization, neighborhood

BORN = {"Ba": 2.75, "Ti": 7.25, "O": -10 / 3}  # e


def perovskite(repeats):
    corner = [[0, 0, 0], [0.5, 0.5, 0.5], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]]
    return Atoms("BaTiO3", scaled_positions=corner, cell=4.0 * np.eye(3), pbc=True).repeat(repeats)


def polarization_of(frames, cells, atoms):
    symbols = atoms.get_chemical_symbols()
    born = np.array([BORN[symbol] for symbol in symbols])
    paths = fractions(frames, cells)
    found = neighborhood(paths[0], np.asarray(cells).reshape(-1, 3, 3)[0], symbols, "Ba", "Ti", "O")
    return found, local_polarization(paths, cells, found, born)


@pytest.mark.parametrize("repeats", [(1, 1, 1), (2, 2, 2), (3, 2, 1)])
def test_moving_a_sublattice_polarizes_every_cell(repeats):
    atoms = perovskite(repeats)
    moved = atoms.positions.copy()
    titanium = atoms.numbers == 22
    moved[titanium] += [0.1, 0.0, -0.05]
    found, p = polarization_of(np.stack([atoms.positions, moved]), atoms.cell.array, atoms)
    assert len(found.centers) == np.prod(repeats)
    assert np.abs(p[0]).max() < 1e-12
    assert np.abs(p[1] - 7.25 * np.array([0.1, 0, -0.05]) / 64).max() < 1e-12
    oxygen = atoms.positions.copy()
    oxygen[atoms.numbers == 8] += [0.0, 0.2, 0.0]
    _, p = polarization_of(np.stack([atoms.positions, oxygen]), atoms.cell.array, atoms)
    assert np.abs(p[1] - [0, -10 * 0.2 / 64, 0]).max() < 1e-12


def test_one_titanium_polarizes_its_cell_alone():
    atoms = perovskite((2, 2, 2))
    moved = atoms.positions.copy()
    one = int(np.flatnonzero(atoms.numbers == 22)[3])
    moved[one] += [0, 0, 0.3]
    _, p = polarization_of(np.stack([atoms.positions, moved]), atoms.cell.array, atoms)
    expected = np.zeros((8, 3))
    expected[3, 2] = 7.25 * 0.3 / 64
    assert np.abs(p[1] - expected).max() < 1e-12


def test_any_image_and_any_path_give_the_same():
    atoms = perovskite((2, 2, 2))
    rng = np.random.default_rng(0)
    frames = atoms.positions + np.cumsum(0.02 * rng.normal(size=(50, len(atoms), 3)), axis=0)
    cells = atoms.cell.array * (1 + 0.01 * np.sin(np.arange(50)))[:, None, None]
    images = rng.integers(-1, 2, size=frames.shape) @ np.eye(3)
    _, p = polarization_of(frames, cells, atoms)
    _, other = polarization_of(frames + np.einsum("tia,tab->tib", images, cells), cells, atoms)
    assert np.abs(p - other).max() < 1e-9


def test_what_is_no_perovskite_is_refused():
    atoms = perovskite((2, 2, 2))
    symbols = atoms.get_chemical_symbols()
    places = atoms.get_scaled_positions()
    with pytest.raises(ValueError, match="1 : 1 : 3"):
        neighborhood(places, atoms.cell.array, symbols, "Ba", "O", "Ti")
    random = np.random.default_rng(0).random(places.shape)
    with pytest.raises(ValueError, match="no perovskite that can be told"):
        neighborhood(random, atoms.cell.array, symbols, "Ba", "Ti", "O")
    found = neighborhood(places, atoms.cell.array, symbols, "Ba", "Ti", "O")
    with pytest.raises(ValueError, match="add up to"):
        local_polarization(places[None], atoms.cell.array, found, np.ones(len(atoms)))
