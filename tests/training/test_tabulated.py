"""Tables in the place of radial networks while an imported network is fine-tuned."""

import pytest
import torch
from imported_network import batch, network

from openmm_pqeq import ops

pytest.importorskip("lightning", reason="training needs the extra `train`")

from openmm_pqeq.training.loss import Weights, loss_of, predict
from openmm_pqeq.training.tabulated import Tabulated, can_be_tabulated, loss_by_difference

native = pytest.mark.skipif(
    not ops.available("equivariant_convolution"), reason=f"no such operator: {ops.status()}"
)


@native
def test_the_tables_give_the_network(imported):
    """Energies, forces and stress, to the error of the tables; also where the weights have changed
    since."""
    gnn, samples = network(imported), batch(imported)
    tabulated = Tabulated(gnn)
    for _ in range(2):
        for one, two in zip(predict(gnn, samples), predict(tabulated, samples)):
            torch.testing.assert_close(one, two, rtol=0, atol=1e-8)
        with torch.no_grad():
            gnn.interactions[1].down[0].weight += 0.3
            gnn.readout[0].weight *= 1.1


@native
@pytest.mark.parametrize(
    ("dtype", "error"), [(torch.float64, 2e-6), (torch.float32, 2e-3)], ids=["float64", "float32"]
)
def test_the_gradient_by_difference_is_the_exact_one(imported, dtype, error):
    """Relative to its length, of energies, forces and stress together."""
    samples, weights = batch(imported, dtype), Weights(10.0, 1.0, 3.0, 0.7, level=0.5)
    gradients, losses = [], []
    for tabulated in (False, True):
        gnn = network(imported, dtype=dtype)
        if tabulated:
            loss = loss_by_difference(Tabulated(gnn), samples, weights)
        else:
            loss = loss_of(predict(gnn, samples, create_graph=True), samples, weights)
        loss.backward()
        found = [p.grad.ravel() for p in gnn.parameters() if p.requires_grad]
        gradients.append(torch.cat(found))
        losses.append(float(loss.detach()))
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)
    assert float((gradients[0] - gradients[1]).norm() / gradients[0].norm()) < error


@native
def test_tables_only_where_the_radial_part_stays(imported):
    for train in ("maps", "readout", "embedding", "linear,self-connection"):
        assert can_be_tabulated(network(imported, train)), train
    for train in ("all", "radial", "basis", "layer.1"):
        assert not can_be_tabulated(network(imported, train)), train


@native
def test_frames_that_are_right_already_move_nothing(imported):
    """Labels of the network itself: a gradient of zero, not of 0/0."""
    gnn, samples = network(imported), batch(imported)
    model = Tabulated(gnn)
    energy, forces, stress = (value.detach() for value in predict(model, samples))
    samples = samples._replace(energy=energy, forces=forces, stress=stress)
    loss_by_difference(model, samples, Weights(1.0, 1.0, 1.0, 1.0)).backward()
    assert all(float(p.grad.abs().max()) < 1e-12 for p in gnn.parameters() if p.requires_grad)
