"""The network: laws first, then every part against e3nn's own modules, which share no product with ours."""

import io
from collections.abc import Callable, Iterator

import laws
import pytest
import torch
from e3nn import o3
from torch import Tensor

from openmm_pqeq.gnn import NequIP
from openmm_pqeq.gnn.convolution import Interaction, TensorProduct
from openmm_pqeq.gnn.neighborhood import Neighborhood, by_species, neighborhood
from openmm_pqeq.gnn.paths import Blocks, Layer, plan_layers
from openmm_pqeq.gnn.radial import RadialBasis, RadialNetwork, polynomial_envelope, xplor_envelope
from openmm_pqeq.gnn.spherical import SphericalHarmonics
from openmm_pqeq.neighbors import NeighborSearch, Pairs
from openmm_pqeq.structure import Structure, structure_of

R_MAX = 3.2  # Å; a few neighbours each, several images in the small cell
SMALL = {"species": ["O", "Ti", "Ba"], "r_max": R_MAX, "n_basis": 5, "radial_hidden": (12,), "avg_neighbors": 6.0, "shift": -1.3}
MODELS = {
    "true parities": {"hidden_irreps": "6x0e + 4x1o + 2x2e", "sh_irreps": "1x0e + 1x1o + 1x2e", "layers": 3},
    "odd irreps": {
        "hidden_irreps": "4x0e + 2x0o + 3x1o + 3x1e + 2x2e + 2x2o",
        "sh_irreps": "1x0e + 1x1o + 1x2e",
        "layers": 3,
        "radial_hidden": (8, 8, 8),
    },
    "without self-connection, up to l = 3": {
        "hidden_irreps": "2x0o + 4x0e + 2x1o + 2x2e + 2x0e + 2x3o + 1x2o",
        "sh_irreps": "1x0e + 1x1o + 1x2e + 1x3o",
        "layers": 2,
        "self_connection": False,
        "radial_nonlinearity": "tanh",
        "nonlinearities": {"e": "tanh", "o": "tanh"},
        "envelope": "xplor",
    },
    "vectors labelled even": {
        "hidden_irreps": "4x0e + 3x1e + 2x2e",
        "sh_irreps": "1x0e + 1x1e + 1x2e",
        "layers": 3,
        "edge_sign": "notebook",
        "envelope": "xplor",
    },
}


def network(name: str, **changes: object) -> NequIP:
    return NequIP(**{**SMALL, **MODELS[name], **changes})


def energy_of(model: Callable[[Tensor, Pairs], Tensor]) -> laws.Energy:
    search = NeighborSearch(R_MAX + 0.7)  # more pairs than the network wants: it takes its own
    return lambda structure: laws.per_structure(model(structure.numbers, search(structure)), structure)


def perovskite() -> Structure:
    """A distorted perovskite in a skewed cell, shorter than twice the cutoff."""
    cell = torch.tensor([[3.9, 0.0, 0.0], [0.3, 4.1, 0.0], [-0.2, 0.4, 4.0]], dtype=torch.float64)
    fractions = torch.tensor(
        [[0, 0, 0], [0.52, 0.49, 0.53], [0.5, 0.47, 0], [0.5, 0.02, 0.5], [0.03, 0.5, 0.5]], dtype=torch.float64
    )
    return structure_of(fractions @ cell, torch.tensor([56, 22, 8, 8, 8]), cell)


def cluster() -> Structure:
    positions = torch.tensor(
        [[0, 0, 0], [1.9, 0.2, 0.1], [-0.7, 1.6, 0.4], [0.3, -0.9, 1.7], [1.2, 1.5, -1.4]], dtype=torch.float64
    )
    return structure_of(positions, torch.tensor([22, 8, 8, 8, 56]))


def atom_at(distance: float) -> Structure:
    """A Ti–O pair that an oxygen approaches from `distance` (Å)."""
    direction = torch.tensor([0.6, 0.64, 0.48], dtype=torch.float64)
    return structure_of(torch.stack([0 * direction, -1.9 * direction.roll(1), distance * direction]), torch.tensor([22, 8, 8]))


@pytest.fixture(params=list(MODELS))
def energy(request: pytest.FixtureRequest) -> laws.Energy:
    return energy_of(network(request.param))


