"""Training: labels, split, shifts, one step's forces and stress, resuming, what is refused.

The reference of most tests is a network with known random weights plus PQEq: energies and forces
are then known exactly, and the network that is trained has the same form, so that the labels can be
recovered.
"""

import csv
import json
import re
import signal
import weakref
from pathlib import Path

import ase.io
import numpy as np
import pytest
import torch
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator

import openmm_pqeq as pq
from openmm_pqeq import ops
from openmm_pqeq.gnn import network as network_module
from openmm_pqeq.jobs.failure import RunFailure
from openmm_pqeq.jobs.settings import settings_of
from openmm_pqeq.neighbors.search import NeighborSearch
from openmm_pqeq.structure import structure_of

pytest.importorskip("lightning", reason="training needs the extra `train`")

from openmm_pqeq.training import loss, report, train
from openmm_pqeq.training import samples as data
from openmm_pqeq.training.config import config_of, read_config
from openmm_pqeq.training.frames import Frame, read_frames
from openmm_pqeq.training.loss import Prediction, errors_of, predict, predict_all
from openmm_pqeq.training.prepare import prepare
from openmm_pqeq.training.run import fit
from openmm_pqeq.training.settings import DataSettings, TrainingSettings

GNN = {"hidden_irreps": "8x0e + 4x1o", "sh_irreps": "1x0e + 1x1o", "layers": 2, "r_max": 3.5}
GNN |= {"n_basis": 4, "radial_hidden": [8], "avg_neighbors": 10.0}
PQEQ = {"protocol": "ewald", "tolerance": 1e-9}
SPECIES = ["O", "Na", "Mg"]
N_FRAMES, HELD_OUT = 20, 5


def reference() -> pq.Potential:
    """The known potential: a network with the weights of seed 7, scale and shifts, plus PQEq."""
    gnn = GNN | {"species": SPECIES, "seed": 7, "scale": 0.5, "shift": [-432.0, -10.0, -20.0]}
    return pq.build({"gnn": gnn, "pqeq": PQEQ})


