"""The TorchForce behind `backend="torchscript"`, and an import of openmmtorch that works in any
order.

openmmtorch finds torch's libraries only after torch was imported. Where OpenMM was imported before
torch, OpenMM could not load the plugins of openmmtorch for the same reason, and a Context would
miss their kernels: they are loaded here, late.
"""

import importlib
import logging
import os
from collections.abc import Sequence
from types import ModuleType
from typing import Any

import openmm
import torch
import vesin_torch  # noqa: F401  # its operators are in the module's code
from openmm import Platform

from openmm_pqeq.force.module import FIELD_PARAMETERS

_loaded_late: set[str] = set()


def torch_force(
    module: torch.jit.ScriptModule, periodic: bool, field: Sequence[float]
) -> openmm.Force:
    """TorchForce of a module from `force_module.script_energy`; `field` (V/Å) gives the parameters'
    default values."""
    force = import_openmmtorch().TorchForce(flattened(module))
    force.setUsesPeriodicBoundaryConditions(periodic)
    for name, value in zip(FIELD_PARAMETERS, field, strict=True):
        force.addGlobalParameter(name, value)
        force.addEnergyParameterDerivative(name)
    return force


def flattened(module: torch.jit.ScriptModule) -> torch.jit.ScriptModule:
    """The module as one function, and one for reporters, its settings folded in and its tensors
    left as they are.

    TorchForce moves the tensors to its device and freezes the module there for good. Freezing
    deletes the methods it inlines, and an error raised in one of them would then look for its name:
    a segmentation fault instead of a message. Nothing is left to inline.
    """
    tensors = [name for name, _ in (*module.named_parameters(), *module.named_buffers())]
    for_reporters = ["report", "energy.has_charges"]
    flat = torch.jit.freeze(
        module, preserved_attrs=[*tensors, *for_reporters], optimize_numerics=False
    )
    number = name_values(flat.graph, 0)
    name_values(flat.report.graph, number)
    return flat


def name_values(block: Any, number: int) -> int:
    """Give each value of a graph, or of a block in one, a name of its own, counting on from
    `number`; the last number given.

    torch.jit.save seeks a free name for each value by counting up from the last one that it tried.
    Inlined functions bring the same few names a hundred times, and most of the time of saving was
    that search: 0.7 of 0.9 s for `universal`.
    """
    for node in block.nodes():
        inner = list(node.blocks())
        for value in (*node.outputs(), *(given for part in inner for given in part.inputs())):
            number += 1
            value.setDebugName(f"v{number}")
        for part in inner:
            number = name_values(part, number)
    return number


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
