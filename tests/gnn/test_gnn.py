"""The network as a whole: laws, routes, bad input. Its parts are in test_gnn_parts.py."""

import io

import laws
import pytest
import torch
from networks import MODELS, R_MAX, cluster, energy_of, network, perovskite
from torch import Tensor

from openmm_pqeq.neighbors.search import NeighborSearch
from openmm_pqeq.structure import Structure, structure_of


def atom_at(distance: float) -> Structure:
    """A Ti–O pair that an oxygen approaches from `distance` (Å)."""
    direction = torch.tensor([0.6, 0.64, 0.48], dtype=torch.float64)
    return structure_of(
        torch.stack([0 * direction, -1.9 * direction.roll(1), distance * direction]),
        torch.tensor([22, 8, 8]),
    )


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
        laws.assert_forces(
            energy, structure, tolerance=2e-6
        )  # step² E‴/6, with E‴ up to 1000 eV/Å³
        laws.assert_second_derivatives(energy, structure)
    laws.assert_stress(energy, perovskite(), tolerance=2e-7)


def test_gradient_of_forces_in_the_weights():
    """What training on forces needs: d/dw of a function of the forces, against central
    differences."""
    model = network("odd irreps")
    energy, structure, step = energy_of(model), cluster(), 1e-4

    def loss() -> Tensor:
        positions = structure.positions.clone().requires_grad_(True)
        (gradient,) = torch.autograd.grad(
            energy(structure._replace(positions=positions)).sum(), positions, create_graph=True
        )
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


def test_extensivity(energy):
    laws.assert_supercell(energy, perovskite(), (2, 1, 2))
    laws.assert_size_consistency(energy, cluster(), atom_at(1.7))
    laws.assert_batch(energy, [perovskite(), cluster(), atom_at(2.0)])


def test_atoms_without_neighbours(energy):
    alone = structure_of(torch.zeros(1, 3, dtype=torch.float64), torch.tensor([8]))
    assert torch.isfinite(energy(alone)).all()
    laws.close(
        laws.forces_of(energy, alone),
        torch.zeros(1, 3, dtype=torch.float64),
        0.0,
        "force on a lone atom",
    )
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
            laws.close(
                energy_of(other)(structure), energy_of(model)(structure), tolerance, "energy"
            )
            laws.close(
                laws.forces_of(energy_of(other), structure),
                laws.forces_of(energy_of(model), structure),
                tolerance,
                "forces",
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
        laws.close(
            energy_of(model)(cluster()), exact, 1e-4, "energy"
        )  # 2e-7 of terms of order 10 eV
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
        ({"self_connection": "species"}, "self_connection must be True, False or 'shared'"),
        ({"activation_norms": {"relu": 1.0}}, "activation_norms must be positive numbers"),
        ({"activation_norms": {"silu": 0.0}}, "activation_norms must be positive numbers"),
    ],
)
def test_impossible_networks_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        network("true parities", **changes)
