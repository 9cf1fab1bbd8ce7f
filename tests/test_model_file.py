"""A model file is what was saved, or it is refused with a message that names it."""

import datetime
import math
import random
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch

from openmm_pqeq import model_file
from openmm_pqeq.checkpoint import REPLACED, at_hand, available_models, card, file_of, load, save
from openmm_pqeq.potential import build

GNN = {"species": ["O", "H"], "hidden_irreps": "4x0e+2x1o", "layers": 1, "r_max": 4.0, "seed": 3}
CONFIG = {"gnn": GNN, "pqeq": {"protocol": "ewald"}}


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "model.pt"
    save(build(CONFIG), path, {"title": "test"})
    return path


def inverted(path, place, n=64):
    content = bytearray(path.read_bytes())
    content[place : place + n] = bytes(255 - byte for byte in content[place : place + n])
    path.write_bytes(bytes(content))


def rewritten(path, **changes):
    """The file with other content, in an archive that is whole."""
    torch.save(torch.load(path, weights_only=True) | changes, path)


def test_shipped_models_and_old_files_load(path):
    for name in available_models():
        assert torch.load(file_of(name), weights_only=True)["format"] == model_file.FORMAT
        load(name)
    content = torch.load(path, weights_only=True)
    del content["checksums"]
    torch.save(content | {"format": 1}, path)
    assert load(path).config == build(CONFIG).config


def test_a_name_that_was_replaced_loads_the_better_model_and_says_so():
    for old, new in REPLACED.items():
        with pytest.warns(FutureWarning, match=f"model '{old}' is another name of '{new}' now"):
            found = load(old)
        assert found.config == load(new).config
        assert at_hand(old)
        assert old not in available_models()


def test_cards_and_settings_of_any_plain_kind_are_read_again(tmp_path):
    """What NumPy has computed and a TOML file may say; a file that is written can be read."""
    path = tmp_path / "model.pt"
    given = {
        **{"rmse": np.float64(0.5), "frames": np.int64(7), "all": np.array([1.0, 2.0])},
        **{"date": datetime.date(2026, 11, 30), "at": datetime.time(9, 30), "file": Path("a")},
        **{"good": np.bool_(True), "nested": {"pair": (1, [np.float32(0.25)])}, 1: None},
        **{"tensor": torch.tensor([3]), "name": np.str_("é")},
    }
    save(build({"zbl": {"inner": np.float64(0.5), "outer": np.float32(1.5)}}), path, given)
    expected = {
        **{"rmse": 0.5, "frames": 7, "all": [1.0, 2.0], "date": "2026-11-30", "at": "09:30:00"},
        **{"file": "a", "good": True, "nested": {"pair": (1, [0.25])}, 1: None},
        **{"tensor": [3], "name": "é"},
    }
    assert card(path) == expected
    assert {name: type(value) for name, value in card(path).items()} == {
        name: type(value) for name, value in expected.items()
    }
    assert load(path).config["zbl"]["outer"] == 1.5


@pytest.mark.parametrize(
    "odd", [object(), {1}, b"bytes", 1j, print], ids=lambda odd: type(odd).__name__
)
def test_what_no_file_may_hold_is_refused_as_it_is_written(tmp_path, odd):
    with pytest.raises(
        ValueError, match=r"card.errors.1: expected text, numbers, lists and tables"
    ):
        save(build({"zbl": {}}), tmp_path / "model.pt", {"errors": [0.1, odd]})
    assert not (tmp_path / "model.pt").exists()


@pytest.mark.parametrize("checksums", [True, False])
def test_64_inverted_bytes_of_a_tensor(path, checksums):
    """torch reads them without a word."""
    if not checksums:
        rewritten(path, format=1, checksums=None)
    largest = max(torch.load(path, weights_only=True)["weights"].values(), key=torch.Tensor.numel)
    place = path.read_bytes().find(largest.numpy().tobytes()[:64])
    inverted(path, place)
    torch.load(path, weights_only=True)
    with pytest.raises(ValueError, match=rf"model file {path}: .*damaged"):
        load(path)


@pytest.mark.parametrize("name", ["weights", "config", "card"])
def test_a_changed_number_is_named(path, name):
    content = torch.load(path, weights_only=True)
    if name == "weights":
        name = next(iter(content["weights"]))
        content["weights"][name].view(-1)[0] += 1e-6
        name = f"weights.{name}"
    elif name == "config":
        content["config"]["gnn"]["r_max"] = 4.1
    else:
        content["card"]["title"] = "another"
    torch.save(content, path)
    with pytest.raises(ValueError, match=rf"{name} is not what was saved"):
        load(path)


def test_numbers_that_are_not_finite(path):
    potential = build(CONFIG)
    name, parameter = next(iter(potential.gnn.named_parameters()))
    parameter.data.view(-1)[0] = math.nan
    with pytest.raises(ValueError, match=rf"weights: {name} .*not finite"):
        save(potential, path.with_name("nan.pt"))
    assert [one.name for one in path.parent.iterdir()] == ["model.pt"]
    content = torch.load(path, weights_only=True)
    content["weights"][name].view(-1)[0] = math.inf
    torch.save(content, path)
    with pytest.raises(ValueError, match=rf"weights: {name} .*not finite"):
        load(path)
    bare = {"format": 1, "weights": {}, "card": {}}
    torch.save(bare | {"config": {"pqeq": {"tolerance": math.nan}}}, path)
    with pytest.raises(ValueError, match=r"config\.pqeq\.tolerance: expected a finite number"):
        load(path)


ODD = [None, True, 1.5, "1", [], {1: 2}, {"a": {"b": None}}, torch.ones(2), -1, [[1]], 10**30]


@pytest.mark.parametrize("name", ["format", "config", "weights", "card", "checksums"])
@pytest.mark.parametrize("odd", ODD, ids=[str(k) for k in range(len(ODD))])
def test_odd_content_is_a_message(path, name, odd):
    rewritten(path, **{name: odd})
    with pytest.raises(ValueError, match=rf"model file {path}: "):
        load(path)


def test_files_with_random_damage_are_refused_or_the_same(path):
    """400 files; bytes between the records of the archive mean nothing."""
    expected, whole = load(path), path.read_bytes()
    random.seed(1)
    for _ in range(400):
        place = random.randrange(len(whole))
        path.write_bytes(whole)
        if random.random() < 0.2:
            path.write_bytes(whole[:place])
        else:
            inverted(path, place, random.choice([1, 8, 64]))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                found = load(path)
            except ValueError:
                continue
        assert found.config == expected.config
        for ours, theirs in zip(found.parameters(), expected.parameters(), strict=True):
            assert torch.equal(ours, theirs)


def test_a_network_of_one_element_is_saved(tmp_path):
    """Its only scale and shift are tensors that any stride describes."""
    save(build({"gnn": GNN | {"species": ["Cu"]}}), tmp_path / "one.pt")
    assert load(tmp_path / "one.pt").species == ["Cu"]
