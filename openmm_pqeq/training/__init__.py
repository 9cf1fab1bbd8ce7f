"""Training of the network on reference − PQEq − D3."""

from openmm_pqeq.training.run import Result, train

__all__ = ["Result", "train"]
