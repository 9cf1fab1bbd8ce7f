"""The terms that a potential may have: one line each, in the order of their sum.

A new term is a class with the members of `contract.Term`, and a line here.
"""

from collections.abc import Mapping
from typing import Any

from openmm_pqeq.contract import Term
from openmm_pqeq.d3.term import DispersionTerm
from openmm_pqeq.gnn.term import NetworkTerm
from openmm_pqeq.jobs.values import shown
from openmm_pqeq.pqeq.term import ChargeTerm
from openmm_pqeq.zbl import ZBL

TERMS: dict[str, type[Term]] = {
    "gnn": NetworkTerm,
    "pqeq": ChargeTerm,
    "d3": DispersionTerm,
    "zbl": ZBL,
}
"""By their names in configs, files and results."""

LARGEST_SIZE = 10_000
"""Of whole numbers in a config: layers, widths, points, distances in Å."""
ANY_SIZE = ("seed", "shift", "scale")
"""Settings that may be larger; shifts are the elements' energies."""
SHORTEST_CUTOFF = 0.01
"""Å; atoms are never so near."""


def make_terms(config: Mapping[str, Mapping[str, Any]]) -> dict[str, Term]:
    """The terms of a config, each from its own settings.

    Raises ValueError for an unknown term, for sizes that would fill the memory, and for what a term
    refuses.
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
        _refuse_giants(settings, f"config[{name!r}]")
    made: dict[str, Term] = {}
    for name in TERMS:
        if name in config:
            beside = made["gnn"].species if "gnn" in made else None
            term = made[name] = TERMS[name].from_settings(config[name], beside)
            if 0 < term.cutoff < SHORTEST_CUTOFF:
                raise ValueError(
                    f"config[{name!r}]: expected a cutoff (r_max, outer) of at least "
                    f"{SHORTEST_CUTOFF} Å, got {term.cutoff:g}"
                )
    return made


def _refuse_giants(config: Any, where: str) -> None:
    """ValueError for sizes, such as a number of layers, that would fill the memory."""
    if isinstance(config, Mapping):
        for key, value in config.items():
            if key not in ANY_SIZE:
                _refuse_giants(value, f"{where}[{key!r}]")
    elif isinstance(config, list | tuple):
        for value in config:
            _refuse_giants(value, where)
    elif isinstance(config, int) and abs(config) > LARGEST_SIZE:
        raise ValueError(f"{where}: expected at most {LARGEST_SIZE}, got {shown(config)}")
