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
    compile_once()
    force = import_openmmtorch().TorchForce(flattened(module))
    force.setUsesPeriodicBoundaryConditions(periodic)
    for name, value in zip(FIELD_PARAMETERS, field, strict=True):
        force.addGlobalParameter(name, value)
        force.addEnergyParameterDerivative(name)
    return force


def compile_once() -> None:
    """Let TorchScript compile each function once, for all shapes and devices; in this process, and
    only where torch has no GPU.

    By default it compiles a function anew, with fused loops, for the shapes of its first calls.
    TorchForce makes a copy of the module for each Context, and torch keeps the code of every copy
    as long as the module lives: 80 MB a Context of batio3, now 21 MB. On the CPU the fused loops
    save nothing: steps of 5, 40 and 135 atoms take as long without them, and the first three take
    0.05 s in place of 1 s.
    """
    if not torch.cuda.is_available():
        torch.jit.set_fusion_strategy([("DYNAMIC", 0)])


def flattened(module: torch.jit.ScriptModule) -> torch.jit.ScriptModule:
    """The module as one function, and one for reporters, its settings folded in and its tensors
    left as they are.

    TorchForce moves the tensors to its device and freezes the module there for good. Freezing
    deletes the methods it inlines, and an error raised in one of them would then look for its name:
    a segmentation fault instead of a message. Nothing is left to inline.
    """
    tensors = [name for name, _ in (*module.named_parameters(), *module.named_buffers())]
    for_reporters = ["report", "energy.has_charges"]
    return torch.jit.freeze(
        module, preserved_attrs=[*tensors, *for_reporters], optimize_numerics=False
    )


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
