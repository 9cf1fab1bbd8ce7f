"""The operator equivariant_convolution equals its torch reference: values, first derivatives, all
shapes, any number of threads."""

import laws
import pytest
import torch
from e3nn import o3

from openmm_pqeq import ops
from openmm_pqeq.gnn.edges import Edges, edges_of
from openmm_pqeq.gnn.equivariant_convolution import (
    EquivariantConvolution,
    Plan,
    equivariant_convolution_reference,
    packed,
    padded,
    plan_convolution,
)
from openmm_pqeq.gnn.paths import Layer, plan_layers
from openmm_pqeq.gnn.radial_table import blocks, grid_of

pytestmark = [
    pytest.mark.python_route,
    pytest.mark.skipif(
        not ops.available("equivariant_convolution"), reason=f"no such operator: {ops.status()}"
    ),
]

CUTOFF = 4.0  # Å
CASES = {
    "two degrees": ("32x0e + 16x1o", "1x0e + 1x1o"),
    "foundation-like": ("20x0e + 17x1e + 4x2e", "1x0e + 1x1e + 1x2e"),
    "odd numbers of channels, both parities": (
        "7x0e + 3x0o + 5x1o + 1x1e + 2x2o + 1x2e",
        "1x0e + 1x1o + 1x2e",
    ),
    "up to l = 3": ("3x0e + 2x1o + 2x2e + 2x3o", "1x0e + 1x1o + 1x2e + 1x3o"),
    "l = 4": ("2x0e + 2x2e + 2x4e", "1x0e + 1x2e + 1x4e"),
    "scalars alone": ("33x0e", "1x0e"),
}
TOLERANCE = {
    torch.float64: 1e-12,
    torch.float32: 2e-5,
}  # of sums of 20 terms of order one to ten, in another order


class Convolution:
    """A convolution with random tables, on random pairs; the last atom has none."""

    def __init__(self, case: str, dtype=torch.float64, n_atoms=9, n_pairs=60, device="cpu"):
        hidden, sh = CASES[case]
        self.degrees = [ir.l for _, ir in o3.Irreps(sh)]
        self.layer: Layer = plan_layers(hidden, sh, 4, True)[1]
        self.plan: Plan = plan_convolution(self.layer, self.degrees)
        inputs = list(self.layer.inputs.items())
        n_weights = [inputs[path.input][1] for path in self.layer.paths]
        waves = torch.linspace(0.3, 2.0, sum(n_weights), dtype=torch.float64)

        def radial(r):
            return torch.cos(r.unsqueeze(1) * waves) * (1.0 - (r / CUTOFF) ** 2).unsqueeze(1) ** 3

        self.grid = grid_of(CUTOFF, 24)
        coefficients = torch.cat(
            [block for *_, block in blocks(radial, self.grid, 2 if dtype == torch.float32 else 3)]
        )
        self.table = packed(coefficients, n_weights).to(device, dtype)
        self.couplings = self.plan.couplings.to(device, dtype)
        generator = torch.Generator().manual_seed(3)
        centers = (
            torch.randint(0, max(n_atoms - 1, 1), (n_pairs,), generator=generator).sort().values
        )
        neighbors = torch.randint(0, max(n_atoms - 1, 1), (n_pairs,), generator=generator)
        vectors = torch.randn(n_pairs, 3, dtype=torch.float64, generator=generator)
        distances = 0.8 + 3.4 * torch.rand(
            n_pairs, dtype=torch.float64, generator=generator
        )  # some beyond the cutoff
        harmonics = o3.spherical_harmonics(self.degrees, vectors, True, "component").to(
            device, dtype
        )
        self.edges: Edges = edges_of(
            n_atoms,
            centers.to(device),
            neighbors.to(device),
            distances.to(device, dtype),
            harmonics,
        )
        self.features = []
        for ir, mul in inputs:
            block = torch.zeros(n_atoms, 2 * ir.l + 1, padded(mul), dtype=dtype, device=device)
            block[:, :, :mul] = torch.randn(
                n_atoms, 2 * ir.l + 1, mul, dtype=torch.float64, generator=generator
            )
            self.features.append(block)

    def reference(self, features, edges):
        constants = (self.table, self.couplings, self.plan.paths, self.plan.outputs, self.grid)
        return equivariant_convolution_reference(features, edges, *constants)

    def native(self, features, edges):
        constants = (self.table, self.couplings, self.plan.paths, self.plan.outputs, self.grid)
        return torch.ops.openmm_pqeq.equivariant_convolution(features, *edges, *constants)

    def derivatives(self, convolve, create_graph=False):
        """Of a sum of the messages with arbitrary weights, in features, distances and harmonics."""
        features = [block.clone().requires_grad_(True) for block in self.features]
        distances, harmonics = (x.clone().requires_grad_(True) for x in self.edges[:2])
        messages = convolve(features, self.edges._replace(distances=distances, harmonics=harmonics))
        weights = [
            torch.linspace(-1.0, 1.3, m.numel(), dtype=m.dtype, device=m.device).view_as(m)
            for m in messages
        ]
        total = sum((weight * message).sum() for weight, message in zip(weights, messages))
        return torch.autograd.grad(
            total, [*features, distances, harmonics], create_graph=create_graph
        )


