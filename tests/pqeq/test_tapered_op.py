"""The native operators of the tapered pair sum equal their torch references, and those the derivatives
of the energy."""

import pytest
import torch
from structures import FIELD, periodic_along, perovskite, salt, tensor, water
from torch.utils._pytree import tree_map

from openmm_pqeq import ops
from openmm_pqeq.neighbors.half_list import KeptSearch
from openmm_pqeq.pqeq.coulomb.kernels import coulomb, taper
from openmm_pqeq.pqeq.sweeps import tapered
from openmm_pqeq.pqeq.sweeps.tapered_reference import (
    pair_matrix_product_reference,
    tapered_forces_reference,
    tapered_gradient_reference,
    tapered_pairs_reference,
    tapered_product_reference,
    tapered_radial,
    tapered_radials_reference,
)
from openmm_pqeq.structure import Structure, structure_of

pytestmark = pytest.mark.usefixtures("kernels")

CUTOFF = 7.0
STRUCTURES = {
    "salt": salt(),
    "perovskite": perovskite(1.0, FIELD),
    "slab": periodic_along(perovskite(0.5, FIELD), (True, True, False)),
    "molecule": water(),
    "atom": structure_of(tensor([[0.1, 0.2, 0.3]]), torch.tensor([8]), total_charge=-1.0),
}
needs_library = pytest.mark.skipif(
    not ops.available("tapered_pairs"), reason=f"tapered_pairs: {ops.status()}"
)


@pytest.mark.parametrize("product", [pair_matrix_product_reference, tapered.pair_matrix_product])
def test_products_with_float32_values_keep_the_digits_of_the_vector(product):
    pairs, x = inputs(salt(), torch.float32)[1], torch.linspace(0.1, 0.9, 8, dtype=torch.float64)
    values = torch.rand(len(pairs.centers), generator=torch.Generator().manual_seed(6))
    i, j, exact = pairs.centers.long(), pairs.neighbors.long(), values.to(torch.float64)
    full = torch.zeros(8, 8, dtype=torch.float64).index_put((i, j), exact, accumulate=True)
    torch.testing.assert_close(product(pairs, values, x), (full + full.t()) @ x, atol=1e-12, rtol=0)


@pytest.mark.parametrize("near", [tapered_pairs_reference, tapered.tapered_pairs_native])
def test_pairs_of_a_position_that_is_not_a_number_are_kept(near):
    """Dropped, they would leave a finite energy."""
    structure = salt()
    kept = KeptSearch(CUTOFF, 1.0)(structure)
    lost = kept._replace(positions=kept.positions.index_fill(0, torch.tensor([2]), float("nan")))
    pairs = near(lost, structure.cell[0], CUTOFF, torch.float64)
    of_lost = [((p.centers == 2) | (p.neighbors == 2)).sum() for p in (kept, pairs)]
    assert of_lost[0] == of_lost[1] > 0


def test_radial_functions_have_the_derivatives_of_their_values():
    r = torch.linspace(1.0, 8.0, 15, dtype=torch.float64).requires_grad_(True)
    gamma = torch.full_like(r, 0.6)
    radial = tapered_radial(r, gamma, CUTOFF)
    (slope,) = torch.autograd.grad(
        (coulomb(r, gamma) * taper(r, CUTOFF)).sum(), r, create_graph=True
    )
    (bend,) = torch.autograd.grad(slope.sum(), r)
    torch.testing.assert_close(radial.first * r, slope, atol=1e-12, rtol=0)
    torch.testing.assert_close(radial.second * r**2 + radial.first, bend, atol=1e-12, rtol=0)


def inputs(structure: Structure, dtype: torch.dtype) -> tuple:
    """A kept list with more than the cutoff holds, pairs of it, radials and vectors of atoms."""
    kept = KeptSearch(CUTOFF, 1.0)(structure)
    pairs = tapered_pairs_reference(kept, structure.cell[0], CUTOFF, dtype)
    n = len(structure.numbers)
    _, kind = torch.unique(structure.numbers, return_inverse=True)
    generator = torch.Generator().manual_seed(3)
    gamma = 0.4 + 0.3 * torch.rand(n, n, generator=generator, dtype=torch.float64)
    z, q, dq = (torch.randn(n, generator=generator, dtype=torch.float64) for _ in range(3))
    s, ds = (0.2 * torch.randn(n, 3, generator=generator, dtype=torch.float64) for _ in range(2))
    return kept, pairs, kind, gamma + gamma.t(), z, q, s, dq, ds


