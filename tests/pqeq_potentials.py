"""Potentials that are nothing but PQEq."""

import torch

from openmm_pqeq.potential import build
from openmm_pqeq.structure import Structure

TIGHT = 1e-10


def potential_of(protocol: str, coupling: str = "shell", **settings):
    if protocol != "reaxnet":
        settings = {"tolerance": TIGHT, **settings}
    return build({"pqeq": {"protocol": protocol, "coupling": coupling, **settings}})


def energy_of(potential, structure: Structure) -> float:
    with torch.no_grad():
        return float(potential(structure).energy.sum())
