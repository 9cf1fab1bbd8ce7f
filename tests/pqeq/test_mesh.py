"""The particle mesh: splines, equality with the direct sum at default settings, continuity, its
one-derivative form, and what it does to waves."""

import math

import pytest
import torch
from pqeq_potentials import energy_of, potential_of
from structures import FIELD, periodic_along, perovskite, rock_salt, tensor, waters

from openmm_pqeq.pqeq.coulomb.influence import (
    energy_of_waves,
    in_single_precision,
    influence_of,
    potential_on_mesh,
    waves_of,
)
from openmm_pqeq.pqeq.coulomb.mesh import _waves_energy, deconvolution, make_mesh
from openmm_pqeq.pqeq.coulomb.splines import (
    Grid,
    Points,
    interpolate,
    interpolate_hessian,
    splines,
    spread,
)


@pytest.mark.parametrize("order", [4, 5, 8])
def test_splines_add_up_to_one_and_their_derivatives_are_those_of_autograd(order):
    offset = torch.linspace(0.0, 0.999, 7, dtype=torch.float64).requires_grad_(True)
    spline, slope, bend = splines(offset, order)
    torch.testing.assert_close(spline.sum(1), torch.ones_like(offset), atol=1e-14, rtol=0)
    for j in range(order):
        (first,) = torch.autograd.grad(spline[:, j].sum(), offset, create_graph=True)
        (second,) = torch.autograd.grad(first.sum(), offset, create_graph=True)
        torch.testing.assert_close(slope[:, j], first, atol=1e-13, rtol=0)
        torch.testing.assert_close(bend[:, j], second, atol=1e-13, rtol=0)


def test_reading_is_the_transpose_of_putting_and_the_derivatives_follow():
    """More points than a block has would take long; points beyond the mesh's edges are in it."""
    grid = Grid(2, [5, 6, 8], 6)
    generator = torch.Generator().manual_seed(2)
    u = (20.0 * torch.rand(9, 3, generator=generator, dtype=torch.float64) - 8.0).requires_grad_(
        True
    )
    points = Points(u, torch.tensor([0, 1] * 4 + [0]))
    q, d = (
        torch.randn(9, generator=generator, dtype=torch.float64),
        torch.randn(9, 3, generator=generator, dtype=torch.float64),
    )
    field = torch.randn(2, 5, 6, 8, generator=generator, dtype=torch.float64)
    value, slope = interpolate(grid, points, field)
    torch.testing.assert_close(
        (spread(grid, points, q, None) * field).sum(), (q * value).sum(), atol=1e-12, rtol=0
    )
    torch.testing.assert_close(
        (spread(grid, points, q, d) * field).sum(),
        (q * value).sum() + (d * slope).sum(),
        atol=1e-12,
        rtol=0,
    )
    (from_value,) = torch.autograd.grad(value.sum(), u, create_graph=True)
    torch.testing.assert_close(slope, from_value, atol=1e-12, rtol=0)
    bend = interpolate_hessian(grid, points, field)
    for a in range(3):
        torch.testing.assert_close(
            bend[:, a],
            torch.autograd.grad(slope[:, a].sum(), u, retain_graph=True)[0],
            atol=1e-12,
            rtol=0,
        )


CRYSTALS = [
    rock_salt((11, 17), 5.64),
    rock_salt((55, 9), 6.0),
    rock_salt((19, 35), 6.6),
    waters(),
    perovskite(1.5, FIELD),
    periodic_along(rock_salt((12, 8), 4.21), (True, True, False)),
    periodic_along(rock_salt((55, 17), 6.9, repeat=1), (True, False, True)),
    periodic_along(rock_salt((11, 17), 5.64, repeat=1), (False, True, False)),
]


@pytest.mark.parametrize(
    "structure",
    CRYSTALS,
    ids=["NaCl", "CsF", "KBr", "water", "charged", "slab", "wide slab", "wire"],
)
def test_the_mesh_is_the_direct_sum_at_default_settings(structure):
    """1e-6 e, 1e-6 eV/atom, 1e-5 eV/Å: what the default tolerance of 1e-5 promises."""
    n = len(structure.numbers)
    mesh = potential_of("pme", tolerance=1e-5).evaluate(structure, stress=True)
    exact = potential_of("ewald", tolerance=1e-8).evaluate(structure, stress=True)
    assert float((mesh.energy - exact.energy).abs()) / n < 1e-6
    torch.testing.assert_close(mesh.charges, exact.charges, atol=2e-6, rtol=0)
    torch.testing.assert_close(mesh.forces, exact.forces, atol=1e-5, rtol=0)
    torch.testing.assert_close(mesh.stress, exact.stress, atol=1e-6, rtol=0)


