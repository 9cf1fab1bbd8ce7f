"""The velocities that a run begins with: drawn, or those of the structure file.

    maxwell    from Maxwell and Boltzmann's distribution at the run's temperature, by the run's seed
    file       v of the file at t = 0; leapfrog gets v − (Δt/2) F/m, because it keeps velocities half
               a step behind the positions

What a file calls velocities or momenta, and how ASE reads it: topology/facts.py.
"""

import numpy as np
from openmm import app, unit

from openmm_pqeq.md.settings import RunConfig
from openmm_pqeq.md.watch import temperature_of
from openmm_pqeq.reporters.work import half_a_step_of
from openmm_pqeq.topology.facts import facts_of

_NM_PER_PS = unit.nanometer / unit.picosecond


def require_velocities(config: RunConfig, topology: app.Topology) -> None:
    """ValueError where the run is to begin with the file's velocities, and the file has none."""
    if config.velocities == "file" and facts_of(topology).velocities is None:
        raise ValueError(
            f"velocities: expected a structure file with velocities, got {config.structure}, which "
            "has none, or none but zero (ASE reads those of extxyz, POSCAR, LAMMPS data and its own .traj). "
            "Leave --velocities away to draw them"
        )


def begin_velocities(simulation: app.Simulation, config: RunConfig, seed: int) -> str:
    """Give the atoms of a Simulation their first velocities; says which, and how hot they are."""
    if config.velocities == "maxwell":
        simulation.context.setVelocitiesToTemperature(config.temperature * unit.kelvin, seed)
    else:
        simulation.context.setVelocities(_of_the_file(simulation) * _NM_PER_PS)
    whence = "drawn" if config.velocities == "maxwell" else "of the structure file"
    state = simulation.context.getState(velocities=True)
    return f"velocities: {whence}, {temperature_of(simulation.system, state):.1f} K"


def _of_the_file(simulation: app.Simulation) -> np.ndarray:
    """Velocities (n_atoms, 3) nm/ps as the integrator keeps them; 0 of atoms without mass."""
    velocities = np.array(facts_of(simulation.topology).velocities)
    system = simulation.system
    masses = np.array([system.getParticleMass(i)._value for i in range(len(velocities))])
    moving = masses > 0
    velocities[~moving] = 0.0
    if (lag := half_a_step_of(simulation)) > 0:
        forces = simulation.context.getState(forces=True).getForces(asNumpy=True)._value
        velocities[moving] -= lag * forces[moving] / masses[moving, None]
    return velocities
