"""The CUDA kernels, which no GPU has run: compiled for the CPU, each is what its CPU twin is, and the
same in every order of its threads and blocks."""

import pytest
import torch
from emulated_cuda import ORDERS, Call, emulated, operators, tensors
from pqeq_potentials import BONDED, potential_of
from structures import perovskite, rock_salt, salt

from openmm_pqeq.potential import build

NETWORK = {"species": ["Ba", "O", "Ti"], "hidden_irreps": "4x0e + 2x1o", "layers": 2, "r_max": 4.0}
D3 = {"functional": "pbe", "cutoff": 7.0, "cn_cutoff": 5.0}
TOLERANCE = {torch.float64: 1e-11, torch.float32: 3e-5}
"""Of the largest number of a result."""
WHOLE = 1e-10
"""eV, eV/Å: of sums in dispersion, some hundred multiples of 1e-12."""


@pytest.fixture(autouse=True)
def poisoned():
    """Memory that a kernel gets for its results is full of NaN."""
    torch.use_deterministic_algorithms(True, warn_only=True)
    yield
    torch.use_deterministic_algorithms(False)


def numbers(*shape: int, dtype: torch.dtype = torch.float64, seed: int = 1) -> torch.Tensor:
    drawn = torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return drawn.to(dtype)


# What the emulation finds


def example(name: str, order: int, threads: int = 64) -> int:
    with emulated(order):
        found: int = torch.ops.openmm_pqeq_emulated.example(name, threads)
    return found


@pytest.mark.parametrize("order", ORDERS)
def test_blocks_with_barriers_and_warps(order):
    assert example("with_barrier", order) == sum(range(64))
    assert example("over_warps", order, 256) == sum(range(256))


@pytest.mark.parametrize("name", ["without_barrier", "with_warps_alone"])
def test_a_missing_barrier_shows_in_the_order_of_threads(name):
    assert len({example(name, order) for order in ORDERS}) > 1


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("barrier_for_some", "thread 1 has ended where others wait at a barrier"),
        ("lanes_that_have_ended", "waits for lanes of its warp that have ended"),
    ],
)
def test_threads_that_would_wait_in_vain(name, message):
    with pytest.raises(RuntimeError, match=message):
        example(name, 0)


def test_a_lane_outside_the_mask_gives_nothing_of_use():
    assert example("lane_outside_the_mask", 0) == -1


# Kernels


def by_bonds():
    structure = rock_salt((11, 17), 5.64, repeat=1)
    reference = (14.0 - structure.numbers).sign().to(torch.float64)
    potential = build({"pqeq": {"protocol": "pme", "parameters": BONDED, "charge_flow": "bonds"}})
    return potential, structure._replace(reference_charges=reference)


POTENTIALS = {
    "network": lambda: (build({"gnn": NETWORK}), perovskite()),
    "dispersion": lambda: (build({"d3": {**D3, "damping": "bj"}}), perovskite()),
    "dispersion, zero damping": lambda: (build({"d3": {**D3, "damping": "zero"}}), perovskite()),
    "pme": lambda: (potential_of("pme"), rock_salt((11, 17), 5.64, repeat=1)),
    "pme, by bonds": by_bonds,
    "reaxnet": lambda: (potential_of("reaxnet", cutoff=5.0), salt()),
}


def assert_twins(calls: list[Call]) -> None:
    """What CUDA kernels gave is what those of the CPU give, and the same in every order."""
    for name, given, gave in calls:
        twins = tensors(getattr(torch.ops.openmm_pqeq, name)(*given))
        assert len(twins) == len(gave)
        for ours, twin in zip(gave, twins, strict=True):
            assert ours.dtype == twin.dtype
            assert ours.shape == twin.shape
            if twin.numel() == 0 or not twin.dtype.is_floating_point:
                assert torch.equal(ours, twin), name
                continue
            error = TOLERANCE[_least(given)] * float(twin.abs().max())
            error += WHOLE if name.startswith("dispersion") else 0.0
            torch.testing.assert_close(
                ours, twin, atol=error, rtol=0.0, msg=lambda m, n=name: f"{n}: {m}"
            )
    for order in ORDERS[1:]:
        with emulated(order):
            for name, given, gave in calls:
                again = tensors(getattr(torch.ops.openmm_pqeq, name)(*given))
                for one, other in zip(again, gave, strict=True):
                    assert torch.equal(one, other), name


def _least(given: object) -> torch.dtype:
    """The lowest precision of what an operator was given."""
    return min((x.dtype for x in tensors(given) if x.is_floating_point()), key=lambda d: d.itemsize)


@pytest.mark.parametrize("precision", ["double", "mixed"])
@pytest.mark.parametrize("case", POTENTIALS.values(), ids=POTENTIALS)
def test_potentials_by_cuda_kernels(case, precision):
    torch.manual_seed(0)
    potential, structure = case()
    compiled = potential.configured(precision=precision).compile_for_inference()
    expected = compiled.evaluate(structure, stress=True)
    with emulated() as cuda:
        found = compiled.evaluate(structure, stress=True)
    assert cuda.calls
    error = 1e-9 if precision == "double" else 1e-4
    torch.testing.assert_close(found.energy, expected.energy, atol=error, rtol=0.0)
    torch.testing.assert_close(found.forces, expected.forces, atol=error, rtol=0.0)
    torch.testing.assert_close(found.stress, expected.stress, atol=error, rtol=0.0)
    assert_twins(cuda.calls[-40:])


