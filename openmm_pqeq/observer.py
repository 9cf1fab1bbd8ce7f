"""Charges, shells and dipole of a running simulation.

OpenMM asks a force for energy and forces only, and what a force keeps to itself cannot be read from Python. So the charges are
solved once more at the State's positions, box and field, with the very module that the System's force holds; this also works for a
System read from XML. Units: Å, e, e Å, V/Å.
"""

import pickle
import weakref
from typing import NamedTuple
from xml.etree import ElementTree

import numpy as np
import openmm
import torch
from numpy.typing import NDArray
from openmm import app, unit

from openmm_pqeq.force_module import FIELD_PARAMETERS
from openmm_pqeq.python_force import EnergyAndForces
from openmm_pqeq.structure import structure_of
from openmm_pqeq.torch_force import import_openmmtorch

Array = NDArray[np.float64]


class Observation(NamedTuple):
    """The charges of one moment.

    step : steps done
    time : ps
    field : (3,) V/Å
    positions : (n_atoms, 3) Å of the potential's atoms, the images that the State holds
    cell : (3, 3) Å, rows; zero rows in directions that are not periodic
    charges : (n_atoms,) e
    shells : (n_atoms, 3) Å
    dipole : (3,) e Å, Σ (q r − Z s) at these images
    shell_dipole : (3,) e Å, −Σ Z s, the part that does not depend on images
    """

    step: int
    time: float
    field: Array
    positions: Array
    cell: Array
    charges: Array
    shells: Array
    dipole: Array
    shell_dipole: Array

    @property
    def volume(self) -> float:
        """Volume of the cell, Å³; 0 unless all three directions are periodic."""
        return float(abs(np.linalg.det(self.cell)))


class Observer:
    """Solves the charges of a System's potential again.

    Parameters
    ----------
    system : a System with one force made by `create_force` or `create_system`
    """

    def __init__(self, system: openmm.System):
        energy = _module_of(system).energy
        if getattr(energy.potential, "pqeq", None) is None:
            raise ValueError("simulation: its potential has no charges (no PQEq term), so there are none to report")
        device = "cuda" if torch.cuda.is_available() else "cpu"
        self._potential = energy.potential.to(device)
        self._numbers = energy.numbers.to(device)
        self._atoms = energy.atoms.cpu().numpy()
        self._total_charge = float(energy.total_charge)
        self._blank = torch.zeros(0, dtype=torch.float32 if energy.single else torch.float64, device=device)
        self._pbc = energy.pbc.cpu().reshape(3)
        self._latest: Observation | None = None

    @classmethod
    def of(cls, simulation: app.Simulation) -> "Observer":
        """The Observer of a Simulation; all its reporters share it, so that the charges of a step are solved once."""
        if simulation not in _observers:
            _observers[simulation] = cls(simulation.system)
        return _observers[simulation]

    @property
    def particles(self) -> NDArray[np.int64]:
        """(n_atoms,) indices, among the particles of the System, of the atoms that have charges."""
        return np.asarray(self._atoms, dtype=np.int64)

    @property
    def numbers(self) -> NDArray[np.int64]:
        """(n_atoms,) atomic numbers."""
        return np.asarray(self._numbers.cpu().numpy(), dtype=np.int64)

    @property
    def symbols(self) -> list[str]:
        """(n_atoms,) element symbols."""
        return [app.Element.getByAtomicNumber(int(number)).symbol for number in self.numbers]

    @property
    def periodic(self) -> NDArray[np.bool_]:
        """(3,) which cell vectors are periodic."""
        return np.asarray(self._pbc.numpy(), dtype=bool)

    def observe(self, simulation: app.Simulation) -> Observation:
        """Charges of the Simulation as it is now; RuntimeError where they do not converge."""
        state = simulation.context.getState(positions=True, parameters=True)
        positions = state.getPositions(asNumpy=True).value_in_unit(unit.angstrom)[self._atoms]
        cell = state.getPeriodicBoxVectors(asNumpy=True).value_in_unit(unit.angstrom) * self.periodic[:, None]
        parameters = state.getParameters()
        field = np.array([parameters[name] for name in FIELD_PARAMETERS])
        known = self._latest
        if (
            known is not None
            and np.array_equal(known.positions, positions)
            and np.array_equal(known.cell, cell)
            and np.array_equal(known.field, field)
        ):
            return known._replace(step=simulation.currentStep, time=state.getTime().value_in_unit(unit.picosecond))
        charges, shells, dipole = self.solve(positions, cell, field)
        self._latest = Observation(
            step=simulation.currentStep,
            time=state.getTime().value_in_unit(unit.picosecond),
            field=field,
            positions=positions,
            cell=cell,
            charges=charges,
            shells=shells,
            dipole=dipole,
            shell_dipole=dipole - charges @ positions,
        )
        return self._latest

    def solve(self, positions: Array, cell: Array, field: Array) -> tuple[Array, Array, Array]:
        """Charges (n_atoms,) e, shells (n_atoms, 3) Å, and dipole (3,) e Å at positions and cell (Å) in a field (V/Å)."""
        structure = structure_of(
            torch.as_tensor(positions).to(self._blank),
            self._numbers,
            torch.as_tensor(cell).to(self._blank),
            self._pbc,
            self._total_charge,
            torch.as_tensor(field).to(self._blank),
        )
        with torch.no_grad():
            output = self._potential(structure)
        charges, shells, dipole = (tensor.double().cpu().numpy() for tensor in (output.charges, output.shells, output.dipole))
        return charges, shells, dipole.reshape(3)


_observers: "weakref.WeakKeyDictionary[app.Simulation, Observer]" = weakref.WeakKeyDictionary()


def _module_of(system: openmm.System) -> torch.jit.ScriptModule:
    """The scripted module of the System's one force of this package; ValueError where there is none or more than one."""
    found = []
    for force in system.getForces():
        module = _torch_module(force) or _python_module(force)
        if module is not None and hasattr(module, "energy") and hasattr(module.energy, "potential"):
            found.append(module)
    if len(found) != 1:
        raise ValueError(
            f"simulation: reporters of charges need a System with one force made by openmm_pqeq.create_force or create_system, "
            f"and this one has {len(found)}."
        )
    return found[0]


def _torch_module(force: openmm.Force) -> torch.jit.ScriptModule | None:
    if type(force) is openmm.Force or type(force).__name__ == "TorchForce":  # generic where it was read from XML
        openmmtorch = import_openmmtorch()
        if openmmtorch.TorchForce.isinstance(force):
            return openmmtorch.TorchForce.cast(force).getModule()
    return None


def _python_module(force: openmm.Force) -> torch.jit.ScriptModule | None:
    if not isinstance(force, openmm.PythonForce):
        return None
    # getPickledFunction gives a C++ object that Python cannot read (OpenMM 8.5, 8.6); XML has the same bytes.
    pickled = bytes.fromhex(ElementTree.fromstring(openmm.XmlSerializer.serialize(force)).attrib["function"])
    if EnergyAndForces.__module__.encode() not in pickled:
        return None
    function = pickle.loads(pickled)
    return function.module if isinstance(function, EnergyAndForces) else None
