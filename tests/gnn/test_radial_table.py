"""Tables of radial networks: exact at the knots, smooth between them, and close to the network
everywhere."""

import laws
import pytest
import torch
from networks import MODELS, network

from openmm_pqeq.gnn.radial import XPLOR_WIDTH, RadialBasis, RadialNetwork
from openmm_pqeq.gnn.radial_table import FIRST_KNOT, RadialTable, blocks, grid_of, locate, taylor

TOLERANCE = {torch.float64: 1e-9, torch.float32: 2e-6}  # of a weight of order one


def radial_of(model, layer=1):
    model = model.double().requires_grad_(False)
    return lambda r: model.interactions[layer].radial(model.basis(r))


def distances(model, n=500):
    return torch.linspace(0.6, model.cutoff - 1e-3, n, dtype=torch.float64)


@pytest.fixture(
    params=["true parities", "without self-connection, up to l = 3"]
)  # with a polynomial and with an xplor envelope
def model(request):
    return network(request.param)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_value_and_slope_are_those_of_the_network(model, dtype):
    radial = radial_of(model)
    table = RadialTable(radial, model.cutoff, dtype)
    r = distances(model)
    value, slope = taylor(radial, r, 1)
    ours, our_slope = taylor(table, r.to(dtype), 1)
    assert ours.dtype == dtype
    scale, slope_scale = value.abs().amax(0), slope.abs().amax(0)
    assert float(((ours - value).abs() / scale).max()) < TOLERANCE[dtype]
    assert float(((our_slope - slope).abs() / slope_scale).max()) < TOLERANCE[dtype]


@pytest.mark.parametrize("n_derivatives", [1, 2, 3])
def test_derivatives_at_the_knots_are_exact_even_with_few(model, n_derivatives):
    radial = radial_of(model)
    grid = grid_of(model.cutoff, 20)
    coefficients = torch.cat([block for *_, block in blocks(radial, grid, n_derivatives)])
    u = grid[0] + torch.arange(2, 12, dtype=torch.float64) / grid[1]
    r = grid[7] * u / (1.0 - u)
    row, place = locate(r + 1e-9, grid)
    exact = taylor(lambda v: radial(grid[7] * v / (1.0 - v)), u, n_derivatives)
    for d, derivative in enumerate(exact):
        factor = float(torch.tensor(d + 1.0, dtype=torch.float64).lgamma().exp())
        laws.close(
            coefficients[row][:, d] * factor * grid[1] ** d,
            derivative,
            1e-9 * float(derivative.abs().max()),
            f"derivative {d}",
        )
    assert float(place.max()) < 1e-6


def test_polynomials_meet_with_their_derivatives(model):
    """Two continuous derivatives in float32, three in float64; the onset of the xplor envelope
    keeps one."""
    grid = grid_of(model.cutoff, 150)
    coefficients = torch.cat([block for *_, block in blocks(radial_of(model), grid, 2)])
    k = torch.arange(6, dtype=torch.float64)
    ends = [
        (coefficients * falling[None, :, None]).sum(1)
        for falling in (torch.ones_like(k), k, k * (k - 1))
    ]
    starts = [coefficients[:, 0], coefficients[:, 1], 2 * coefficients[:, 2]]
    inner = int(grid[2])
    for low, high in ((0, inner), (inner, len(coefficients))):
        for order in range(3):
            step = ends[order][low : high - 1] - starts[order][low + 1 : high]
            laws.close(step, torch.zeros_like(step), 1e-8, f"derivative {order}")
    laws.close(ends[0][inner - 1], coefficients[inner, 0], 1e-8, "value at the onset")
    laws.close(
        ends[1][inner - 1] * grid[1], coefficients[inner, 1] * grid[4], 1e-6, "slope at the onset"
    )