@needs_library
@pytest.mark.parametrize(
    ("dtype", "error"), [(torch.float64, 1e-11), (torch.float32, 2e-4)], ids=["float64", "float32"]
)
@pytest.mark.parametrize("name", STRUCTURES)
def test_native_operators_equal_their_references(name, dtype, error):
    assert_equal_to_the_references(name, dtype, error, "cpu")


@pytest.mark.gpu
@needs_library
@pytest.mark.parametrize(
    ("dtype", "error"), [(torch.float64, 1e-11), (torch.float32, 2e-4)], ids=["float64", "float32"]
)
@pytest.mark.parametrize("name", STRUCTURES)
def test_on_a_gpu(name, dtype, error, gpu):
    assert_equal_to_the_references(name, dtype, error, gpu)


def assert_equal_to_the_references(name, dtype, error, device):
    """Sums of some hundred terms of some eV: rounding is 1e-13 and, in float32, 1e-5 of each."""

    def run(operator, *given):
        there = tree_map(lambda x: x.to(device) if isinstance(x, torch.Tensor) else x, given)
        return tree_map(lambda x: x.cpu(), operator(*there))

    structure = STRUCTURES[name]
    kept, pairs, kind, gamma, z, q, s, dq, ds = inputs(structure, dtype)
    native = run(tapered.tapered_pairs_native, kept, structure.cell[0], CUTOFF, dtype)
    for a, b in zip(native[:3], pairs[:3]):
        assert torch.equal(a, b)
    torch.testing.assert_close(
        native.vectors, pairs.vectors, atol=1e-6 if dtype == torch.float32 else 1e-13, rtol=0
    )
    at_cores = tapered_radials_reference(pairs, kind, gamma, CUTOFF, None)
    at_moved = tapered_radials_reference(pairs, kind, gamma, CUTOFF, s)
    for shells, expected in ((None, at_cores), (s, at_moved)):
        torch.testing.assert_close(
            run(tapered.tapered_radials_native, pairs, kind, gamma, CUTOFF, shells),
            expected,
            atol=error,
            rtol=error,
        )
    for shells, at_shells in ((torch.zeros_like(s), at_cores), (s, at_moved)):
        at = (pairs, at_cores, at_shells, z, q, shells)
        for a, b in (
            (
                run(tapered.tapered_gradient_native, *at, True, True),
                tapered_gradient_reference(*at, True, True),
            ),
            (
                run(tapered.tapered_gradient_native, *at, True, False),
                tapered_gradient_reference(*at, True, False),
            ),
            (
                run(tapered.tapered_product_native, *at, dq, ds, True, True),
                tapered_product_reference(*at, dq, ds, True, True),
            ),
            (
                run(tapered.tapered_product_native, *at, dq, ds, False, True),
                tapered_product_reference(*at, dq, ds, False, True),
            ),
            (
                run(tapered.tapered_forces_native, *at, dq, ds, 0.7),
                tapered_forces_reference(*at, dq, ds, 0.7),
            ),
        ):
            for x, y in zip(a, b, strict=True):
                torch.testing.assert_close(x, y, atol=error, rtol=error)
    product = run(tapered.pair_matrix_product_native, pairs, at_cores[0], q)
    torch.testing.assert_close(
        product,
        pair_matrix_product_reference(pairs, at_cores[0], q),
        atol=error,
        rtol=error,
    )


@needs_library
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=["float64", "float32"])
def test_two_threads_give_the_numbers_of_one_to_rounding(dtype):
    """Pairs are the same; sums are of each thread's own, in double."""
    one = salt()
    many = torch.cat(
        [
            one.positions + shift @ one.cell[0]
            for shift in torch.cartesian_prod(*[tensor([0, 1, 2, 3])] * 3)
        ]
    )
    structure = structure_of(many, one.numbers.repeat(64), 4.0 * one.cell[0])
    kept, _, kind, gamma, z, q, s, dq, ds = inputs(structure, dtype)
    made, before = [], torch.get_num_threads()
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            pairs = tapered.tapered_pairs_native(kept, structure.cell[0], CUTOFF, dtype)
            at_cores = tapered.tapered_radials_native(pairs, kind, gamma, CUTOFF, None)
            at = (
                pairs,
                at_cores,
                tapered.tapered_radials_native(pairs, kind, gamma, CUTOFF, s),
                z,
                q,
                s,
            )
            sums = [
                *tapered.tapered_gradient_native(*at, True, True),
                *tapered.tapered_product_native(*at, dq, ds, True, True),
                *tapered.tapered_forces_native(*at, dq, ds, 0.7),
                tapered.pair_matrix_product_native(pairs, at_cores[0], q),
            ]
            made.append(([*pairs, *at[1:3]], sums))
    finally:
        torch.set_num_threads(before)
    assert len(made[0][0][0]) > 20_000  # more than one task takes
    for a, b in zip(made[0][0], made[1][0], strict=True):
        assert torch.equal(a, b)
    for a, b in zip(made[0][1], made[1][1], strict=True):
        torch.testing.assert_close(
            a, b, atol=1e-10, rtol=0
        )  # sums of 20,000 terms of some eV, in double


