"""What a TorchForce is given: a module that holds the potential as a value.

    forward(positions, [box,] field_x, field_y, field_z) = held[0](the same)

openmmtorch clones its module for each Context and freezes the clone, and torch keeps the functions
of every clone, and what was compiled of them, as long as the first module lives: 37 MB a Context of
`universal`. A module in a list is a value to both: its tensors are copied, so that warm starts
belong to a Context, and its functions are the same for all. They are compiled once, and a Context
leaves nothing behind.

What is in a list does not follow `module.to(device)`, so a call moves it to where the positions are.
"""

import functools
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from openmm_pqeq.force.compiled import tensors_of
from openmm_pqeq.force.module import undeprecated

Kind = TypeVar("Kind")


def _interface(kind: Kind) -> Kind:
    """A TorchScript interface."""
    with undeprecated():
        made: Kind = torch.jit.interface(kind)
        return made


@_interface
class _Periodic(nn.Module):
    """A `PeriodicEnergy` as `compiled` returns it."""

    def forward(  # type: ignore[empty-body]
        self,
        positions: Tensor,
        box: Tensor,
        field_x: Tensor,
        field_y: Tensor,
        field_z: Tensor,
        everything: bool,
    ) -> Tensor:
        pass

    def move_to(self, device: torch.device) -> None:
        pass


@_interface
class _Cluster(nn.Module):
    """A `ClusterEnergy` as `compiled` returns it."""

    def forward(  # type: ignore[empty-body]
        self,
        positions: Tensor,
        field_x: Tensor,
        field_y: Tensor,
        field_z: Tensor,
        everything: bool,
    ) -> Tensor:
        pass

    def move_to(self, device: torch.device) -> None:
        pass


class PeriodicHolder(nn.Module):
    """Of a `PeriodicEnergy`."""

    held: list[_Periodic]

    def __init__(self, functions: Any):
        super().__init__()
        self.held = [functions]

    def forward(
        self, positions: Tensor, box: Tensor, field_x: Tensor, field_y: Tensor, field_z: Tensor
    ) -> Tensor:
        """Energy, 0-dimensional, kJ/mol, from nm and V/Å."""
        potential = self.held[0]
        potential.move_to(positions.device)
        return potential.forward(positions, box, field_x, field_y, field_z, False)


class ClusterHolder(nn.Module):
    """Of a `ClusterEnergy`."""

    held: list[_Cluster]

    def __init__(self, functions: Any):
        super().__init__()
        self.held = [functions]

    def forward(
        self, positions: Tensor, field_x: Tensor, field_y: Tensor, field_z: Tensor
    ) -> Tensor:
        """Energy, 0-dimensional, kJ/mol, from nm and V/Å."""
        potential = self.held[0]
        potential.move_to(positions.device)
        return potential.forward(positions, field_x, field_y, field_z, False)


def holder_of(functions: torch.jit.ScriptModule) -> torch.jit.ScriptModule:
    """The module for a TorchForce of what `compiled` returns."""
    let_move(functions)
    kind = PeriodicHolder if functions.energy.is_periodic else ClusterHolder
    with undeprecated():
        return torch.jit.script(kind(functions).eval())


def let_move(module: torch.jit.ScriptModule) -> None:
    """Give a module the method `move_to(device)`, which TorchScript can call, and which does nothing
    where the module is there already."""
    lines = [
        "def move_to(self, device: Device) -> None:",
        "    if self.energy.numbers.device != device:",
    ]
    for name, _ in tensors_of(module):
        tensor = functools.reduce(_member, name.split("."), "self")
        if name.split(".")[-1].isidentifier():
            lines.append(f"        {tensor} = {tensor}.to(device)")
        else:  # there is no grammar to assign to what a number names
            lines.append(f"        {tensor}.set_data({tensor}.to(device))")
    module.define("\n".join(lines) + "\n")


def _member(owner: str, name: str) -> str:
    """The source of a member, which in a list of modules or tensors has a number for its name."""
    return f"{owner}.{name}" if name.isidentifier() else f'getattr({owner}, "{name}")'


def held_by(module: torch.jit.ScriptModule) -> torch.jit.ScriptModule | None:
    """The potential of a TorchForce's module; None where it holds none."""
    if not hasattr(module, "held"):
        return None
    return torch.jit._recursive.wrap_cpp_module(module.held[0])  # in a list it is bare
