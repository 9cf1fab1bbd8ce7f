"""Work of a field that no energy has, where charges flow along bonds (pqeq/bonds.py).

    W = Σ_moves F∥·Σ_i Q⁰_i Δr_i + Σ_changes [E(F₂) − E(F₁)],      conserved = E + kinetic energy − W

The first sum is what the field along periodic directions, F∥, does on reference charges: a force
without a potential, of value zero in E. The second is that of a field that changes, at fixed
positions; E is quadratic in F, and so it is −P·(F₂ − F₁) with P at ½(F₁ + F₂), Q⁰ r in it along free
directions only. Everything else that a field does is in E, a gradient of which the other forces are.

Moves are summed from look to look, each at its nearest image: no atom may move by half a cell
vector in between. OpenMM's leapfrog has velocities half a step behind the positions, and the force
at the present positions takes them over a whole one: a field that is new at this moment acts from
half a step ago on, and is booked there. So W has the integrator's second order. Å, e, V/Å, eV.
"""

import weakref

import numpy as np
import openmm
from openmm import app, unit

from openmm_pqeq.analysis.polarization import Frame, displacements
from openmm_pqeq.reporters.observer import Array, Moment, Observer
from openmm_pqeq.units import KJ_PER_MOL_PER_EV

LEAPFROG = (openmm.VerletIntegrator, openmm.VariableVerletIntegrator)
KEEPS_ENERGY = (*LEAPFROG, openmm.MTSIntegrator)


class FieldWork:
    """Of one Simulation, since its first look; `value` in eV.

    Whoever changes the field looks right afterwards, as a FieldSchedule does. A change that nobody
    has told is booked at the next look.
    """

    def __init__(self, reference: Array):
        self.value = 0.0
        self._reference = reference
        self._latest: Moment | None = None

    @classmethod
    def of(cls, simulation: app.Simulation) -> "FieldWork | None":
        """That of a Simulation, begun where there is none yet; None where charges do not flow along
        bonds."""
        if simulation not in _works:
            reference = Observer.of(simulation).reference_charges
            if reference is None:
                return None
            _works[simulation] = cls(reference)
            _works[simulation].look(simulation)
        return _works[simulation]

    @classmethod
    def begun(cls, simulation: app.Simulation) -> "FieldWork | None":
        """That of a Simulation, where somebody has asked for it before."""
        return _works.get(simulation)

    def look(self, simulation: app.Simulation) -> None:
        """Add what has been done since the last look."""
        observer = Observer.of(simulation)
        state = simulation.context.getState(positions=True, velocities=True, parameters=True)
        now, last = observer.moment(state), self._latest
        if last is not None and not np.array_equal(now.field, last.field):
            lag, change = half_a_step_of(simulation), now.field - last.field
            there = observer.moment(state, lag)
            self._move(there)
            bound = observer.bound_dipole(state, 0.5 * (last.field + now.field), lag)
            free = change - along_periods(change, now.cell)
            self.value -= float(bound @ change + self._reference @ there.positions @ free)
        self._move(now)

    def _move(self, now: Moment) -> None:
        """Add the work on reference charges, in the field of the latest moment."""
        last = self._latest
        if last is not None:
            ends = [Frame(at.positions, at.cell, np.zeros(0), np.zeros(0)) for at in (last, now)]
            along = along_periods(last.field, now.cell)
            self.value += float(self._reference @ displacements(*ends) @ along)
        self._latest = now

    def state(self) -> dict[str, Array]:
        """The state from which `restore` continues."""
        latest = {} if self._latest is None else self._latest._asdict()
        return {"value": np.array([self.value]), **latest}

    def restore(self, state: dict[str, Array]) -> None:
        """Continue from what `state` gave; ValueError for anything else."""
        n_atoms = len(self._reference)
        shapes = {"value": (1,), "positions": (n_atoms, 3), "cell": (3, 3), "field": (3,)}
        for name in {**shapes, **state}:
            there = state.get(name, np.empty(0))
            numbers = there.dtype == np.float64 and np.isfinite(there).all()
            if there.shape != shapes.get(name) or not numbers:
                raise ValueError(
                    f"work: {name}: expected finite numbers of shape {shapes.get(name)}, got "
                    f"{there.dtype} of shape {there.shape}"
                )
        self.value = float(state["value"][0])
        self._latest = Moment(state["positions"], state["cell"], state["field"])


_works: "weakref.WeakKeyDictionary[app.Simulation, FieldWork]" = weakref.WeakKeyDictionary()


def along_periods(field: Array, cell: Array) -> Array:
    """The part of a field (3,) along the rows of a cell that are not zero."""
    return np.asarray(np.linalg.pinv(cell) @ (cell @ field))


def half_a_step_of(simulation: app.Simulation) -> float:
    """ps by which the velocities of leapfrog are behind; 0 of other integrators."""
    if not isinstance(simulation.integrator, LEAPFROG):
        return 0.0
    return 0.5 * float(simulation.integrator.getStepSize().value_in_unit(unit.picosecond))


def work_columns(
    simulation: app.Simulation, before: float = 0.0, total: float | None = None
) -> dict[str, float]:
    """Columns of a table: work_eV, with `before` added, and conserved_eV where something is; none
    where charges do not flow along bonds.

    total : eV, the total energy, where it is known; None: OpenMM is asked
    """
    work = FieldWork.of(simulation)
    if work is None:
        return {}
    work.look(simulation)
    columns = {"work_eV": before + work.value}
    if keeps_energy(simulation):
        if total is None:
            state = simulation.context.getState(energy=True)
            found = state.getPotentialEnergy() + state.getKineticEnergy()
            total = found.value_in_unit(unit.kilojoule_per_mole) / KJ_PER_MOL_PER_EV
        columns["conserved_eV"] = total - columns["work_eV"]
    return columns


def keeps_energy(simulation: app.Simulation) -> bool:
    """Whether nothing but a field changes the energy: no thermostat, no
    barostat, and nothing that stops the whole, which a field drives where it has a charge."""
    names = [type(force).__name__ for force in simulation.system.getForces()]
    reference = Observer.of(simulation).reference_charges
    charged = reference is not None and abs(reference.sum()) > 1e-6
    return isinstance(simulation.integrator, KEEPS_ENERGY) and not any(
        name.endswith(("Barostat", "Thermostat")) or (name == "CMMotionRemover" and charged)
        for name in names
    )
