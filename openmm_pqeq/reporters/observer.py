"""Charges, shells, dipole and energies of a running simulation.

OpenMM asks a force for energy and forces only, and what a force keeps to itself cannot be read from
Python. So the potential is evaluated once more at the State's positions, box and field, with the
very module that the System's force holds; this also works for a System read from XML. Units: Å, e,
e Å, V/Å.
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

from openmm_pqeq.force.holder import held_by
from openmm_pqeq.force.module import FIELD_PARAMETERS, Report, report_of
from openmm_pqeq.force.python_force import EnergyAndForces, last_line
from openmm_pqeq.force.torch_force import import_openmmtorch
from openmm_pqeq.gradients import recorded
from openmm_pqeq.units import ANGSTROM_PER_NM, KJ_PER_MOL_PER_EV

Array = NDArray[np.float64]


class Observation(NamedTuple):
    """The charges and energies of one moment.

    step : steps done
    time : ps
    field : (3,) V/Å
    positions : (n_atoms, 3) Å of the potential's atoms, the images that the State holds
    cell : (3, 3) Å, rows; zero rows in directions that are not periodic
    charges : (n_atoms,) e
    carried : (n_atoms,) e, what an atom takes with it to another image: its charge, of charges by
        bonds its reference charge
    shells : (n_atoms, 3) Å
    dipole : (3,) e Å, Σ (q r − Z s) at these images; of charges by bonds Σ (Q⁰ r − Z s) + Σ_b p_b d_b
    shell_dipole : (3,) e Å, the part of it that does not depend on images: −Σ Z s, and Σ_b p_b d_b
    energies : term → eV, of the terms that the potential has
    """

    step: int
    time: float
    field: Array
    positions: Array
    cell: Array
    charges: Array
    carried: Array
    shells: Array
    dipole: Array
    shell_dipole: Array
    energies: dict[str, float]

    @property
    def volume(self) -> float:
        """Volume of the cell, Å³; 0 unless all three directions are periodic."""
        return float(abs(np.linalg.det(self.cell)))


class Moment(NamedTuple):
    """Of the potential's atoms: positions (n_atoms, 3) Å; cell (3, 3) Å, zero rows in directions that
    are not periodic; field (3,) V/Å."""

    positions: Array
    cell: Array
    field: Array


class Observer:
    """Evaluates a System's potential again.

    Parameters
    ----------
    system : a System with one force made by `create_force` or `create_system`
    """

    def __init__(self, system: openmm.System):
        module = _module_of(system)
        self.has_charges = bool(module.energy.has_charges)
        self._device = "cuda" if torch.cuda.is_available() else "cpu"
        self._module = module.to(self._device)
        self.numbers: NDArray[np.int64] = module.energy.numbers.cpu().numpy()
        """(n_atoms,) atomic numbers."""
        self.core_charges: Array = module.energy.core_charges.double().cpu().numpy()
        """(n_atoms,) e: a core has q + Z and its shell −Z."""
        reference = module.energy.reference_charges.double().cpu().numpy()
        self.reference_charges: Array | None = reference if len(reference) else None
        """(n_atoms,) e, from which charges flow along bonds; None: they flow freely, or there are
        none."""
        self.total_charge = float(module.energy.total_charge)
        """e."""
        self.particles: NDArray[np.int64] = module.energy.atoms.cpu().numpy()
        """(n_atoms,) indices, among the particles of the System, of the atoms that have charges."""
        self.periodic: NDArray[np.bool_] = module.energy.pbc.cpu().numpy().reshape(3)
        """(3,) which cell vectors are periodic."""
        self._latest: Observation | None = None

    @classmethod
    def of(cls, simulation: app.Simulation) -> "Observer":
        """The Observer of a Simulation; all its reporters share it, so that the charges of a step
        are solved once."""
        if simulation not in _observers:
            _observers[simulation] = cls(simulation.system)
        return _observers[simulation]

    @property
    def symbols(self) -> list[str]:
        """(n_atoms,) element symbols."""
        return [app.Element.getByAtomicNumber(int(number)).symbol for number in self.numbers]

    def require_charges(self) -> None:
        """ValueError for a potential without charges."""
        if not self.has_charges:
            raise ValueError(
                "simulation: its potential has no charges (no PQEq term), so there are none to "
                "report"
            )

    def observe(self, simulation: app.Simulation, charges: bool = True) -> Observation:
        """The Simulation as it is now.

        Raises ValueError for a potential without charges, unless `charges` is False; RuntimeError
        where they do not converge.
        """
        if charges:
            self.require_charges()
        state = simulation.context.getState(positions=True, parameters=True)
        positions, cell, field = self.moment(state)
        now = Observation(
            step=simulation.currentStep,
            time=state.getTime().value_in_unit(unit.picosecond),
            field=field,
            positions=positions,
            cell=cell,
            charges=np.zeros(0),
            carried=np.zeros(0),
            shells=np.zeros(0),
            dipole=np.zeros(0),
            shell_dipole=np.zeros(0),
            energies={},
        )
        known, inputs = self._latest, ("positions", "cell", "field")
        if known is not None and all(
            np.array_equal(getattr(known, name), getattr(now, name)) for name in inputs
        ):
            return known._replace(step=now.step, time=now.time)
        found = self._evaluate(state, now.field)
        carried = self._carried(found)
        shell_dipole = found.dipole - carried @ now.positions
        self._latest = now._replace(
            charges=found.charges,
            carried=carried,
            shells=found.shells,
            dipole=found.dipole,
            shell_dipole=shell_dipole,
            energies=found.energies,
        )
        return self._latest

    def moment(self, state: openmm.State, lag: float = 0.0) -> Moment:
        """Positions, cell and field of a State with parameters; with its velocities, of a time `lag`
        (ps) before it."""
        positions, box = _places(state, lag)
        parameters = state.getParameters()
        return Moment(
            positions[self.particles] * ANGSTROM_PER_NM,
            box * self.periodic[:, None] * ANGSTROM_PER_NM,
            np.array([parameters[name] for name in FIELD_PARAMETERS]),
        )

    def bound_dipole(self, state: openmm.State, field: Array, lag: float = 0.0) -> Array:
        """The `shell_dipole` (3,) e Å in a field (V/Å), at the positions of `moment`."""
        found = self._evaluate(state, field, lag)
        return found.dipole - self._carried(found) @ self.moment(state, lag).positions

    def energy_and_forces(self, state: openmm.State) -> tuple[float, Array]:
        """Energy (eV) and forces (n_atoms, 3) (eV/Å) of the potential alone at a State with positions
        and parameters; RuntimeError where it has none."""
        places, *others = self._inputs(state, self.moment(state).field)
        places.requires_grad_(True)
        energy = self._module.energy
        inputs = [places, others[0]] if energy.is_periodic else [places]
        try:
            with recorded():
                value = self._module(*inputs, *others[1].reshape(3, 1))
                (gradient,) = torch.autograd.grad(value, places)
        except torch.jit.Error as error:
            raise RuntimeError(last_line(error)) from None
        forces = -gradient.cpu().numpy()[self.particles]
        return value.item() / KJ_PER_MOL_PER_EV, forces / KJ_PER_MOL_PER_EV / ANGSTROM_PER_NM

    def _carried(self, found: "_Found") -> Array:
        return found.charges if self.reference_charges is None else self.reference_charges

    def _evaluate(self, state: openmm.State, field: Array, lag: float = 0.0) -> "_Found":
        try:
            with recorded(False):
                found = report_of(self._module, *self._inputs(state, field, lag))
        except torch.jit.Error as error:
            raise RuntimeError(last_line(error)) from None
        return _Found.of(found)

    def _inputs(self, state: openmm.State, field: Array, lag: float = 0.0) -> list[torch.Tensor]:
        """Positions, box and field as the module takes them."""
        arrays = (*_places(state, lag), field)
        return [torch.tensor(a, dtype=torch.float64, device=self._device) for a in arrays]


class _Found(NamedTuple):
    """A `Report` in numbers."""

    charges: Array
    shells: Array
    dipole: Array
    energies: dict[str, float]

    @classmethod
    def of(cls, report: Report) -> "_Found":
        *of_charges, terms = report
        charges, shells, dipole = (tensor.double().cpu().numpy() for tensor in of_charges)
        return cls(charges, shells, dipole, {name: float(e) for name, e in terms.items()})


def _places(state: openmm.State, lag: float) -> tuple[Array, Array]:
    """Positions (n_particles, 3) a time `lag` (ps) before a State, and box (3, 3), in nm."""
    positions = state.getPositions(asNumpy=True).value_in_unit(unit.nanometer)
    if lag:
        velocities = state.getVelocities(asNumpy=True)
        positions = positions - lag * velocities.value_in_unit(unit.nanometer / unit.picosecond)
    return positions, state.getPeriodicBoxVectors(asNumpy=True).value_in_unit(unit.nanometer)


_observers: "weakref.WeakKeyDictionary[app.Simulation, Observer]" = weakref.WeakKeyDictionary()


def _module_of(system: openmm.System) -> torch.jit.ScriptModule:
    """The scripted module of the System's one force of this package; ValueError where there is none
    or more than one."""
    found = []
    for force in system.getForces():
        module = _torch_module(force)
        if module is None:
            module = _python_module(force)
        if (
            module is not None
            and hasattr(module, "energy")
            and hasattr(module.energy, "has_charges")
            and not getattr(module.energy, "is_inner", False)
        ):
            found.append(module)
    if len(found) != 1:
        raise ValueError(
            "simulation: reporters of charges need a System with one force made by "
            "openmm_pqeq.create_force or create_system, "
            f"and this one has {len(found)}."
        )
    return found[0]


def _torch_module(force: openmm.Force) -> torch.jit.ScriptModule | None:
    if (
        type(force) is openmm.Force or type(force).__name__ == "TorchForce"
    ):  # generic where it was read from XML
        openmmtorch = import_openmmtorch()
        if openmmtorch.TorchForce.isinstance(force):
            return held_by(openmmtorch.TorchForce.cast(force).getModule())
    return None


def _python_module(force: openmm.Force) -> torch.jit.ScriptModule | None:
    if not isinstance(force, openmm.PythonForce):
        return None
    # getPickledFunction gives a C++ object that Python cannot read (OpenMM 8.5, 8.6); XML has the
    # same bytes.
    pickled = bytes.fromhex(
        ElementTree.fromstring(openmm.XmlSerializer.serialize(force)).attrib["function"]
    )
    if EnergyAndForces.__module__.encode() not in pickled:
        return None
    function = pickle.loads(pickled)
    return function.module if isinstance(function, EnergyAndForces) else None