def assert_equal(case: Convolution, tolerance: float, native=None):
    native = native or case.native
    for ours, expected in zip(
        native(case.features, case.edges), case.reference(case.features, case.edges), strict=True
    ):
        assert ours.dtype == expected.dtype
        assert ours.shape == expected.shape
        laws.close(ours, expected, tolerance, "messages")
    for ours, expected in zip(
        case.derivatives(native), case.derivatives(case.reference), strict=True
    ):
        laws.close(ours, expected, 20 * tolerance, "derivatives")


@pytest.mark.usefixtures("kernels")
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_values_and_derivatives_are_those_of_the_reference(case, dtype):
    assert_equal(Convolution(case, dtype), TOLERANCE[dtype])


@pytest.mark.parametrize("case", ["foundation-like", "up to l = 3"])
def test_kernel_for_devices_without_one_of_their_own(case):
    """It is torch's own operations, called here by its dispatch key on the CPU."""
    work = Convolution(case)
    arguments = (
        work.features,
        *work.edges,
        work.table,
        work.couplings,
        work.plan.paths,
        work.plan.outputs,
        work.grid,
    )
    keys = torch._C.DispatchKeySet(torch._C.DispatchKey.CompositeExplicitAutograd)
    with torch.no_grad():
        messages = torch.ops.openmm_pqeq.equivariant_convolution.default.redispatch(
            keys, *arguments
        )
        gradients = [torch.ones_like(message) for message in messages]
        backward = torch.ops.openmm_pqeq.equivariant_convolution_backward
        ours = backward.default.redispatch(keys, gradients, *arguments, True)
        expected = backward(gradients, *arguments, True)
    for one, other in zip(messages, work.native(work.features, work.edges), strict=True):
        laws.close(one, other, 1e-12, "messages")
    for one, other in zip([*ours[0], *ours[1:]], [*expected[0], *expected[1:]], strict=True):
        laws.close(one, other, 1e-11, "derivatives")


def test_derivatives_against_differences():
    case = Convolution("up to l = 3", n_atoms=3, n_pairs=3)
    inputs = [x.clone().requires_grad_(True) for x in (*case.edges[:2], *case.features)]

    def messages(distances, harmonics, *features):
        return tuple(
            case.native(
                list(features), case.edges._replace(distances=distances, harmonics=harmonics)
            )
        )

    assert torch.autograd.gradcheck(messages, inputs)


@pytest.mark.usefixtures("kernels")
@pytest.mark.parametrize(
    ("n_atoms", "n_pairs"), [(1, 0), (1, 7), (5, 0), (2, 1), (3, 700), (700, 30)]
)
def test_few_and_many(n_atoms, n_pairs):
    """An atom alone, one with its own images, no pairs at all, more pairs than a block of the
    kernel holds, mostly isolated atoms."""
    assert_equal(
        Convolution("odd numbers of channels, both parities", n_atoms=n_atoms, n_pairs=n_pairs),
        1e-11,
    )


@pytest.mark.usefixtures("kernels")
def test_no_atoms():
    case = Convolution("two degrees", n_atoms=1, n_pairs=0)
    edges = edges_of(
        0,
        *(
            x[:0]
            for x in (
                case.edges.centers,
                case.edges.neighbors,
                case.edges.distances,
                case.edges.harmonics,
            )
        ),
    )
    messages = case.native([block[:0] for block in case.features], edges)
    assert [m.size(0) for m in messages] == [0] * len(messages)


def test_threads_do_not_change_the_result():
    case = Convolution("foundation-like", torch.float32, n_atoms=200, n_pairs=4000)
    before, results = torch.get_num_threads(), []
    try:
        for n_threads in (1, 2):
            torch.set_num_threads(n_threads)
            results.append(
                [*case.native(case.features, case.edges), *case.derivatives(case.native)]
            )
    finally:
        torch.set_num_threads(before)
    for one, two in zip(*results, strict=True):
        laws.close(two, one, 0.0, "with two threads")


