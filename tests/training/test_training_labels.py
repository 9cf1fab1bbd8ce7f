"""What the network is trained on and measured by: labels less the other terms, every pair, one
step's forces and stress."""

import weakref

import ase.io
import pytest
import torch
from known_network import reference, silent, structure, table

import openmm_pqeq as pq
from openmm_pqeq import ops
from openmm_pqeq.neighbors.search import NeighborSearch

pytest.importorskip("lightning", reason="training needs the extra `train`")

from openmm_pqeq.training import loss
from openmm_pqeq.training import samples as data
from openmm_pqeq.training.config import config_of
from openmm_pqeq.training.frames import read_frames
from openmm_pqeq.training.loss import predict, predict_all
from openmm_pqeq.training.prepare import prepare


def test_what_is_measured_is_the_network_at_every_pair(frames):
    """Training in float32 reads radial weights between nodes; errors, labels and shifts do not, and
    every part is in the mode it was in before."""
    content = table(frames, dtype="float32")
    content["potential"]["gnn"] |= {"n_basis": 1, "r_max": 5.0}
    ready = prepare(config_of(content), silent)
    model, part = ready.model, ready.part("train")[:1]
    model.interactions[0].eval()
    modes = [module.training for module in model.modules()]
    on_the_way, measured = predict(model, part[0]), predict_all(model, part)
    assert [module.training for module in model.modules()] == modes
    exact = predict(model.eval(), part[0])
    assert all(torch.equal(a.detach(), b.detach()) for a, b in zip(measured, exact, strict=True))
    if ops.available("interpolation"):
        assert not torch.equal(on_the_way.forces, exact.forces)


def test_a_prediction_is_kept_without_its_graph(frames, monkeypatch):
    """Which holds the whole forward pass of its frame: of 1,000 frames of 400 atoms 5 GB."""
    ready = prepare(config_of(table(frames)), silent)
    before: list[weakref.ref] = []

    def watched(model, samples):
        assert all(energy() is None for energy in before[:-1])
        predicted = predict(model, samples)
        before.append(weakref.ref(predicted.energy))
        return predicted

    monkeypatch.setattr(loss, "predict", watched)
    predict_all(ready.model, ready.part("train")[:4])
    assert len(before) == 4


def test_labels_of_the_reference_are_the_networks_own(frames, tmp_path):
    """reference = network + PQEq, so reference − PQEq = network, to the solver's tolerance (1e-9):
    1e-6 eV and eV/Å, 1e-7 eV/Å³."""
    ready = prepare(config_of(table(frames, long_range=True)), silent)
    network = reference().select("gnn")
    shift = dict(zip([8, 11, 12], ready.shifts.tolist()))
    for atoms, samples in zip(ase.io.read(frames, index=":"), ready.samples.values()):
        known = network.evaluate(structure(atoms), stress=True)
        energy = float(samples.energy[0]) + sum(shift[z] for z in atoms.numbers)
        assert energy == pytest.approx(float(known.energy[0]), rel=0, abs=1e-6)
        torch.testing.assert_close(samples.forces, known.forces, rtol=0, atol=1e-6)
        torch.testing.assert_close(samples.stress, known.stress, rtol=0, atol=1e-7)


def test_every_term_but_the_network_is_subtracted(frames):
    """1e-9 eV and eV/Å: labels are differences of float64."""
    content, zbl = table(frames), {"inner": 1.0, "outer": 2.6}
    whole = prepare(config_of(content), silent)
    content["potential"]["zbl"] = zbl
    less = prepare(config_of(content), silent)
    assert less.config["zbl"] == zbl
    repulsion = pq.build({"zbl": zbl})
    for atoms, one, other in zip(
        ase.io.read(frames, index=":"), whole.samples.values(), less.samples.values()
    ):
        known = repulsion.evaluate(structure(atoms), stress=True)
        assert float(known.forces.abs().max()) > 0.1
        torch.testing.assert_close(other.forces, one.forces - known.forces, rtol=0, atol=1e-9)
        torch.testing.assert_close(other.stress, one.stress - known.stress, rtol=0, atol=1e-9)


def test_forces_and_stress_of_a_step_are_the_potentials(frames):
    """One gradient in the pair vectors gives what Potential finds through positions and strain."""
    network = reference().select("gnn")
    shift = dict(zip([8, 11, 12], [-432.0, -10.0, -20.0]))
    settings = config_of(table(frames)).data
    few = read_frames(settings.files, settings)[:3]
    samples = data.join(
        [data.sample_of(frame, NeighborSearch(3.5), shift, torch.float64) for frame in few]
    )
    predicted = predict(network.gnn, samples)
    known = [network.evaluate(frame.structure, stress=True) for frame in few]
    torch.testing.assert_close(
        predicted.energy, torch.cat([k.energy for k in known]), rtol=0, atol=1e-10
    )
    torch.testing.assert_close(
        predicted.forces, torch.cat([k.forces for k in known]), rtol=0, atol=1e-10
    )
    torch.testing.assert_close(
        predicted.stress, torch.cat([k.stress for k in known]), rtol=0, atol=1e-11
    )
