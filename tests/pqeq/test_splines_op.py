"""The native operators of splines equal their torch references, for every order and edge, and leave
derivatives to them."""

import pytest
import torch

from openmm_pqeq import ops
from openmm_pqeq.pqeq.coulomb import splines
from openmm_pqeq.pqeq.coulomb.splines import Grid, Points

pytestmark = [
    pytest.mark.python_route,
    pytest.mark.usefixtures("kernels"),
    pytest.mark.skipif(
        not ops.available("splines_spread"), reason=f"splines_spread: {ops.status()}"
    ),
]

SINGLE, DOUBLE = torch.float32, torch.float64
# One ulp of sums of a few thousand terms of order one. The references differentiate splines by
# differences of lower ones, as the operators do.
TOLERANCE = {SINGLE: 2e-5, DOUBLE: 1e-13}

GRIDS = {
    "order of dynamics": Grid(3, [16, 18, 20], 8),
    "odd sizes": Grid(1, [11, 9, 13], 10),
    "tight tolerance": Grid(2, [24, 15, 16], 12),
    "any order": Grid(2, [7, 9, 8], 5),
    "mesh smaller than the order": Grid(2, [4, 6, 3], 8),
    "one point": Grid(1, [1, 1, 1], 4),
}


def points_on(grid: Grid, n: int = 40, dtype: torch.dtype = DOUBLE, seed: int = 1) -> Points:
    """Points in the mesh and up to two periods outside, some exactly on nodes."""
    generator = torch.Generator().manual_seed(seed)
    u = (5.0 * torch.rand(n, 3, generator=generator, dtype=DOUBLE) - 2.0) * torch.tensor(
        grid.size, dtype=DOUBLE
    )
    u[: n // 8] = u[: n // 8].round()
    return Points(u.to(dtype), torch.randint(grid.channels, (n,), generator=generator))


def numbers(*shape: int, dtype: torch.dtype = DOUBLE, seed: int = 2) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=DOUBLE).to(dtype)


def assert_equal_to_the_references(grid: Grid, points: Points, dtype: torch.dtype = DOUBLE) -> None:
    n, close = len(points.u), {"atol": TOLERANCE[dtype], "rtol": TOLERANCE[dtype]}
    values, dipoles = numbers(n, dtype=dtype), numbers(n, 3, dtype=dtype, seed=3)
    field = numbers(grid.channels, *grid.size, dtype=dtype, seed=4)
    for moments in (None, dipoles):
        ours = torch.ops.openmm_pqeq.splines_spread(
            points.u, points.channel, values, moments, grid.channels, grid.size, grid.order
        )
        torch.testing.assert_close(
            ours, splines.spread_reference(grid, points, values, moments), **close
        )
    value, slope = torch.ops.openmm_pqeq.splines_interpolate(
        field, points.u, points.channel, grid.order
    )
    expected_value, expected_slope = splines.interpolate_reference(grid, points, field)
    torch.testing.assert_close(value, expected_value, **close)
    torch.testing.assert_close(slope, expected_slope, **close)
    bend = torch.ops.openmm_pqeq.splines_interpolate_hessian(
        field, points.u, points.channel, grid.order
    )
    torch.testing.assert_close(
        bend, splines.interpolate_hessian_reference(grid, points, field), **close
    )


@pytest.mark.parametrize("dtype", [DOUBLE, SINGLE], ids=["float64", "float32"])
@pytest.mark.parametrize("grid", GRIDS.values(), ids=GRIDS)
def test_what_is_spread_and_interpolated_is_that_of_the_references(grid, dtype):
    assert_equal_to_the_references(grid, points_on(grid, dtype=dtype), dtype)


def test_one_point_and_points_of_one_channel():
    grid = GRIDS["order of dynamics"]
    assert_equal_to_the_references(grid, points_on(grid, 1))
    assert_equal_to_the_references(grid, Points(points_on(grid).u, torch.full((40,), 2)))