@pytest.mark.parametrize(
    "structure",
    [CRYSTALS[3], CRYSTALS[4], CRYSTALS[5], CRYSTALS[7]],
    ids=["water", "charged", "slab", "wire"],
)
def test_the_form_for_dynamics_has_the_same_energy_forces_and_stress(structure):
    potential = potential_of("pme", tolerance=1e-6)
    full, once = (
        potential.evaluate(structure, stress=True),
        potential.compile_for_inference().evaluate(structure, stress=True),
    )
    torch.testing.assert_close(once.energy, full.energy, atol=1e-9, rtol=0)
    torch.testing.assert_close(once.forces, full.forces, atol=1e-9, rtol=0)
    torch.testing.assert_close(once.stress, full.stress, atol=1e-9, rtol=0)


def test_the_energy_is_continuous_under_a_volume_scan():
    """Third differences of a smooth curve in steps of 0.1 % are below 1e-8 eV/atom; another mesh
    would show as 1e-6."""
    potential, crystal = (
        potential_of("pme", tolerance=1e-5).compile_for_inference(),
        rock_salt((11, 17), 5.64),
    )
    energies = []
    for step in range(-30, 31):
        scale = 1.0 + 0.001 * step
        energies.append(
            energy_of(
                potential,
                crystal._replace(positions=scale * crystal.positions, cell=scale * crystal.cell),
            )
        )
    assert float(tensor(energies).diff(n=3).abs().max()) / len(crystal.numbers) < 1e-8


@pytest.mark.parametrize("order", [4, 6, 8])
def test_the_shortest_waves_of_a_mesh_count_with_their_aliases(order):
    """At half the points per wave, k and its alias −k have the same weight (2/π)ᵖ: their sum is
    twice that, and the next 3⁻²ᵖ."""
    like = torch.zeros(1, dtype=torch.float64)
    found = float(deconvolution(12, order, like)[6])
    assert (
        abs(found / (2 * (2 / math.pi) ** order * (1 + 3 ** (-2 * order) + 5 ** (-2 * order))) - 1)
        < 1e-5
    )
    assert abs(float(deconvolution(12, order, like)[0]) - 1) < 1e-12


def test_narrow_pairs_take_part_in_real_space():
    """With κ = 0.4 Å⁻¹, below most exponents, the mesh is coarse and the pairs have the rest."""
    structure, wide = waters(), potential_of("pme", cutoff=4.0, tolerance=1e-6)
    split = potential_of("pme", cutoff=9.0, tolerance=1e-6)
    a, b = wide.evaluate(structure), split.evaluate(structure)
    assert split.pqeq.lattice.planned_size.prod() < wide.pqeq.lattice.planned_size.prod() / 4
    torch.testing.assert_close(a.forces, b.forces, atol=1e-6, rtol=0)


@pytest.mark.parametrize("narrow", [False, True])
def test_the_influence_is_what_the_mesh_does_to_waves(narrow):
    """Potential and energy in real numbers are those in complex ones; in float32 to 1e-6 of the
    largest."""
    generator, size = torch.Generator().manual_seed(3), [4, 6, 8]

    def drawn(*shape):
        return torch.rand(*shape, generator=generator, dtype=torch.float64)

    green, damping, density = drawn(4, 6, 5), drawn(3, 4, 6, 5), drawn(3, *size) - 0.5
    between = drawn(3, 3, 4, 6, 5) if narrow else None
    waves = torch.fft.rfftn(density, dim=[1, 2, 3])
    mixed = damping * (green * (damping * waves).sum(dim=0))
    if between is not None:
        mixed = mixed + (between * waves.unsqueeze(0)).sum(dim=1)
    potential = torch.fft.irfftn(mixed, s=size, dim=[1, 2, 3], norm="forward")
    influence = influence_of(green, damping, between)
    torch.testing.assert_close(potential_on_mesh(influence, density), potential, atol=1e-10, rtol=0)
    single = potential_on_mesh(in_single_precision(influence), density)
    torch.testing.assert_close(single, potential, atol=1e-6 * float(potential.abs().max()), rtol=0)
    energy = energy_of_waves(influence, waves_of(density)).unflatten(2, (5, 2)).sum(dim=3)
    expected = (waves.conj() * mixed).sum(dim=0).real
    torch.testing.assert_close(energy, expected, atol=1e-10, rtol=0)


def test_half_of_the_waves_have_the_energy_of_the_whole_mesh():
    """½ Σ ρ φ over points and over waves, of Gaussians so narrow that the shortest wave counts."""
    generator, size = torch.Generator().manual_seed(4), [4, 6, 8]
    mesh = make_mesh(
        torch.zeros(2, 3, dtype=torch.float64),
        3.0 * torch.eye(3, dtype=torch.float64),
        torch.tensor([True, True, True]),
        torch.tensor([0, 1]),
        tensor([50.0, 80.0]),
        5.0,
        True,
        size,
        4,
    )
    density = torch.randn(2, *size, generator=generator, dtype=torch.float64)
    energy, potential = _waves_energy(mesh, density)
    torch.testing.assert_close(energy, 0.5 * (density * potential).sum(), atol=0, rtol=1e-12)