def test_zero_from_the_cutoff_on(model):
    table = RadialTable(radial_of(model), model.cutoff, torch.float64)
    r = torch.tensor(
        [model.cutoff - 1e-6, model.cutoff, model.cutoff + 1e-9, 7.0, 1e6], dtype=torch.float64
    )
    value, slope = taylor(table, r, 1)
    assert not value[1:].any()
    assert not slope[1:].any()
    assert float(value[0].abs().max()) < 1e-8  # the envelope ends with its derivative


def test_finite_below_the_first_knot(model):
    table = RadialTable(radial_of(model), model.cutoff, torch.float64)
    r = torch.tensor(
        [0.0, 1e-9, 0.5 * FIRST_KNOT, FIRST_KNOT * (1 - 1e-9), FIRST_KNOT], dtype=torch.float64
    )
    value, slope = taylor(table, r, 1)
    assert torch.isfinite(value).all()
    assert torch.isfinite(slope).all()
    laws.close(value[3], value[4], 1e-5, "value at the first knot")


def test_gradient_is_the_derivative_of_what_is_evaluated(model):
    table = RadialTable(radial_of(model), model.cutoff, torch.float64)
    r = distances(model, 12).requires_grad_(True)
    assert torch.autograd.gradcheck(table, (r,))
    assert torch.autograd.gradgradcheck(table, (r,))


def test_scripted_table_is_the_same():
    for name in MODELS:
        model = network(name)
        table = RadialTable(radial_of(model, 0), model.cutoff, torch.float32)
        r = distances(model).float()
        laws.close(torch.jit.script(table)(r), table(r), 0.0, "weights")


CUTOFFS = [3.0, 3.3, 3.7, 4.0, 4.1, 4.2, 4.4, 4.5, 4.6, 4.7, 4.9, 5.0, 5.5, 5.9, 6.0, 7.3]


def random_radial(cutoff, envelope, seed=0):
    """A radial network of its own, without the rest of a model."""
    basis = RadialBasis(cutoff, 8, envelope)
    generator = torch.Generator().manual_seed(seed)
    radial = RadialNetwork([8, 16, 6], "silu", 1.0, generator)
    for parameter in (*basis.parameters(), *radial.parameters()):
        parameter.requires_grad_(False)
    return lambda r: radial(basis(r))


@pytest.mark.parametrize("envelope", ["polynomial", "xplor"])
@pytest.mark.parametrize("cutoff", CUTOFFS)
def test_both_sides_of_the_onset_and_of_every_special_knot(cutoff, envelope):
    """r(u) of the onset's knot rounds below it for some cutoffs (4.5 Å) and not for others."""
    radial = random_radial(cutoff, envelope, seed=int(10 * cutoff))
    table = RadialTable(radial, cutoff, torch.float64)
    off = torch.logspace(-8, -2, 25, dtype=torch.float64)
    special = [FIRST_KNOT + 1e-3, cutoff - XPLOR_WIDTH, cutoff]
    r = torch.cat([torch.cat([knot - off, knot + off]) for knot in special])
    r = r[(r > FIRST_KNOT) & (r < cutoff)]
    value, slope = taylor(radial, r, 1)
    ours, our_slope = taylor(table, r, 1)
    largest = [
        float(x.abs().max())
        for x in taylor(radial, torch.linspace(0.6, cutoff, 99, dtype=torch.float64), 1)
    ]
    assert float((ours - value).abs().max()) < 1e-9 * largest[0]
    assert float((our_slope - slope).abs().max()) < 1e-9 * largest[1]


def test_the_error_of_one_bad_interval_is_seen():
    """A kink in one interval of a thousand: the estimate looks into every one."""
    smooth = random_radial(5.0, "polynomial")
    kink = 2.7180339887

    def radial(r):
        bump = torch.where(r > kink, 1e-3 * (r - kink) ** 2, torch.zeros_like(r))
        return smooth(r) + bump.unsqueeze(1)

    assert RadialTable(smooth, 5.0, torch.float64).error < 3e-10
    assert RadialTable(radial, 5.0, torch.float64).error > 1e-9
