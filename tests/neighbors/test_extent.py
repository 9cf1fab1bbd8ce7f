"""Atoms far apart have the pairs that they have close together, and are never too far for a
search."""

import numpy as np
import pytest
import torch

from openmm_pqeq.neighbors.extent import drawn_together
from openmm_pqeq.neighbors.half_list import KeptSearch
from openmm_pqeq.neighbors.search import NeighborSearch
from openmm_pqeq.structure import structure_of

CUTOFF = 5.0
DIRECTIONS = [(False, False, False), (True, True, False), (False, True, False)]
CELL = torch.tensor([[9.0, 0, 0], [2.0, 8, 0], [3.0, -2.0, 11.0]], dtype=torch.float64)


def clusters(distance, directions):
    """Two clusters of ten atoms, `distance` Å apart, not along a periodic direction."""
    generator = torch.Generator().manual_seed(3)
    one = 6 * torch.rand(10, 3, generator=generator, dtype=torch.float64)
    free = [k for k in range(3) if not directions[k]]
    across = torch.linalg.inv(CELL).t()[free]  # perpendicular to the periodic vectors
    normal = (across * torch.tensor([[1.0], [0.01], [0.0]])[: len(free)]).sum(dim=0)
    return torch.cat([one, one.flip(0) + distance * normal / normal.norm()])


def structure(positions, directions):
    periodic = any(directions)
    return structure_of(
        positions,
        torch.ones(len(positions), dtype=torch.int64),
        CELL if periodic else None,
        torch.tensor(directions) if periodic else None,
    )


def pairs(search, atoms):
    found = search(atoms)
    return sorted(
        zip(found.centers.tolist(), found.neighbors.tolist(), map(tuple, found.shifts.tolist()))
    )


@pytest.mark.parametrize("directions", DIRECTIONS)
@pytest.mark.parametrize("far", [1e5, 1e6, 1e12])
def test_pairs_of_clusters_far_apart_are_those_of_each(directions, far):
    # 1e12 Å with float64: positions are rounded by 1e-4 Å; no pair is that near the cutoff
    for kind in (lambda: NeighborSearch(CUTOFF), lambda: KeptSearch(CUTOFF, skin=0.5)):
        near = pairs(kind(), structure(clusters(60.0, directions), directions))
        assert pairs(kind(), structure(clusters(far, directions), directions)) == near
        assert near


def test_a_gap_is_shortened_and_nothing_else():
    positions = clusters(60.0, (False, False, False))
    positions[10:, 0] += 1e6
    near = drawn_together(positions, CELL, torch.zeros(3, dtype=torch.bool), CUTOFF)
    assert torch.allclose(near[:10] - near[0], positions[:10] - positions[0], atol=1e-9)
    assert torch.allclose(near[10:] - near[10], positions[10:] - positions[10], atol=1e-9)
    assert float(np.ptp(near.numpy(), axis=0).max()) < 100
    close = clusters(60.0, (False, False, False))
    assert drawn_together(close, CELL, torch.zeros(3, dtype=torch.bool), CUTOFF) is close


def test_spaces_without_a_grid_are_refused():
    line = torch.zeros(300_000, 3, dtype=torch.float64)
    line[:, 0] = torch.linspace(0, 1.5e6, len(line))
    message = r"positions and cell: expected a space that a search within 5\.0 Å"
    with pytest.raises(ValueError, match=message):
        NeighborSearch(CUTOFF)(structure(line, (False, False, False)))
    cell = torch.diag(torch.tensor([1e7, 6.0, 6.0], dtype=torch.float64))
    needle = structure_of(line[:2] + 1.0, torch.tensor([1, 1]), cell, torch.tensor([True] * 3))
    with pytest.raises(ValueError, match=message):
        NeighborSearch(CUTOFF)(needle)


def test_a_gas_however_thin_has_a_grid():
    gas = 1e6 * torch.rand(500, 3, generator=torch.Generator().manual_seed(1)).double()
    gas[1] = gas[0] + torch.tensor([0.0, 3.0, 0.0])
    found = pairs(NeighborSearch(CUTOFF), structure(gas, (False, False, False)))
    assert found == [(0, 1, (0, 0, 0)), (1, 0, (0, 0, 0))]


def test_it_scripts():
    scripted = torch.jit.script(drawn_together)
    for directions in DIRECTIONS:
        positions, periodic = clusters(1e6, directions), torch.tensor(directions)
        expected = drawn_together(positions, CELL, periodic, CUTOFF)
        assert torch.equal(scripted(positions, CELL, periodic, CUTOFF), expected)
