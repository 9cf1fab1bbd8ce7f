"""The operator weighted_convolution equals its torch reference: values, derivatives of three orders,
all shapes, any number of threads."""

import laws
import pytest
import torch
from e3nn import o3

from openmm_pqeq import ops
from openmm_pqeq.gnn.edges import Edges, edges_of
from openmm_pqeq.gnn.paths import Layer, plan_layers
from openmm_pqeq.gnn.weighted_convolution import (
    WeightedConvolution,
    WeightedPlan,
    plan_weighted,
    weighted_convolution_native,
    weighted_convolution_reference,
)

pytestmark = [
    pytest.mark.python_route,
    pytest.mark.skipif(
        not ops.available("weighted_convolution"), reason=f"no such operator: {ops.status()}"
    ),
]

CASES = {
    "whole vectors": ("32x0e + 16x1o", "1x0e + 1x1o"),
    "whole vectors, halves and single channels": (
        "27x0e + 17x1e + 12x2e",
        "1x0e + 1x1e + 1x2e",
    ),
    "odd numbers of channels, both parities": (
        "7x0e + 3x0o + 5x1o + 1x1e + 2x2o + 1x2e",
        "1x0e + 1x1o + 1x2e",
    ),
    "up to l = 3": ("8x0e + 8x1o + 16x2e + 9x3o", "1x0e + 1x1o + 1x2e + 1x3o"),
    "l = 4": ("2x0e + 18x2e + 8x4e", "1x0e + 1x2e + 1x4e"),
    "scalars alone": ("33x0e", "1x0e"),
}
TOLERANCE = {torch.float64: 1e-12, torch.float32: 5e-5}
"""Of sums of some hundred terms of order one, in another order."""


class Convolution:
    """A convolution of random numbers, on random pairs; the last atom has none."""

    def __init__(self, case: str, dtype=torch.float64, n_atoms=9, n_pairs=60):
        hidden, sh = CASES[case]
        degrees = [ir.l for _, ir in o3.Irreps(sh)]
        self.layer: Layer = plan_layers(hidden, sh, 4, True)[1]
        self.module = WeightedConvolution(self.layer, degrees).to(dtype)
        self.plan: WeightedPlan = plan_weighted(self.layer, degrees)
        inputs = list(self.layer.inputs.items())
        generator = torch.Generator().manual_seed(3)

        def normal(*shape):
            return torch.randn(shape, dtype=torch.float64, generator=generator).to(dtype)

        def ends():
            return torch.randint(0, max(n_atoms - 1, 1), (n_pairs,), generator=generator)

        harmonics = o3.spherical_harmonics(degrees, normal(n_pairs, 3), True, "component")
        self.edges: Edges = edges_of(
            n_atoms, ends().sort().values, ends(), normal(n_pairs), harmonics
        )
        n_weights = sum(inputs[path.input][1] for path in self.layer.paths)
        n_entries = self.plan.couplings.size(1)
        self.numbers = [
            normal(n_pairs, n_weights),
            normal(n_pairs, n_entries),
            *(normal(n_atoms, 2 * ir.l + 1, mul) for ir, mul in inputs),
        ]

    def by(self, convolve):
        """The convolution as a function of all its numbers: weights, matrices, features."""

        def messages(weights, matrices, *features):
            return tuple(
                convolve(
                    list(features),
                    weights,
                    matrices,
                    self.edges,
                    self.plan.paths,
                    self.plan.outputs,
                )
            )

        return messages

    def native(self, *numbers):
        return self.by(weighted_convolution_native)(*numbers)

    def reference(self, *numbers):
        return self.by(weighted_convolution_reference)(*numbers)

    def leaves(self):
        return [x.clone().requires_grad_(True) for x in self.numbers]


def weighted(tensors):
    """A sum of tensors with arbitrary weights."""
    return sum(
        (torch.linspace(-1.0, 1.3, x.numel(), dtype=x.dtype).view_as(x) * x).sum() for x in tensors
    )


