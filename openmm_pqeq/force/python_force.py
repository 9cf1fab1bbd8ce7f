"""The callable behind `backend="python"`: energy and forces for openmm.PythonForce.

    state → E (kJ/mol),  −∂E/∂r (kJ/mol/nm)

It holds the same scripted module as the TorchForce route and pickles it as bytes, so that a System
with this force can be written to XML, copied, and read again after `import openmm_pqeq`. Works with
any torch; uses the GPU where torch has one, whatever the platform.
"""

import io
import re
from typing import Any

import numpy as np
import openmm
import torch
import vesin_torch  # noqa: F401  # its operators are in the module's code
from openmm import State, unit
from torch import Tensor

from openmm_pqeq.finite import check_forces
from openmm_pqeq.force.compiled import compiled
from openmm_pqeq.force.module import (
    FIELD_PARAMETERS,
    PotentialEnergy,
    compile_once,
    undeprecated,
)
from openmm_pqeq.gradients import recorded


def python_force(energy: PotentialEnergy) -> openmm.Force:
    """PythonForce of an energy, whose default field is that of the parameters."""
    force = openmm.PythonForce(
        EnergyAndForces(compiled(energy), energy.is_periodic),
        dict(zip(FIELD_PARAMETERS, energy.default_field, strict=True)),
    )
    force.setUsesPeriodicBoundaryConditions(energy.is_periodic)
    return force


class EnergyAndForces:
    """Function of an OpenMM State that returns energy and forces.

    Parameters
    ----------
    module : a `PeriodicEnergy` or `ClusterEnergy` as `compiled` returns it
    periodic : whether it takes the box
    """

    def __init__(self, module: torch.jit.ScriptModule, periodic: bool):
        self.periodic = periodic
        self.module = module.to(_device())

    @recorded()
    def __call__(self, state: State) -> tuple[float, np.ndarray]:
        """Energy (kJ/mol) and forces (n_particles, 3) (kJ/mol/nm) at the State's positions, box and
        field parameters.

        Raises RuntimeError with the potential's own words: positions that are not finite, two atoms
        at one place, charges that do not converge, energies or forces that are not finite.
        """
        positions = _tensor(
            state.getPositions(asNumpy=True).value_in_unit(unit.nanometer)
        ).requires_grad_(True)
        inputs = [positions]
        if self.periodic:
            inputs.append(
                _tensor(state.getPeriodicBoxVectors(asNumpy=True).value_in_unit(unit.nanometer))
            )
        parameters = state.getParameters()
        inputs += [_tensor(parameters[name]) for name in FIELD_PARAMETERS]
        try:
            energy = self.module(*inputs)
            (gradient,) = torch.autograd.grad(energy, positions)
        except torch.jit.Error as error:
            raise RuntimeError(last_line(error)) from None
        self._check(gradient)
        return energy.item(), -gradient.cpu().numpy()

    def _check(self, gradient: Tensor) -> None:
        """RuntimeError where a force is not finite; those on other particles are zero."""
        if not bool(torch.isfinite(gradient).all()):
            energy = self.module.energy
            check_forces(gradient[energy.atoms], energy.numbers, energy.atoms)

    def __getstate__(self) -> dict[str, Any]:
        """The module as bytes."""
        buffer = io.BytesIO()
        with undeprecated():
            torch.jit.save(self.module, buffer)
        return {"module": buffer.getvalue(), "periodic": self.periodic}

    @recorded()
    def __setstate__(self, state: dict[str, Any]) -> None:
        """Read what `__getstate__` wrote."""
        self.periodic = state["periodic"]
        compile_once()
        with undeprecated():
            self.module = torch.jit.load(io.BytesIO(state["module"]), map_location=_device())


def last_line(error: Exception) -> str:
    """The message raised inside TorchScript: the last line of a message that is a traceback
    otherwise.

    OpenMM passes on the whole text, as an OpenMMException.
    """
    lines = str(error).strip().splitlines()
    return re.sub(r"^(builtins\.)?(Runtime|Value)Error: ", "", lines[-1]) if lines else repr(error)


def _device() -> str:
    return "cuda" if torch.cuda.is_available() else "cpu"


def _tensor(values: np.ndarray | float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64, device=_device())
