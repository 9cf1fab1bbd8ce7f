"""What a training refuses before it begins: elements, devices, frames without charges."""

import ase.io
import numpy as np
import pytest
import torch
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from known_network import GNN, silent, table, write

pytest.importorskip("lightning", reason="training needs the extra `train`")

from openmm_pqeq.training import long_range, train
from openmm_pqeq.training.config import config_of
from openmm_pqeq.training.prepare import prepare


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


def test_elements_are_refused_before_anything_is_computed(frames, monkeypatch):
    content = table(frames, long_range=True)
    content["potential"]["gnn"]["species"] = ["O", "Mg"]
    monkeypatch.setattr(long_range, "long_range_part", lambda *_: pytest.fail("computed"))
    with pytest.raises(ValueError, match=r"Na is not in the network"):
        prepare(config_of(content), silent)
    content["potential"]["gnn"] = dict(GNN) | {"hidden_irreps": "8x0q"}
    with pytest.raises(ValueError, match="hidden_irreps"):
        prepare(config_of(content), silent)


def test_a_training_on_stress_that_no_frame_has_is_refused(frames, tmp_path):
    images = ase.io.read(frames, ":")
    for image in images:
        image.calc.results.pop("stress")
    ase.io.write(tmp_path / "bare.traj", images)
    content = table(tmp_path / "bare.traj", energy_weight=0.0, force_weight=0.0)
    with pytest.raises(ValueError, match=r"training\.stress_weight: expected stress in some frame"):
        train(write(tmp_path / "a.toml", content), tmp_path / "out", say=silent)
    assert not (tmp_path / "out").exists()
    said = []
    prepare(config_of(table(tmp_path / "bare.traj")), said.append)
    assert "no frame for training has stress: its weight in the loss does nothing" in said
    prepare(config_of(table(frames, energy_weight=0.0, force_weight=0.0)), silent)


def test_reference_charges_that_nothing_has_a_use_for_are_said(frames):
    content, said = table(frames), []
    content["data"]["reference_charges"] = {"Mg": 2.0}
    prepare(config_of(content), said.append)
    assert any("nothing here has charges by bonds" in line for line in said)


def test_a_frame_with_two_atoms_in_one_place_is_named(frames, tmp_path):
    images = ase.io.read(frames, ":")
    labels = images[3].calc.results
    images[3].positions[1] = images[3].positions[0]
    images[3].calc = SinglePointCalculator(images[3], **labels)
    ase.io.write(tmp_path / "twice.traj", images)
    with pytest.raises(ValueError, match=r"twice\.traj frame 3: positions: atoms 0 and 1"):
        prepare(config_of(table(tmp_path / "twice.traj")), silent)
