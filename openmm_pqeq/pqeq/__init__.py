"""Polarizable charge equilibration (PQEq)."""

from openmm_pqeq.pqeq.coupling import BONDS, COUPLINGS, along_periodic, has_meaning_along_periods
from openmm_pqeq.pqeq.field_energy import FieldEnergy
from openmm_pqeq.pqeq.groups import Groups, electrodes_of, fragments_of, groups_of
from openmm_pqeq.pqeq.model import PQEq, Solution
from openmm_pqeq.pqeq.parameters import PUBLISHED_SETS, as_mapping, resolve_parameters
from openmm_pqeq.pqeq.settings import (
    CONVERGED_PROTOCOLS,
    PROTOCOLS,
    check_settings,
    check_switch,
)

__all__ = [
    "BONDS",
    "CONVERGED_PROTOCOLS",
    "COUPLINGS",
    "PROTOCOLS",
    "PUBLISHED_SETS",
    "FieldEnergy",
    "Groups",
    "PQEq",
    "Solution",
    "along_periodic",
    "as_mapping",
    "check_settings",
    "check_switch",
    "electrodes_of",
    "fragments_of",
    "groups_of",
    "has_meaning_along_periods",
    "resolve_parameters",
]
