"""Half lists that are kept: the pairs of a fresh search, each once, for any image of the atoms, and
their derivatives."""

import copy

import pytest
import torch
from random_crystals import CELL, CUTOFF, SKIN, crystal, random

from openmm_pqeq import ops
from openmm_pqeq.neighbors.half_list import KeptPairs, KeptSearch
from openmm_pqeq.neighbors.search import NeighborSearch
from openmm_pqeq.structure import Structure, collate, structure_of

pytestmark = pytest.mark.python_route

PERIODICITIES = [
    (True, True, True),
    (True, False, True),
    (False, False, True),
    (False, False, False),
]


@pytest.fixture(params=["native", "vesin"], autouse=True)
def search_of(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whose search is used."""
    if request.param == "vesin":
        monkeypatch.setattr(ops, "available", lambda operator=None: False)
    elif not ops.available("half_list"):
        pytest.skip(f"half_list: {ops.status()}")


def vectors_of(pairs: KeptPairs, structure: Structure) -> torch.Tensor:
    i, j = pairs.centers.long(), pairs.neighbors.long()
    offsets = torch.einsum(
        "pa,pab->pb", pairs.shifts.to(pairs.positions), structure.cell[structure.batch[i]]
    )
    return pairs.positions[j] - pairs.positions[i] + offsets


def both_directions(centers, neighbors, vectors) -> torch.Tensor:
    """Rows (i, j, r_ij) of all pairs in both directions, sorted; vectors rounded to 1e-6 Å."""
    ends = torch.stack([torch.cat([centers, neighbors]), torch.cat([neighbors, centers])], dim=1)
    rows = torch.cat([1e6 * ends, torch.cat([vectors, -vectors]) * 1e6], dim=1).round().long()
    return torch.tensor(sorted(rows.tolist())).reshape(-1, 5)


def assert_fresh(search, structure: Structure, near_image: Structure | None = None) -> None:
    """Within the cutoff, the pairs of a full list without a memory: the same vectors, each in one
    direction.

    near_image : the same atoms where they are very far away, which vesin ends the process for if
        not all directions are periodic
    """
    pairs, fresh = (
        search(structure),
        NeighborSearch(CUTOFF)(structure if near_image is None else near_image),
    )
    assert (pairs.centers.dtype, pairs.neighbors.dtype, pairs.shifts.dtype) == (
        torch.int32,
        torch.int32,
        torch.int8,
    )
    assert bool((pairs.centers.diff() >= 0).all())
    assert bool((pairs.neighbors >= pairs.centers).all())
    vectors = vectors_of(pairs, structure)
    near = vectors.norm(dim=1) < CUTOFF
    ours = both_directions(
        pairs.centers[near].double(), pairs.neighbors[near].double(), vectors[near]
    )
    whole = (
        torch.cat(
            [1e6 * fresh.centers[:, None], 1e6 * fresh.neighbors[:, None], 1e6 * fresh.vectors],
            dim=1,
        )
        .round()
        .long()
    )
    expected = torch.tensor(sorted(whole.tolist())).reshape(-1, 5)
    assert ours.shape == expected.shape
    assert int((ours - expected).abs().max() if len(ours) else 0) <= 1  # the last digit of 1e-6 Å


@pytest.mark.parametrize("pbc", PERIODICITIES)
@pytest.mark.parametrize("scripted", [False, True], ids=["eager", "frozen"])
def test_dynamics(pbc, scripted):
    """A random walk with a drift through many cells: atoms are far from where they began."""
    search, structure = KeptSearch(CUTOFF, SKIN), crystal(pbc=pbc)
    called = torch.jit.freeze(torch.jit.script(search.eval())) if scripted else search
    for step in range(40):
        structure = structure._replace(
            positions=structure.positions + 0.08 * random(24, 3, seed=step) + 0.5
        )
        assert_fresh(called, structure)
    if not scripted:
        assert 3 < int(search.searches) < 30


@pytest.mark.parametrize("pbc", PERIODICITIES)
def test_any_image_of_an_atom_even_thousands_of_cells_away(pbc):
    start = crystal(pbc=pbc)
    for most, seed in ((2.0, 1), (3000.0, 2)):
        search = KeptSearch(CUTOFF, SKIN)
        assert_fresh(search, start)
        turns = torch.round(most * random(24, 3, seed=seed)) * torch.tensor(pbc)
        near = start._replace(positions=start.positions + 0.05 * random(24, 3, seed=3))
        moved = near._replace(positions=near.positions + turns @ start.cell[0])
        assert_fresh(search, moved, near)
        assert int(search.searches) == 1
        assert_fresh(KeptSearch(CUTOFF, SKIN), moved, near)
        squeezed, near_squeezed = (
            s._replace(positions=0.99 * s.positions, cell=0.99 * s.cell) for s in (moved, near)
        )
        assert_fresh(search, squeezed, near_squeezed)
        assert int(search.searches) == 1


def test_barostats_rewinds_and_other_atoms():
    search, start = KeptSearch(CUTOFF, SKIN), crystal(20)
    for step in range(20):
        deformation = torch.eye(3, dtype=torch.float64) + 0.012 * random(3, 3, seed=step) * (
            step % 7
        )
        positions = start.positions @ deformation + 0.03 * random(20, 3, seed=1000 + step)
        assert_fresh(search, start._replace(positions=positions, cell=start.cell @ deformation))
    assert int(search.searches) < 20
    for structure in (crystal(7), crystal(), crystal(pbc=(True, False, False)), crystal(7), start):
        assert_fresh(search, structure)


def test_no_atoms_in_reach_one_atom_and_its_images():
    alone = structure_of(torch.zeros(1, 3, dtype=torch.float64), torch.ones(1))
    assert len(KeptSearch(CUTOFF)(alone).centers) == 0
    assert_fresh(KeptSearch(CUTOFF), alone)
    small = structure_of(torch.zeros(1, 3, dtype=torch.float64), torch.ones(1), 0.4 * CELL)
    assert_fresh(KeptSearch(CUTOFF), small)


def test_a_batch_is_searched_anew_and_what_was_kept_stays():
    away = crystal(6)
    away = away._replace(
        positions=away.positions + torch.round(2.0 * random(6, 3, seed=1)) @ away.cell[0]
    )
    search, batch = (
        KeptSearch(CUTOFF, SKIN),
        collate([crystal(7), crystal(5, (False, False, False)), away]),
    )
    assert_fresh(search, crystal())
    for called in (search, torch.jit.script(copy.deepcopy(search))):
        assert_fresh(called, batch)
        assert_fresh(called, crystal())
    assert int(search.searches) == 1


def test_derivatives_in_positions_and_cell():
    """Through the wrapping too: the atoms given are some cells away, so that the cell moves
    them."""
    start = crystal(6)
    start = start._replace(
        positions=start.positions + torch.round(2.0 * random(6, 3, seed=1)) @ start.cell[0]
    )
    frozen = torch.jit.freeze(torch.jit.script(KeptSearch(CUTOFF, SKIN).eval()))
    for called in (KeptSearch(CUTOFF, SKIN), frozen):
        slopes = []
        for kept in (True, False):
            positions, cell = (
                start.positions.clone().requires_grad_(True),
                start.cell.clone().requires_grad_(True),
            )
            structure = start._replace(positions=positions, cell=cell)
            if kept:
                distances = vectors_of(called(structure), structure).norm(dim=1)
                energy = 2.0 * (1.0 / distances[distances < CUTOFF]).sum()
            else:
                energy = (1.0 / NeighborSearch(CUTOFF)(structure).distances).sum()
            slopes.append(torch.autograd.grad(energy, (positions, cell)))
        for ours, fresh in zip(*slopes):
            torch.testing.assert_close(ours, fresh, atol=1e-11, rtol=0)


def test_single_precision():
    search, structure = KeptSearch(CUTOFF, SKIN), crystal()
    single = structure._replace(positions=structure.positions.float(), cell=structure.cell.float())
    assert search(single).positions.dtype == torch.float32
    assert len(search(single).centers) == len(KeptSearch(CUTOFF, SKIN)(structure).centers)


def test_refusals():
    structure = crystal()
    structure.positions[3, 1] = float("nan")
    with pytest.raises(ValueError, match="expected finite numbers"):
        KeptSearch(CUTOFF)(structure)
    thin = torch.diag(torch.tensor([0.03, 20.0, 20.0], dtype=torch.float64))
    with pytest.raises(ValueError, match="cell: expected .* repeat the cell"):
        KeptSearch(CUTOFF)(
            structure_of(torch.zeros(1, 3, dtype=torch.float64), torch.ones(1), thin)
        )
