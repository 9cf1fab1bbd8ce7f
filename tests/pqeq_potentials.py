"""Potentials that are nothing but PQEq."""

import torch

from openmm_pqeq.potential import build
from openmm_pqeq.structure import Structure

TIGHT = 1e-10

_KEYS = (
    "electronegativity",
    "hardness",
    "radius",
    "softness",
    "spring_constant",
    "electronegativity_slope",
)
_ROWS = {
    "H": (5.3, 17.0, 0.6, 0.45, 900.0, -2.0),
    "O": (8.7, 15.0, 0.9, 0.45, 700.0, 3.0),
    "Na": (2.8, 9.0, 1.6, 0.35, 1200.0, 1.5),
    "Cl": (7.5, 11.0, 1.1, 0.45, 420.0, -2.5),
    "Cs": (2.2, 8.0, 2.0, 0.4, 700.0, 2.5),
    "Au": (5.8, 9.0, 0.8, 0.3, 900.0, 0.5),
}
BONDED = {e: dict(zip(_KEYS, row), core_charge=1.0) for e, row in _ROWS.items()}
"""Parameters for charges by bonds: plausible, fitted to nothing."""


def potential_of(protocol: str, coupling: str = "shell", **settings):
    if protocol != "reaxnet":
        settings = {"tolerance": TIGHT, **settings}
    return build({"pqeq": {"protocol": protocol, "coupling": coupling, **settings}})


def energy_of(potential, structure: Structure) -> float:
    with torch.no_grad():
        return float(potential(structure).energy.sum())