@pytest.mark.usefixtures("kernels")
def test_beyond_the_cutoff_nothing_is_added():
    case = Convolution("foundation-like", n_pairs=12)
    far = case.edges._replace(distances=case.edges.distances + CUTOFF)
    for message in case.native(case.features, far):
        assert not message.any()


@pytest.mark.usefixtures("kernels")
def test_strided_inputs():
    case = Convolution("foundation-like")
    strided = [block.transpose(1, 2).contiguous().transpose(1, 2) for block in case.features]
    for ours, expected in zip(
        case.native(strided, case.edges), case.reference(case.features, case.edges), strict=True
    ):
        laws.close(ours, expected, 1e-12, "messages")


@pytest.mark.usefixtures("kernels")
def test_features_alone_or_geometry_alone():
    case = Convolution("foundation-like")
    expected = case.derivatives(case.native)
    n = len(case.features)
    features = [block.clone().requires_grad_(True) for block in case.features]
    messages = case.native(features, case.edges)
    weights = [torch.linspace(-1.0, 1.3, m.numel(), dtype=m.dtype).view_as(m) for m in messages]
    found = torch.autograd.grad(sum((w * m).sum() for w, m in zip(weights, messages)), features)
    for one, other in zip(found, expected[:n], strict=True):
        laws.close(one, other, 0.0, "features")
    distances = case.edges.distances.clone().requires_grad_(True)
    messages = case.native(case.features, case.edges._replace(distances=distances))
    (slope,) = torch.autograd.grad(sum((w * m).sum() for w, m in zip(weights, messages)), distances)
    laws.close(slope, expected[n], 0.0, "distances")


def test_second_derivatives_are_refused_and_first_ones_with_a_graph_are_not():
    case = Convolution("two degrees")
    first = case.derivatives(case.native, create_graph=True)
    for ours, expected in zip(first, case.derivatives(case.native), strict=True):
        laws.close(ours.detach(), expected, 0.0, "first derivatives")
    with pytest.raises(RuntimeError, match=r"first derivatives.*compile_for_inference"):
        first[-1].sum().backward()


def test_scripted_and_saved(tmp_path):
    case = Convolution("foundation-like")

    module = EquivariantConvolution(case.plan, case.table, case.grid)
    torch.jit.save(torch.jit.script(module), tmp_path / "convolution.pt")
    loaded = torch.jit.load(tmp_path / "convolution.pt")
    expected = case.derivatives(case.native)
    for ours, other in zip(case.derivatives(lambda f, e: loaded(f, e)), expected, strict=True):
        laws.close(ours, other, 0.0, "derivatives")


@pytest.mark.gpu
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_on_a_gpu(case, dtype, gpu):
    work = Convolution(case, dtype, n_atoms=80, n_pairs=2000, device=gpu)
    assert_equal(work, 30 * TOLERANCE[dtype])


# Bad input


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda a: a | {"table": a["table"][:-1]}, "table: expected polynomials"),
        (lambda a: a | {"features": a["features"][:1]}, "paths: a path from input"),
        (
            lambda a: a | {"features": [block[:, :, :5] for block in a["features"]]},
            "features: input 0 must be",
        ),
        (lambda a: a | {"harmonics": a["harmonics"][:, :2]}, "harmonics: expected"),
        (
            lambda a: a | {"neighbors": a["neighbors"][:-1]},
            "neighbors, by_neighbor: expected int64",
        ),
        (lambda a: a | {"rows": a["rows"].int()}, "rows, neighbor_rows: expected int64"),
        (lambda a: a | {"distances": a["distances"].float()}, "expected all numbers as the table"),
        (lambda a: a | {"paths": a["paths"][:-1]}, "paths: expected 10 integers"),
        (lambda a: a | {"grid": a["grid"][:-1]}, "grid: expected 8 numbers"),
        (lambda a: a | {"outputs": [1, 16]}, "paths: a path from input|outputs: a path"),
    ],
)
def test_arguments_that_do_not_fit_are_refused(change, message):
    case = Convolution("foundation-like")
    names = ["features", *Edges._fields, "table", "couplings", "paths", "outputs", "grid"]
    values = [
        case.features,
        *case.edges,
        case.table,
        case.couplings,
        case.plan.paths,
        case.plan.outputs,
        case.grid,
    ]
    with pytest.raises((ValueError, RuntimeError), match=message):
        torch.ops.openmm_pqeq.equivariant_convolution(*change(dict(zip(names, values))).values())
