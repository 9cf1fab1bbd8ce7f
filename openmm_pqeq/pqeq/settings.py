"""The settings of PQEq in a model's config: what they may be, and which of them may be changed.

protocol   kernel                              solution                       gradient
reaxnet    tapered at `cutoff` (12.5 Å)        exactly `sweeps` (2) sweeps    through the sweeps, or with q and s held fixed
ewald      untruncated, all images             converged to `tolerance`       Hellmann–Feynman
pme        the same on a mesh, O(N log N)      converged to `tolerance`       Hellmann–Feynman
direct     untruncated, no images              converged to `tolerance`       Hellmann–Feynman

A structure without a cell turns `ewald` and `pme` into `direct`. Slabs and wires have images along
their periodic directions alone.
"""

from collections.abc import Mapping
from typing import Any

from openmm_pqeq.jobs.values import is_finite, one_of, shown
from openmm_pqeq.pqeq.coupling import COUPLINGS
from openmm_pqeq.structure import ATOMIC_NUMBERS

PROTOCOLS = ("reaxnet", "ewald", "pme", "direct")
CONVERGED_PROTOCOLS = ("ewald", "pme", "direct")
"""Protocols that stand for each other: they converge to one solution."""

LIMITS = {
    "cutoff": (0.1, 1e3, " Å"),
    "tolerance": (1e-15, 1.0, ""),
    "sweeps": (1, 1e3, ""),
    "max_shell": (1e-3, 1e3, " Å"),
    "mesh_spacing": (0.02, 1e2, " Å"),
}
"""Smallest and largest, and the unit; others mean nothing, or would fill the memory."""


ENERGIES = ("all", "field")
"""What counts as PQEq's energy: all of it, or what a field does to it (field_energy.py)."""


FLOWS = ("free", "bonds")
"""How charge flows between atoms: wherever it likes, or along bonds (bonds.py)."""


def default_cutoff(protocol: str) -> float:
    """The range (Å) of a protocol's taper, or of its sum in real space."""
    return 12.5 if protocol == "reaxnet" else (4.0 if protocol == "pme" else 6.0)


def check_settings(settings: Mapping[str, Any]) -> None:
    """ValueError for the config of PQEq with an unknown protocol or coupling, or with values that
    its protocol has no use for."""
    one_of("protocol", settings.get("protocol", "reaxnet"), PROTOCOLS)
    if settings.get("coupling") is not None:
        one_of("coupling", settings["coupling"], COUPLINGS)
    one_of("energy", settings.get("energy", "all"), ENERGIES)
    if settings.get("energy") == "field" and settings.get("protocol", "reaxnet") == "reaxnet":
        raise ValueError(
            "energy: 'field' is the difference of two converged solutions, and the protocol "
            f"'reaxnet' has none; give one of {', '.join(CONVERGED_PROTOCOLS)}"
        )
    flow = settings.get("charge_flow", "free")
    one_of("charge_flow", flow, FLOWS)
    if flow == "bonds":
        if settings.get("protocol", "reaxnet") == "reaxnet":
            raise ValueError(
                "charge_flow: 'bonds' needs a converged solution, and the protocol 'reaxnet' has "
                f"none; give one of {', '.join(CONVERGED_PROTOCOLS)}"
            )
        if settings.get("coupling") is not None:
            raise ValueError(
                "coupling: charges by bonds have one of their own, got "
                f"{settings['coupling']!r}; leave it out"
            )
    if settings.get("reference_charges") is not None:
        _check_reference_charges(settings["reference_charges"], flow)
    for name, (smallest, largest, unit) in LIMITS.items():
        value = settings.get(name)
        if value is not None and not (is_finite(value) and smallest <= value <= largest):
            raise ValueError(
                f"{name}: expected a positive number from {smallest:g} to {largest:g}{unit}, got "
                f"{shown(value)}"
            )
    if settings.get("protocol", "reaxnet") != "reaxnet":
        for name in ("sweeps", "stop_gradient"):
            if name in settings:
                raise ValueError(
                    f"{name}: belongs to the protocol 'reaxnet' alone, not to "
                    f"{settings['protocol']!r}; remove it"
                )


def _check_reference_charges(given: Any, flow: str) -> None:
    """Of a model's own, by element (e), from which its charges by bonds flow unless others are given."""
    if flow != "bonds":
        raise ValueError(
            "reference_charges: charges that flow freely start from none; leave them out, or set "
            "charge_flow to 'bonds'"
        )
    if not isinstance(given, Mapping):
        raise ValueError(
            "reference_charges: expected a mapping of elements such as {'Na': 1, 'Cl': -1}, got "
            f"{shown(given)}"
        )
    for element, charge in given.items():
        if element not in ATOMIC_NUMBERS or not is_finite(charge):
            raise ValueError(
                "reference_charges: expected an element's symbol and a finite number (e), got "
                f"{shown(element)}: {shown(charge)}"
            )


def check_switch(made_for: str, protocol: str) -> None:
    """ValueError where a model that was made for one protocol is to be evaluated with another that
    gives other numbers."""
    one_of("protocol", protocol, PROTOCOLS)
    if protocol != made_for and not {protocol, made_for} <= set(CONVERGED_PROTOCOLS):
        raise ValueError(
            f"protocol: this model was made for {made_for!r} and cannot be evaluated with "
            f"{protocol!r}; only"
            f" {' and '.join(CONVERGED_PROTOCOLS)} may stand for each other"
        )
