"""What makes the charge solver fast and must not make it wrong: guesses, the preconditioner,
float32 in products, the memory."""

import pytest
import torch
from pqeq_potentials import BONDED, potential_of
from structures import FIELD, periodic_along, perovskite, rock_salt, tensor, water, waters

from openmm_pqeq.neighbors.pairs import within
from openmm_pqeq.neighbors.search import NeighborSearch
from openmm_pqeq.potential import build
from openmm_pqeq.pqeq.bonds import flow, own_softness
from openmm_pqeq.pqeq.coulomb.splines import Points
from openmm_pqeq.pqeq.coulomb.sum import ROUNDING, product_error, step_error
from openmm_pqeq.pqeq.minimum.by_bonds import (
    gradient_at,
    hidden,
    linear_part,
    minimize_by_bonds,
    relax_by_bonds,
    still_to_flow,
)
from openmm_pqeq.pqeq.minimum.history import History, guess, nearest_images, remember
from openmm_pqeq.pqeq.minimum.newton import minimize, neglected, residual_of, solve_linear
from openmm_pqeq.pqeq.minimum.preconditioner import (
    Near,
    clusters,
    long_waves,
    near_atoms,
    precondition,
)
from openmm_pqeq.pqeq.minimum.problem import for_products, linearize, product
from openmm_pqeq.pqeq.parameters import resolve_parameters
from openmm_pqeq.response import response

BY_BONDS = {"charge_flow": "bonds", "coupling": None, "parameters": BONDED}


