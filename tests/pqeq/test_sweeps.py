"""The sweeps for dynamics: native operators against their reference, and energy, forces and stress
against sweeps/reference.py."""

import pytest
import torch
from pqeq_structures import FIELD, periodic_along, perovskite, tensor, water

from openmm_pqeq import ops
from openmm_pqeq.neighbors.half_list import KeptSearch
from openmm_pqeq.potential import build
from openmm_pqeq.pqeq import constants
from openmm_pqeq.pqeq.coulomb.kernels import coulomb, gaussian_exponents, pair_exponents, taper
from openmm_pqeq.pqeq.groups import Groups
from openmm_pqeq.pqeq.sweeps import tapered
from openmm_pqeq.pqeq.sweeps.minres import (
    ChargeMatrix,
    cluster_inverse,
    diagonal_inverse,
    solve_by_minres,
)
from openmm_pqeq.pqeq.sweeps.tapered import (
    TaperedPairs,
    tapered_pairs_reference,
    tapered_radial,
    tapered_radials_reference,
)
from openmm_pqeq.structure import Structure, collate, structure_of

CUTOFF = 7.0
SETTINGS = {"protocol": "reaxnet", "cutoff": CUTOFF, "tolerance": 1e-9}


def salt(field: tuple[float, float, float] = (0.0, 0.0, 0.0)) -> Structure:
    """Eight atoms of displaced rock salt in a sheared cell, so soft that some shells are
    clipped."""
    corners = tensor([[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]])
    cell = tensor([[5.1, 0.0, 0.0], [0.4, 5.0, 0.0], [0.0, 0.3, 5.2]])
    noise = torch.randn(8, 3, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    positions = torch.cat([corners, corners + tensor([0.5, 0, 0])]) @ cell + 0.12 * noise
    return structure_of(
        positions,
        torch.tensor([11] * 4 + [17] * 4),
        cell,
        total_charge=0.4,
        field=tensor(list(field)),
    )


STRUCTURES = {
    "salt": salt(),
    "salt in a field": salt((0.1, -0.2, 0.3)),
    "perovskite": perovskite(1.0, FIELD),
    "slab": periodic_along(perovskite(0.5, FIELD), (True, True, False)),
    "molecule": water(),
    "atom": structure_of(tensor([[0.1, 0.2, 0.3]]), torch.tensor([8]), total_charge=-1.0),
}


@pytest.mark.parametrize("stop_gradient", [False, True], ids=["true", "published"])
@pytest.mark.parametrize("sweeps", [1, 2, 3])
@pytest.mark.parametrize("name", STRUCTURES)
def test_energy_forces_and_stress_are_those_of_the_reference(name, sweeps, stop_gradient):
    """1e-9 eV and eV/Å: charges are solved to 1e-10 eV/e, and the energy answers to their errors
    with factors below ten."""
    structure = STRUCTURES[name]
    potential = build({"pqeq": {**SETTINGS, "sweeps": sweeps, "stop_gradient": stop_gradient}})
    compiled = potential.compile_for_inference()
    stress = bool(structure.pbc.all())
    expected = potential.evaluate(structure, stress=stress)
    for _ in range(2):  # cold, then warm
        found = compiled.evaluate(structure, stress=stress)
        torch.testing.assert_close(found.energy, expected.energy, atol=1e-9, rtol=0)
        torch.testing.assert_close(found.charges, expected.charges, atol=1e-9, rtol=0)
        torch.testing.assert_close(found.shells, expected.shells, atol=1e-9, rtol=0)
        torch.testing.assert_close(found.forces, expected.forces, atol=3e-9, rtol=0)
        if stress:
            torch.testing.assert_close(found.stress, expected.stress, atol=1e-10, rtol=0)


def test_some_shells_are_clipped_and_some_are_not():
    """What the test above needs, to see both branches of the clip's derivative."""
    lengths = build({"pqeq": SETTINGS}).evaluate(salt((0.1, -0.2, 0.3))).shells.norm(dim=1)
    clipped = (lengths - constants.SHELL_CLIP).abs() < 1e-9
    assert 0 < int(clipped.sum()) < len(clipped)


def test_the_scripted_module_follows_atoms_that_move_and_fields_that_change():
    potential = build({"pqeq": SETTINGS})
    scripted = torch.jit.freeze(torch.jit.script(potential.compile_for_inference()))
    structure = salt()
    velocity = 0.02 * torch.randn(
        8, 3, generator=torch.Generator().manual_seed(2), dtype=torch.float64
    )
    for step in range(4):
        positions = (
            structure.positions + step * velocity + step * structure.cell[0, 1]
        ).requires_grad_(True)
        field = (0.05 * step * tensor([[1.0, 0.5, 0.0]])).requires_grad_(True)
        now = structure._replace(positions=positions, field=field)
        slopes = torch.autograd.grad(scripted(now).energy.sum(), [positions, field])
        expected = torch.autograd.grad(potential(now).energy.sum(), [positions, field])
        torch.testing.assert_close(slopes[0], expected[0], atol=3e-9, rtol=0)
        torch.testing.assert_close(slopes[1], expected[1], atol=3e-9, rtol=0)


def test_fragments_keep_their_charges():
    two = structure_of(
        torch.cat([water().positions, water().positions + tensor([0.0, 0.0, 3.0])]),
        water().numbers.repeat(2),
        12.0 * torch.eye(3, dtype=torch.float64),
        field=FIELD,
    )
    groups = Groups(
        torch.tensor([0, 0, 0, 1, 1, 1]),
        tensor([0.2, -0.2]),
        torch.tensor([0, 3]),
        torch.zeros(6, dtype=torch.float64),
    )
    potential = build({"pqeq": SETTINGS}).configured(coupling="fragment", groups=groups)
    expected, found = potential.evaluate(two), potential.compile_for_inference().evaluate(two)
    torch.testing.assert_close(
        found.charges.view(2, 3).sum(1), tensor([0.2, -0.2]), atol=1e-12, rtol=0
    )
    torch.testing.assert_close(found.charges, expected.charges, atol=1e-9, rtol=0)
    torch.testing.assert_close(found.forces, expected.forces, atol=3e-9, rtol=0)


def test_a_batch_is_its_structures():
    compiled = build({"pqeq": SETTINGS}).compile_for_inference()
    structures = [salt(), perovskite(1.0), salt((0.1, 0.0, 0.0))]
    together = compiled.evaluate(collate(structures))
    alone = [compiled.evaluate(one) for one in structures]
    torch.testing.assert_close(
        together.energy, torch.cat([one.energy for one in alone]), atol=1e-9, rtol=0
    )
    torch.testing.assert_close(
        together.forces, torch.cat([one.forces for one in alone]), atol=3e-9, rtol=0
    )


def test_one_module_serves_both_precisions():
    """A hardness that is the same number in float32 does not bring back a preconditioner of the
    other precision. 1e-3 eV/Å: float32."""
    potential = build({"pqeq": SETTINGS})
    potential.pqeq.hardness.fill_(16.0)
    compiled = potential.compile_for_inference()
    structure = salt()
    expected = potential.evaluate(structure).forces
    for dtype in (torch.float64, torch.float32, torch.float64):
        positions, cell, charge, field = (
            t.to(dtype)
            for t in (structure.positions, structure.cell, structure.total_charge, structure.field)
        )
        now = structure._replace(positions=positions, cell=cell, total_charge=charge, field=field)
        error = 1e-3 if dtype == torch.float32 else 1e-8
        torch.testing.assert_close(
            compiled.evaluate(now).forces, expected.to(dtype), atol=error, rtol=0
        )


@pytest.mark.parametrize("protocol", ["reaxnet", "ewald"])
def test_atoms_that_go_to_and_fro_have_a_guess_in_single_precision(protocol):
    compiled = (
        build({"pqeq": {"protocol": protocol}})
        .configured(precision="single")
        .compile_for_inference()
    )
    one = structure_of(
        *(
            t.float() if t.is_floating_point() else t
            for t in (salt().positions, salt().numbers, salt().cell[0])
        )
    )
    energies = [
        float(compiled.evaluate(one._replace(positions=one.positions + 0.01 * (k % 2))).energy)
        for k in range(8)
    ]
    assert max(energies) - min(energies) < 1e-3  # eV, float32


def test_a_matrix_that_is_singular_is_refused():
    """Two atoms whose interaction is their hardness: charge may go from one to the other at no
    cost."""
    pairs = TaperedPairs(
        torch.tensor([0], dtype=torch.int32),
        torch.tensor([1], dtype=torch.int32),
        torch.zeros(1, 3),
        torch.zeros(1, 3),
    )
    hardness = tensor([7.0, 7.0])
    matrix = ChargeMatrix(hardness, pairs, tensor([7.0]), torch.zeros(2, dtype=torch.int64), 1)
    right, start = tensor([1.0, -1.0]), tensor([0.0, 0.0])
    assert solve_by_minres(matrix, diagonal_inverse(hardness), right, start, 1e-9).residual > 0.1
    swept = build({"pqeq": SETTINGS}).compile_for_inference().pqeq.swept
    with pytest.raises(RuntimeError, match="no reliable solution"):
        swept.solved(matrix, diagonal_inverse(hardness), right, start, 1e-9)


def test_indefinite_matrices_have_a_solution_and_a_bad_guess_costs_no_accuracy():
    generator = torch.Generator().manual_seed(5)
    n = 30
    i, j = torch.triu_indices(n, n, 1)
    values = 3.0 * torch.randn(len(i), generator=generator, dtype=torch.float64)
    hardness = 5.0 + torch.rand(n, generator=generator, dtype=torch.float64)
    full = (
        torch.diag(hardness)
        .index_put((i, j), values, accumulate=True)
        .index_put((j, i), values, accumulate=True)
    )
    assert float(torch.linalg.eigvalsh(full)[0]) < -1.0
    pairs = TaperedPairs(
        i.to(torch.int32), j.to(torch.int32), torch.zeros(len(i), 3), torch.zeros(len(i), 3)
    )
    group = torch.tensor([0, 1] * (n // 2))
    right = torch.randn(n, generator=generator, dtype=torch.float64)
    members = torch.stack([group == 0, group == 1], 1).to(torch.float64)
    bordered = torch.cat(
        [
            torch.cat([full, members], 1),
            torch.cat([members.t(), torch.zeros(2, 2, dtype=torch.float64)], 1),
        ]
    )
    sums = tensor([1.5, -0.5])
    expected = torch.linalg.solve(bordered, torch.cat([right, sums]))[:n]
    for noise in (0.0, 1e6):
        start = noise * torch.randn(n, generator=generator, dtype=torch.float64)
        start = start - (members @ (start @ members) - members @ sums) / (n // 2)
        found = solve_by_minres(
            ChargeMatrix(hardness, pairs, values, group, 2),
            diagonal_inverse(hardness),
            right,
            start,
            1e-9,
        )
        assert found.residual <= 1e-9
        torch.testing.assert_close(found.charges, expected, atol=1e-8, rtol=0)


def test_clusters_save_products_and_one_that_is_not_definite_is_left_for_the_hardness():
    structure = perovskite(1.0)
    shifts = torch.cartesian_prod(*[tensor([0.0, 1.0])] * 3)
    positions = torch.cat([structure.positions + shift @ structure.cell[0] for shift in shifts])
    positions = positions + 0.1 * torch.randn(
        positions.shape, generator=torch.Generator().manual_seed(7), dtype=torch.float64
    )
    big = structure_of(positions, structure.numbers.repeat(8), 2 * structure.cell[0])
    pqeq = build({"pqeq": SETTINGS}).pqeq
    pairs = tapered_pairs_reference(
        KeptSearch(CUTOFF, 0.5)(big), big.cell[0], CUTOFF, torch.float64
    )
    _, kind = torch.unique(big.numbers, return_inverse=True)
    exponent = gaussian_exponents(pqeq.radius)
    alpha, present = exponent[big.numbers], exponent[torch.unique(big.numbers)]
    gamma = pair_exponents(present.unsqueeze(1), present)
    hardness, n = pqeq.hardness[big.numbers], len(big.numbers)
    values = tapered_radials_reference(pairs, kind, gamma, CUTOFF, None)[0]
    matrix = ChargeMatrix(hardness, pairs, values, torch.zeros(n, dtype=torch.int64), 1)
    right, start = -pqeq.electronegativity[big.numbers], torch.zeros(n, dtype=torch.float64)
    plain = solve_by_minres(matrix, diagonal_inverse(hardness), right, start, 1e-9)
    inverse = cluster_inverse(hardness, alpha, pairs)
    helped = solve_by_minres(matrix, inverse, right, start, 1e-9)
    assert helped.products < 0.9 * plain.products
    torch.testing.assert_close(helped.charges, plain.charges, atol=1e-9, rtol=0)
    wrong = inverse._replace(diagonal=-inverse.diagonal)
    swept = build({"pqeq": SETTINGS}).compile_for_inference().pqeq.swept
    torch.testing.assert_close(
        swept.solved(matrix, wrong, right, start, 1e-9).charges, plain.charges, atol=1e-9, rtol=0
    )


@pytest.mark.parametrize(
    "product", [tapered.pair_matrix_product_reference, tapered.pair_matrix_product]
)
def test_products_with_float32_values_keep_the_digits_of_the_vector(product):
    pairs, x = inputs(salt(), torch.float32)[1], torch.linspace(0.1, 0.9, 8, dtype=torch.float64)
    values = torch.rand(len(pairs.centers), generator=torch.Generator().manual_seed(6))
    i, j, exact = pairs.centers.long(), pairs.neighbors.long(), values.to(torch.float64)
    full = torch.zeros(8, 8, dtype=torch.float64).index_put((i, j), exact, accumulate=True)
    torch.testing.assert_close(product(pairs, values, x), (full + full.t()) @ x, atol=1e-12, rtol=0)


@pytest.mark.parametrize("name", ["salt in a field", "perovskite"])
def test_float32_kernels_are_good_to_a_few_micro_electron_volts(name):
    """mixed against double: 3e-5 eV/atom and 1e-4 eV/Å, rounding of hundreds of kernels of some eV
    for each atom."""
    structure = STRUCTURES[name]
    potential = build({"pqeq": SETTINGS})
    exact = potential.configured(precision="double").compile_for_inference().evaluate(structure)
    mixed = potential.configured(precision="mixed").compile_for_inference().evaluate(structure)
    assert 0.0 < float((mixed.energy - exact.energy).abs()) < 3e-5 * len(structure.numbers)
    torch.testing.assert_close(mixed.forces, exact.forces, atol=1e-4, rtol=0)


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


@pytest.mark.skipif(not ops.available("tapered_pairs"), reason="native operators are not built")
@pytest.mark.parametrize(
    ("dtype", "error"), [(torch.float64, 1e-11), (torch.float32, 2e-4)], ids=["float64", "float32"]
)
@pytest.mark.parametrize("name", STRUCTURES)
def test_native_operators_are_their_reference(name, dtype, error):
    """Sums of some hundred terms of some eV: rounding is 1e-13 and, in float32, 1e-5 of each."""
    structure = STRUCTURES[name]
    kept, pairs, kind, gamma, z, q, s, dq, ds = inputs(structure, dtype)
    native = tapered.tapered_pairs_native(kept, structure.cell[0], CUTOFF, dtype)
    for a, b in zip(native[:3], pairs[:3]):
        assert torch.equal(a, b)
    torch.testing.assert_close(
        native.vectors, pairs.vectors, atol=1e-6 if dtype == torch.float32 else 1e-13, rtol=0
    )
    at_cores = tapered_radials_reference(pairs, kind, gamma, CUTOFF, None)
    at_moved = tapered_radials_reference(pairs, kind, gamma, CUTOFF, s)
    for shells, expected in ((None, at_cores), (s, at_moved)):
        torch.testing.assert_close(
            tapered.tapered_radials_native(pairs, kind, gamma, CUTOFF, shells),
            expected,
            atol=error,
            rtol=error,
        )
    for shells, at_shells in ((torch.zeros_like(s), at_cores), (s, at_moved)):
        at = (pairs, at_cores, at_shells, z, q, shells)
        for a, b in (
            (
                tapered.tapered_gradient_native(*at, True, True),
                tapered.tapered_gradient_reference(*at, True, True),
            ),
            (
                tapered.tapered_gradient_native(*at, True, False),
                tapered.tapered_gradient_reference(*at, True, False),
            ),
            (
                tapered.tapered_product_native(*at, dq, ds, True, True),
                tapered.tapered_product_reference(*at, dq, ds, True, True),
            ),
            (
                tapered.tapered_product_native(*at, dq, ds, False, True),
                tapered.tapered_product_reference(*at, dq, ds, False, True),
            ),
            (
                tapered.tapered_forces_native(*at, dq, ds, 0.7),
                tapered.tapered_forces_reference(*at, dq, ds, 0.7),
            ),
        ):
            for x, y in zip(a, b, strict=True):
                torch.testing.assert_close(x, y, atol=error, rtol=error)
    product = tapered.pair_matrix_product_native(pairs, at_cores[0], q)
    torch.testing.assert_close(
        product,
        tapered.pair_matrix_product_reference(pairs, at_cores[0], q),
        atol=error,
        rtol=error,
    )


@pytest.mark.skipif(not ops.available("tapered_pairs"), reason="native operators are not built")
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


@pytest.mark.skipif(not ops.available("tapered_pairs"), reason="native operators are not built")
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
