"""The TorchForce behind `backend="torchscript"`, and an import of openmmtorch that works in any
order.

openmmtorch finds torch's libraries only after torch was imported. Where OpenMM was imported before
torch, OpenMM could not load the plugins of openmmtorch for the same reason, and a Context would
miss their kernels: they are loaded here, late.
"""

import importlib
import logging
import os
import tempfile
from types import ModuleType

import openmm
import torch
import vesin_torch  # noqa: F401  # its operators are in the module's code
from openmm import Platform

from openmm_pqeq.force.compiled import compiled
from openmm_pqeq.force.holder import holder_of
from openmm_pqeq.force.module import FIELD_PARAMETERS, PotentialEnergy

_loaded_late: set[str] = set()


def torch_force(energy: PotentialEnergy) -> openmm.Force:
    """TorchForce of an energy, whose default field is that of the parameters."""
    openmmtorch = import_openmmtorch()
    with tempfile.TemporaryDirectory() as folder:
        # by way of a file: openmmtorch would copy a module three times in memory
        path = os.path.join(folder, "force.pt")
        torch.jit.save(holder_of(compiled(energy)), path)
        force = openmmtorch.TorchForce(path)
    force.setUsesPeriodicBoundaryConditions(energy.is_periodic)
    for name, value in zip(FIELD_PARAMETERS, energy.default_field, strict=True):
        force.addGlobalParameter(name, value)
        force.addEnergyParameterDerivative(name)
    return force


def import_openmmtorch() -> ModuleType:
    """Import openmmtorch, quietly, with all its plugins."""
    root = logging.getLogger()
    root.addFilter(_is_not_about_simtk)
    try:
        openmmtorch = importlib.import_module("openmmtorch")
    finally:
        root.removeFilter(_is_not_about_simtk)
    for failure in Platform.getPluginLoadFailures():
        path = failure.removeprefix("Error loading library ").split(": ")[0]
        if "OpenMMTorch" in os.path.basename(path) and path not in _loaded_late and _load(path):
            _loaded_late.add(path)
    return openmmtorch


def register() -> None:
    """Let Systems with a TorchForce be read from XML, in this process."""
    import_openmmtorch()


def _is_not_about_simtk(record: logging.LogRecord) -> bool:
    # openmmtorch imports simtk.openmm itself, which tells everybody not to.
    return "simtk.openmm" not in record.getMessage()


def _load(path: str) -> bool:
    try:
        Platform.loadPluginLibrary(path)
    except openmm.OpenMMException:
        return False  # a platform that this machine does not have: OpenCL, CUDA
    return True