# Laws


def test_symmetries(energy):
    for structure in (perovskite(), cluster()):
        laws.assert_translation(energy, structure)
        laws.assert_rotation(energy, structure)
        laws.assert_permutation(energy, structure)
    laws.assert_any_image(energy, perovskite())


@pytest.mark.parametrize("name", list(MODELS)[:3])
def test_inversion_where_parities_are_labelled_truly(name):
    laws.assert_inversion(energy_of(network(name)), perovskite())


def test_edge_sign_matters_only_where_vectors_are_labelled_even():
    def difference(name: str) -> float:
        one, other = (energy_of(network(name, edge_sign=sign)) for sign in ("training", "notebook"))
        return float((one(cluster()) - other(cluster())).detach().abs())

    assert difference("odd irreps") < laws.ENERGY
    assert difference("vectors labelled even") > 1e-3


@pytest.mark.parametrize(("edge_sign", "sign"), [("training", 1.0), ("notebook", -1.0)])
def test_edges_point_from_centre_to_neighbour_or_back(edge_sign, sign):
    model, seen = network("true parities", edge_sign=edge_sign), []
    model.harmonics.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    pairs = NeighborSearch(R_MAX)(cluster())
    model(cluster().numbers, pairs)
    towards = cluster().positions[pairs.neighbors] - cluster().positions[pairs.centers]
    laws.close(seen[0], sign * towards / towards.norm(dim=1, keepdim=True), 1e-12, "directions")


def test_derivatives(energy):
    for structure in (perovskite(), cluster()):
        laws.assert_forces(energy, structure, tolerance=2e-6)  # step² E‴/6, with E‴ up to 1000 eV/Å³
        laws.assert_second_derivatives(energy, structure)
    laws.assert_stress(energy, perovskite(), tolerance=2e-7)


def test_gradient_of_forces_in_the_weights():
    """What training on forces needs: d/dw of a function of the forces, against central differences."""
    model = network("odd irreps")
    energy, structure, step = energy_of(model), cluster(), 1e-4

    def loss() -> Tensor:
        positions = structure.positions.clone().requires_grad_(True)
        (gradient,) = torch.autograd.grad(energy(structure._replace(positions=positions)).sum(), positions, create_graph=True)
        return (gradient**2).sum()

    loss().backward()
    for parameter in model.parameters():
        flat, entry = parameter.detach().view(-1), parameter.numel() // 2
        given, kept = float(parameter.grad.view(-1)[entry]), float(flat[entry])
        flat[entry] = kept + step
        up = float(loss().detach())
        flat[entry] = kept - step
        down = float(loss().detach())
        flat[entry] = kept
        assert abs(given - (up - down) / (2 * step)) < 1e-5  # eV²/Å² per unit of weight


def test_continuous_where_a_neighbour_enters(energy):
    laws.assert_continuous(energy, atom_at, R_MAX)


def test_polynomial_envelope_ends_with_two_derivatives():
    x = torch.tensor([0.0, 1.0], dtype=torch.float64, requires_grad=True)
    value = polynomial_envelope(x)
    (first,) = torch.autograd.grad(value.sum(), x, create_graph=True)
    (second,) = torch.autograd.grad(first.sum(), x)
    laws.close(value, torch.tensor([1.0, 0.0], dtype=torch.float64), 1e-12, "envelope")
    laws.close(first, torch.zeros_like(first), 1e-12, "slope")
    laws.close(second, torch.zeros_like(second), 1e-12, "curvature")


def test_xplor_envelope_and_basis_values():
    """Values worked out by hand from the formulae at r_c = 5 Å: S(4.75), and b_2(2.5) = (2/5) sin(π)/2.5 = 0, b_1(2.5) = 0.16."""
    r = torch.tensor([2.5, 4.75, 5.0], dtype=torch.float64)
    switch = (25 - 4.75**2) ** 2 * (25 + 2 * 4.75**2 - 3 * 4.5**2) / (25 - 4.5**2) ** 3
    laws.close(xplor_envelope(r, 4.5, 5.0), torch.tensor([1.0, switch, 0.0], dtype=torch.float64), 1e-12, "switch")
    laws.close(RadialBasis(5.0, 2, "xplor")(r)[0], torch.tensor([0.16, 0.0], dtype=torch.float64), 1e-12, "basis")


