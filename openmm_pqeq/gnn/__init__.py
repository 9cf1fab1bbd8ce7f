"""The short-range network: atomic energies from species and pair vectors."""

from openmm_pqeq.gnn.network import NequIP

__all__ = ["NequIP"]
