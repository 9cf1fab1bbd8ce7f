"""Training of the network on reference − PQEq − D3: from scratch, or from a model; with and without
the long-range part. Its settings can be read without Lightning; training itself needs it."""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from openmm_pqeq.training.ablation import ablate
    from openmm_pqeq.training.config import read_config
    from openmm_pqeq.training.finetuning import finetune
    from openmm_pqeq.training.run import Result, train

_HOMES = {
    "Result": "run",
    "ablate": "ablation",
    "finetune": "finetuning",
    "read_config": "config",
    "train": "run",
}

__all__ = ["Result", "ablate", "finetune", "read_config", "train"]


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'openmm_pqeq.training' has no attribute {name!r}")
    return getattr(importlib.import_module(f"openmm_pqeq.training.{_HOMES[name]}"), name)
