"""The parts of the network: which blocks exist, radial functions, and every product against e3nn's
own modules."""

from collections.abc import Iterator

import laws
import pytest
import torch
from e3nn import o3
from networks import MODELS, network
from torch import Tensor

from openmm_pqeq.gnn import NequIP
from openmm_pqeq.gnn.convolution import Interaction, TensorProduct
from openmm_pqeq.gnn.irreps import coupling, irreps_of
from openmm_pqeq.gnn.neighborhood import Neighborhood, by_species, neighborhood
from openmm_pqeq.gnn.paths import Blocks, Layer, plan_layers
from openmm_pqeq.gnn.radial import RadialBasis, RadialNetwork, polynomial_envelope, xplor_envelope
from openmm_pqeq.gnn.spherical import SphericalHarmonics

# Radial functions


def test_polynomial_envelope_ends_with_two_derivatives():
    x = torch.tensor([0.0, 1.0], dtype=torch.float64, requires_grad=True)
    value = polynomial_envelope(x)
    (first,) = torch.autograd.grad(value.sum(), x, create_graph=True)
    (second,) = torch.autograd.grad(first.sum(), x)
    laws.close(value, torch.tensor([1.0, 0.0], dtype=torch.float64), 1e-12, "envelope")
    laws.close(first, torch.zeros_like(first), 1e-12, "slope")
    laws.close(second, torch.zeros_like(second), 1e-12, "curvature")


def test_xplor_envelope_and_basis_values():
    """Values worked out by hand from the formulae at r_c = 5 Å: S(4.75), and b_2(2.5) = (2/5)
    sin(π)/2.5 = 0, b_1(2.5) = 0.16."""
    r = torch.tensor([2.5, 4.75, 5.0], dtype=torch.float64)
    switch = (25 - 4.75**2) ** 2 * (25 + 2 * 4.75**2 - 3 * 4.5**2) / (25 - 4.5**2) ** 3
    laws.close(
        xplor_envelope(r, 4.5, 5.0),
        torch.tensor([1.0, switch, 0.0], dtype=torch.float64),
        1e-12,
        "switch",
    )
    laws.close(
        RadialBasis(5.0, 2, "xplor")(r)[0],
        torch.tensor([0.16, 0.0], dtype=torch.float64),
        1e-12,
        "basis",
    )


# Which blocks exist


def test_first_layer_reads_scalars_and_last_layer_makes_nothing_else():
    plan = plan_layers("8x0e + 8x0o + 4x1e + 4x1o + 2x2e", "1x0e + 1x1o + 1x2e", 4, True)
    irreps = [{str(ir): mul for ir, mul in layer.inputs.items()} for layer in plan]
    assert irreps[0] == {"0e": 8}
    assert irreps[1] == {"0e": 8, "1o": 4, "2e": 2}  # 1e needs two vectors, 0o three
    assert irreps[2] == {"0e": 8, "1e": 4, "1o": 4, "2e": 2}
    assert irreps[3] == {"0e": 8, "1o": 4, "2e": 2}  # 0o and 1e give no 0e with these harmonics
    assert plan[-1].outputs == plan[-1].scalars == {o3.Irrep("0e"): 8}


def test_repeated_irreps_are_one_block():
    whole = plan_layers("6x0e + 5x1o", "1x0e + 1x1o", 3, True)
    pieces = plan_layers("4x0e + 2x1o + 2x0e + 3x1o", "1x0e + 1x1o", 3, True)
    assert whole == pieces


# Parts against e3nn


