"""Polarizable charge equilibration (PQEq)."""

from openmm_pqeq.pqeq.coupling import COUPLINGS, along_periodic
from openmm_pqeq.pqeq.groups import Groups, electrodes_of, fragments_of, groups_of
from openmm_pqeq.pqeq.model import PROTOCOLS, PQEq, Solution
from openmm_pqeq.pqeq.parameters import PUBLISHED_SETS, as_mapping, resolve_parameters

__all__ = [
    "COUPLINGS",
    "PROTOCOLS",
    "PUBLISHED_SETS",
    "Groups",
    "PQEq",
    "Solution",
    "along_periodic",
    "as_mapping",
    "electrodes_of",
    "fragments_of",
    "groups_of",
    "resolve_parameters",
]