def test_extensivity(energy):
    laws.assert_supercell(energy, perovskite(), (2, 1, 2))
    laws.assert_size_consistency(energy, cluster(), atom_at(1.7))
    laws.assert_batch(energy, [perovskite(), cluster(), atom_at(2.0)])


def test_atoms_without_neighbours(energy):
    alone = structure_of(torch.zeros(1, 3, dtype=torch.float64), torch.tensor([8]))
    assert torch.isfinite(energy(alone)).all()
    laws.close(laws.forces_of(energy, alone), torch.zeros(1, 3, dtype=torch.float64), 0.0, "force on a lone atom")
    laws.assert_size_consistency(energy, alone, cluster())
    laws.assert_size_consistency(energy, alone, alone)


# Routes


@pytest.mark.parametrize("name", list(MODELS))
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_eager_scripted_frozen_and_loaded_agree(name, dtype):
    model = network(name).to(dtype).eval()
    scripted = torch.jit.script(model)
    buffer = io.BytesIO()
    torch.jit.save(torch.jit.freeze(scripted), buffer)
    buffer.seek(0)
    loaded = torch.jit.load(buffer)
    tolerance = 1e-10 if dtype == torch.float64 else 2e-5  # float32 sums in another order
    for other in (scripted, loaded):
        for _ in range(3):  # the compiler changes its mind on the second and third call
            structure = perovskite()
            laws.close(energy_of(other)(structure), energy_of(model)(structure), tolerance, "energy")
            laws.close(
                laws.forces_of(energy_of(other), structure), laws.forces_of(energy_of(model), structure), tolerance, "forces"
            )


def test_state_dict_carries_the_model():
    model, other = network("odd irreps"), network("odd irreps", seed=5, shift=0.0)
    other.load_state_dict(model.state_dict())
    laws.close(energy_of(other)(cluster()), energy_of(model)(cluster()), 0.0, "energy")


def test_casting_to_float32_and_back_keeps_constants_exact():
    model = network("odd irreps", shift=[-1234.56789012345, -2.0, 3.0])
    weights = {name: value.float().double() for name, value in model.state_dict().items()}
    there_and_back = network("odd irreps").float().double()
    there_and_back.load_state_dict({**weights, "scale": model.scale, "shift": model.shift})
    there_and_back.float().double()
    model.load_state_dict({**weights, "scale": model.scale, "shift": model.shift})
    laws.close(energy_of(there_and_back)(cluster()), energy_of(model)(cluster()), 0.0, "energy")
    laws.assert_rotation(energy_of(there_and_back), cluster())


def test_float32_is_near_float64():
    for name in MODELS:
        model = network(name)
        exact, forces = energy_of(model)(cluster()), laws.forces_of(energy_of(model), cluster())
        model.to(torch.float32)
        laws.close(energy_of(model)(cluster()), exact, 1e-4, "energy")  # 2e-7 of terms of order 10 eV
        laws.close(laws.forces_of(energy_of(model), cluster()), forces, 1e-4, "forces")


# Bad input


@pytest.mark.parametrize("number", [1, 0, -1, 118, 500])
def test_unknown_element_raises(number):
    structure = cluster()._replace(numbers=torch.tensor([22, 8, number, 8, 56]))
    model = network("true parities")
    with pytest.raises(ValueError, match=f"atomic number {number}"):
        energy_of(model)(structure)
    with pytest.raises(torch.jit.Error, match=f"atomic number {number}"):
        energy_of(torch.jit.script(model))(structure)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"species": ["O", "Xx"]}, "element symbols"),
        ({"species": ["O", "O"]}, "different element symbols"),
        ({"hidden_irreps": "4x1o"}, "even scalars"),
        ({"sh_irreps": "1x2o", "self_connection": False}, "no even scalar reaches layer 3"),
        ({"sh_irreps": "2x0e + 1x1o"}, "multiplicity one"),
        ({"edge_sign": "receiver"}, "edge_sign must be 'training' or 'notebook'"),
        ({"envelope": "cosine"}, "envelope must be"),
        ({"nonlinearities": {"e": "silu", "o": "silu"}}, "odd function"),
        ({"nonlinearities": {"e": "relu", "o": "tanh"}}, "nonlinearity must be one of"),
        ({"shift": [1.0, 2.0]}, "shift must be one number or one for each"),
        ({"layers": 0}, "layers must be positive"),
        ({"r_max": -1.0}, "r_max must be positive"),
    ],
)
def test_impossible_networks_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        network("true parities", **changes)


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
    laws.close(ours, o3.spherical_harmonics([2, 0, 1, 4, 3], vectors, True, "component"), 1e-12, "harmonics")


