"""A search with a skin finds the pairs of a fresh search: in dynamics, under barostats, wrapping,
rewinds and other atoms."""

import copy

import pytest
import torch
from random_crystals import CELL, CUTOFF, SKIN, crystal, random

from openmm_pqeq.neighbors.search import NeighborSearch
from openmm_pqeq.potential import build
from openmm_pqeq.structure import Structure, collate, structure_of

pytestmark = pytest.mark.python_route


def triples(pairs) -> list[tuple[int, ...]]:
    rows = zip(
        pairs.centers.tolist(), pairs.neighbors.tolist(), pairs.shifts.to(torch.int64).tolist()
    )
    return sorted((i, j, *shift) for i, j, shift in rows)


def assert_fresh(search, structure: Structure) -> None:
    """The pairs of a search without a memory, centres ascending, vectors by the same formula."""
    kept, fresh = search(structure), NeighborSearch(CUTOFF)(structure)
    assert triples(kept) == triples(fresh)
    assert bool((kept.centers.diff() >= 0).all())
    positions, shifts = structure.positions, kept.shifts @ structure.cell[0]
    torch.testing.assert_close(
        kept.vectors,
        positions[kept.neighbors] - positions[kept.centers] + shifts,
        atol=1e-5,
        rtol=0,
    )


@pytest.mark.parametrize(
    "pbc", [(True, True, True), (True, False, True), (False, False, True), (False, False, False)]
)
@pytest.mark.parametrize("scripted", [False, True], ids=["eager", "frozen"])
def test_dynamics(pbc, scripted):
    """A random walk with a drift of all atoms, which needs no new search."""
    search, structure = NeighborSearch(CUTOFF, SKIN), crystal(pbc=pbc)
    called = torch.jit.freeze(torch.jit.script(search.eval())) if scripted else search
    for step in range(60):
        walked = structure.positions + 0.08 * random(24, 3, seed=step) + 0.5
        structure = structure._replace(positions=walked)
        assert_fresh(called, structure)
    if not scripted:
        assert 3 < int(search.searches) < 40


def test_atoms_just_below_and_beyond_half_the_skin():
    """Two atoms that approach each other from outside the list: the bound has nothing to spare for
    them."""
    apart = torch.zeros(3, 3, dtype=torch.float64)
    apart[1, 0], apart[2, 1] = CUTOFF + SKIN + 1e-6, 40.0
    start = structure_of(apart, torch.ones(3))
    for by, searches in ((0.74, 1), (0.76, 2)):  # the mean of three atoms moves by a third of this
        search = NeighborSearch(CUTOFF, SKIN)
        assert_fresh(search, start)
        moved = apart.clone()
        moved[1, 0] -= by
        assert_fresh(search, start._replace(positions=moved))
        assert int(search.searches) == searches
    search = NeighborSearch(CUTOFF, SKIN)
    assert_fresh(search, start)
    for by in torch.linspace(0.0, 0.8, 17, dtype=torch.float64):
        moved = apart.clone()
        moved[0, 0] += by
        moved[1, 0] -= by
        assert_fresh(search, start._replace(positions=moved))


@pytest.mark.parametrize(("factor", "searches"), [(0.81, 1), (0.79, 2)])
def test_a_pair_that_a_cell_squeezed_along_one_edge_brings_into_reach(factor, searches):
    """Both atoms go with the cell, from 5.02 Å apart, outside the list, to factor times that."""
    search = NeighborSearch(CUTOFF, SKIN)
    positions = torch.tensor([[1.0, 1.0, 1.0], [6.02, 1.0, 1.0]], dtype=torch.float64)
    start = structure_of(positions, torch.ones(2), 15.0 * torch.eye(3, dtype=torch.float64))
    assert_fresh(search, start)
    squeeze = torch.diag(torch.tensor([factor, 1.0, 1.0], dtype=torch.float64))
    assert_fresh(search, start._replace(positions=positions @ squeeze, cell=start.cell @ squeeze))
    assert int(search.searches) == searches
    assert len(
        search(start._replace(positions=positions @ squeeze, cell=start.cell @ squeeze)).centers
    ) == 2 * (searches - 1)


@pytest.mark.parametrize("pbc", [(True, True, True), (False, True, True)])
def test_barostats(pbc):
    """Isotropic, anisotropic and shear steps with atoms that move at the same time, there and
    back."""
    search, start = NeighborSearch(CUTOFF, SKIN), crystal(40, pbc)
    for step in range(60):
        strain = 0.012 * random(3, 3, seed=step) * (step % 7)
        if step % 3 == 0:
            strain = strain[0, 0] * torch.eye(3, dtype=torch.float64)
        deformation = torch.eye(3, dtype=torch.float64) + strain
        positions = start.positions @ deformation + 0.03 * random(40, 3, seed=1000 + step)
        assert_fresh(search, start._replace(positions=positions, cell=start.cell @ deformation))
    assert int(search.searches) < 60


