"""The network with the fused convolution is the network in plain torch: energies, forces, and the
gradient of a loss of both, which needs second derivatives."""

import laws
import pytest
import torch
from networks import MODELS, cluster, network, perovskite

from openmm_pqeq import ops
from openmm_pqeq.gnn import network as module
from openmm_pqeq.neighbors.search import NeighborSearch
from openmm_pqeq.structure import collate

pytestmark = [
    pytest.mark.python_route,
    pytest.mark.skipif(
        not ops.available("weighted_convolution"), reason=f"no such operator: {ops.status()}"
    ),
]


def energies(model, structure):
    """(n_structures,) eV."""
    pairs = NeighborSearch(model.cutoff)(structure)
    return laws.per_structure(model(structure.numbers, pairs), structure)


def outcome(model, structure):
    """Energies, forces, and the derivatives of their squares in the weights."""
    positions = structure.positions.clone().requires_grad_(True)
    energy = energies(model, structure._replace(positions=positions))
    (slope,) = torch.autograd.grad(energy.sum(), positions, create_graph=True)
    loss = energy.square().sum() + slope.square().sum()
    gradients = torch.autograd.grad(loss, list(model.parameters()), allow_unused=True)
    return [energy, slope, *(g for g in gradients if g is not None)]


@pytest.mark.parametrize("name", MODELS)
def test_native_is_plain(name, monkeypatch):
    model, structure = network(name), collate([perovskite(), cluster()])
    native = outcome(model, structure)
    monkeypatch.setattr(module, "native_on", lambda tensor: False)
    plain = outcome(model, structure)
    for one, other in zip(native, plain, strict=True):
        scale = 1.0 + float(other.detach().abs().max())
        laws.close(one.detach() / scale, other.detach() / scale, 1e-12, "native − plain")


def test_which_one_is_taken(monkeypatch):
    """On the CPU the fused one is, as calls of the plain one show."""
    model, calls = network("true parities"), []
    for layer in model.interactions:
        layer.register_forward_hook(lambda *_: calls.append(1))
    energies(model, perovskite())
    assert not calls
    monkeypatch.setattr(module, "native_on", lambda tensor: False)
    energies(model, perovskite())
    assert len(calls) == len(model.interactions)


@pytest.mark.parametrize("envelope", ["polynomial", "xplor"])
def test_radial_weights_between_nodes(envelope):
    """Training in float32 reads radial weights between nodes, whose slopes have a few digits less
    than float32 has. Elsewhere, and in float64, they are those of every pair."""
    structure = collate([perovskite()] * 8)

    def found(training, dtype):
        model = (
            network("true parities", r_max=4.0, n_basis=2, envelope=envelope)
            .to(dtype)
            .train(training)
        )
        return model, outcome(model, structure)

    (model, nodes), (_, pairs) = (found(training, torch.float32) for training in (True, False))
    assert model.radial(torch.ones(10_000))[1] is not None
    assert model.radial(torch.ones(10))[1] is None
    for one, other in zip(nodes, pairs, strict=True):
        scale = 1.0 + float(other.detach().abs().max())
        laws.close(one.detach() / scale, other.detach() / scale, 1e-4, "nodes − pairs")
    assert any(not torch.equal(one, other) for one, other in zip(nodes, pairs))
    exact = [found(training, torch.float64)[1] for training in (True, False)]
    for one, other in zip(*exact, strict=True):
        laws.close(one.detach(), other.detach(), 0.0, "float64")