@pytest.fixture(scope="module")
def frames(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Distorted MgO and NaO-like cells of two compositions with the reference's labels, as ASE
    reads them."""
    path = tmp_path_factory.mktemp("data") / "frames.traj"
    known = reference()
    random = np.random.default_rng(3)
    images = []
    for index in range(N_FRAMES):
        metals = ["Mg", "Mg"] if index % 2 else ["Mg", "Na"]
        atoms = Atoms([metals[0], "O", metals[1], "O"], cell=[4.0, 4.0, 3.2], pbc=True)
        atoms.set_scaled_positions([[0, 0, 0], [0.5, 0, 0.1], [0.5, 0.5, 0.5], [0, 0.5, 0.6]])
        atoms.set_cell(
            atoms.cell @ (np.eye(3) + random.normal(scale=0.02, size=(3, 3))), scale_atoms=True
        )
        atoms.positions += random.normal(scale=0.1, size=(4, 3))
        result = known.evaluate(structure(atoms), stress=True)
        stress = result.stress[0].numpy()[[0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]]
        atoms.calc = SinglePointCalculator(
            atoms, energy=float(result.energy[0]), forces=result.forces.numpy(), stress=stress
        )
        images.append(atoms)
    ase.io.write(path, images)  # ASE's own format keeps every digit
    return path


def structure(atoms: Atoms):
    return structure_of(
        torch.tensor(atoms.positions),
        torch.tensor(atoms.numbers),
        torch.tensor(np.asarray(atoms.cell)),
    )


def table(file: Path, long_range: bool = False, **training) -> dict:
    """A training file's content; without the long-range part the network learns the reference as it
    is, which is faster."""
    settings = {
        "epochs": 3,
        "learning_rate": 0.02,
        "schedule": "constant",
        "warmup": 5,
        "ema": 0.9,
        "energy_weight": 10.0,
    }
    return {
        "data": {"files": [str(file)], "held_out": {"seed": 0, "n": HELD_OUT}},
        "potential": {"gnn": dict(GNN)} | ({"pqeq": dict(PQEQ)} if long_range else {}),
        "training": settings | {"dtype": "float64", "threads": 1} | training,
        "card": {"data": "synthetic"},
    }


def write(path: Path, content: dict) -> Path:
    """A training file (JSON values are TOML values, but for tables)."""

    def lines(name: str, values: dict):
        plain = {k: v for k, v in values.items() if not isinstance(v, dict)}
        if name:
            yield f"[{name}]"
        yield from (f"{key} = {json.dumps(value)}" for key, value in plain.items())
        for key, value in values.items():
            if isinstance(value, dict):
                yield from lines(f"{name}.{key}" if name else key, value)

    path.write_text("\n".join(lines("", content)) + "\n")
    return path


def rows(folder: Path) -> list[dict[str, str]]:
    """The lines of metrics.csv."""
    with (folder / "metrics.csv").open() as file:
        return list(csv.DictReader(file))


def silent(line: str) -> None:
    pass


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


def same_weights(one: dict, two: dict) -> None:
    assert one.keys() == two.keys()
    for name in one:
        assert torch.equal(one[name], two[name]), name


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


# --- interruption, resuming, folders ---


def test_an_interrupted_and_resumed_run_is_the_uninterrupted_one(frames, tmp_path):
    """To the last bit on the CPU: weights, running average, optimiser; killed while epoch 2 was
    being measured."""
    file = write(tmp_path / "a.toml", table(frames, epochs=4, schedule="cosine", batch_size=2))
    train(file, tmp_path / "whole", say=silent)

    def interrupt(line: str) -> None:
        if line.startswith("epoch    2"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(file, tmp_path / "parts", say=interrupt)
    assert not (tmp_path / "parts" / "model.pt").exists()
    train(file, tmp_path / "parts", resume=True, say=silent)
    whole, parts = (
        torch.load(tmp_path / name / "checkpoint.ckpt", weights_only=True)
        for name in ("whole", "parts")
    )
    same_weights(whole["state_dict"], parts["state_dict"])
    for one, two in zip(
        whole["optimizer_states"][0]["state"].values(),
        parts["optimizer_states"][0]["state"].values(),
    ):
        same_weights(one, two)
    assert whole["openmm_pqeq"]["steps"] == parts["openmm_pqeq"]["steps"] == 4 * 8
    for name in ("whole", "parts"):
        assert [row["epoch"] for row in rows(tmp_path / name)] == ["0", "1", "2", "3"]


def test_a_run_that_is_asked_to_end_is_not_a_finished_one(frames, tmp_path):
    """SIGTERM, as queues send it: interrupted, as Ctrl-C does, where Lightning would exit with 0."""
    file = write(tmp_path / "a.toml", table(frames, epochs=4, batch_size=2))
    said = []

    def ask(line: str) -> None:
        said.append(line)
        if line.startswith("epoch    1"):
            signal.raise_signal(signal.SIGTERM)

    with pytest.raises(KeyboardInterrupt):
        train(file, tmp_path / "out", say=ask)
    assert said[-1].startswith("interrupted; ")


def test_a_finished_run_can_be_resumed_for_its_report(frames, tmp_path):
    """Nothing is trained any more where the time is used up, and the model is the same."""
    content = table(frames, schedule="cosine-time", max_time=0.2, epochs=1000)
    file = write(tmp_path / "a.toml", content)
    first = train(file, tmp_path / "out", say=silent)
    weights = pq.load(first.model).gnn.state_dict()
    first.model.unlink()
    again = train(file, tmp_path / "out", resume=True, say=silent)
    same_weights(weights, pq.load(again.model).gnn.state_dict())


def test_best_validation_weights_are_exported(frames, tmp_path):
    content = table(frames, epochs=30, patience=3, learning_rate=0.2)
    content["data"]["validation"] = 4
    result = train(write(tmp_path / "a.toml", content), tmp_path / "out", say=silent)
    errors = [float(row["validation_force_rmse"]) for row in rows(tmp_path / "out")]
    assert result.errors["validation"].force_rmse == pytest.approx(min(errors), rel=1e-12)
    assert len(errors) < 30, "patience should have ended the run"
    assert len(errors) - 1 - int(np.argmin(errors)) == 3


def test_folders_are_not_overwritten(frames, tmp_path):
    file = write(tmp_path / "a.toml", table(frames, epochs=1))
    out = tmp_path / "out"
    out.mkdir()
    (out / "model.pt").write_text("kept")
    with pytest.raises(FileExistsError, match=r"already has model\.pt, which may be of something"):
        train(file, out, say=silent)
    with pytest.raises(FileExistsError, match="of something else than a training"):
        train(file, out, overwrite=True, say=silent)
    with pytest.raises(FileNotFoundError, match="no training in .* to continue"):
        train(file, out, resume=True, say=silent)
    assert {path.name: path.read_text() for path in out.iterdir()} == {"model.pt": "kept"}


def test_overwriting_removes_the_training_and_nothing_else(frames, tmp_path):
    file = write(tmp_path / "a.toml", table(frames, epochs=1))
    first = train(file, tmp_path / "out", say=silent)
    written = {path.name for path in first.folder.iterdir()}
    (tmp_path / "out" / "mine.txt").write_text("kept")
    train(
        write(tmp_path / "b.toml", table(frames, epochs=1, learning_rate=0.01)),
        tmp_path / "out",
        overwrite=True,
        say=silent,
    )
    assert {path.name for path in first.folder.iterdir()} == written | {"mine.txt"}
    assert len(rows(first.folder)) == 1
    with pytest.raises(FileExistsError, match="with --resume, or replace it with --overwrite"):
        train(file, tmp_path / "out", say=silent)
    before = {path.name: path.read_bytes() for path in first.folder.iterdir()}
    content = table(frames, epochs=1)
    content["data"]["forces_key"] = "missing"
    with pytest.raises(ValueError, match="no forces"):
        train(write(tmp_path / "c.toml", content), tmp_path / "out", overwrite=True, say=silent)
    assert {path.name: path.read_bytes() for path in first.folder.iterdir()} == before


def test_resuming_with_other_settings_is_refused(frames, tmp_path):
    train(write(tmp_path / "a.toml", table(frames, epochs=1)), tmp_path / "out", say=silent)
    with pytest.raises(ValueError, match=r"training\.learning_rate"):
        train(
            write(tmp_path / "b.toml", table(frames, epochs=1, learning_rate=0.5)),
            tmp_path / "out",
            resume=True,
            say=silent,
        )


def test_resuming_with_other_data_is_refused(frames, tmp_path):
    own = tmp_path / "frames.traj"
    own.write_bytes(frames.read_bytes())
    file = write(tmp_path / "a.toml", table(own, epochs=1))
    train(file, tmp_path / "out", say=silent)
    ase.io.write(own, ase.io.read(frames, index=":")[::-1])
    with pytest.raises(ValueError, match=r"frames\.traj: other contents than at the training's"):
        train(file, tmp_path / "out", resume=True, say=silent)


def test_a_training_is_repeated_from_its_own_folder(frames, tmp_path):
    """training.toml has every setting with its meaning, and facts.json says what was run."""
    content = table(frames, long_range=True, epochs=1, max_time="10min")
    first = train(write(tmp_path / "a.toml", content), tmp_path / "out", say=silent)
    again = train(tmp_path / "out" / "training.toml", tmp_path / "again", say=silent)
    one, two = (pq.load(result.model).gnn.state_dict() for result in (first, again))
    same_weights(one, two)
    facts = json.loads((tmp_path / "again" / "facts.json").read_text())
    assert facts["job"] == "training"
    assert facts["settings"]["training"]["max_time"] == 600.0
    assert facts["sha256"].keys() == {str(frames)}
    text = (tmp_path / "out" / "training.toml").read_text()
    for kind in (DataSettings, TrainingSettings):
        for name, one in settings_of(kind).items():
            assert re.search(rf"^{name} = .*# {re.escape(one.metadata['help'])}$", text, re.M), name


@pytest.mark.parametrize("error", [RuntimeError, ValueError])
def test_a_loss_that_is_not_finite_is_a_failure_with_what_to_do(frames, tmp_path, error):
    file = write(tmp_path / "a.toml", table(frames, epochs=3))

    def spoil(news):
        raise error("the loss became nan")

    with pytest.raises(RunFailure, match=r"training failed after epoch 1: the loss became nan\n.*"):
        fit(read_config(file), tmp_path / "out", False, False, silent, watch=spoil)


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
