"""The Coulomb sums against exact ones: direct sum over waves and mesh, and the derivatives that the
charge solver uses."""

import math

import pytest
import torch
from pqeq_potentials import TIGHT, potential_of
from structures import FIELD, periodic_along, perovskite, tensor, water

from openmm_pqeq.neighbors.search import NeighborSearch
from openmm_pqeq.pqeq import PQEq, resolve_parameters
from openmm_pqeq.pqeq.coulomb.kernels import (
    coulomb_radial_near_zero,
    coulomb_radial_reference,
    tapered_coulomb,
)
from openmm_pqeq.pqeq.minimum.problem import linearize, product
from openmm_pqeq.structure import ATOMIC_NUMBERS, structure_of


@pytest.mark.parametrize("protocol", ["ewald", "pme"])
@pytest.mark.parametrize(
    ("cutoff", "tolerance", "error"),
    [(6.0, 1e-10, 1e-9), (9.0, 1e-10, 1e-9), (12.0, 1e-10, 1e-9), (6.0, 1e-5, 1e-5)],
)
def test_energy_of_four_atoms_with_very_different_widths(protocol, cutoff, tolerance, error):
    """The sum over all k with the true widths is −2.861134663504584 eV, computed independently; the
    cutoff sets κ."""
    radius = {"Cs": 2.984, "Cl": 0.994, "H": 0.371, "Na": 2.085}
    cell = tensor([[7.0, 0.0, 0.0], [1.2, 6.5, 0.0], [0.5, -0.8, 7.3]])
    positions = tensor(
        [
            [4.802962629734922, 1.7208348203162012, 0.29910672473422123],
            [1.5479955243788914, 4.556052092979593, 6.663115714127368],
            [5.393658799283768, 4.3068276532236505, 3.9684624376975868],
            [7.52590048154529, 5.30085730165384, 0.01999105124208109],
        ]
    )
    shells = tensor(
        [
            [-0.23250307746388343, -0.021879166393254573, -0.12459109472530652],
            [-0.07322673547034517, -0.054425898285730995, -0.031630015636915455],
            [0.04116305363741329, 0.10425133694426776, -0.012853466294403426],
            [0.1366463470549686, -0.06651946734866136, 0.035151007009301974],
        ]
    )
    charges = tensor(
        [1.0704057182016948, 0.26094783431076074, -0.5765637128039223, -0.7547898397085333]
    )
    values = {
        "electronegativity": 0.0,
        "hardness": 10.0,
        "core_charge": 1.0,
        "spring_constant": 300.0,
    }
    parameters = resolve_parameters(
        {symbol: {**values, "radius": r} for symbol, r in radius.items()}
    )
    model = PQEq(parameters, protocol, cutoff=cutoff, tolerance=tolerance)
    structure = structure_of(positions, torch.tensor([ATOMIC_NUMBERS[s] for s in radius]), cell)
    problem = model.problem(structure, NeighborSearch(cutoff)(structure))
    energy = model.coulomb_energy(problem, charges, shells)
    assert abs(float(energy) + 2.861134663504584) < error


MADELUNG = {
    # lattice vectors, ions as (fraction, charge), distance of nearest neighbours, constant for that
    # distance; Kittel, table 3.3
    "NaCl": (
        [[0, 1, 1], [1, 0, 1], [1, 1, 0]],
        [((0, 0, 0), 1), ((0.5, 0.5, 0.5), -1)],
        1.0,
        1.7475645946,
    ),
    "CsCl": (
        [[1, 0, 0], [0, 1, 0], [0, 0, 1]],
        [((0, 0, 0), 1), ((0.5, 0.5, 0.5), -1)],
        math.sqrt(3) / 2,
        1.7626747731,
    ),
    "ZnS": (
        [[0, 1, 1], [1, 0, 1], [1, 1, 0]],
        [((0, 0, 0), 1), ((0.25, 0.25, 0.25), -1)],
        math.sqrt(3) / 2,
        1.6380550533,
    ),
}


@pytest.mark.parametrize("protocol", ["ewald", "pme"])
@pytest.mark.parametrize("name", MADELUNG)
def test_madelung_constants_with_narrow_charges(name, protocol):
    lattice, ions, neighbor, constant = MADELUNG[name]
    values = {
        "electronegativity": 0.0,
        "hardness": 200.0,
        "core_charge": 0.0,
        "radius": 0.1,
        "spring_constant": 0.0,
    }
    model = PQEq(resolve_parameters({"Na": values}), protocol, cutoff=8.0, tolerance=TIGHT)
    cell = 2.0 * tensor(lattice)
    positions = tensor([fraction for fraction, _ in ions]) @ cell
    structure = structure_of(positions, torch.full((2,), 11), cell)
    problem = model.problem(structure, NeighborSearch(8.0)(structure))
    charges, none = tensor([float(q) for _, q in ions]), torch.zeros(2, 3, dtype=torch.float64)
    energy = model.coulomb_energy(problem, charges, none)
    assert abs(-float(energy) * 2.0 * neighbor / 14.399645 - constant) < 1e-6


