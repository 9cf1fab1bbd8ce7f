"""Polyhedra and fragments: molecules whose bonds are known, across the edges of the cell."""

import mdtraj
import numpy as np
import pytest
from run_folders import topology_of

from openmm_pqeq.analysis import polyhedra

CELL = 14.0 * np.eye(3)  # Å
TETRAHEDRON = 2.05 / np.sqrt(3) * np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1.0]])


def frames_of(symbols, positions):
    frames = mdtraj.Trajectory(
        0.1 * positions, mdtraj.Topology.from_openmm(topology_of(symbols, CELL))
    )
    frames.unitcell_vectors = np.broadcast_to(0.1 * CELL, (len(positions), 3, 3))
    return frames


@pytest.fixture
def thiophosphates():
    """Two PS4 that lie across the edges of the cell; in the second frame one has lost a sulfur."""
    one, two = np.zeros(3), np.array([7.0, 7.0, 7.0])
    atoms = np.concatenate([[one], one + TETRAHEDRON, [two], two + TETRAHEDRON])
    later = atoms.copy()
    later[1] += 3.0
    symbols = ["P", *["S"] * 4, "P", *["S"] * 4]
    return symbols, frames_of(symbols, np.stack([atoms, later]) % 14.0)


def test_whole_and_broken_tetrahedra(thiophosphates):
    symbols, frames = thiophosphates
    kinds = np.array(symbols)
    counts = polyhedra.coordination(
        frames, np.flatnonzero(kinds == "P"), np.flatnonzero(kinds == "S"), 2.6
    )
    assert counts.tolist() == [[4, 4], [3, 4]]
    left = polyhedra.polyhedra_left(counts, 4)
    assert left.share.tolist() == [1.0, 0.5]
    assert np.abs(left.error - [0.0, np.sqrt(0.25 / 2)]).max() < 1e-12


def test_pieces_do_not_change_the_count(thiophosphates, monkeypatch):
    symbols, frames = thiophosphates
    kinds = np.array(symbols)
    monkeypatch.setattr("openmm_pqeq.analysis.pairs.DISTANCES_AT_ONCE", 8)
    counts = polyhedra.coordination(
        frames, np.flatnonzero(kinds == "P"), np.flatnonzero(kinds == "S"), 2.6
    )
    assert counts.tolist() == [[4, 4], [3, 4]]


def test_fragments_have_formulae(thiophosphates):
    symbols, frames = thiophosphates
    found = polyhedra.fragments(frames, symbols, {("P", "S"): 2.6})
    assert found[0] == {"PS4": 2}
    assert found[1] == {"PS4": 1, "PS3": 1, "S": 1}
    wide = polyhedra.fragments(frames, symbols, {("P", "S"): 2.6, ("P", "P"): 13.0})
    assert wide[0] == {"P2S8": 1}


def test_what_is_no_bond_is_refused(thiophosphates):
    symbols, frames = thiophosphates
    with pytest.raises(ValueError, match="got none of one"):
        polyhedra.fragments(frames, symbols, {("P", "O"): 2.0})
    with pytest.raises(ValueError, match="cutoff"):
        polyhedra.coordination(frames, [0], [1], 0.0)
