"""Training: labels, split, shifts, one step's forces and stress, what is refused.

The reference of most tests is a network with known random weights plus PQEq: energies and forces
are then known exactly, and the network that is trained has the same form, so that the labels can be
recovered.
"""

import json
import re
import weakref
from pathlib import Path

import ase.io
import numpy as np
import pytest
import torch
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from known_network import (
    GNN,
    HELD_OUT,
    N_FRAMES,
    reference,
    rows,
    same_weights,
    silent,
    structure,
    table,
    write,
    write_frames,
)

import openmm_pqeq as pq
from openmm_pqeq import ops
from openmm_pqeq.gnn import network as network_module
from openmm_pqeq.neighbors.search import NeighborSearch

pytest.importorskip("lightning", reason="training needs the extra `train`")

from openmm_pqeq.training import loss, report, train
from openmm_pqeq.training import samples as data
from openmm_pqeq.training.config import config_of
from openmm_pqeq.training.frames import Frame, read_frames
from openmm_pqeq.training.loss import Prediction, errors_of, predict, predict_all
from openmm_pqeq.training.prepare import prepare
from openmm_pqeq.training.run import fit


@pytest.fixture(scope="module")
def frames(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_frames(tmp_path_factory.mktemp("data") / "frames.traj")


# --- laws ---


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


def test_the_fused_convolution_trains_as_plain_torch_does(frames, tmp_path, monkeypatch):
    """The same losses and errors, to the rounding of sums in another order: float64."""
    curves = []
    for folder in (tmp_path / "native", tmp_path / "plain"):
        train(write(tmp_path / "training.toml", table(frames)), folder, say=silent)
        curves.append(
            [
                float(row[name])
                for row in rows(folder)
                for name in ("loss", "held_out_force_rmse", "held_out_energy_rmse")
                if row[name]
            ]
        )
        monkeypatch.setattr(network_module, "native_on", lambda tensor: False)
    assert len(curves[0]) > 3
    assert curves[0] == pytest.approx(curves[1], rel=1e-9, abs=0)


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


def test_a_known_network_is_recovered(frames, tmp_path):
    """Held-out forces end within a tenth of their spread, and the exported model is what the report
    says it is."""
    settings = table(
        frames,
        long_range=True,
        epochs=50,
        batch_size=3,
        schedule="cosine",
        learning_rate=0.03,
        measure_every=25,
        dtype="float32",
    )
    result = train(write(tmp_path / "a.toml", settings), tmp_path / "out", say=silent)
    losses = [float(row["loss"]) for row in rows(tmp_path / "out")]
    assert losses[-1] < losses[0] / 100
    spread = float(data.force_rms(_held_out_frames(frames))) * 1000
    assert result.errors["held out"].force_rmse < 0.1 * spread
    potential = pq.load(result.model)
    differences, energies = [], []
    for frame in _held_out_frames(frames, with_long_range=True):
        value = potential.evaluate(frame.structure)
        differences.append((value.forces - frame.labels.forces).ravel())
        energies.append((value.energy[0] - frame.labels.energy) / 4)
    # float32 in training, float64 in the potential: 1e-6 of forces of 1 eV/Å
    assert 1000 * float(torch.cat(differences).square().mean().sqrt()) == pytest.approx(
        result.errors["held out"].force_rmse, abs=0.05
    )
    assert 1000 * float(torch.stack(energies).square().mean().sqrt()) == pytest.approx(
        result.errors["held out"].energy_rmse, abs=0.05
    )
    written = json.loads((tmp_path / "out" / "errors.json").read_text())
    assert written["held_out_frames"] == sorted(
        np.random.default_rng(0).permutation(N_FRAMES)[:HELD_OUT].tolist()
    )
    assert (tmp_path / "out" / "parity.png").stat().st_size > 10_000
    assert "held out" in (tmp_path / "out" / "errors.txt").read_text()


def _held_out_frames(file: Path, with_long_range: bool = False) -> list[Frame]:
    config = config_of(table(file, long_range=True))
    every = read_frames(config.data.files, config.data)
    if not with_long_range:
        every = data.subtract(every, data.long_range_part(every, reference().select("pqeq")))
    return [every[i] for i in data.split_frames(len(every), config.data).held_out]


def test_held_out_frames_do_not_touch_the_training(frames, tmp_path):
    """Wrong labels on the held-out frames leave weights, shifts and scale as they are, to the last
    bit."""
    images = ase.io.read(frames, index=":")
    for index in np.random.default_rng(0).permutation(N_FRAMES)[:HELD_OUT]:
        results = images[index].calc.results
        results["energy"], results["forces"] = results["energy"] + 50.0, 3.0 * results["forces"]
        results["stress"] = 3.0 * results["stress"]
    ase.io.write(tmp_path / "spoilt.traj", images)
    one = train(write(tmp_path / "a.toml", table(frames, epochs=2)), tmp_path / "a", say=silent)
    two = train(
        write(tmp_path / "b.toml", table(tmp_path / "spoilt.traj", epochs=2)),
        tmp_path / "b",
        say=silent,
    )
    assert two.errors["held out"].force_rmse > 1.5 * one.errors["held out"].force_rmse
    same_weights(pq.load(one.model).gnn.state_dict(), pq.load(two.model).gnn.state_dict())


def test_a_deterministic_training_gives_the_same_weights_twice(frames, tmp_path):
    """With two threads and float32; torch's algorithms are as they were afterwards."""
    seen = []
    settings = {"deterministic": True, "threads": 2, "dtype": "float32", "batch_size": 3}
    file = write(tmp_path / "a.toml", table(frames, epochs=2, **settings))
    before = torch.get_num_threads()
    for name in ("one", "two"):
        train(
            file,
            tmp_path / name,
            say=lambda line: seen.append(torch.are_deterministic_algorithms_enabled()),
        )
    torch.set_num_threads(before)
    assert any(seen)
    assert not torch.are_deterministic_algorithms_enabled()
    one, two = (pq.load(tmp_path / name / "model.pt").gnn.state_dict() for name in ("one", "two"))
    same_weights(one, two)
    with pytest.raises(ValueError, match="training.max_time: expected no limit"):
        config_of(table(frames, max_time="1min", **settings))


def test_best_validation_weights_are_exported(frames, tmp_path):
    content = table(frames, epochs=30, patience=3, learning_rate=0.2)
    content["data"]["validation"] = 4
    result = train(write(tmp_path / "a.toml", content), tmp_path / "out", say=silent)
    errors = [float(row["validation_force_rmse"]) for row in rows(tmp_path / "out")]
    assert result.errors["validation"].force_rmse == pytest.approx(min(errors), rel=1e-12)
    assert len(errors) < 30, "patience should have ended the run"
    assert len(errors) - 1 - int(np.argmin(errors)) == 3


# --- bad input ---


def test_a_frame_whose_charges_do_not_converge_is_named(tmp_path):
    close = Atoms("OH2", [[0, 0, 0], [0, 0, 0.4], [0, 0.4, 0]])
    close.calc = SinglePointCalculator(close, energy=0.0, forces=np.zeros((3, 3)))
    ase.io.write(tmp_path / "water.traj", [close] * 8)
    content = table(tmp_path / "water.traj")
    content["potential"] = {
        "gnn": dict(GNN),
        "pqeq": {"protocol": "direct", "parameters": "pqeq0"},
    }  # an H that is too soft
    with pytest.raises(ValueError, match=r"water\.traj frame \d+: PQEq: the charge solution"):
        train(write(tmp_path / "a.toml", content), tmp_path / "out", say=silent)
    assert not (tmp_path / "out").exists()


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_a_device_that_is_not_there_is_refused(frames, tmp_path):
    with pytest.raises(ValueError, match=r"training\.device: expected 'cpu'"):
        train(
            write(tmp_path / "a.toml", table(frames, device="cuda")), tmp_path / "out", say=silent
        )
    assert not (tmp_path / "out").exists()


def test_elements_that_are_refused(frames):
    content = table(frames)
    content["potential"]["gnn"]["species"] = ["O", "Mg"]
    with pytest.raises(ValueError, match="Na is not in the network: expected O, Mg"):
        prepare(config_of(content), silent)
    content = table(frames, long_range=True)
    content["potential"]["pqeq"]["parameters"] = "pqeq1"
    with pytest.raises(ValueError, match="Na, Mg is not in the terms pqeq: expected H"):
        prepare(config_of(content), silent)


# --- what would mislead ---


def test_max_time_alone_takes_the_learning_rate_to_zero_with_it(frames):
    content = table(frames, max_time="10min")
    del content["training"]["epochs"], content["training"]["schedule"]
    settings = config_of(content).training
    assert (settings.schedule, settings.max_time) == ("cosine-time", 600.0)
    assert settings.epochs > 100_000
    assert (
        config_of(table(frames, max_time="10min", epochs=3, schedule="cosine")).training.epochs == 3
    )


def test_a_training_that_time_ends_at_a_high_rate_says_so(frames, tmp_path):
    lines: list[str] = []
    settings = config_of(table(frames, schedule="cosine", epochs=500, max_time="1e-3"))
    fit(settings, tmp_path / "short", False, False, lines.append)
    assert any("learning rate was at" in line and "cosine-time" in line for line in lines)


def test_elements_are_refused_before_anything_is_computed(frames, monkeypatch):
    content = table(frames, long_range=True)
    content["potential"]["gnn"]["species"] = ["O", "Mg"]
    monkeypatch.setattr(data, "long_range_part", lambda *_: pytest.fail("computed"))
    with pytest.raises(ValueError, match=r"Na is not in the network"):
        prepare(config_of(content), silent)
    content["potential"]["gnn"] = dict(GNN) | {"hidden_irreps": "8x0q"}
    with pytest.raises(ValueError, match="hidden_irreps"):
        prepare(config_of(content), silent)


@pytest.mark.parametrize(("learnt", "said"), [(0.0, True), (0.5, False)])
def test_energies_count_as_learnt_where_they_beat_the_mean_of_the_labels(frames, learnt, said):
    """Predictions that are the labels' mean plus a part of what distinguishes them."""
    samples = prepare(config_of(table(frames)), silent).part("train")
    label = data.join(samples)
    energy = label.energy / label.counts
    mean = energy.mean() + learnt * (energy - energy.mean())
    predicted = Prediction(mean * label.counts, label.forces, label.stress)
    part = report.Measured(samples, predicted, errors_of(predicted, samples))
    assert bool(report.energies_not_learnt({"training": part})) == said


def test_the_report_says_that_energies_were_not_learnt_and_plots_say_how_wrong_they_are(
    frames, tmp_path, monkeypatch
):
    from matplotlib.axes import Axes

    labels = []
    plot = Axes.plot
    monkeypatch.setattr(
        Axes, "plot", lambda self, *a, **k: (labels.append(k.get("label")), plot(self, *a, **k))[1]
    )
    lines: list[str] = []
    monkeypatch.setattr(report, "NOT_LEARNT", 1e-9)  # what was learnt is not enough
    settings = config_of(table(frames, epochs=1))
    fit(settings, tmp_path / "run", False, False, lines.append)
    written = (tmp_path / "run" / "errors.txt").read_text(encoding="utf-8")
    assert re.search("Energies were not learnt: of the training frames.* the spread of", written)
    assert any("Energies were not learnt" in line for line in lines)
    for unit in ("meV/atom", "meV/Å", "eV/Å³"):
        assert any(label and re.search(rf"RMSE [\d.e+-]+ {unit}", label) for label in labels)
