"""The native search for neighbours lists the pairs that vesin lists."""

import pytest
import torch
import vesin_torch

from openmm_pqeq import ops

pytestmark = [
    pytest.mark.python_route,
    pytest.mark.skipif(not ops.available("half_list"), reason=f"half_list: {ops.status()}"),
]

PERIODICITIES = [
    (True, True, True),
    (True, False, True),
    (False, True, False),
    (False, False, False),
]


def random_cell(size: float, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return size * (
        torch.eye(3, dtype=torch.float64)
        + 0.25 * torch.randn(3, 3, generator=generator, dtype=torch.float64)
    )


def atoms(n: int, cell: torch.Tensor, pbc: tuple[bool, bool, bool], seed: int = 0) -> torch.Tensor:
    """Anywhere in a few cells, then wrapped in the periodic directions; some on planes between
    bins."""
    generator = torch.Generator().manual_seed(seed)
    fractions = 3.0 * torch.rand(n, 3, generator=generator, dtype=torch.float64)
    fractions[::3] = (4.0 * fractions[::3]).round() / 4.0
    positions, periodic = fractions @ cell - 2.0, torch.tensor(pbc)
    return (
        positions
        - (torch.floor(positions @ torch.linalg.pinv(cell * periodic.unsqueeze(1))) * periodic)
        @ cell
    )


def native(positions: torch.Tensor, cell: torch.Tensor, pbc: tuple[bool, ...], cutoff: float):
    return torch.ops.openmm_pqeq.half_list(positions, cell, torch.tensor(pbc), cutoff)


def rows(
    centers: torch.Tensor, neighbors: torch.Tensor, shifts: torch.Tensor
) -> list[tuple[int, ...]]:
    """(i, j, S) of both directions, sorted."""
    there = torch.cat([centers.long()[:, None], neighbors.long()[:, None], shifts.long()], dim=1)
    back = torch.cat([neighbors.long()[:, None], centers.long()[:, None], -shifts.long()], dim=1)
    return sorted(map(tuple, torch.cat([there, back]).tolist()))


def assert_as_vesin(
    positions: torch.Tensor, cell: torch.Tensor, pbc: tuple[bool, bool, bool], cutoff: float
) -> int:
    centers, neighbors, shifts = native(positions, cell, pbc, cutoff)
    assert (centers.dtype, neighbors.dtype, shifts.dtype) == (torch.int32, torch.int32, torch.int8)
    assert bool((centers.diff() >= 0).all())
    search = vesin_torch.NeighborList(cutoff=cutoff, full_list=True, sorted=True)._c
    expected = search.compute(positions, cell, torch.tensor(pbc), "ijS", True)
    found = rows(centers, neighbors, shifts)
    assert found == sorted(
        map(
            tuple,
            torch.cat([expected[0][:, None], expected[1][:, None], expected[2]], dim=1).tolist(),
        )
    )
    return len(found)


@pytest.mark.parametrize("pbc", PERIODICITIES)
@pytest.mark.parametrize("size", [1.7, 4.0, 11.0])
@pytest.mark.parametrize("n", [1, 2, 9, 60])
def test_the_pairs_of_vesin(n, size, pbc):
    """Skewed cells, smaller and larger than the cutoff."""
    cutoff = 5.1 if n < 60 or size > 2 else 2.6
    for seed in range(2):
        cell = random_cell(size, seed + n)
        assert_as_vesin(atoms(n, cell, pbc, seed), cell, pbc, cutoff)


@pytest.mark.parametrize("cutoff", [0.9, 3.0, 9.0])
def test_rectangular_cells(cutoff):
    """Whose corners are left out early."""
    cell = torch.diag(torch.tensor([9.0, 12.0, 7.0], dtype=torch.float64))
    assert (
        assert_as_vesin(atoms(80, cell, (True, True, True)), cell, (True, True, True), cutoff) > 0
    )


def test_atoms_of_a_crystal_on_the_planes_between_bins():
    grid = torch.cartesian_prod(*[torch.arange(5.0, dtype=torch.float64)] * 3)
    cell = 5.0 * torch.eye(3, dtype=torch.float64)
    for cutoff in (1.5, 2.7, 6.2):
        assert_as_vesin(grid, cell, (True, True, True), cutoff)
        assert_as_vesin(grid, cell, (False, False, False), cutoff)


def test_nothing_to_find():
    for n in (0, 1):
        centers, neighbors, shifts = native(
            torch.zeros(n, 3).double(), torch.zeros(3, 3).double(), (False,) * 3, 5.0
        )
        assert (centers.shape, neighbors.shape, shifts.shape) == ((0,), (0,), (0, 3))
    far = torch.tensor([[0.0, 0.0, 0.0], [1e7, 0.0, 0.0], [0.0, -1e7, 1e7]], dtype=torch.float64)
    assert len(native(far, torch.zeros(3, 3).double(), (False,) * 3, 5.0)[0]) == 0


def test_the_number_of_threads_changes_nothing():
    cell, before, found = random_cell(20.0, 3), torch.get_num_threads(), []
    try:
        for n_threads in (1, 2, 3):
            torch.set_num_threads(n_threads)
            found.append(
                native(atoms(300, cell, (True, True, True)), cell, (True, True, True), 7.0)
            )
    finally:
        torch.set_num_threads(before)
    for other in found[1:]:
        for one, two in zip(found[0], other, strict=True):
            assert torch.equal(one, two)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"positions": torch.zeros(2, 3)}, "positions: expected float64"),
        (
            {"positions": torch.full((2, 3), 7.0).double()},
            "positions: expected atoms wrapped into the cell",
        ),
        ({"cell": torch.eye(3).double()[:2]}, "cell: expected float64"),
        (
            {"cell": torch.zeros(3, 3).double()},
            "cell: expected periodic vectors that are linearly independent|wrapped",
        ),
        (
            {"cell": torch.diag(torch.tensor([0.01, 20.0, 20.0]).double())},
            "repeat the cell along its short vectors",
        ),
        ({"periodic": torch.ones(3)}, "periodic: expected three booleans"),
        ({"cutoff": 0.0}, "cutoff: expected a positive distance"),
    ],
)
def test_arguments_that_do_not_fit_are_refused(change, message):
    arguments = {
        "positions": torch.zeros(2, 3).double(),
        "cell": 4.0 * torch.eye(3).double(),
        "periodic": torch.ones(3, dtype=torch.bool),
        "cutoff": 3.0,
    }
    with pytest.raises(ValueError, match=message):
        torch.ops.openmm_pqeq.half_list(*{**arguments, **change}.values())