def test_a_cell_that_shrinks_around_resting_atoms():
    search, start = NeighborSearch(CUTOFF, SKIN), crystal()
    for step in range(12):
        assert_fresh(search, start._replace(cell=(1.0 - 0.02 * step) * start.cell))


@pytest.mark.parametrize("pbc", [(True, True, True), (True, False, True)])
def test_wrapped_atoms_need_no_search(pbc):
    search, start = NeighborSearch(CUTOFF, SKIN), crystal(pbc=pbc)
    assert_fresh(search, start)
    for step in range(10):
        turns = torch.round(2.0 * random(24, 3, seed=step)) * torch.tensor(pbc)
        positions = start.positions + 0.05 * random(24, 3, seed=50 + step) + turns @ start.cell[0]
        assert_fresh(search, start._replace(positions=positions))
        squeezed = start._replace(positions=0.99 * positions, cell=0.99 * start.cell)
        assert_fresh(search, squeezed)
    assert int(search.searches) == 1


def test_a_rewind_other_atoms_and_another_periodicity():
    search, first = NeighborSearch(CUTOFF, SKIN), crystal()
    far = first._replace(positions=first.positions + 1.5 * random(24, 3, seed=9))
    for structure in (
        first,
        far,
        first,
        crystal(7),
        crystal(),
        crystal(pbc=(True, False, False)),
        crystal(7),
        first,
    ):
        assert_fresh(search, structure)
    batch = collate([crystal(7), crystal(5, (False, False, False))])
    assert triples(search(batch)) == triples(NeighborSearch(CUTOFF)(batch))
    assert_fresh(search, first)


def test_the_other_image_of_a_cell_is_another_cell():
    """A row of the cell replaced by an equivalent one: the lattice is the same, the integers are
    not."""
    search, start = NeighborSearch(CUTOFF, SKIN), crystal()
    assert_fresh(search, start)
    other = start.cell.clone()
    other[0, 1] = start.cell[0, 1] + start.cell[0, 0]
    assert_fresh(search, start._replace(cell=other))


def test_a_caller_may_reuse_the_memory_of_its_positions():
    search, structure = NeighborSearch(CUTOFF, SKIN), crystal()
    for step in range(6):
        assert_fresh(search, structure)
        structure.positions.add_(0.4 * random(24, 3, seed=step))


def test_single_precision_and_numbers_that_are_not_finite():
    search, structure = NeighborSearch(CUTOFF, SKIN), crystal()
    single = structure._replace(positions=structure.positions.float(), cell=structure.cell.float())
    assert_fresh(search, single)
    assert search(single).vectors.dtype == torch.float32
    structure.positions[3, 1] = float("nan")
    with pytest.raises(ValueError, match="expected finite numbers"):
        search(structure)


def test_derivatives_do_not_stop_at_the_list_and_nothing_of_them_is_kept():
    search, structure = NeighborSearch(CUTOFF, SKIN), crystal(6)
    scripted = torch.jit.freeze(torch.jit.script(copy.deepcopy(search).eval()))
    for called in (search, scripted):
        slopes = []
        for of in (called, NeighborSearch(CUTOFF)):
            positions, cell = (
                structure.positions.clone().requires_grad_(True),
                structure.cell.clone().requires_grad_(True),
            )
            pairs = of(structure._replace(positions=positions, cell=cell))
            slopes.append(torch.autograd.grad((1.0 / pairs.distances).sum(), (positions, cell)))
        for ours, fresh in zip(*slopes):
            torch.testing.assert_close(ours, fresh, atol=1e-12, rtol=0)
    assert not search.kept_positions.requires_grad
    assert not search.kept_cell.requires_grad


def test_compiled_potentials_keep_lists_and_give_the_same_numbers():
    d3 = {"functional": "pbe", "cutoff": 5.0, "cn_cutoff": 5.0, "species": ["H"]}
    potential = build({"pqeq": {"protocol": "reaxnet", "cutoff": 5.0}, "d3": d3})
    compiled, structure = potential.compile_for_inference(), crystal(2)
    structure = structure._replace(
        positions=torch.tensor([[0.0, 0.0, 0.0], [0.5, 0.5, 0.5]], dtype=torch.float64) @ CELL
    )
    for step in range(3):
        moved = structure._replace(positions=structure.positions + 0.05 * random(2, 3, seed=step))
        ours, expected = (
            compiled.evaluate(moved, stress=True),
            potential.evaluate(moved, stress=True),
        )
        torch.testing.assert_close(ours.forces, expected.forces, atol=1e-9, rtol=0)
        torch.testing.assert_close(ours.stress, expected.stress, atol=1e-9, rtol=0)
    assert compiled.terms["d3"].search.cutoff == potential.terms["d3"].search.cutoff
    assert int(compiled.search.searches) == int(compiled.terms["d3"].search.searches) == 1
    assert potential.search.skin == 0.0
    assert not any("kept" in name for name in compiled.state_dict())