def to_e3nn(features: list[Tensor]) -> Tensor:
    """Lists of (n, 2l+1, channels) as e3nn lays features out: channels slowest."""
    return torch.cat([block.transpose(1, 2).flatten(1) for block in features], dim=1)


def irreps_of(blocks: Blocks) -> o3.Irreps:
    return o3.Irreps([(mul, ir) for ir, mul in blocks.items()])


def edges(n_atoms: int, n_pairs: int, degrees: list[int]) -> tuple[Tensor, Tensor, Neighborhood]:
    """Random centres (the last atom has none), harmonics, and the same as a neighbourhood."""
    generator = torch.Generator().manual_seed(1)
    centers = torch.randint(0, n_atoms - 1, (n_pairs,), generator=generator).sort().values
    neighbors = torch.randint(0, n_atoms, (n_pairs,), generator=generator)
    basis, vectors = (torch.randn(n_pairs, n, dtype=torch.float64, generator=generator) for n in (4, 3))
    harmonics = o3.spherical_harmonics(degrees, vectors, True, "component")
    return centers, neighbors, neighborhood(n_atoms, centers, neighbors, basis, harmonics)


def pairs_of(centers: Tensor, places: Tensor) -> Tensor:
    """The filled places of a neighbourhood, pair by pair."""
    n_places = int(torch.bincount(centers).max())
    rank = torch.arange(len(centers)) - torch.searchsorted(centers, centers)
    return places[centers * n_places + rank]


@pytest.mark.usefixtures("exact_e3nn")
def test_tensor_product_is_that_of_e3nn():
    degrees, paths, l_in, mul = [0, 1, 2, 3], [(0, 2), (1, 1), (1, 3), (2, 0), (2, 2), (3, 1), (3, 4)], 2, 3
    centers, neighbors, around = edges(6, 20, degrees)
    generator = torch.Generator().manual_seed(2)
    x = torch.randn(6, 5, mul, dtype=torch.float64, generator=generator)
    weights = torch.randn(len(around.neighbors), len(paths) * mul, dtype=torch.float64, generator=generator)
    ours = TensorProduct(l_in, degrees, paths)(x, weights, around)

    harmonics = o3.Irreps([(1, (degree, 1)) for degree in degrees])
    outputs = o3.Irreps([(mul, (l_out, 1)) for _, l_out in paths])
    instructions = [(0, block, slot, "uvu", True) for slot, (block, _) in enumerate(paths)]
    oracle = o3.TensorProduct(f"{mul}x{l_in}e", harmonics, outputs, instructions, shared_weights=False, internal_weights=False)
    messages = oracle(to_e3nn([x])[neighbors], pairs_of(centers, around.harmonics), pairs_of(centers, weights))
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
    inputs, outputs = irreps_of(layer.inputs), irreps_of(layer.outputs)
    slots = o3.Irreps([(inputs[p.input].mul, outputs[p.output].ir) for p in layer.paths])
    product = o3.TensorProduct(
        inputs, harmonics, slots, [(p.input, p.harmonic, slot, "uvu", True) for slot, p in enumerate(layer.paths)],
        shared_weights=False, internal_weights=False,
    )  # fmt: skip
    up = set_weights(o3.Linear(inputs, inputs), {(i, i): linear.weight for i, linear in enumerate(ours.up)})
    down_weights = {}
    for index, slots_in in enumerate(ours.slots):
        pieces = torch.split(ours.down[index].weight, [slots[slot].mul for slot in slots_in])
        down_weights.update({(slot, index): piece for slot, piece in zip(slots_in, pieces)})
    down = set_weights(o3.Linear(slots, outputs), down_weights)
    radial = ours.radial(pairs_of(centers, around.basis))
    messages = product(up(to_e3nn(features))[neighbors], pairs_of(centers, around.harmonics), radial)
    summed = torch.zeros(len(species), slots.dim, dtype=torch.float64).index_add(0, centers, messages)
    result = down(summed / ours.avg_neighbors)
    if len(ours.self_connection) == 0:
        return result
    connection = o3.FullyConnectedTensorProduct(inputs, f"{n_species}x0e", outputs)
    pairs = list(zip(ours.own_inputs, ours.own_outputs))
    for instruction, view in zip(connection.instructions, connection.weight_views()):
        weight = ours.self_connection[pairs.index((instruction.i_in1, instruction.i_out))].weight
        view.data.copy_(weight.transpose(0, 1) * n_species**0.5)  # e3nn divides by √n_species
    return result + connection(to_e3nn(features), torch.nn.functional.one_hot(species, n_species).to(torch.float64))