def test_no_points():
    none, channel, field = (
        torch.zeros(0, 3),
        torch.zeros(0, dtype=torch.int64),
        torch.ones(2, 4, 5, 6),
    )
    mesh = torch.ops.openmm_pqeq.splines_spread(
        none, channel, torch.zeros(0), none, 2, [4, 5, 6], 8
    )
    assert mesh.shape == (2, 4, 5, 6)
    assert not mesh.any()
    assert [
        x.shape for x in torch.ops.openmm_pqeq.splines_interpolate(field, none, channel, 8)
    ] == [
        (0,),
        (0, 3),
    ]
    assert torch.ops.openmm_pqeq.splines_interpolate_hessian(field, none, channel, 8).shape == (
        0,
        3,
        3,
    )


def test_arrays_that_are_not_contiguous():
    grid = GRIDS["odd sizes"]
    points = points_on(grid)
    turned = Points(points.u.t().contiguous().t(), points.channel)
    field = numbers(1, 13, 9, 11).permute(0, 3, 2, 1)
    for strided, plain in zip(
        splines.interpolate_native(grid, turned, field),
        splines.interpolate_native(grid, points, field.contiguous()),
    ):
        assert torch.equal(strided, plain)


@pytest.mark.parametrize("dtype", [DOUBLE, SINGLE], ids=["float64", "float32"])
def test_two_threads_give_the_numbers_of_one(dtype):
    grid = GRIDS["order of dynamics"]
    points, values, dipoles = (
        points_on(grid, 500, dtype),
        numbers(500, dtype=dtype),
        numbers(500, 3, dtype=dtype),
    )
    field, before = numbers(3, 16, 18, 20, dtype=dtype), torch.get_num_threads()
    made = []
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            mesh = splines.spread_native(grid, points, values, dipoles)
            made.append(
                [
                    mesh,
                    *splines.interpolate_native(grid, points, field),
                    splines.interpolate_hessian_native(grid, points, field),
                ]
            )
    finally:
        torch.set_num_threads(before)
    for one, two in zip(*made):
        assert torch.equal(one, two)


@pytest.mark.parametrize("dtype", [DOUBLE, SINGLE], ids=["float64", "float32"])
@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_points_that_are_nowhere_have_no_numbers_and_leave_the_others_alone(bad, dtype):
    grid = GRIDS["order of dynamics"]
    points, field = points_on(grid, dtype=dtype), numbers(3, 16, 18, 20, dtype=dtype)
    lost = Points(points.u.clone(), points.channel)
    lost.u[7] = bad
    assert (
        not splines.spread_native(grid, lost, numbers(40, dtype=dtype), numbers(40, 3, dtype=dtype))
        .isfinite()
        .all()
    )
    for ours, expected in zip(
        [
            *splines.interpolate_native(grid, lost, field),
            splines.interpolate_hessian_native(grid, lost, field),
        ],
        [
            *splines.interpolate_native(grid, points, field),
            splines.interpolate_hessian_native(grid, points, field),
        ],
    ):
        assert not ours[7].isfinite().any()
        assert torch.equal(ours[torch.arange(40) != 7], expected[torch.arange(40) != 7])


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", [DOUBLE, SINGLE], ids=["float64", "float32"])
@pytest.mark.parametrize("grid", GRIDS.values(), ids=GRIDS)
def test_a_gpu_gives_what_the_cpu_gives_and_the_same_in_every_run(grid, dtype, gpu):
    if gpu.type == "cuda" and not ops.has_kernel("splines_spread", "CUDA"):
        pytest.skip("splines_spread: the library was built without CUDA kernels")
    points, values, dipoles = (
        points_on(grid, 500, dtype),
        numbers(500, dtype=dtype),
        numbers(500, 3, dtype=dtype),
    )
    field = numbers(grid.channels, *grid.size, dtype=dtype)

    def made(device: str | torch.device) -> list[torch.Tensor]:
        at, mesh = Points(points.u.to(device), points.channel.to(device)), field.to(device)
        charges, moments = values.to(device), dipoles.to(device)
        meshes = [
            splines.spread_native(grid, at, charges, None),
            splines.spread_native(grid, at, charges, moments),
        ]
        return [
            *meshes,
            *splines.interpolate_native(grid, at, mesh),
            splines.interpolate_hessian_native(grid, at, mesh),
        ]

    for ours, again, expected in zip(made(gpu), made(gpu), made("cpu")):
        assert ours.device.type == gpu.type
        assert torch.equal(ours, again)
        # up to 500 points on a node, and kernels that fuse other products with sums
        torch.testing.assert_close(
            ours.cpu(), expected, atol=30 * TOLERANCE[dtype], rtol=30 * TOLERANCE[dtype]
        )


