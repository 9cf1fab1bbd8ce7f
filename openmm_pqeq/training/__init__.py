"""Training of the network on reference − PQEq − D3: from scratch, or from a model; with and without
the long-range part."""

from openmm_pqeq.training.ablation import ablate
from openmm_pqeq.training.config import read_config
from openmm_pqeq.training.finetune import finetune
from openmm_pqeq.training.run import Result, train

__all__ = ["Result", "ablate", "finetune", "read_config", "train"]