@pytest.mark.usefixtures("exact_e3nn")
@pytest.mark.parametrize("name", list(MODELS))
def test_interactions_are_those_of_e3nn(name):
    model, settings = network(name), MODELS[name]
    harmonics = o3.Irreps(settings["sh_irreps"])
    plan = plan_layers(settings["hidden_irreps"], settings["sh_irreps"], settings["layers"], settings.get("self_connection", True))
    centers, neighbors, around = edges(7, 25, list(harmonics.ls))
    generator = torch.Generator().manual_seed(4)
    species = torch.tensor([0, 2, 2, 0, 0, 2, 2])  # none of the second
    for layer, ours in zip(plan, model.interactions):
        ours.radial = RadialNetwork([4, 6, sum(ours.n_weights)], "silu", 1.0, generator)
        features = [torch.randn(7, 2 * ir.l + 1, mul, dtype=torch.float64, generator=generator) for ir, mul in layer.inputs.items()]
        blocks: list[Tensor] = []
        ours.gate.register_forward_pre_hook(lambda module, inputs, blocks=blocks: blocks.extend(inputs[0]))
        ours(features, by_species(species, 3), around)
        expected = layer_by_e3nn(layer, ours, harmonics, features, species, 3, centers, neighbors, around)
        laws.close(to_e3nn(blocks), expected, 1e-11, "features before the gate")


def test_gate_and_activations():
    """silu(x)/0.5964586854 of even scalars and gates, tanh(x)/0.6279282482 of odd scalars, the published constants."""
    plan = plan_layers("2x0e + 1x0o + 2x1o + 1x1e + 1x2e", "1x0e + 1x1o + 1x1e + 1x2e", 2, True)
    model = NequIP(["O"], "2x0e + 1x0o + 2x1o + 1x1e + 1x2e", "1x0e + 1x1o + 1x1e + 1x2e", 2)
    assert [str(ir) for ir in plan[0].outputs] == ["0e", "1o", "1e", "2e"]
    scalars = torch.tensor([[[0.5, -1.0, 0.7, 0.1, -0.4, 2.0]]], dtype=torch.float64)
    blocks = [torch.randn(1, d, mul, dtype=torch.float64) for d, mul in ((3, 2), (3, 1), (5, 1))]
    out = model.interactions[0].gate([scalars, *blocks])
    activated = scalars * torch.sigmoid(scalars) / 0.5964586854233045
    laws.close(out[0], activated[:, :, :2], 1e-14, "scalars")
    for block, gated, gate in zip(blocks, out[1:], torch.split(activated[:, :, 2:], [2, 1, 1], dim=2)):
        laws.close(gated, block * gate, 1e-14, "gated")


def test_odd_scalars_pass_through_tanh():
    model = NequIP(["O"], "2x0e + 3x0o + 2x1o", "1x0e + 1x0o + 1x1o", 2)
    even, odd = torch.randn(1, 1, 4, dtype=torch.float64), torch.randn(1, 1, 3, dtype=torch.float64)
    vectors = torch.randn(1, 3, 2, dtype=torch.float64)
    out = model.interactions[0].gate([even, odd, vectors])
    laws.close(out[1], torch.tanh(odd) / 0.6279282481638502, 1e-14, "odd scalars")
