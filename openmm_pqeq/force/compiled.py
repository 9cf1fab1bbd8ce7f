"""The functions of a force, compiled once for all structures.

    energy → TorchScript → all calls inlined, settings folded in → the tensors of this energy put in

What TorchScript makes of an energy follows from its settings (the grid of a network's tables is one)
and from which tensors there are, not from the numbers in them. It takes seconds, so it is kept, without any tensor, in the cache of
start/cache.py, and the next process loads it and puts its own tensors in.
"""

import functools
import io
import logging
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from openmm_pqeq.force.module import (
    ClusterEnergy,
    PeriodicEnergy,
    PotentialEnergy,
    compile_once,
    for_openmm,
    scripted,
    undeprecated,
)
from openmm_pqeq.start import cache, content

logger = logging.getLogger(__name__)

READ_BY_REPORTERS = ("has_charges", "is_inner", "is_periodic", "term_names")
"""Settings of a `PotentialEnergy` that are told to Python."""
SHORT_TEXT = 2**19
"""Bytes of TorchScript below which loading is slow, see `name_values`."""
OTHER_TEXT = 30
"""Bytes for each value beside its name, which appears twice or more often."""
SHORTEST_NAME, LONGEST_NAME = 5, 200


@undeprecated()
def compiled(energy: PotentialEnergy) -> torch.jit.ScriptModule:
    """The module of an energy for either route, on the CPU."""
    module = for_openmm(energy)
    tensors = dict(tensors_of(module))
    try:
        key = content.key("functions", content.lines_of(module, weights=False))
    except content.Unknown:
        key = ""
    file = cache.read(key) if key else None
    if file is None:
        logger.info("compiling the potential, once for all structures of this kind")
        file = made(module, tensors)
        if key:
            cache.write(key, file)
    compile_once()
    functions = torch.jit.load(io.BytesIO(file), map_location="cpu")
    name_values(functions)
    put(functions, tensors)
    return functions


def made(module: PeriodicEnergy | ClusterEnergy, tensors: Mapping[str, Tensor]) -> bytes:
    """The functions of a module, as a file without the tensors. They are to be read from it: what
    `flattened` returns refers to methods that are gone, where an error is raised."""
    functions = flattened(scripted(module))
    name_values(functions)
    put(functions, {name: tensor.new_empty(0) for name, tensor in tensors.items()})
    file = io.BytesIO()
    torch.jit.save(functions, file)
    return file.getvalue()


def tensors_of(module: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Parameters and buffers by all their names: one left out would be made part of the
    functions."""
    yield from module.named_parameters(remove_duplicate=False)
    yield from module.named_buffers(remove_duplicate=False)


def put(module: torch.jit.ScriptModule, tensors: Mapping[str, Tensor]) -> None:
    """Replace parameters and buffers."""
    for name, tensor in tensors.items():
        *path, attribute = name.split(".")
        setattr(functools.reduce(getattr, path, module), attribute, tensor)


def flattened(module: torch.jit.ScriptModule) -> torch.jit.ScriptModule:
    """The module as one function, its settings folded in and its tensors left as they are.

    Freezing deletes the methods it inlines, and an error raised in one of them would then look for
    its name: a segmentation fault instead of a message. Nothing is left to inline, once the module
    has been saved and read again.
    """
    tensors = [name for name, _ in tensors_of(module)]
    for_reporters = [f"energy.{name}" for name in READ_BY_REPORTERS]
    return torch.jit.freeze(
        module, preserved_attrs=[*tensors, *for_reporters], optimize_numerics=False
    )


def name_values(module: torch.jit.ScriptModule) -> None:
    """Give each value in the function of a `flattened` module a name of its own, for torch.jit.save
    and torch.jit.load.

    Saving seeks a free name for each value by counting up from the last one that it tried, and
    inlined functions bring the same few names a hundred times: 0.7 of 0.9 s for `universal`. Loading
    prepares a message, with a copy of all the text, for each name that is set in one branch only,
    but not where the text has more than 512 KiB (measured with torch 2.9): 3 s and 1 GB for a text
    just below. So the names are as long as that takes.
    """
    values = list(_values(module.graph))
    length = (SHORT_TEXT / len(values) - OTHER_TEXT) / 2
    digits = round(min(max(length, SHORTEST_NAME), LONGEST_NAME))
    for number, value in enumerate(values):
        value.setDebugName(f"v{number:0{digits}d}")


def _blocks(block: Any) -> Iterator[Any]:
    """A graph, or a block of one, and all blocks in it."""
    yield block
    for node in block.nodes():
        for inner in node.blocks():
            yield from _blocks(inner)


def _values(graph: Any) -> Iterator[Any]:
    """All values that are set in a graph."""
    for block in _blocks(graph):
        if block is not graph:
            yield from block.inputs()
        for node in block.nodes():
            yield from node.outputs()
