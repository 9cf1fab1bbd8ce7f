"""Fine-tuning of an imported SevenNet: its parts, low-rank updates, resumption, the command, in a
field.

The data are labelled by the same network with other readout and linear maps
(imported_network.py).
"""

import json

import ase.io
import numpy as np
import pytest
import torch
from imported_network import N_FRAMES, batch, config, network
from known_network import silent

import openmm_pqeq as pq
from openmm_pqeq.cli import main

pytest.importorskip("lightning", reason="training needs the extra `train`")

from openmm_pqeq.training import finetune, parts
from openmm_pqeq.training.loss import predict
from openmm_pqeq.training.low_rank import merged, update_by_low_rank

pytestmark = pytest.mark.usefixtures("few_crystals")

# --- parts ---


def test_maps_are_linear_maps_self_connections_and_readout(imported, tmp_path):
    """They move; radial networks, basis and embedding keep every digit, in float32 as well."""
    result = finetune(config(imported, dtype="float32"), tmp_path / "new.pt", say=silent)
    old, new = (pq.load(path).gnn.state_dict() for path in (imported / "model.pt", result.model))
    for name in old:
        if name in ("scale", "shift"):
            continue
        stays = "radial" in name or name in ("basis.frequencies", "embedding")
        assert torch.equal(old[name], new[name]) == stays, name
    assert len(parts.select(pq.load(imported / "model.pt").gnn, "maps")) == 5 + 9 + 5 + 2


def test_errors_fall_and_the_file_has_those_of_the_report(imported, tmp_path):
    """Forces to a half; the model that is loaded again has them to 1e-3 meV/Å of the report."""
    start = {"rank": 1, "replay": 1}
    fitted = config(imported, start, epochs=25, learning_rate=0.02, energy_weight=0.0)
    result = finetune(fitted, tmp_path / "new.pt", say=silent)
    report = json.loads((tmp_path / "new" / "errors.json").read_text())
    after, before = (report[key]["held out"] for key in ("errors", "errors_before"))
    assert after["force_rmse"] < 0.5 * before["force_rmse"]
    images = ase.io.read(imported / "frames.traj", index=":")
    held_out = sorted(np.random.default_rng(0).permutation(N_FRAMES)[:2].tolist())
    differences = []
    for index in held_out:
        atoms = images[index].copy()
        atoms.calc = pq.PQEqCalculator(pq.load(result.model))
        differences.append(atoms.get_forces() - images[index].get_forces())
    found = 1000 * np.sqrt(np.mean(np.square(differences)))
    assert found == pytest.approx(result.errors["held out"].force_rmse, abs=1e-3)
    card = pq.checkpoint.card(result.model)["fine_tuning"]
    assert card["rank"] == 1
    assert card["replay"] == 1


# --- low rank ---


def test_low_rank_updates_merge_exactly(imported):
    """The merged weights in a plain network give what the updates gave, and differ from those
    before by a matrix of that rank."""
    gnn, samples = network(imported, "all"), batch(imported)
    before = {name: value.clone() for name, value in gnn.state_dict().items()}
    large = update_by_low_rank(gnn, parts.select(gnn, "all"), 1, seed=3)
    assert "interactions.1.down.0.weight" in large
    assert "interactions.1.radial.weights.2" in large
    assert "embedding" not in large
    assert "readout.1.weight" not in large
    for one, two in zip(predict(network(imported), samples), predict(gnn, samples)):
        torch.testing.assert_close(one, two, rtol=0, atol=0)
    generator = torch.Generator().manual_seed(4)
    trained = [p for p in gnn.parameters() if p.requires_grad]
    assert len(trained) == len(before) - len(large) - 2 + 2 * len(large)  # but scale and shift
    with torch.no_grad():
        for weight in trained:
            noise = torch.randn(weight.shape, generator=generator, dtype=torch.float64)
            weight += 0.1 * noise
    plain = network(imported)
    plain.load_state_dict(merged(gnn))
    for one, two in zip(predict(plain, samples), predict(gnn, samples)):
        torch.testing.assert_close(one, two, rtol=0, atol=0)
    for name in large:
        change = plain.get_parameter(name) - before[name]
        assert torch.linalg.matrix_rank(change, rtol=1e-9) == 1, name


def test_low_rank_updates_are_of_the_trained_parts_alone(imported, tmp_path):
    start = {"train": "layer.1", "rank": 1}
    result = finetune(config(imported, start), tmp_path / "new.pt", say=silent)
    old, new = (pq.load(path).gnn.state_dict() for path in (imported / "model.pt", result.model))
    for name in old:
        moves = name == "shift" or name.startswith("interactions.1.")
        assert torch.equal(old[name], new[name]) != moves, name
    facts = json.loads((tmp_path / "new" / "errors.json").read_text())
    assert facts["trained_parameters"] < 0.7 * sum(
        value.numel() for name, value in old.items() if name.startswith("interactions.1.")
    )


# --- the whole ---


def test_an_interrupted_one_goes_on_to_the_last_bit(imported, tmp_path):
    settings = config(imported, {"rank": 1, "replay": 2}, epochs=3)
    whole = finetune(settings, tmp_path / "whole.pt", say=silent)

    def interrupt(line: str) -> None:
        if line.startswith("epoch    1"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        finetune(settings, tmp_path / "parts.pt", say=interrupt)
    parted = finetune(settings, tmp_path / "parts.pt", resume=True, say=silent)
    one, two = (pq.load(result.model).gnn.state_dict() for result in (whole, parted))
    for name in one:
        assert torch.equal(one[name], two[name]), name


def test_the_command(imported, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    command = [
        "finetune",
        str(imported / "model.pt"),
        str(imported / "frames.traj"),
        "-o",
        "new.pt",
    ]
    command += ["--epochs", "1", "--threads", "1", "--train", "maps"]
    assert main([*command, "--rank", "1", "--replay", "2"]) == 0
    shown = capsys.readouterr().out
    for words in ("updates of rank 1", "replay:", "frames of the model's own", "before and after"):
        assert words in shown
    assert pq.load("new.pt").species == pq.load(imported / "model.pt").species
    assert main([*command, "--overwrite", "--replay-files", "others.xyz"]) == 2
    assert "start.replay: expected how many frames" in capsys.readouterr().err
    assert main([*command, "--overwrite", "--replay", "1", "--replay-files", "others.xyz"]) == 2
    assert "others.xyz" in capsys.readouterr().err


def test_a_universal_model_keeps_what_it_does_in_a_field(imported, tmp_path):
    """The energy of the field alone is zero without one: the labels are the whole reference, and the
    tuned network is that of the tuned base."""
    base = pq.load(imported / "model.pt")
    universal = pq.build({**base.config, "pqeq": {"protocol": "ewald", "energy": "field"}})
    universal.gnn.load_state_dict(base.gnn.state_dict())
    pq.save(universal, tmp_path / "universal.pt")
    start = {"model": str(tmp_path / "universal.pt")}
    tuned, alone = (
        finetune(config(imported, more), tmp_path / f"{name}.pt", say=silent)
        for name, more in (("tuned", start), ("alone", {}))
    )
    one, two = (pq.load(result.model) for result in (tuned, alone))
    assert set(one.config) == {"gnn", "pqeq"}
    for name, value in two.gnn.state_dict().items():
        torch.testing.assert_close(one.gnn.state_dict()[name], value, rtol=0, atol=0)
