"""Files of models as they were published, and a structure for them."""

import pytest
import torch
from published import (
    CELL,
    NUMBERS,
    POSITIONS,
    config_of,
    draw,
    write_model,
)

from openmm_pqeq.published.reaxnet.layout import expected_shapes
from openmm_pqeq.published.reaxnet.settings import read_settings
from openmm_pqeq.structure import structure_of


@pytest.fixture(scope="session")
def published(tmp_path_factory):
    """name → (the three files, the arrays in them); made once each."""
    made = {}

    def published(name):
        if name not in made:
            folder = tmp_path_factory.mktemp("published")
            files = write_model(folder, config_of(name), {})
            arrays = draw(expected_shapes(read_settings(*files[1:])), config_of(name))
            made[name] = write_model(folder, config_of(name), arrays), arrays
        return made[name]

    return published


@pytest.fixture(scope="session")
def structure():
    return structure_of(torch.tensor(POSITIONS), torch.tensor(NUMBERS), torch.tensor(CELL))
