"""The table of a run: a CSV file with energies, temperature, volume, field, dipole, polarization
and mean charges.

Columns: step, time_ps, potential_energy_eV, kinetic_energy_eV, total_energy_eV, temperature_K,
volume_A3 and density_g_per_cm3 (where all directions are periodic), field_{x,y,z}_V_per_A, and for
potentials with charges dipole_{x,y,z}_eA, polarization_{x,y,z}_uC_per_cm2 (periodic) and the mean
charge of each element, charge_{element}_e. Where charges flow along bonds also work_eV, what the
field has done since the run began and no energy has, and in NVE conserved_eV, the total energy less
that work, which stays what it is in any field (reporters/work.py). Where charges flow freely there
are no such columns: with coupling `shell` nothing is conserved in a field.

The energy is that of the frame's positions in the frame's field. Polarization is the change since
the run began (see DipoleReporter).
"""

from pathlib import Path
from typing import Any

import numpy as np
import openmm
from numpy.typing import NDArray
from openmm import app, unit

from openmm_pqeq.force.module import FIELD_PARAMETERS
from openmm_pqeq.reporters import (
    FieldWork,
    PolarizationSum,
    Table,
    positive_interval,
    vector_columns,
    work_columns,
)
from openmm_pqeq.reporters.observer import Observer
from openmm_pqeq.reporters.table import next_report
from openmm_pqeq.units import BOLTZMANN, KJ_PER_MOL_PER_EV

Array = NDArray[np.float64]

OF_WORK = "work_"
"""Begins the names of sums that are a FieldWork's."""


def restore_sums(simulation: app.Simulation, sums: dict[str, Array]) -> PolarizationSum:
    """The polarization of the sums in a restart file, and the work of the Simulation continued;
    ValueError where they are not of it."""
    names = {name for name in sums if name.startswith(OF_WORK)}
    polarization = PolarizationSum()
    polarization.restore({name: array for name, array in sums.items() if name not in names})
    n_atoms = simulation.topology.getNumAtoms()
    if len(sums.get("charges", range(n_atoms))) != n_atoms:
        raise ValueError(f"its sums.npz is of {len(sums['charges'])} atoms")
    if names:
        work = FieldWork.of(simulation)
        if work is None:
            raise ValueError("its sums.npz is of charges by bonds")
        work.restore({name.removeprefix(OF_WORK): sums[name] for name in names})
    return polarization


class TableReporter:
    """Write a row every `interval` steps, complete on disk after each.

    Parameters
    ----------
    file : path
    interval : steps from one row to the next
    charges : whether the potential has charges
    append : continue an existing file
    """

    def __init__(self, file: Path, interval: int, charges: bool, append: bool = False):
        self.interval = positive_interval(interval)
        self.polarization = PolarizationSum()
        self.latest: dict[str, float] = {}
        self._charges = charges
        self._constants: tuple[unit.Quantity, int] | None = None
        self._table = Table(file, append)

    def describeNextReport(self, simulation: app.Simulation) -> dict[str, Any]:
        """Steps to the next row, as OpenMM asks its reporters; the first call takes the reference
        of polarization and work."""
        if self._charges and not self.polarization.started:
            self.polarization.add(Observer.of(simulation).observe(simulation))
        if self._charges:
            FieldWork.of(simulation)
        return next_report(simulation, self.interval)

    def report(self, simulation: app.Simulation, state: Any) -> None:
        """Append a row. The State is asked for here and not before, so that its energy is that in
        the field of this moment."""
        if self._constants is None:
            self._constants = total_mass(simulation.system), degrees_of_freedom(simulation.system)
        row = state_columns(simulation, *self._constants)
        if self._charges:
            row |= work_columns(simulation, total=row["total_energy_eV"])
            observer = Observer.of(simulation)
            now = observer.observe(simulation)
            self.polarization.add(now)
            row |= vector_columns("dipole", now.dipole, "eA")
            if now.volume > 0:
                row |= vector_columns(
                    "polarization", self.polarization.microcoulomb_per_square_cm(now), "uC_per_cm2"
                )
            symbols = np.array(observer.symbols)
            row |= {
                f"charge_{symbol}_e": float(now.charges[symbols == symbol].mean())
                for symbol in sorted(set(symbols))
            }
        self._table.write(row)
        self.latest = row

    def sums(self, simulation: app.Simulation) -> dict[str, Array]:
        """What polarization and work have been summed from, for a restart file."""
        work = FieldWork.begun(simulation)
        found = {} if work is None else work.state()
        return self.polarization.state() | {f"{OF_WORK}{name}": a for name, a in found.items()}

    def close(self) -> None:
        """Close the file."""
        self._table.close()


def state_columns(
    simulation: app.Simulation, mass: unit.Quantity, degrees: int
) -> dict[str, float]:
    """What OpenMM itself knows about the present moment, from the System's mass and its number of
    degrees of freedom."""
    state = simulation.context.getState(energy=True, parameters=True)
    potential = (
        state.getPotentialEnergy().value_in_unit(unit.kilojoule_per_mole) / KJ_PER_MOL_PER_EV
    )
    kinetic = state.getKineticEnergy().value_in_unit(unit.kilojoule_per_mole) / KJ_PER_MOL_PER_EV
    row = {
        "step": simulation.currentStep,
        "time_ps": round(state.getTime().value_in_unit(unit.picosecond), 9),
        "potential_energy_eV": potential,
        "kinetic_energy_eV": kinetic,
        "total_energy_eV": potential + kinetic,
        "temperature_K": 2 * kinetic / (degrees * BOLTZMANN),
    }
    if simulation.system.usesPeriodicBoundaryConditions():
        volume = state.getPeriodicBoxVolume()
        row["volume_A3"] = volume.value_in_unit(unit.angstrom**3)
        row["density_g_per_cm3"] = (mass / volume).value_in_unit(
            unit.gram / unit.item / unit.milliliter
        )
    parameters = state.getParameters()
    return row | vector_columns(
        "field", np.array([parameters[name] for name in FIELD_PARAMETERS]), "V_per_A"
    )


def total_mass(system: openmm.System) -> unit.Quantity:
    """Mass of all particles."""
    return sum(
        (system.getParticleMass(i) for i in range(system.getNumParticles())), 0 * unit.dalton
    )


def degrees_of_freedom(system: openmm.System) -> int:
    """Degrees of freedom: three for each particle with mass, less constraints and the motion of the
    whole."""
    particles = range(system.getNumParticles())
    free = sum(3 for i in particles if system.getParticleMass(i).value_in_unit(unit.dalton) > 0)
    constrained = sum(
        1
        for i in range(system.getNumConstraints())
        if any(
            system.getParticleMass(p).value_in_unit(unit.dalton) > 0
            for p in system.getConstraintParameters(i)[:2]
        )
    )
    removed = (
        3 if any(isinstance(force, openmm.CMMotionRemover) for force in system.getForces()) else 0
    )
    return max(1, free - constrained - removed)
