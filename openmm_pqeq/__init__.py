"""Polarizable, reactive, machine-learned molecular dynamics for OpenMM: a network, PQEq charges and
D3 in one potential.

A name is imported when it is first used, so that the parts which need neither OpenMM nor ASE work
without them. The operators that saved forces and Systems call are registered here: `import
openmm_pqeq` before loading one. Before torch is loaded its threads are told how to wait
(start/waiting.py), and the process keeps memory that it frees (start/freed.py).
"""

import importlib
from typing import TYPE_CHECKING

from openmm_pqeq.start import freed as freed  # keeps memory that is freed
from openmm_pqeq.start import waiting as waiting  # says how threads wait, before torch is loaded

# isort: split
import vesin_torch as vesin_torch  # registers the neighbour search that scripted models call

from openmm_pqeq import ops as ops  # registers the native operators, where they are built
from openmm_pqeq import versions

if not versions.problems("torchscript"):
    from openmm_pqeq.force import torch_force

    torch_force.register()  # OpenMM's XML with a TorchForce can be read from here on

if TYPE_CHECKING:
    from openmm_pqeq.calculator import PQEqCalculator
    from openmm_pqeq.checkpoint import available_models, load, save
    from openmm_pqeq.force.create import create_force, create_system
    from openmm_pqeq.force.time_steps import time_steps
    from openmm_pqeq.md.schedule import FieldSchedule
    from openmm_pqeq.potential import Potential, build
    from openmm_pqeq.published.reaxnet import convert_reaxnet
    from openmm_pqeq.published.sevennet import convert_sevennet
    from openmm_pqeq.reporters import (
        ChargeReporter,
        ChargeStatisticsReporter,
        CommitteeReporter,
        DipoleReporter,
        EnergyReporter,
        ProfileReporter,
    )
    from openmm_pqeq.topology.read import read_structure

_HOMES = {
    "PQEqCalculator": "calculator",
    "available_models": "checkpoint",
    "convert_reaxnet": "published.reaxnet",
    "convert_sevennet": "published.sevennet",
    "load": "checkpoint",
    "save": "checkpoint",
    "create_force": "force.create",
    "create_system": "force.create",
    "time_steps": "force.time_steps",
    "FieldSchedule": "md.schedule",
    "Potential": "potential",
    "build": "potential",
    "read_structure": "topology.read",
    "ChargeReporter": "reporters",
    "ChargeStatisticsReporter": "reporters",
    "CommitteeReporter": "reporters",
    "DipoleReporter": "reporters",
    "EnergyReporter": "reporters",
    "ProfileReporter": "reporters",
}

__all__ = [
    "ChargeReporter",
    "ChargeStatisticsReporter",
    "CommitteeReporter",
    "DipoleReporter",
    "EnergyReporter",
    "FieldSchedule",
    "PQEqCalculator",
    "Potential",
    "ProfileReporter",
    "available_models",
    "build",
    "convert_reaxnet",
    "convert_sevennet",
    "create_force",
    "create_system",
    "load",
    "read_structure",
    "save",
    "time_steps",
]


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'openmm_pqeq' has no attribute {name!r}")
    return getattr(importlib.import_module(f"openmm_pqeq.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