def derivatives(convolve, case: Convolution, orders: int):
    """Of each order up to `orders`: those of a sum over the last ones, squared, so that it depends
    on all numbers."""
    numbers = case.leaves()
    found, last = [], convolve(*numbers)
    for order in range(orders):
        last = torch.autograd.grad(
            weighted(x + x.square() for x in last), numbers, create_graph=order < orders - 1
        )
        found.append([x.detach() for x in last])
    return found


def assert_equal(case: Convolution, tolerance: float, orders: int = 2):
    for ours, expected in zip(
        case.native(*case.numbers), case.reference(*case.numbers), strict=True
    ):
        assert ours.dtype == expected.dtype
        assert ours.shape == expected.shape
        laws.close(ours, expected, 10 * tolerance, "messages")
    ours, expected = (derivatives(way, case, orders) for way in (case.native, case.reference))
    for order, (ones, others) in enumerate(zip(ours, expected, strict=True), 1):
        for one, other in zip(ones, others, strict=True):
            scale = 1.0 + float(other.abs().max()) if other.numel() else 1.0
            laws.close(one / scale, other / scale, tolerance, f"derivatives of order {order}")


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_values_and_derivatives_are_those_of_the_reference(case, dtype):
    assert_equal(Convolution(case, dtype), TOLERANCE[dtype])


def test_third_derivatives():
    assert_equal(Convolution("whole vectors, halves and single channels", n_pairs=20), 1e-11, 3)


@pytest.mark.parametrize("case", ["odd numbers of channels, both parities", "l = 4"])
def test_derivatives_against_differences(case):
    work = Convolution(case, n_atoms=3, n_pairs=2)
    assert torch.autograd.gradcheck(work.native, work.leaves(), fast_mode=True)
    assert torch.autograd.gradgradcheck(work.native, work.leaves(), fast_mode=True)


def test_second_derivatives_of_one_pass_are_those_of_the_sum():
    """Where a third one may follow, the second derivative is composed of the operators."""
    case = Convolution("up to l = 3")

    def second(create_graph):
        numbers = case.leaves()
        first = torch.autograd.grad(weighted(case.native(*numbers)), numbers, create_graph=True)
        return torch.autograd.grad(weighted(first), numbers, create_graph=create_graph)

    for one, other in zip(second(False), second(True), strict=True):
        laws.close(one, other.detach(), 1e-11, "second derivatives")


@pytest.mark.parametrize("wanted", [[0], [1], [2], [0, 1], [1, 2], [0, 2]])
def test_some_derivatives_alone(wanted):
    """What is not asked for is left out, of first and second derivatives."""
    case = Convolution("whole vectors")

    def found(convolve):
        numbers = [
            x.clone().requires_grad_(min(k, 2) in wanted) for k, x in enumerate(case.numbers)
        ]
        leaves = [x for x in numbers if x.requires_grad]
        first = torch.autograd.grad(
            weighted(x.square() for x in convolve(*numbers)), leaves, create_graph=True
        )
        second = torch.autograd.grad(weighted(first), leaves)
        return [x.detach() for x in (*first, *second)]

    for ours, expected in zip(found(case.native), found(case.reference), strict=True):
        scale = 1.0 + float(expected.abs().max())
        laws.close(ours / scale, expected / scale, 1e-12, "derivatives")


@pytest.mark.parametrize(
    ("n_atoms", "n_pairs"), [(1, 0), (1, 7), (5, 0), (2, 1), (3, 300), (300, 30)]
)
def test_few_and_many(n_atoms, n_pairs):
    """An atom alone, one with its own images, no pairs at all, mostly isolated atoms."""
    assert_equal(
        Convolution("odd numbers of channels, both parities", n_atoms=n_atoms, n_pairs=n_pairs),
        1e-11,
    )


