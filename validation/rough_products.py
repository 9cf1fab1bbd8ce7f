"""Energy conservation with Hessian-vector products on a rough float32 mesh, and without.

    python validation/rough_products.py [--systems nacl bonds] [--picoseconds 6] [--output FOLDER]

In mixed precision the solver of `pme` takes its products on a rougher mesh in float32
(pqeq/coulomb/mesh_size.py); gradients, energy and forces have the fine mesh in float64. Two runs,
`rough` (charges in mixed precision, as it ships) and `float64` (charges in double precision, all of
them on the fine mesh), with the network in mixed precision in both, begin at the same positions and
velocities and take turns in one process, 0.1 ps each. Systems: molten NaCl (64 atoms, 1200 K, PQEq
beside a stand-in for repulsion), and BaTiO3 (40 atoms, 300 K) with the models `batio3_bonds`
(bonds) and `batio3` (free). Verlet, 0.5 fs, tolerance 1e-5; energies, their drift and its error are
those of energy_conservation.py.
"""

import argparse
from pathlib import Path

import numpy as np
import openmm
from energy_conservation import (
    EVERY,
    PQEQ,
    STEP,
    TEMPERATURE,
    TOLERANCE,
    drift,
    sample,
    stand_ins,
    structure,
    topology_of,
)
from openmm import app, unit

import openmm_pqeq as pq
from openmm_pqeq.units import KJ_PER_MOL_PER_EV

MODELS = {"bonds": "batio3_bonds", "free": "batio3"}
CHARGES = {"Ba": 2, "Ti": 4, "O": -2}
PRECISION = {"rough": "mixed", "float64": "double"}
"""Of the charges."""
BLOCK = 0.1  # ps
RELAXATION, EQUILIBRATION = 200, 1000  # steps
LANGEVIN, VERLET = 0, 1


def simulation(system: str, precision: str, seed: int) -> app.Simulation:
    """With a thermostat, and then without; precision of the charges."""
    place = "nacl" if system == "nacl" else "batio3"
    atoms = structure(place, seed)
    topology = topology_of(atoms)
    if system == "nacl":
        made = pq.create_system(
            pq.build({"pqeq": PQEQ["pme"]}), topology, precision=precision, tolerance=TOLERANCE
        )
    else:
        model = pq.load(MODELS[system], protocol="pme")
        made = pq.create_system(model.select("gnn"), topology, precision="mixed")
        reference = {"reference_charges": CHARGES} if system == "bonds" else {}
        made.addForce(
            pq.create_force(
                model.select("pqeq"),
                topology,
                precision=precision,
                tolerance=TOLERANCE,
                **reference,
            )
        )
    for force in stand_ins(place, atoms):
        made.addForce(force)
    integrator = openmm.CompoundIntegrator()
    thermostat = openmm.LangevinMiddleIntegrator(0.0, 100.0, STEP)
    thermostat.setRandomNumberSeed(seed)
    integrator.addIntegrator(thermostat)
    integrator.addIntegrator(openmm.VerletIntegrator(STEP))
    platform = openmm.Platform.getPlatformByName("Reference")
    run = app.Simulation(topology, made, integrator, platform)
    run.context.setPositions(atoms.positions / 10)
    return run


def equilibrate(run: app.Simulation, system: str, seed: int) -> None:
    """Atoms slowed down (the minimiser tries steps at which charges have no solution), then kept at
    the temperature; NaCl first at twice that."""
    temperature = TEMPERATURE["nacl" if system == "nacl" else "batio3"]
    thermostat = run.integrator.getIntegrator(LANGEVIN)
    run.step(RELAXATION)
    thermostat.setFriction(10.0)
    run.context.setVelocitiesToTemperature(temperature, seed)
    if system == "nacl":
        thermostat.setTemperature(2 * temperature)
        run.step(EQUILIBRATION)
    thermostat.setTemperature(temperature)
    run.step(EQUILIBRATION)


def block(run: app.Simulation) -> list[tuple[float, float, float]]:
    """E, E' (meV/atom) and temperature (K), every EVERY steps of a block."""
    system = run.system
    n_atoms = system.getNumParticles()
    masses = [system.getParticleMass(i).value_in_unit(unit.dalton) for i in range(n_atoms)]
    rows = []
    for _ in range(round(BLOCK / STEP / EVERY)):
        run.step(EVERY - 2)
        total, conserved, kinetic = sample(run, np.array(masses)[:, None])
        energies = 1000 * np.array([total, conserved]) / (KJ_PER_MOL_PER_EV * n_atoms)
        rows.append((*energies, kinetic / (1.5 * n_atoms * 8.314462618e-3)))
    return rows


def row_of(system: str, variant: str, rows: np.ndarray) -> str:
    """One row of the table."""
    times = EVERY * STEP * np.arange(1, len(rows) + 1)
    columns = [
        f"{slope:+.1e} ± {error:.0e} | {scatter:.0e}"
        for slope, error, scatter in (drift(times, rows[:, 1]), drift(times, rows[:, 0]))
    ]
    numbers = f"{' | '.join(columns)} | {rows[:, 2].mean():.0f}"
    return f"| {system} | {variant} | {times[-1]:.1f} | {numbers} |"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--systems", nargs="+", choices=["nacl", *MODELS], default=["nacl", "bonds"]
    )
    parser.add_argument("--picoseconds", type=float, default=6.0)
    parser.add_argument("--output", type=Path, default=Path("."), help="folder for the energies")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    print("| system | products | ps | drift of E' | scatter | drift of E | scatter | mean T, K |")
    print("|---|---|---|---|---|---|---|---|", flush=True)
    for system in arguments.systems:
        runs = {
            name: simulation(system, precision, arguments.seed)
            for name, precision in PRECISION.items()
        }
        equilibrate(runs["float64"], system, arguments.seed)
        state = runs["float64"].context.getState(positions=True, velocities=True)
        for run in runs.values():
            run.context.setPositions(state.getPositions())
            run.context.setVelocities(state.getVelocities())
            run.integrator.setCurrentIntegrator(VERLET)
        rows: dict[str, list] = {name: [] for name in runs}
        for _ in range(round(arguments.picoseconds / BLOCK)):
            for name, run in runs.items():
                rows[name] += block(run)
                file = arguments.output / f"energies_{system}_{name}.csv"
                np.savetxt(file, rows[name], delimiter=",", header="E,E',K", fmt="%.6f")
        for name in runs:
            print(row_of(system, name, np.array(rows[name])), flush=True)


if __name__ == "__main__":
    main()