@pytest.fixture
def exact_e3nn() -> Iterator[None]:
    """The products of e3nn have constants of the default dtype at the time they are made."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(before)


def test_spherical_harmonics_are_those_of_e3nn():
    vectors = torch.randn(40, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    ours = SphericalHarmonics([2, 0, 1, 4, 3])(vectors / vectors.norm(dim=1, keepdim=True))
    laws.close(
        ours,
        o3.spherical_harmonics([2, 0, 1, 4, 3], vectors, True, "component"),
        1e-12,
        "harmonics",
    )


def test_couplings_are_those_of_e3nn():
    degrees = [
        (l1, l2, l3)
        for l1 in range(5)
        for l2 in range(5)
        for l3 in range(abs(l1 - l2), min(l1 + l2, 4) + 1)
    ]
    for l1, l2, l3 in [*degrees, (8, 8, 8)]:
        theirs = (2 * l3 + 1) ** 0.5 * o3.wigner_3j(l1, l2, l3, dtype=torch.float64)
        laws.close(coupling(l1, l2, l3), theirs, 1e-14, f"coupling {l1} {l2} {l3}")


@pytest.mark.parametrize("text", ["16x0e + 8x1o+4x2e", "0o", " 3 x 1y+2y ", "0x1e + 2x1e"])
def test_irreps_are_read_as_by_e3nn(text):
    assert irreps_of(text) == list(o3.Irreps(text))
    assert str([ir for _, ir in irreps_of(text)]) == str([ir for _, ir in o3.Irreps(text)])


@pytest.mark.parametrize("text", ["", "x0e", "3x", "0e+", "-1x0e", "1.5x0e", "1z", "2x-1e"])
def test_what_names_no_irreps(text):
    with pytest.raises(ValueError, match="expected irreps such as 16x0e"):
        irreps_of(text)


def to_e3nn(features: list[Tensor]) -> Tensor:
    """Lists of (n, 2l+1, channels) as e3nn lays features out: channels slowest."""
    return torch.cat([block.transpose(1, 2).flatten(1) for block in features], dim=1)


def e3nn_irreps(blocks: Blocks) -> o3.Irreps:
    return o3.Irreps([(mul, tuple(ir)) for ir, mul in blocks.items()])


def edges(n_atoms: int, n_pairs: int, degrees: list[int]) -> tuple[Tensor, Tensor, Neighborhood]:
    """Random centres (the last atom has none), harmonics, and the same as a neighbourhood."""
    generator = torch.Generator().manual_seed(1)
    centers = torch.randint(0, n_atoms - 1, (n_pairs,), generator=generator).sort().values
    neighbors = torch.randint(0, n_atoms, (n_pairs,), generator=generator)
    basis, vectors = (
        torch.randn(n_pairs, n, dtype=torch.float64, generator=generator) for n in (4, 3)
    )
    harmonics = o3.spherical_harmonics(degrees, vectors, True, "component")
    return centers, neighbors, neighborhood(n_atoms, centers, neighbors, basis, harmonics)


def pairs_of(centers: Tensor, places: Tensor) -> Tensor:
    """The filled places of a neighbourhood, pair by pair."""
    n_places = int(torch.bincount(centers).max())
    rank = torch.arange(len(centers)) - torch.searchsorted(centers, centers)
    return places[centers * n_places + rank]


@pytest.mark.usefixtures("exact_e3nn")
def test_tensor_product_is_that_of_e3nn():
    degrees, paths, l_in, mul = (
        [0, 1, 2, 3],
        [(0, 2), (1, 1), (1, 3), (2, 0), (2, 2), (3, 1), (3, 4)],
        2,
        3,
    )
    centers, neighbors, around = edges(6, 20, degrees)
    generator = torch.Generator().manual_seed(2)
    x = torch.randn(6, 5, mul, dtype=torch.float64, generator=generator)
    weights = torch.randn(
        len(around.neighbors), len(paths) * mul, dtype=torch.float64, generator=generator
    )
    ours = TensorProduct(l_in, degrees, paths)(x, weights, around)

    harmonics = o3.Irreps([(1, (degree, 1)) for degree in degrees])
    outputs = o3.Irreps([(mul, (l_out, 1)) for _, l_out in paths])
    instructions = [(0, block, slot, "uvu", True) for slot, (block, _) in enumerate(paths)]
    oracle = o3.TensorProduct(
        f"{mul}x{l_in}e",
        harmonics,
        outputs,
        instructions,
        shared_weights=False,
        internal_weights=False,
    )
    messages = oracle(
        to_e3nn([x])[neighbors], pairs_of(centers, around.harmonics), pairs_of(centers, weights)
    )
    expected = torch.zeros(6, outputs.dim, dtype=torch.float64).index_add(0, centers, messages)
    laws.close(to_e3nn(ours), expected, 1e-12, "tensor product")


def set_weights(linear: o3.Linear, weights: dict[tuple[int, int], Tensor]) -> o3.Linear:
    """An e3nn linear layer with the given (n_in, n_out) of each block to each block."""
    for instruction, view in zip(linear.instructions, linear.weight_views()):
        view.data.copy_(weights[instruction.i_in, instruction.i_out])
    return linear


def layer_by_e3nn(
    layer: Layer, ours: Interaction, harmonics: o3.Irreps, features: list[Tensor], species: Tensor, n_species: int,
    centers: Tensor, neighbors: Tensor, around: Neighborhood,
) -> Tensor:  # fmt: skip
    """An interaction put together from e3nn's modules with our weights, before the gate."""
    inputs, outputs = e3nn_irreps(layer.inputs), e3nn_irreps(layer.outputs)
    slots = o3.Irreps([(inputs[p.input].mul, outputs[p.output].ir) for p in layer.paths])
    product = o3.TensorProduct(
        inputs, harmonics, slots, [(p.input, p.harmonic, slot, "uvu", True) for slot, p in enumerate(layer.paths)],
        shared_weights=False, internal_weights=False,
    )  # fmt: skip
    up = set_weights(
        o3.Linear(inputs, inputs), {(i, i): linear.weight for i, linear in enumerate(ours.up)}
    )
    down_weights = {}
    for index, slots_in in enumerate(ours.slots):
        pieces = torch.split(ours.down[index].weight, [slots[slot].mul for slot in slots_in])
        down_weights.update({(slot, index): piece for slot, piece in zip(slots_in, pieces)})
    down = set_weights(o3.Linear(slots, outputs), down_weights)
    radial = ours.radial(pairs_of(centers, around.basis))
    messages = product(
        up(to_e3nn(features))[neighbors], pairs_of(centers, around.harmonics), radial
    )
    summed = torch.zeros(len(species), slots.dim, dtype=torch.float64).index_add(
        0, centers, messages
    )
    result = down(summed / ours.avg_neighbors)
    if len(ours.self_connection) == 0:
        return result
    connection = o3.FullyConnectedTensorProduct(inputs, f"{n_species}x0e", outputs)
    pairs = list(zip(ours.own_inputs, ours.own_outputs))
    for instruction, view in zip(connection.instructions, connection.weight_views()):
        weight = ours.self_connection[pairs.index((instruction.i_in1, instruction.i_out))].weight
        view.data.copy_(weight.transpose(0, 1) * n_species**0.5)  # e3nn divides by √n_species
    return result + connection(
        to_e3nn(features), torch.nn.functional.one_hot(species, n_species).to(torch.float64)
    )


