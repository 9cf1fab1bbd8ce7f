"""The terms that a potential may have: one line each, in the order of their sum.

A new term is a class with the members of `contract.Term`, and a line here.
"""

from collections.abc import Mapping
from typing import Any

from openmm_pqeq.contract import Term
from openmm_pqeq.d3.term import DispersionTerm
from openmm_pqeq.gnn.term import NetworkTerm
from openmm_pqeq.pqeq.term import ChargeTerm
from openmm_pqeq.zbl import ZBL

TERMS: dict[str, type[Term]] = {
    "gnn": NetworkTerm,
    "pqeq": ChargeTerm,
    "d3": DispersionTerm,
    "zbl": ZBL,
}
"""By their names in configs, files and results."""


def make_terms(config: Mapping[str, Mapping[str, Any]]) -> dict[str, Term]:
    """The terms of a config, each from its own settings.

    Raises ValueError for an unknown term, and for what a term refuses.
    """
    if not isinstance(config, Mapping) or not config:
        raise ValueError(
            f"config: expected a mapping with one or more of {', '.join(TERMS)}; got {config!r}"
        )
    for name, settings in config.items():
        if name not in TERMS:
            raise ValueError(f"config: no term {name!r}; the terms are {', '.join(TERMS)}")
        if not isinstance(settings, Mapping):
            raise ValueError(f"config[{name!r}]: expected a mapping of settings, got {settings!r}")
    made: dict[str, Term] = {}
    for name in TERMS:
        if name in config:
            beside = made["gnn"].species if "gnn" in made else None
            made[name] = TERMS[name].from_settings(config[name], beside)
    return made
