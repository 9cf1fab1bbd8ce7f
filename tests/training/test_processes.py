"""Training in two processes is that in one: losses and weights, to the rounding of float64."""

import csv
from types import SimpleNamespace

import ase.io
import numpy as np
import pytest
import torch
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator

pytest.importorskip("lightning", reason="training needs the extra `train`")

from openmm_pqeq.checkpoint import load
from openmm_pqeq.training.config import config_of
from openmm_pqeq.training.order import loader_of
from openmm_pqeq.training.processes import Group
from openmm_pqeq.training.run import fit

GNN = {
    **{"species": ["H", "O"], "hidden_irreps": "4x0e + 2x1o", "sh_irreps": "1x0e + 1x1o"},
    **{"layers": 2, "r_max": 3.0, "n_basis": 4, "radial_hidden": [8], "seed": 3},
}
N_FRAMES, BATCH = 9, 4
"""The last batch has one frame, fewer than there are processes."""


@pytest.fixture(scope="module")
def frames(tmp_path_factory):
    """Frames of two to six atoms with labels at random; some have no stress, and one no energy."""
    rng = np.random.default_rng(5)
    images = []
    for k in range(N_FRAMES):
        n = 2 + k % 5
        atoms = Atoms("OHHOHH"[:n], rng.uniform(0, 4, size=(n, 3)), cell=[4, 4, 4], pbc=True)
        labels = {"energy": rng.normal(), "forces": rng.normal(size=(n, 3))}
        if k % 3:
            labels["stress"] = 0.01 * rng.normal(size=6)
        atoms.calc = SinglePointCalculator(atoms, **labels)
        images.append(atoms)
    path = tmp_path_factory.mktemp("data") / "frames.traj"
    ase.io.write(path, images)
    return path


def config(frames, processes, **training):
    settings = {
        **{"epochs": 4, "batch_size": BATCH, "learning_rate": 0.01, "ema": 0.9, "threads": 1},
        **{"dtype": "float64", "gradient_clip": 1.0, "processes": processes, "warmup": 2},
    }
    table = {
        "data": {"files": [str(frames)], "held_out": {"n": 0}},
        "potential": {"gnn": GNN},
        "training": settings | training,
    }
    return config_of(table)


def trained(frames, folder, processes, resume=False, last_epoch=None, **training):
    """The losses of the epochs, and the weights of the model."""
    fit(
        config(frames, processes, **training), folder, False, resume, lambda line: None,
        last_epoch=last_epoch,
    )  # fmt: skip
    with (folder / "metrics.csv").open() as file:
        losses = [float(row["loss"]) for row in csv.DictReader(file)]
    return np.array(losses), load(folder / "model.pt").gnn.state_dict()


@pytest.fixture(scope="module")
def alone(frames, tmp_path_factory):
    return trained(frames, tmp_path_factory.mktemp("alone") / "out", 1)


def test_two_processes_are_one(frames, alone, tmp_path):
    losses, weights = trained(frames, tmp_path / "two", 2)
    assert np.ptp(alone[0]) > 1e-3
    assert np.allclose(losses, alone[0], rtol=1e-10)
    for name, weight in alone[1].items():
        assert torch.allclose(weights[name], weight, atol=1e-8), name
    written = {path.name for path in (tmp_path / "two").iterdir()}
    assert written == {
        *("checkpoint.ckpt", "errors.json", "errors.txt", "facts.json"),
        *("metrics.csv", "model.pt", "parity.png", "training.toml"),
    }


def test_a_training_goes_on_in_another_number_of_processes(frames, alone, tmp_path):
    folder = tmp_path / "on"
    trained(frames, folder, 2, last_epoch=2)
    checkpoint = torch.load(folder / "checkpoint.ckpt", weights_only=True)
    assert checkpoint["epoch"] == 1
    losses, weights = trained(frames, folder, 1, resume=True, last_epoch=3)
    losses, weights = trained(frames, folder, 2, resume=True)
    assert np.allclose(losses, alone[0], rtol=1e-10)
    for name, weight in alone[1].items():
        assert torch.allclose(weights[name], weight, atol=1e-8), name


def of_pairs(*counts):
    """Frames of so many pairs."""
    return [SimpleNamespace(centers=range(count)) for count in counts]


def test_processes_have_as_much_to_do():
    """However large the frames are, and none has nothing."""
    items = of_pairs(*[5, 400, 1350, 2000] * 8)
    for n_processes in (2, 3):
        groups = [Group(rank, n_processes, 0) for rank in range(n_processes)]
        parts = [list(loader_of(items, 16, 1, group=group).batch_sampler) for group in groups]
        for batch in zip(*parts):
            loads = [sum(len(items[frame].centers) for frame in part) for part in batch]
            assert max(loads) - min(loads) <= 1350
            assert max(loads) < 1.1 * sum(loads) / n_processes
    empty = [loader_of(of_pairs(0, 0, 0, 0), 4, 1, group=g).batch_sampler for g in groups]
    assert all(part for sampler in empty for part in sampler)


def test_the_parts_of_a_batch_make_the_batch(frames):
    items = of_pairs(*range(9))

    def order(group):
        sampler = loader_of(items, 4, 7, group=group).batch_sampler
        sampler.sampler.set_epoch(3)
        return list(sampler)

    whole = order(Group())
    parts = [order(Group(rank, 2, 0)) for rank in range(2)]
    assert [len(batch) for batch in whole] == [4, 4, 1]
    for batch, *own in zip(whole[:2], *parts):
        assert sorted(own[0] + own[1]) == sorted(batch)
    assert parts[0][2] == parts[1][2] == whole[2]


def test_a_batch_of_as_many_frames_as_processes_is_shared_out():
    """Each has one; a smaller batch is everybody's."""
    items = of_pairs(5, 3, 8, 1)
    for n_processes, alike in ((2, False), (4, False), (3, True)):
        groups = [Group(rank, n_processes, 0) for rank in range(n_processes)]
        parts = [list(loader_of(items, n_processes, 1, group=g).batch_sampler) for g in groups]
        assert all(len(part[0]) == 1 for part in parts)
        assert len({part[0][0] for part in parts}) == n_processes
        assert (parts[0][-1] == parts[1][-1]) == alike


def test_what_cannot_be_shared_is_refused(frames, tmp_path):
    with pytest.raises(ValueError, match=r"training.batch_size: expected at least 2"):
        fit(config(frames, 2, batch_size=1), tmp_path / "out", False, False, lambda line: None)
    assert not (tmp_path / "out").exists()