def test_sums_have_the_derivatives_that_they_claim():
    """Against autograd of the energy of the pair sum, in charges, shells, positions and cell."""
    structure = salt()
    kept, pairs, kind, gamma, z, q, s, dq, ds = inputs(structure, torch.float64)
    cell, shifts = structure.cell[0].clone().requires_grad_(True), pairs.shifts.to(torch.float64)
    r, q, s = (
        kept.positions.detach().requires_grad_(True),
        q.requires_grad_(True),
        s.requires_grad_(True),
    )
    i, j = pairs.centers.long(), pairs.neighbors.long()
    width = gamma[kind[i], kind[j]]

    def f(separation):
        distance = separation.norm(dim=1)
        return coulomb(distance, width) * taper(distance, CUTOFF)

    d, c = r[j] - r[i] + shifts @ cell, q + z
    energy = (
        c[i] * c[j] * f(d)
        - c[i] * z[j] * f(d + s[j])
        - z[i] * c[j] * f(d - s[i])
        + z[i] * z[j] * f(d + s[j] - s[i])
    ).sum()
    on_q, on_s = torch.autograd.grad(energy, [q, s], create_graph=True)
    rate = (on_q * dq).sum() + (on_s * ds).sum()
    along = torch.autograd.grad(rate, [q, s], retain_graph=True)
    slopes = torch.autograd.grad(0.7 * energy + rate, [r, cell])
    q, s = q.detach(), s.detach()
    at_cores = tapered.tapered_radials(pairs, kind, gamma, CUTOFF, None)
    at = (pairs, at_cores, tapered.tapered_radials(pairs, kind, gamma, CUTOFF, s), z, q, s)
    found = tapered.tapered_forces(*at, dq, ds, 0.7)
    torch.testing.assert_close(found[0], energy.detach(), atol=1e-10, rtol=0)
    for a, b in zip(
        (
            *tapered.tapered_gradient(*at, True, True),
            *tapered.tapered_product(*at, dq, ds, True, True),
            *found[1:],
        ),
        (on_q.detach(), on_s.detach(), *along, *slopes),
        strict=True,
    ):
        torch.testing.assert_close(a, b, atol=1e-10, rtol=0)


@needs_library
def test_native_operators_refuse_what_does_not_fit_and_derivatives():
    _, pairs, kind, gamma, z, q, s, _, _ = inputs(salt(), torch.float64)
    at_cores = tapered.tapered_radials(pairs, kind, gamma, CUTOFF, None)
    with pytest.raises(ValueError, match="neighbors: expected 0 to 2, got"):
        tapered.pair_matrix_product(pairs, at_cores[0], q[:3])
    with pytest.raises(ValueError, match=r"kind: expected 0 to 7, got 0 to 9"):
        tapered.tapered_radials(pairs, 9 * kind, gamma, CUTOFF, None)
    with pytest.raises(ValueError, match=r"shells: expected float32 or float64 of shape \[8, 3\]"):
        tapered.tapered_radials(pairs, kind, gamma, CUTOFF, s[:5])
    with pytest.raises(ValueError, match="at_shells: expected"):
        tapered.tapered_gradient(pairs, at_cores, at_cores[:2], z, q, s, True, True)
    with pytest.raises(ValueError, match="shells: expected"):
        tapered.tapered_gradient(pairs, at_cores, at_cores, z, q, s[:, :2], True, True)
    with pytest.raises(ValueError, match="values: expected"):
        tapered.pair_matrix_product(pairs, at_cores[0, 1:], q)
    with pytest.raises(RuntimeError, match="not implemented"):
        tapered.pair_matrix_product(pairs, at_cores[0], q.requires_grad_(True)).sum().backward()
