"""The folder of a training: interruption, resuming, overwriting, repeating, failures on the way."""

import json
import re
import signal

import ase.io
import pytest
import torch
from known_network import rows, same_weights, silent, table, write

import openmm_pqeq as pq
from openmm_pqeq.jobs.failure import RunFailure
from openmm_pqeq.jobs.settings import settings_of

pytest.importorskip("lightning", reason="training needs the extra `train`")

from openmm_pqeq.training import train
from openmm_pqeq.training.config import read_config
from openmm_pqeq.training.run import fit
from openmm_pqeq.training.settings import DataSettings, TrainingSettings


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