SIZES = (0, 1, 31, 256, 257, 700)


def tapered_of(n_pairs: int, dtype: torch.dtype, sort: bool) -> None:
    """Every operator of the tapered sum, on random pairs of 23 atoms."""
    n, cutoff, operators = 23, 6.0, torch.ops.openmm_pqeq
    generator = torch.Generator().manual_seed(n_pairs)
    centers, neighbors = torch.randint(n, (2, n_pairs), generator=generator, dtype=torch.int32)
    centers = centers.sort().values if sort else centers
    shifts = torch.randint(-2, 3, (n_pairs, 3), generator=generator, dtype=torch.int8)
    positions, cell = 3.0 * numbers(n, 3), 6.0 * torch.eye(3, dtype=torch.float64)
    for single in (False, True):
        operators.tapered_pairs(positions, cell, centers, neighbors, shifts, cutoff, single)
    vectors = 0.7 * numbers(n_pairs, 3, dtype=dtype, seed=2)
    vectors[:, 0] += 3.0
    pairs = (centers, neighbors, vectors)
    kind, gamma = torch.arange(n) % 3, 0.5 + 0.1 * numbers(3, 3).abs()
    z, q, dq = numbers(3, n, seed=3)
    s, ds = 0.1 * numbers(2, n, 3, seed=4)
    at_cores = operators.tapered_radials(*pairs, kind, gamma, cutoff, None)
    at_shells = operators.tapered_radials(*pairs, kind, gamma, cutoff, s)
    for radials, shells in ((at_shells, s), (at_cores, torch.zeros_like(s))):
        at = (*pairs, at_cores, radials, z, q, shells)
        for asked in ((True, True), (True, False), (False, True)):
            operators.tapered_gradient(*at, *asked)
            operators.tapered_product(*at, dq, ds, *asked)
        operators.tapered_forces(*at[:2], shifts, *at[2:], dq, ds, 0.7)
    for x in (q, 1e-9 * q, 1e9 * q):
        operators.pair_matrix_product(centers, neighbors, at_cores[0].contiguous(), x)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=["float64", "float32"])
@pytest.mark.parametrize("n_pairs", SIZES)
def test_tapered_sums_of_any_number_of_pairs(n_pairs, dtype):
    for sort in (True, False):
        with emulated() as cuda:
            tapered_of(n_pairs, dtype, sort)
        for _, _, gave in cuda.calls:
            assert all(bool(x.isfinite().all()) for x in gave)
        # the kernels of the CPU want their pairs sorted
        assert_twins([c for c in cuda.calls if sort or c.name == "tapered_radials"])


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_what_is_not_finite_stays_so(bad):
    centers, neighbors = (
        torch.tensor([0, 0, 1], dtype=torch.int32),
        torch.tensor([1, 2, 2], dtype=torch.int32),
    )
    values = torch.tensor([1.0, bad, 2.0], dtype=torch.float64)
    with emulated():
        product = torch.ops.openmm_pqeq.pair_matrix_product(centers, neighbors, values, numbers(3))
    assert not product.isfinite().any()
    potential, structure = POTENTIALS["dispersion"]()
    with emulated() as cuda:
        potential.compile_for_inference().evaluate(structure)
        (call,) = (call for call in cuda.calls if call.name == "dispersion_backward")
        gradients = call.given[0].index_fill(0, torch.tensor([1]), bad)
        slopes, _ = torch.ops.openmm_pqeq.dispersion_backward(gradients, *call.given[1:])
    assert not slopes.isfinite().any()


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=["float64", "float32"])
@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize(("size", "order"), [([7, 9, 8], 6), ([16, 18, 20], 8), ([5, 3, 11], 12)])
def test_splines_of_any_number_of_points(size, order, n, dtype):
    u, channel = 8.0 * numbers(n, 3, dtype=dtype), torch.arange(n) % 2
    values, dipoles, field = (numbers(*shape, dtype=dtype) for shape in ((n,), (n, 3), (2, *size)))
    with emulated() as cuda:
        for moments in (None, dipoles):
            torch.ops.openmm_pqeq.splines_spread(u, channel, values, moments, 2, size, order)
        torch.ops.openmm_pqeq.splines_interpolate(field, u, channel, order)
        torch.ops.openmm_pqeq.splines_interpolate_hessian(field, u, channel, order)
    assert_twins(cuda.calls)


def test_every_operator_with_cuda_kernels_is_among_these():
    """Those of the network and of dispersion have tests of many shapes in their own files, which run
    with both kinds of kernels (conftest.py)."""
    torch.manual_seed(0)
    with emulated() as cuda:
        for case in POTENTIALS.values():
            potential, structure = case()
            potential.compile_for_inference().evaluate(structure)
        tapered_of(31, torch.float64, True)
    assert sorted({call.name for call in cuda.calls}) == operators()
