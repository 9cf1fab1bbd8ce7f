"""Pairs: every image within the cutoff, small cells, open directions, the same in TorchScript."""

import pytest
import torch
from random_crystals import crystal

from openmm_pqeq.neighbors.half_list import KeptSearch
from openmm_pqeq.neighbors.pairs import Pairs, within
from openmm_pqeq.neighbors.search import NeighborSearch
from openmm_pqeq.structure import Structure, collate, structure_of

CELL = torch.tensor([[3.1, 0.0, 0.0], [0.4, 3.3, 0.0], [-0.6, 0.5, 2.9]], dtype=torch.float64)


def atoms(n: int, pbc: tuple[bool, bool, bool]) -> Structure:
    generator = torch.Generator().manual_seed(n)
    positions = torch.rand(n, 3, generator=generator, dtype=torch.float64) @ CELL * 3.0 - 4.0
    return structure_of(positions, torch.ones(n), CELL, torch.tensor(pbc))


def brute_force(structure: Structure, cutoff: float) -> list[float]:
    """Distances of all directed pairs, from every image within ±9 cells of the periodic
    directions."""
    ranges = [torch.arange(-9.0, 10.0) if p else torch.zeros(1) for p in structure.pbc[0].tolist()]
    images = torch.cartesian_prod(*ranges).double() @ structure.cell[0]
    r = structure.positions
    distances = (r[None, :, None] - r[:, None, None] + images).norm(dim=-1).flatten()
    return sorted(distances[(distances < cutoff) & (distances > 1e-8)].tolist())


@pytest.mark.parametrize("pbc", [(True, True, True), (True, False, True), (False, False, False)])
@pytest.mark.parametrize("n", [1, 2, 7])
def test_all_images_within_a_cutoff_larger_than_the_cell(n, pbc):
    structure = atoms(n, pbc)
    pairs = NeighborSearch(6.5)(structure)
    found, expected = sorted(pairs.distances.tolist()), brute_force(structure, 6.5)
    assert len(found) == len(expected)
    assert found == pytest.approx(expected, abs=1e-10)


def test_vectors_follow_the_shift_convention_and_both_directions_are_there():
    structure = atoms(5, (True, True, True))
    pairs = NeighborSearch(5.0)(structure)
    r = structure.positions
    expected = r[pairs.neighbors] - r[pairs.centers] + pairs.shifts @ structure.cell[0]
    torch.testing.assert_close(pairs.vectors, expected, atol=1e-12, rtol=0)
    assert (pairs.centers.diff() >= 0).all()
    forward = {
        (int(i), int(j), *s)
        for i, j, s in zip(pairs.centers, pairs.neighbors, pairs.shifts.int().tolist())
    }
    assert {(j, i, -a, -b, -c) for i, j, a, b, c in forward} == forward


def test_a_batch_a_script_and_a_saved_script_give_the_same_pairs(tmp_path):
    search = NeighborSearch(5.0)
    batch = collate(
        [
            atoms(4, (True, True, True)),
            atoms(3, (False, False, False)),
            atoms(1, (True, True, True)),
        ]
    )
    torch.jit.save(torch.jit.script(search), tmp_path / "search.pt")
    total = sum(
        len(search(atoms(n, (p, p, p))).centers) for n, p in ((4, True), (3, False), (1, True))
    )
    for module in (search, torch.jit.load(tmp_path / "search.pt")):
        pairs = module(batch)
        assert len(pairs.centers) == total
        assert (batch.batch[pairs.centers] == batch.batch[pairs.neighbors]).all()


def test_second_derivatives_of_distances():
    structure = atoms(3, (True, True, True))
    pairs = NeighborSearch(4.0)(structure)

    def sums(positions: torch.Tensor, cell: torch.Tensor) -> torch.Tensor:
        moved = structure._replace(positions=positions, cell=cell)
        return (1.0 / NeighborSearch(4.0)(moved).distances).sum()

    assert len(pairs.centers) > 10
    inputs = (
        structure.positions.clone().requires_grad_(True),
        structure.cell.clone().requires_grad_(True),
    )
    assert torch.autograd.gradcheck(sums, inputs)
    assert torch.autograd.gradgradcheck(sums, inputs)


def test_within_keeps_the_near_pairs():
    pairs = NeighborSearch(6.0)(atoms(4, (True, True, True)))
    near = within(pairs, 3.0)
    assert 0 < len(near.centers) < len(pairs.centers)
    assert float(near.distances.max()) < 3.0
    assert len(near.centers) == int((pairs.distances < 3.0).sum())


@pytest.mark.gpu
@pytest.mark.parametrize("pbc", [(True, True, True), (True, False, True), (False, False, False)])
@pytest.mark.parametrize("n", [2, 40, 700])
@pytest.mark.parametrize("cutoff", [3.0, 9.0])
def test_a_gpu_finds_the_pairs_of_the_cpu(n, pbc, cutoff, gpu):
    """Both kinds of list, by vesin's kernels; in cells shorter than the cutoff, too."""
    box = (n / 0.1) ** (1 / 3) * torch.eye(3, dtype=torch.float64)
    structure = crystal(n, pbc, box + 0.1 * box.roll(1, 0))
    there = Structure(*(x.to(gpu) for x in structure[:7]))
    expected, found = NeighborSearch(cutoff)(structure), NeighborSearch(cutoff)(there)
    assert rows(found) == rows(expected)
    half = KeptSearch(cutoff, 0.0).to(gpu)(there)
    vectors = half.positions[half.neighbors.long()] - half.positions[half.centers.long()]
    distances = (vectors + half.shifts.double() @ there.cell[0]).norm(dim=1).cpu().sort()[0]
    once = expected.distances.sort()[0][::2]
    torch.testing.assert_close(distances, once, rtol=0.0, atol=1e-10)


def rows(pairs: Pairs) -> list[tuple[int, ...]]:
    """i, j and S of each pair, in one order."""
    found = torch.cat(
        [pairs.centers.unsqueeze(1), pairs.neighbors.unsqueeze(1), pairs.shifts.long()], dim=1
    )
    return sorted(map(tuple, found.tolist()))