def line(t: float) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Positions, charges and shells that are the same quadratic function of time for every atom."""
    generator = torch.Generator().manual_seed(4)
    a, b, c = torch.randn(3, 5, 7, generator=generator, dtype=torch.float64)
    values = a + b * t + c * t**2
    return values[:, :3], values[:, 3], values[:, 4:]


def history_of(*times: float) -> History:
    empty = torch.zeros(0, 0, dtype=torch.float64)
    history = History(
        torch.zeros(0, 0, 3, dtype=torch.float64), empty, torch.zeros(0, 0, 3, dtype=torch.float64)
    )
    for t in times:
        history = remember(history, *line(t))
    return history


@pytest.mark.parametrize("now", [0.5, 0.0, -0.2, 0.25])
def test_guesses_are_exact_where_charges_follow_positions_and_old_positions_are_found_again(now):
    """Three solutions determine a parabola: ahead of them, at one of them, and between. 1e-4 of the
    ridge is left."""
    positions, charges, shells = line(now)
    guessed = guess(history_of(-0.4, -0.2, 0.0, 0.2, 0.4), positions)
    torch.testing.assert_close(guessed[0], charges, atol=1e-4, rtol=0)
    torch.testing.assert_close(guessed[1], shells, atol=1e-4, rtol=0)


def test_history_keeps_six_and_does_not_keep_the_same_positions_twice():
    history = history_of(*range(9))
    assert history.charges.size(0) == 6
    assert remember(history, *line(8.0)).positions.size(0) == 6
    torch.testing.assert_close(remember(history, *line(8.0)).positions[1], line(7.0)[0])


def test_wrapped_atoms_are_followed_to_their_nearest_images():
    cell = perovskite().cell[0]
    positions = perovskite().positions
    wrapped = positions + tensor([[1, 0, 0], [0, -2, 0], [0, 0, 0], [3, 1, -1], [0, 0, 5]]) @ cell
    for periodic in ([True, True, True], [True, False, True]):
        pbc = torch.tensor(periodic)
        back = nearest_images(wrapped, cell, pbc, positions + 0.1)
        turns = (wrapped - positions) @ torch.linalg.inv(cell) * ~pbc
        torch.testing.assert_close(back, positions + turns @ cell, atol=1e-12, rtol=0)


@pytest.mark.parametrize(
    ("structure", "part"),
    [(waters(), 0.67), (rock_salt((11, 17), 5.64), 1.0)],
    ids=["water", "NaCl"],
)
@pytest.mark.parametrize("protocol", ["ewald", "pme"])
def test_the_preconditioner_is_symmetric_positive_and_saves_products(structure, part, protocol):
    """A third of them for water; none for cold rock salt, whose neighbours within 3.5 Å are six."""
    model = potential_of(protocol, tolerance=1e-6).pqeq
    pairs = NeighborSearch(model.cutoff)(structure)
    problem = model.problem(structure, pairs)
    close = within(pairs, 3.5)
    near = Near(close.centers, close.neighbors, close.vectors)
    plain, fast = minimize(problem, 1e-6), minimize(problem, 1e-6, near=near)
    torch.testing.assert_close(plain.unknowns, fast.unknowns, atol=1e-6, rtol=0)
    assert fast.products <= part * plain.products
    inverse = clusters(problem, linearize(problem, fast.unknowns, fast.shells).local, near)
    generator, n = torch.Generator().manual_seed(5), len(structure.numbers)
    q = torch.randn(2, n, generator=generator, dtype=torch.float64)
    s = torch.randn(2, n, 3, generator=generator, dtype=torch.float64)
    waves = long_waves(problem)
    assert (waves is None) == (protocol == "ewald")
    for dtype, digits in [(torch.float64, 1e-10), (torch.float32, 1e-5)]:
        inverse = inverse._replace(blocks=inverse.blocks.to(dtype))
        if waves is not None:
            at = Points(waves.cores.u.to(dtype), waves.cores.channel)
            waves = waves._replace(cores=at, kept=waves.kept.to(dtype))
        a, b = precondition(inverse, waves, q[0], s[0]), precondition(inverse, waves, q[1], s[1])
        across, back = (
            (q[1] * a[0]).sum() + (s[1] * a[1]).sum(),
            (q[0] * b[0]).sum() + (s[0] * b[1]).sum(),
        )
        torch.testing.assert_close(across, back, atol=digits, rtol=0)
        assert float((q[0] * a[0]).sum() + (s[0] * a[1]).sum()) > 0


def test_a_step_of_dynamics_takes_half_the_products_of_a_cold_start():
    potential, structure = potential_of("pme", tolerance=1e-5).compile_for_inference(), waters()
    velocity = torch.randn(24, 3, generator=torch.Generator().manual_seed(6), dtype=torch.float64)
    products = []
    for step in range(6):
        potential(structure._replace(positions=structure.positions + 0.003 * step * velocity))
        products.append(potential.pqeq.products)
    assert products[-1] <= products[0] / 2


@pytest.mark.parametrize("protocol", ["ewald", "pme"])
def test_neighbours_of_large_core_charges_save_products(protocol):
    """Where Z is 6 the waves' share of a shell in its own potential is larger than its spring, and
    with it in them the clusters were not positive definite."""
    model = potential_of(protocol, tolerance=1e-8, parameters="batio3").pqeq
    structure = perovskite()
    pairs = NeighborSearch(model.cutoff)(structure)
    problem = model.problem(structure, pairs)
    minimum = minimize(problem, 1e-8)
    start = (minimum.unknowns, minimum.shells + 1e-3)
    plain, fast = minimize(problem, 1e-8, start), minimize(problem, 1e-8, start, near_atoms(pairs))
    assert fast.products <= 0.7 * plain.products


@pytest.mark.parametrize("settings", [{}, BY_BONDS], ids=["free", "bonds"])
@pytest.mark.parametrize("precision", ["double", "mixed"])
def test_what_counts_as_converged_is_so_at_a_tight_tolerance(precision, settings):
    """From a good guess there is one gradient, and none after the last product. 1e-5 eV/Å, what the
    default tolerance promises, at every step."""
    crystal = rock_salt((11, 17), 5.64)
    charges = torch.where(crystal.numbers == 11, 1.0, -1.0).to(torch.float64)
    crystal = crystal._replace(reference_charges=charges)
    warm = potential_of("pme", tolerance=1e-5, **settings).configured(precision=precision)
    warm, tight = warm.compile_for_inference(), potential_of("ewald", tolerance=1e-9, **settings)
    velocity = torch.randn(
        crystal.positions.shape, generator=torch.Generator().manual_seed(6), dtype=torch.float64
    )
    for step in range(8):
        moved = crystal._replace(positions=crystal.positions + 0.003 * step * velocity)
        found, exact = warm.evaluate(moved), tight.evaluate(moved)
        torch.testing.assert_close(found.forces, exact.forces, atol=1e-5, rtol=0)
        torch.testing.assert_close(found.charges, exact.charges, atol=4e-6, rtol=0)
    assert warm.pqeq.products <= 4


def test_what_float32_hides_is_found_by_another_gradient():
    """Charges by bonds from cold, at a tolerance that float32 has no digits for."""
    crystal = rock_salt((11, 17), 5.64, repeat=1)
    charges = torch.where(crystal.numbers == 11, 1.0, -1.0).to(torch.float64)
    crystal = crystal._replace(reference_charges=charges)
    model = potential_of("pme", tolerance=1e-9, **BY_BONDS).pqeq
    pairs = NeighborSearch(4.0)(crystal)
    exact = model.problem(crystal, pairs)
    model.set_precision("mixed")
    mixed = model.problem(crystal, pairs)
    assert exact.bonds is not None
    assert mixed.bonds is not None
    found = minimize_by_bonds(mixed, mixed.bonds, 1e-9)
    again = minimize_by_bonds(exact, exact.bonds, 1e-9, (found.unknowns, found.shells))
    assert again.products == 1  # the gradient, which is below the tolerance


@pytest.mark.parametrize(
    ("structure", "parameters"),
    [
        (rock_salt((11, 17), 5.64), "reaxnet"),
        (waters(), "reaxnet"),
        (perovskite(0.0, FIELD), "batio3"),
        (periodic_along(rock_salt((12, 8), 4.21), (True, True, False)), "reaxnet"),
    ],
    ids=["NaCl", "water", "BaTiO3", "slab"],
)
def test_products_on_the_rough_mesh_leave_no_more_than_is_stated(structure, parameters):
    """Of steps to right-hand sides at random, and to smooth ones."""
    model = potential_of("pme", tolerance=1e-5, parameters=parameters).pqeq
    model.set_precision("mixed")
    problem = model.problem(structure, NeighborSearch(model.cutoff)(structure))
    fine, rough = problem.coulomb.mesh, problem.coulomb.rough
    assert fine is not None
    assert rough is not None
    assert max(rough.grid.size) < max(fine.grid.size)
    minimum = minimize(problem, 1e-8)
    exact = linearize(problem, minimum.unknowns, minimum.shells)
    generator, n = torch.Generator().manual_seed(3), len(structure.numbers)
    smooth = torch.cos(structure.positions @ torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64))
    for right_q, right_s in [
        (torch.randn(n, generator=generator), torch.randn(n, 3, generator=generator)),
        (torch.zeros(n), torch.randn(n, 3, generator=generator)),
        (smooth, smooth.unsqueeze(1).repeat(1, 3)),
    ]:
        right_q, right_s = right_q.to(torch.float64), right_s.to(torch.float64)
        right_q = right_q - right_q.mean()
        step = solve_linear(problem, exact, minimum.shells, right_q, right_s, 1e-7)
        on_q, on_s = product(problem, exact, minimum.shells, step.charges, step.shells)
        fast = for_products(problem, exact)
        off_q, off_s = product(problem, fast, minimum.shells, step.charges, step.shells)
        error_q = (off_q - on_q) - (off_q - on_q).mean()
        error = float(torch.maximum(error_q.abs().max(), (off_s - on_s).abs().max()))
        largest = float(torch.maximum(right_q.abs().max(), right_s.abs().max()))
        assert error < product_error(problem.coulomb) * largest
        assert error < float(
            step_error(problem.coulomb, problem.core_charge, step.charges, step.shells)
        )


def test_what_a_rough_mesh_hides_of_a_step_is_known():
    """Springs so stiff that a step neglects nothing else."""
    found = resolve_parameters("reaxnet")
    stiff = {
        e: found[e]._replace(spring_constant=100 * found[e].spring_constant) for e in ("Na", "Cl")
    }
    parameters = {symbol: values._asdict() for symbol, values in stiff.items()}
    model = potential_of("pme", tolerance=1e-5, parameters=parameters).pqeq
    model.set_precision("mixed")
    crystal = rock_salt((11, 17), 5.64)
    problem = model.problem(crystal, NeighborSearch(model.cutoff)(crystal))
    minimum = minimize(problem, 1e-9)
    off = torch.cos(crystal.positions @ torch.tensor([0.55, 0.0, 0.0], dtype=torch.float64))
    charges = minimum.unknowns + 1e-2 * (off - off.mean())
    at = linearize(problem, charges, minimum.shells)
    right_q, right_s, _ = residual_of(problem, at)
    fast = for_products(problem, at)
    step = solve_linear(problem, fast, minimum.shells, right_q, right_s, 1e-9)
    there = linearize(problem, charges + step.charges, minimum.shells + step.shells)
    unseen = float(residual_of(problem, there)[2].max())
    assert 1e-7 < unseen < float(neglected(problem, step))


@pytest.mark.parametrize("softer", [1.0, 100.0, 300.0])
def test_what_a_rough_mesh_hides_of_soft_bonds_is_known(softer):
    """Hardness just above what every structure needs, and bonds nearly those of a metal: charges go far
    for a small residual, of which products hide more (3e-3) than of any other (5e-4)."""
    rows = {e: BONDED[e] | {"softness": BONDED[e]["softness"] * softer**0.5} for e in ("Na", "Cl")}
    rows["Na"]["hardness"], rows["Cl"]["hardness"] = 3.456, 5.025
    crystal = rock_salt((11, 17), 5.64)
    charges = torch.where(crystal.numbers == 11, 1.0, -1.0).to(torch.float64)
    model = potential_of("pme", tolerance=1e-5, **BY_BONDS | {"parameters": rows}).pqeq
    model.set_precision("mixed")
    problem = model.problem(
        crystal._replace(reference_charges=charges), NeighborSearch(model.cutoff)(crystal)
    )
    bonds, exact, inexact = problem.bonds, linear_part(problem), product_error(problem.coulomb)
    v, shells = torch.zeros(len(charges), dtype=torch.float64), torch.zeros_like(crystal.positions)
    start = gradient_at(problem, bonds, exact, v, shells)
    step = relax_by_bonds(problem, bonds, for_products(problem, exact), *start, 1e-9)
    left_q, left_s = gradient_at(problem, bonds, exact, step.v, step.shells)
    to_flow = still_to_flow(problem, own_softness(bonds), flow(bonds, left_q))
    unseen = float(torch.maximum(to_flow, left_s.abs().max(dim=1)[0]).max())
    assert 1e-7 < unseen < hidden(problem, bonds, step, inexact)


def test_products_have_the_mesh_of_the_energy_where_that_is_rough_itself():
    """And where they may not have fewer digits."""
    crystal = rock_salt((11, 17), 5.64)
    for precision, tolerance in [("double", 1e-5), ("mixed", 5e-2)]:
        model = potential_of("pme", tolerance=tolerance).pqeq
        model.set_precision(precision)
        coulomb = model.problem(crystal, NeighborSearch(model.cutoff)(crystal)).coulomb
        assert coulomb.mesh is not None
        assert coulomb.rough is None
        assert product_error(coulomb) == (0.0 if precision == "double" else ROUNDING)


@pytest.mark.parametrize("precision", ["double", "mixed"])
def test_soft_springs_keep_the_tolerance(precision):
    """Near a polarization catastrophe a small residual is a large step, and what a step neglects is
    quadratic in it. Guesses that are wrong along the softest direction; by the residual alone it was
    missed by 40 times."""
    found = resolve_parameters("reaxnet")
    soft = {e: found[e]._replace(spring_constant=0.05 * found[e].spring_constant) for e in "HO"}
    parameters = {symbol: values._asdict() for symbol, values in soft.items()}
    model = potential_of("direct", parameters=parameters).pqeq
    structure = water()
    problem = model.problem(structure, NeighborSearch(model.cutoff)(structure))
    minimum = minimize(problem, 1e-10)
    at = linearize(problem, minimum.unknowns, minimum.shells)
    along_q, along_s = torch.zeros(3, dtype=torch.float64), torch.ones(3, 3, dtype=torch.float64)
    for _ in range(5):
        softer = solve_linear(problem, at, minimum.shells, along_q, along_s, 1e-8)
        longest = softer.shells.abs().max()
        along_q, along_s = softer.charges / longest, softer.shells / longest
    model.set_precision(precision)
    solved = model.problem(structure, NeighborSearch(model.cutoff)(structure))
    for size in torch.logspace(-4, -1.5, 20, dtype=torch.float64):
        start = (minimum.unknowns + size * along_q, minimum.shells + size * along_s)
        warm = minimize(solved, 1e-5, start)
        there = linearize(problem, warm.unknowns, warm.shells)
        assert float(residual_of(problem, there)[2].max()) < 1e-5


def test_large_core_charges_keep_what_the_tolerance_promises():
    """The fitted set has Z up to 6: what a sum leaves out goes with Z². Mesh, direct sum and
    float32 products at 1e-5."""
    parameters = {"parameters": "batio3"}
    exact = potential_of("ewald", tolerance=1e-10, **parameters).evaluate(perovskite(0.0, FIELD))
    for protocol in ("ewald", "pme"):
        potential = potential_of(protocol, tolerance=1e-5, **parameters)
        for precision in ("double", "mixed"):
            found = potential.configured(precision=precision).evaluate(perovskite(0.0, FIELD))
            assert abs(float(found.energy - exact.energy)) / 5 < 1e-6
            torch.testing.assert_close(found.forces, exact.forces, atol=1e-5, rtol=0)


def test_a_compiled_potential_has_no_second_derivatives_and_says_so():
    with pytest.raises(ValueError, match="first derivatives only"):
        response(build({"pqeq": {"protocol": "direct"}}).compile_for_inference(), water())
