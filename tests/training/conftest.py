"""Labelled frames, and models from which fine-tuning starts."""

import imported_network
import known_network
import pytest
import tuned_readout

from openmm_pqeq.training import replay


@pytest.fixture(scope="module")
def frames(tmp_path_factory):
    """A file of frames, labelled by a known network plus PQEq."""
    return known_network.write_frames(tmp_path_factory.mktemp("data") / "frames.traj")


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A folder with a model, and frames labelled by the same with another readout."""
    return tuned_readout.write_files(tmp_path_factory.mktemp("finetune"))


@pytest.fixture(scope="module")
def imported(tmp_path_factory):
    """A folder with an imported network, and frames labelled by the same with other maps."""
    return imported_network.write_files(tmp_path_factory.mktemp("foundation"))


@pytest.fixture
def few_crystals(monkeypatch):
    monkeypatch.setattr(replay, "N_CRYSTALS", 28)
