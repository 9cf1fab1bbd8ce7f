"""Radial weights between nodes: the operator interpolation equals its torch reference, and both the
function itself."""

import laws
import pytest
import torch

from openmm_pqeq import ops
from openmm_pqeq.gnn.radial_nodes import (
    NODES,
    RadialNodes,
    Stencil,
    interpolation,
    interpolation_reference,
)

pytestmark = pytest.mark.skipif(
    not ops.available("interpolation"), reason=f"no such operator: {ops.status()}"
)

CUTOFF = 4.0  # Å


def nodes(n_nodes=40):
    return RadialNodes(CUTOFF, n_nodes).distances


def stencil(distances, n_nodes=40) -> Stencil:
    return RadialNodes(CUTOFF, n_nodes).to(distances.dtype)(distances)


def distances(n_pairs, dtype=torch.float64):
    generator = torch.Generator().manual_seed(1)
    return CUTOFF * torch.rand(n_pairs, dtype=torch.float64, generator=generator).to(dtype)


def test_polynomials_of_degree_five_are_exact():
    """At any distance, those outside the middle of their nodes included; and their derivatives."""
    r = torch.cat([distances(200), torch.tensor([1e-3, CUTOFF], dtype=torch.float64)])
    r.requires_grad_(True)
    powers = torch.arange(6, dtype=torch.float64)

    def f(x):
        return ((x / CUTOFF).unsqueeze(1) ** powers).cumsum(1)

    found = interpolation(f(nodes()), stencil(r))
    laws.close(found, f(r), 1e-13, "values")
    one, other = (torch.autograd.grad(x.sum(), r)[0] for x in (found, f(r)))
    laws.close(one, other, 1e-11, "derivatives")


def test_waves_as_fast_as_those_of_the_radial_functions():
    """Four times the frequency of the fastest one, as nonlinearities make: 1e-6 of its amplitude,
    and 1e-4 of that of its slope."""
    n_basis, r = 8, distances(500)
    frequency = 4 * n_basis * torch.pi / CUTOFF
    n_nodes = NODES * n_basis
    found = interpolation(
        torch.sin(frequency * nodes(n_nodes)).unsqueeze(1),
        stencil(r.requires_grad_(True), n_nodes),
    ).squeeze(1)
    laws.close(found, torch.sin(frequency * r), 1e-6, "values")
    (slope,) = torch.autograd.grad(found.sum(), r)
    laws.close(slope / frequency, torch.cos(frequency * r), 1e-5, "slopes")


def test_no_polynomial_goes_across_a_kink():
    """Values and slopes on either side are those of that side's polynomial."""
    onset = CUTOFF - 0.5
    places = RadialNodes(CUTOFF, 40, onset)
    r = torch.cat([distances(200), torch.tensor([onset, onset + 1e-9], dtype=torch.float64)])
    r.requires_grad_(True)

    def f(x):
        return torch.where(x > onset, 1.0 + (x - onset) ** 2 * x**3, x**5 - x**5 + 1.0).unsqueeze(1)

    nodes = places.distances.clone()
    nodes[places.n_inner] += 1e-12  # the onset, from the other side
    found = interpolation(f(nodes), places(r))
    laws.close(found, f(r), 1e-9, "values")
    one, other = (torch.autograd.grad(x.sum(), r)[0] for x in (found, f(r)))
    laws.close(one, other, 1e-7, "slopes")


@pytest.mark.parametrize("n_columns", [1, 16, 37])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 3e-5)])
@pytest.mark.parametrize("n_pairs", [0, 1, 300])
def test_values_and_derivatives_are_those_of_the_reference(n_columns, dtype, tolerance, n_pairs):
    places = stencil(distances(n_pairs, dtype))
    generator = torch.Generator().manual_seed(2)
    table = torch.randn(40, n_columns, dtype=torch.float64, generator=generator).to(dtype)

    def derivatives(way):
        t, c = (x.clone().requires_grad_(True) for x in (table, places.coefficients))
        values = way(t, places._replace(coefficients=c))
        first = torch.autograd.grad((values.square() + values).sum(), (t, c), create_graph=True)
        second = torch.autograd.grad(sum(x.square().sum() for x in first), (t, c))
        return [x.detach() for x in (values, *first, *second)]

    for ours, expected in zip(
        derivatives(interpolation), derivatives(interpolation_reference), strict=True
    ):
        assert ours.dtype == dtype
        scale = 1.0 + float(expected.abs().max()) if expected.numel() else 1.0
        laws.close(ours / scale, expected / scale, tolerance, "native − reference")


def test_derivatives_against_differences():
    places = stencil(distances(5))
    table = torch.randn(40, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    inputs = [x.clone().requires_grad_(True) for x in (table, places.coefficients)]

    def values(t, c):
        return interpolation(t, places._replace(coefficients=c))

    assert torch.autograd.gradcheck(values, inputs)
    assert torch.autograd.gradgradcheck(values, inputs)


def test_threads_do_not_change_the_result():
    r = distances(4000, torch.float32)
    table = torch.randn(40, 200, generator=torch.Generator().manual_seed(2))
    before, results = torch.get_num_threads(), []
    try:
        for n_threads in (1, 2):
            torch.set_num_threads(n_threads)
            places = stencil(r.clone().requires_grad_(True))
            own = table.clone().requires_grad_(True)
            values = interpolation(own, places)
            results.append(
                [values, *torch.autograd.grad(values.square().sum(), (own, places.coefficients))]
            )
    finally:
        torch.set_num_threads(before)
    for one, two in zip(*results, strict=True):
        laws.close(two.detach(), one.detach(), 0.0, "with two threads")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda a: a | {"table": a["table"][1:]}, "table: expected float32 or float64 of shape"),
        (lambda a: a | {"coefficients": a["coefficients"][:, 1:]}, "coefficients: expected"),
        (lambda a: a | {"order": a["order"].int()}, "order: expected int64"),
        (lambda a: a | {"begin": a["begin"][:1]}, "begin: expected int64"),
    ],
)
def test_arguments_that_do_not_fit_are_refused(change, message):
    given = {"table": torch.zeros(40, 2, dtype=torch.float64)} | stencil(distances(3))._asdict()
    with pytest.raises(ValueError, match=message):
        torch.ops.openmm_pqeq.interpolation(*change(given).values())
