"""Derivatives, whatever mode the caller is in.

Inside `torch.inference_mode` nothing is recorded, whatever asks for gradients, and the tensors made
there may never be part of a graph. Forces are derivatives: whoever takes them leaves the mode first.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from openmm_pqeq.structure import Structure


@contextmanager
def recorded(wanted: bool = True) -> Iterator[None]:
    """Record what is computed here for derivatives, or do not, outside of inference mode; as a
    `with` or, called, as a decorator."""
    with torch.inference_mode(False), torch.set_grad_enabled(wanted):
        yield


def ordinary(tensor: Tensor) -> Tensor:
    """A tensor that may be part of a graph: itself, or a copy of one from inference mode."""
    return tensor.clone() if tensor.is_inference() else tensor


def ordinary_structure(structure: Structure) -> Structure:
    """A structure whose tensors may be part of a graph."""
    tensors: dict[str, Any] = {
        name: ordinary(value)
        for name, value in structure._asdict().items()
        if isinstance(value, Tensor)
    }
    return structure._replace(**tensors)


def make_ordinary(module: nn.Module) -> None:
    """Replace parameters and buffers that were made in inference mode by copies that may be part of
    a graph; to be called within `recorded`."""
    if not any(tensor.is_inference() for tensor in (*module.parameters(), *module.buffers())):
        return
    for part in module.modules():
        for name, parameter in part.named_parameters(recurse=False):
            if parameter.is_inference():
                copied = nn.Parameter(parameter.clone(), requires_grad=parameter.requires_grad)
                part._parameters[name] = copied
        for name, buffer in part.named_buffers(recurse=False):
            part._buffers[name] = ordinary(buffer)