def test_no_atoms():
    case = Convolution("whole vectors", n_atoms=1, n_pairs=0)
    case.edges = edges_of(
        0, *(x[:0] for x in (case.edges.centers, case.edges.neighbors)), *case.edges[:2]
    )
    weights, matrices, *features = case.numbers
    messages = case.native(weights, matrices, *(block[:0] for block in features))
    assert [m.size(0) for m in messages] == [0] * len(messages)


def test_every_number_is_written():
    """Memory that is not a number beforehand leaves none in the results."""
    case = Convolution("whole vectors, halves and single channels", n_atoms=12, n_pairs=30)
    torch.use_deterministic_algorithms(True)
    try:
        assert torch.utils.deterministic.fill_uninitialized_memory
        found = [list(case.native(*case.numbers)), *derivatives(case.native, case, 2)]
    finally:
        torch.use_deterministic_algorithms(False)
    assert all(torch.isfinite(x).all() for part in found for x in part)


def test_threads_do_not_change_the_result():
    case = Convolution("up to l = 3", torch.float32, n_atoms=100, n_pairs=2000)
    before, results = torch.get_num_threads(), []
    try:
        for n_threads in (1, 2):
            torch.set_num_threads(n_threads)
            first, second = derivatives(case.native, case, 2)
            results.append([*case.native(*case.numbers), *first, *second])
    finally:
        torch.set_num_threads(before)
    for one, two in zip(*results, strict=True):
        laws.close(two, one, 0.0, "with two threads")


def test_strided_numbers():
    case = Convolution("whole vectors")
    strided = [x.transpose(0, 1).contiguous().transpose(0, 1) for x in case.numbers]
    for ours, expected in zip(case.native(*strided), case.reference(*case.numbers), strict=True):
        laws.close(ours, expected, 1e-11, "messages")


def test_scripted_and_saved(tmp_path):
    case = Convolution("whole vectors")
    torch.jit.save(torch.jit.script(case.module), tmp_path / "convolution.pt")
    loaded = torch.jit.load(tmp_path / "convolution.pt")
    weights, _, *features = case.numbers
    matrices = case.edges.harmonics @ case.plan.couplings
    expected = case.native(weights, matrices, *features)
    for ours, other in zip(loaded(features, weights, case.edges), expected, strict=True):
        laws.close(ours, other, 0.0, "messages")


# Bad input


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda a: a | {"weights": a["weights"][:, 1:]}, "weights: too few columns"),
        (lambda a: a | {"weights": a["weights"][1:]}, "weights, matrices: expected"),
        (lambda a: a | {"matrices": a["matrices"][:, 1:]}, "matrices: the columns of a path"),
        (lambda a: a | {"matrices": a["matrices"].float()}, "expected all numbers as the weights"),
        (lambda a: a | {"features": a["features"][:1]}, "paths: a path from input"),
        (
            lambda a: a | {"features": [block[:, :, :5] for block in a["features"]]},
            "features: expected",
        ),
        (lambda a: a | {"neighbors": a["neighbors"].int()}, "neighbors: expected int64"),
        (lambda a: a | {"rows": a["rows"].int()}, "rows: expected int64"),
        (lambda a: a | {"paths": a["paths"][:-1]}, "paths: expected 9 integers"),
        (lambda a: a | {"paths": a["paths"][:-9]}, "paths: expected each weight and each channel"),
        (lambda a: a | {"outputs": [1, 16]}, "paths: a path from input|outputs: a path"),
    ],
)
def test_arguments_that_do_not_fit_are_refused(change, message):
    case = Convolution("whole vectors")
    weights, matrices, *features = case.numbers
    given = {"features": features, "weights": weights, "matrices": matrices}
    given |= {"rows": case.edges.rows, "neighbors": case.edges.neighbors}
    given |= {"paths": case.plan.paths, "outputs": case.plan.outputs}
    with pytest.raises(ValueError, match=message):
        torch.ops.openmm_pqeq.weighted_convolution(*change(given).values())