def test_derivatives_come_from_the_references():
    """Through the functions that PQEq calls; the operators themselves refuse."""
    grid = GRIDS["any order"]
    points, values = points_on(grid, 6), numbers(6)
    u = points.u.clone().requires_grad_(True)
    moving, field = Points(u, points.channel), numbers(2, *grid.size)
    for interpolate, reference in (
        (splines.interpolate, splines.interpolate_reference),
        (splines.interpolate_hessian, splines.interpolate_hessian_reference),
    ):
        ours, expected = interpolate(grid, moving, field), reference(grid, moving, field)
        (slope,) = torch.autograd.grad(ours[0].sum(), u)
        torch.testing.assert_close(
            slope, torch.autograd.grad(expected[0].sum(), u)[0], atol=1e-13, rtol=0
        )
    assert splines.spread(grid, moving, values, None).requires_grad
    assert splines.spread(grid, points, values.clone().requires_grad_(True), None).requires_grad
    assert splines.spread(grid, points, values, numbers(6, 3).requires_grad_(True)).requires_grad
    with pytest.raises(RuntimeError, match="no derivatives; detach the inputs"):
        torch.ops.openmm_pqeq.splines_spread(
            u, points.channel, values, None, 2, grid.size, grid.order
        )
    with torch.no_grad():
        native = torch.ops.openmm_pqeq.splines_spread(
            u, points.channel, values, None, 2, grid.size, grid.order
        )
        assert torch.equal(splines.spread(grid, moving, values, None), native)


def test_frozen_scripts_know_when_they_are_differentiated():
    class Twice(torch.nn.Module):
        def forward(
            self, u: torch.Tensor, channel: torch.Tensor, field: torch.Tensor
        ) -> torch.Tensor:
            points, grid = Points(u, channel), Grid(2, [7, 9, 8], 5)
            with torch.no_grad():
                held = splines.interpolate(grid, points, field)[0]
            return splines.interpolate(grid, points, field)[0] * held

    frozen = torch.jit.freeze(torch.jit.script(Twice().eval()))
    grid, points = GRIDS["any order"], points_on(GRIDS["any order"], 6)
    field = numbers(2, *grid.size)
    value, slope = splines.interpolate_reference(grid, points, field)
    assert "openmm_pqeq::splines_interpolate" in str(frozen.graph)
    for _ in range(4):
        u = points.u.clone().requires_grad_(True)
        (found,) = torch.autograd.grad(frozen(u, points.channel, field).sum(), u)
        torch.testing.assert_close(found, slope * value.unsqueeze(1), atol=1e-12, rtol=0)
        assert not frozen(points.u, points.channel, field).requires_grad


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"u": torch.zeros(3, 2)}, "u: expected float32 or float64 of shape"),
        ({"channel": torch.tensor([0, 1, 2])}, "channel: expected 0 to 1, got 0 to 2"),
        ({"values": torch.zeros(2)}, "values: expected"),
        ({"values": torch.zeros(3, dtype=DOUBLE)}, "values: expected"),
        ({"dipoles": torch.zeros(3)}, "dipoles: expected"),
        ({"size": [4, 0, 4]}, "three positive numbers of points"),
        ({"order": 17}, "order: expected 4 to 16, got 17"),
    ],
    ids=["u", "channel", "number of values", "dtype", "dipoles", "size", "order"],
)
def test_arguments_that_do_not_fit_are_named(change, message):
    given = {
        "u": torch.zeros(3, 3),
        "channel": torch.zeros(3, dtype=torch.int64),
        "values": torch.zeros(3),
        "dipoles": None,
    }
    given |= {"channels": 2, "size": [4, 4, 4], "order": 8} | change
    with pytest.raises((ValueError, RuntimeError), match=message):
        torch.ops.openmm_pqeq.splines_spread(*given.values())
