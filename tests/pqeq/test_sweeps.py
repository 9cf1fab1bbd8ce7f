"""The sweeps for dynamics: energy, forces and stress against sweeps/reference.py."""

import pytest
import torch
from structures import FIELD, periodic_along, perovskite, salt, tensor, water

from openmm_pqeq.neighbors.half_list import KeptSearch
from openmm_pqeq.potential import build
from openmm_pqeq.pqeq.coulomb.kernels import gaussian_exponents, pair_exponents
from openmm_pqeq.pqeq.groups import Groups
from openmm_pqeq.pqeq.sweeps.minres import (
    ChargeMatrix,
    cluster_inverse,
    diagonal_inverse,
    solve_by_minres,
)
from openmm_pqeq.pqeq.sweeps.reference import SHELL_CLIP
from openmm_pqeq.pqeq.sweeps.tapered_reference import (
    TaperedPairs,
    tapered_pairs_reference,
    tapered_radials_reference,
)
from openmm_pqeq.structure import collate, structure_of

CUTOFF = 7.0
SETTINGS = {"protocol": "reaxnet", "cutoff": CUTOFF, "tolerance": 1e-9}


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
    clipped = (lengths - SHELL_CLIP).abs() < 1e-9
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
        torch.zeros(6, dtype=torch.bool),
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
