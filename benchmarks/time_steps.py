"""Multiple time steps against one: what a femtosecond costs, and what happens to the energy (NVE).

    openmm-pqeq distill small.toml
    python benchmarks/time_steps.py LLZO.cif --model universal --inner small/model.pt --outer 2 4 6

All runs are in one process, begin at the same positions and velocities, and take turns, a block of
the same length in fs each; reported are medians of processor and wall time per fs of dynamics, the
slope of the total energy and its standard deviation about it, and the mean temperature.
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np
import openmm
from harness import save
from openmm import app, unit

import openmm_pqeq as pq
from openmm_pqeq.units import KJ_PER_MOL_PER_EV

FEMTOSECOND = 1e-3
"""ps"""


class Run:
    """NVE dynamics with outer steps of so many fs, inner steps of 1 fs; 1: no inner model.

    times : wall and processor s per fs, of each block
    energies, temperatures : eV and K, at the end of each block
    """

    def __init__(self, outer: int, topology: app.Topology, model: str, inner: str):
        self.outer = outer
        if outer == 1:
            system = pq.create_system(model, topology)
            self.integrator = openmm.VerletIntegrator(FEMTOSECOND)
        else:
            system = pq.create_system(model, topology, inner_model=inner)
            self.integrator = openmm.MTSIntegrator(outer * FEMTOSECOND, pq.time_steps(outer))
        platform = openmm.Platform.getPlatformByName("CPU")
        self.context = openmm.Context(system, self.integrator, platform, {"Threads": "1"})
        self.freedom = 3 * system.getNumParticles() - 3
        self.times: list[tuple[float, float]] = []
        self.energies: list[float] = []
        self.temperatures: list[float] = []

    def block(self, length: int) -> None:
        """So many fs of dynamics."""
        wall, processor = time.perf_counter(), time.process_time()
        self.integrator.step(length // self.outer)
        spent = time.perf_counter() - wall, time.process_time() - processor
        self.times.append((spent[0] / length, spent[1] / length))
        state = self.context.getState(energy=True)
        kinetic = state.getKineticEnergy()
        total = (kinetic + state.getPotentialEnergy()).value_in_unit(unit.kilojoule_per_mole)
        self.energies.append(total / KJ_PER_MOL_PER_EV)
        kelvin = 2 * kinetic / (self.freedom * unit.MOLAR_GAS_CONSTANT_R)
        self.temperatures.append(kelvin.value_in_unit(unit.kelvin))

    def result(self, length: int) -> dict[str, float]:
        """All but the first block, which compiles."""
        n_atoms = (self.freedom + 3) // 3
        ps = FEMTOSECOND * length * np.arange(1, len(self.energies))
        per_atom = 1000 * np.array(self.energies[1:]) / n_atoms
        slope, start = np.polyfit(ps, per_atom, 1)
        wall, processor = np.median(self.times[1:], axis=0)
        return {
            "outer step, fs": self.outer,
            "processor, s per fs": processor,
            "wall, s per fs": wall,
            "slope, meV/atom/ps": slope,
            "deviation, meV/atom": float(np.std(per_atom - start - slope * ps)),
            "temperature, K": float(np.mean(self.temperatures[1:])),
        }


def equilibrated(
    topology: app.Topology, positions: unit.Quantity, options: argparse.Namespace
) -> openmm.State:
    """Positions and velocities after a while in a thermostat, with the longest of the outer steps
    but two fs at most."""
    system = pq.create_system(options.model, topology, inner_model=options.inner)
    integrator = openmm.MTSLangevinIntegrator(
        options.temperature, 10.0, 2 * FEMTOSECOND, pq.time_steps(2)
    )
    integrator.setRandomNumberSeed(options.seed)
    platform = openmm.Platform.getPlatformByName("CPU")
    context = openmm.Context(system, integrator, platform, {"Threads": "1"})
    context.setPositions(positions)
    context.setVelocitiesToTemperature(options.temperature, options.seed)
    integrator.step(options.equilibrate // 2)
    return context.getState(positions=True, velocities=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("structure", type=Path)
    parser.add_argument("--model", default="universal")
    parser.add_argument("--inner", required=True, help="a small model of the same energy")
    parser.add_argument("--outer", type=int, nargs="+", default=[2, 4], help="outer steps, fs")
    parser.add_argument("--block", type=int, default=24, help="fs in a turn, of all outer steps")
    parser.add_argument("--blocks", type=int, default=60)
    parser.add_argument("--equilibrate", type=int, default=600, help="fs")
    parser.add_argument("--temperature", type=float, default=600.0, help="K")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--save", help="name in benchmarks/results")
    options = parser.parse_args()
    if any(options.block % outer for outer in options.outer):
        parser.error("--block: expected a multiple of every outer step")
    topology, positions = pq.read_structure(options.structure)
    state = equilibrated(topology, positions, options)
    runs = [Run(outer, topology, options.model, options.inner) for outer in (1, *options.outer)]
    for run in runs:
        run.context.setPositions(state.getPositions())
        run.context.setVelocities(state.getVelocities())
    for _ in range(options.blocks + 1):
        for run in runs:
            run.block(options.block)
    results = [run.result(options.block) for run in runs]
    for result in results:
        result["ratio"] = results[0]["processor, s per fs"] / result["processor, s per fs"]
        print(json.dumps(result))
    if options.save:
        settings = {key: str(value) for key, value in vars(options).items()}
        print(save(options.save, {"settings": settings, "runs": results}))


if __name__ == "__main__":
    main()