def test_fitted_sets_have_names():
    assert [sorted(resolve_parameters(name)) for name in ("batio3", "sio2")] == [
        ["Ba", "O", "Ti"],
        ["O", "Si"],
    ]
    assert resolve_parameters("molecules")["O"].softness > 0
    response = resolve_parameters("response")
    assert len([kind for kind in response if kind.isalpha()]) == 103
    assert response["Ti4+"].softness > 0
    with pytest.raises(ValueError, match="'qm7b' is withdrawn: its charges had the wrong sign"):
        resolve_parameters("qm7b")


def test_radial_derivatives_are_those_of_the_value():
    distance = torch.linspace(0.4, 12.0, 40, dtype=torch.float64).requires_grad_(True)
    gamma = torch.linspace(0.11, 0.9, 40, dtype=torch.float64)
    for radial in (
        coulomb_radial_reference(distance, gamma),
        tapered_coulomb(distance, gamma, 12.5),
    ):
        value, first = radial[0], radial[1]
        (slope,) = torch.autograd.grad(value.sum(), distance, create_graph=True)
        torch.testing.assert_close(first * distance, slope, atol=1e-12, rtol=1e-10)
        if len(radial) == 3:
            (curvature,) = torch.autograd.grad(slope.sum(), distance)
            torch.testing.assert_close(
                radial[2] * distance**2, curvature - first, atol=1e-10, rtol=1e-8
            )


def test_series_near_zero_meets_the_closed_form():
    """The two branches join at γr = ½; on both sides the values agree to rounding."""
    direction = tensor([[1.0, 0.0, 0.0]])
    for r in (0.4999, 0.5001):
        near = coulomb_radial_near_zero(r * direction, torch.ones(1, dtype=torch.float64))
        far = coulomb_radial_reference(tensor([r]), torch.ones(1, dtype=torch.float64))
        for a, b in zip(near, far):
            assert abs(float(a - b)) < 1e-11 * (1 + abs(float(b)))
    at_zero = coulomb_radial_near_zero(
        torch.zeros(1, 3, dtype=torch.float64), torch.ones(1, dtype=torch.float64)
    ).value
    assert abs(float(at_zero) - 14.399645 * 2 / math.sqrt(math.pi)) < 1e-12


@pytest.mark.parametrize(
    ("protocol", "structure"),
    [
        ("ewald", perovskite(0.7, FIELD)),
        ("ewald", periodic_along(perovskite(0.7), (True, True, False))),
        ("pme", perovskite(0.7, FIELD)),
        ("pme", periodic_along(perovskite(0.7), (True, False, False))),
        ("direct", water(0.0, FIELD)),
    ],
)
def test_analytic_gradient_and_hessian_products_are_those_of_autograd(protocol, structure):
    """Errors allowed: rounding of numbers of about 100 eV."""
    model = potential_of(protocol).pqeq
    problem = model.problem(structure, NeighborSearch(6.0)(structure))
    generator = torch.Generator().manual_seed(1)
    n = len(structure.numbers)
    q, dq = torch.randn(2, n, generator=generator, dtype=torch.float64)
    s, ds = 0.1 * torch.randn(2, n, 3, generator=generator, dtype=torch.float64)
    q, s = q.requires_grad_(True), s.requires_grad_(True)
    slope = torch.autograd.grad(model.energy(problem, q, s), (q, s), create_graph=True)
    at = linearize(problem, q.detach(), s.detach())
    torch.testing.assert_close(at.charge_gradient, slope[0], atol=1e-11, rtol=0)
    torch.testing.assert_close(at.shell_gradient, slope[1], atol=1e-11, rtol=0)
    turned = torch.autograd.grad((slope[0] * dq).sum() + (slope[1] * ds).sum(), (q, s))
    mine = product(problem, at, s.detach(), dq, ds)
    torch.testing.assert_close(mine[0], turned[0], atol=1e-11, rtol=0)
    torch.testing.assert_close(mine[1], turned[1], atol=1e-11, rtol=0)
