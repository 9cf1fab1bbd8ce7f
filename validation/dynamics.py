"""Energy conservation and stability of `batio3` in OpenMM.

    python validation/dynamics.py nve            40 atoms, 300 K, 10 ps, 0.5 fs: slope of the total energy
    python validation/dynamics.py nvt --repeat 3 3 3     135 atoms, 300 K, 20 ps, 1 fs: temperature, and the largest displacement

Both start from the tetragonal crystal with velocities of 300 K (NVE after 1 ps at 300 K) and print
as they go.
"""

import argparse
import time

import ase.io
import numpy as np
import openmm
from openmm import app, unit

import openmm_pqeq as pq


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("ensemble", choices=("nve", "nvt"))
    parser.add_argument("--structure", default="examples/BaTiO3.cif")
    parser.add_argument("--repeat", type=int, nargs=3, default=(2, 2, 2))
    parser.add_argument("--picoseconds", type=float)
    parser.add_argument("--precision", default="double")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    nve = arguments.ensemble == "nve"
    step = 0.0005 if nve else 0.001
    length = arguments.picoseconds or (10.0 if nve else 20.0)

    supercell = f"{arguments.structure}.repeated.extxyz"
    ase.io.write(supercell, ase.io.read(arguments.structure).repeat(arguments.repeat))
    topology, positions = pq.read_structure(supercell)
    system = pq.create_system(pq.load("batio3"), topology, precision=arguments.precision)
    warm_up = openmm.LangevinMiddleIntegrator(300 * unit.kelvin, 5 / unit.picosecond, 0.001)
    warm_up.setRandomNumberSeed(arguments.seed)
    production = openmm.VerletIntegrator(step)
    if not nve:
        production = openmm.LangevinMiddleIntegrator(300 * unit.kelvin, 1 / unit.picosecond, step)
        production.setRandomNumberSeed(arguments.seed)
    integrator = openmm.CompoundIntegrator()
    integrator.addIntegrator(warm_up)
    integrator.addIntegrator(production)
    simulation = app.Simulation(
        topology, system, integrator, openmm.Platform.getPlatformByName("Reference")
    )
    simulation.context.setPositions(positions)
    simulation.context.setVelocitiesToTemperature(300, arguments.seed)
    if nve:
        simulation.step(1000)
    integrator.setCurrentIntegrator(1)

    n_atoms, every = topology.getNumAtoms(), 100 if nve else 200
    start, times, totals, temperatures = time.perf_counter(), [], [], []
    for block in range(round(length / step / every)):
        simulation.step(every)
        state = simulation.context.getState(energy=True, positions=True)
        kinetic = state.getKineticEnergy().value_in_unit(unit.kilojoules_per_mole) / 96.48533212
        potential = state.getPotentialEnergy().value_in_unit(unit.kilojoules_per_mole) / 96.48533212
        times.append((block + 1) * every * step)
        totals.append(1000 * (kinetic + potential) / n_atoms)
        temperatures.append(kinetic / (1.5 * (n_atoms - 1) * 8.617333262e-5))
        if block % 10 == 9:
            moved = state.getPositions(asNumpy=True).value_in_unit(
                unit.angstrom
            ) - positions.value_in_unit(unit.angstrom)
            largest = np.linalg.norm(moved - moved.mean(axis=0), axis=1).max()
            slope = np.polyfit(times, totals, 1)[0]
            rate = (time.perf_counter() - start) / ((block + 1) * every)
            print(
                f"{times[-1]:7.2f} ps  T {np.mean(temperatures):6.1f} K  slope {slope:+.4f} "
                "meV/atom/ps"
                f"  scatter {np.std(totals):.4f} meV/atom  largest displacement {largest:.2f} Å  "
                f"{rate:.3f} s/step",
                flush=True,
            )


if __name__ == "__main__":
    main()
