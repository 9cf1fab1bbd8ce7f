"""Training: a known network is recovered, held-out frames are not touched, the same twice, the best
weights, and what would mislead.

The reference is a network with known random weights plus PQEq: energies and forces are then known
exactly, and the network that is trained has the same form, so that the labels can be recovered.
"""

import json
import re
from pathlib import Path

import ase.io
import numpy as np
import pytest
import torch
from known_network import HELD_OUT, N_FRAMES, reference, rows, same_weights, silent, table, write

import openmm_pqeq as pq
from openmm_pqeq.gnn import network as network_module

pytest.importorskip("lightning", reason="training needs the extra `train`")

from openmm_pqeq.training import long_range, report, train
from openmm_pqeq.training import samples as data
from openmm_pqeq.training.config import config_of
from openmm_pqeq.training.frames import Frame, read_frames
from openmm_pqeq.training.loss import Prediction, errors_of
from openmm_pqeq.training.prepare import prepare
from openmm_pqeq.training.run import fit


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
        every = long_range.subtract(
            every, long_range.long_range_part(every, reference().select("pqeq"))
        )
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