@pytest.mark.usefixtures("exact_e3nn")
@pytest.mark.parametrize("name", list(MODELS)[:-1])  # the last is in published/test_sevennet.py
def test_interactions_are_those_of_e3nn(name):
    model, settings = network(name), MODELS[name]
    harmonics = o3.Irreps(settings["sh_irreps"])
    plan = plan_layers(
        settings["hidden_irreps"],
        settings["sh_irreps"],
        settings["layers"],
        settings.get("self_connection", True),
    )
    centers, neighbors, around = edges(7, 25, list(harmonics.ls))
    generator = torch.Generator().manual_seed(4)
    species = torch.tensor([0, 2, 2, 0, 0, 2, 2])  # none of the second
    for layer, ours in zip(plan, model.interactions):
        ours.radial = RadialNetwork([4, 6, sum(ours.n_weights)], "silu", 1.0, generator)
        features = [
            torch.randn(7, 2 * ir.l + 1, mul, dtype=torch.float64, generator=generator)
            for ir, mul in layer.inputs.items()
        ]
        blocks: list[Tensor] = []
        ours.gate.register_forward_pre_hook(
            lambda module, inputs, blocks=blocks: blocks.extend(inputs[0])
        )
        ours(features, by_species(species, 3), around)
        expected = layer_by_e3nn(
            layer, ours, harmonics, features, species, 3, centers, neighbors, around
        )
        laws.close(to_e3nn(blocks), expected, 1e-11, "features before the gate")


def test_gate_and_activations():
    """silu(x)/0.5964586854 of even scalars and gates, tanh(x)/0.6279282482 of odd scalars, the
    published constants."""
    plan = plan_layers("2x0e + 1x0o + 2x1o + 1x1e + 1x2e", "1x0e + 1x1o + 1x1e + 1x2e", 2, True)
    model = NequIP(["O"], "2x0e + 1x0o + 2x1o + 1x1e + 1x2e", "1x0e + 1x1o + 1x1e + 1x2e", 2)
    assert [str(ir) for ir in plan[0].outputs] == ["0e", "1o", "1e", "2e"]
    scalars = torch.tensor([[[0.5, -1.0, 0.7, 0.1, -0.4, 2.0]]], dtype=torch.float64)
    blocks = [torch.randn(1, d, mul, dtype=torch.float64) for d, mul in ((3, 2), (3, 1), (5, 1))]
    out = model.interactions[0].gate([scalars, *blocks])
    activated = scalars * torch.sigmoid(scalars) / 0.5964586854233045
    laws.close(out[0], activated[:, :, :2], 1e-14, "scalars")
    for block, gated, gate in zip(
        blocks, out[1:], torch.split(activated[:, :, 2:], [2, 1, 1], dim=2)
    ):
        laws.close(gated, block * gate, 1e-14, "gated")


def test_odd_scalars_pass_through_tanh():
    model = NequIP(["O"], "2x0e + 3x0o + 2x1o", "1x0e + 1x0o + 1x1o", 2)
    even, odd = torch.randn(1, 1, 4, dtype=torch.float64), torch.randn(1, 1, 3, dtype=torch.float64)
    vectors = torch.randn(1, 3, 2, dtype=torch.float64)
    out = model.interactions[0].gate([even, odd, vectors])
    laws.close(out[1], torch.tanh(odd) / 0.6279282481638502, 1e-14, "odd scalars")
