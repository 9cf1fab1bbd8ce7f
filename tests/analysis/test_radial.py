"""Radial distribution: gases without structure, a crystal's shells, any cell."""

import mdtraj
import numpy as np
import pytest
from ase.build import bulk
from run_folders import topology_of

from openmm_pqeq.analysis.radial import first_shell, radial_distribution


def frames_of(symbols, positions, cell):
    frames = mdtraj.Trajectory(
        0.1 * positions, mdtraj.Topology.from_openmm(topology_of(symbols, cell))
    )
    frames.unitcell_vectors = np.broadcast_to(
        0.1 * np.asarray(cell, dtype=float), (len(positions), 3, 3)
    )
    return frames


@pytest.mark.parametrize(
    "cell", [np.diag([12.0, 14.0, 16.0]), [[13.0, 0, 0], [4.0, 12.0, 0], [-3.0, 2.0, 14.0]]]
)
def test_an_ideal_gas_has_no_structure(cell):
    fractions = np.random.default_rng(0).random((400, 60, 3))
    frames = frames_of(["Ar"] * 60, fractions @ np.asarray(cell), cell)
    found = radial_distribution(frames, np.arange(60), np.arange(60), bin_width=0.5)
    volume = np.linalg.det(cell)
    outer = found.r > 1.0
    assert np.abs(found.g[outer] - 1).max() < 5 * found.g_error[outer].max()
    assert found.g_error[-1] < 0.02
    expected = 59 / volume * 4 / 3 * np.pi * found.edges[-1] ** 3
    assert abs(found.coordination[-1] / expected - 1) < 0.02


def test_one_kind_about_another():
    """Two gases that do not feel each other; 10 and 50 of them."""
    fractions = np.random.default_rng(1).random((300, 60, 3))
    frames = frames_of(["Na"] * 10 + ["Cl"] * 50, 15 * fractions, 15 * np.eye(3))
    found = radial_distribution(frames, np.arange(10), np.arange(10, 60), 7.0, 0.5)
    assert np.abs(found.g[3:] - 1).max() < 0.1
    swapped = radial_distribution(frames, np.arange(10, 60), np.arange(10), 7.0, 0.5)
    assert np.abs(swapped.g - found.g).max() < 1e-9
    assert np.abs(5 * swapped.coordination - found.coordination).max() < 1e-9


def test_shells_of_a_crystal():
    """fcc: 12 at a/√2, 6 at a, 24 at a √1.5."""
    crystal = bulk("Ar", "fcc", a=5.3, cubic=True).repeat(3)
    rng = np.random.default_rng(0)
    positions = crystal.positions + 0.02 * rng.normal(size=(20, len(crystal), 3))
    frames = frames_of(crystal.get_chemical_symbols(), positions, crystal.cell.array)
    every = np.arange(len(crystal))
    found = radial_distribution(frames, every, every)
    peak, minimum = first_shell(found)
    assert abs(peak - 5.3 / np.sqrt(2)) < 0.1
    assert peak < minimum < 5.3
    assert found.within(minimum)[0] == pytest.approx(12, abs=1e-9)
    assert found.within(5.8)[0] == pytest.approx(18, abs=1e-9)
    assert found.within(6.9)[0] == pytest.approx(42, abs=1e-9)


def test_what_the_cell_does_not_hold_is_refused():
    frames = frames_of(["Ar"] * 5, 10 * np.random.default_rng(0).random((10, 5, 3)), 10 * np.eye(3))
    with pytest.raises(ValueError, match="longest: expected a distance up to 5 Å"):
        radial_distribution(frames, [0, 1], [2, 3], 5.5)
    with pytest.raises(ValueError, match="at least one pair"):
        radial_distribution(frames, [0], [0])
    with pytest.raises(ValueError, match="n_blocks: expected 2 to 10"):
        radial_distribution(frames, [0], [1], n_blocks=11)
    frames.unitcell_vectors = None
    with pytest.raises(ValueError, match="there is no cell"):
        radial_distribution(frames, [0], [1])
