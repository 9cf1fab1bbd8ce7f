"""The short-range network: atomic energies from species and pair vectors."""

from openmm_pqeq.gnn.inference import InferenceNequIP, can_be_fused
from openmm_pqeq.gnn.network import NequIP

__all__ = ["InferenceNequIP", "NequIP", "can_be_fused"]
