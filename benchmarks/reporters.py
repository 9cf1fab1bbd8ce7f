"""What the reporters cost: their time as a part of that of the dynamics between two reports, in one
run.

    python benchmarks/reporters.py               40 atoms of BaTiO3, batio3, every 100 steps

All reporters together, which share one solution of the charges; processor time, since others use
the machine too. The first reports, in which TorchScript compiles, are left out.
"""

import argparse
import tempfile
import time
from pathlib import Path

import openmm
from openmm import app, unit

import openmm_pqeq as pq

STRUCTURE = Path(__file__).parent.parent / "examples" / "BaTiO3.cif"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--structure", default=STRUCTURE)
    parser.add_argument("--model", default="batio3")
    parser.add_argument("--repeat", type=int, default=2)
    parser.add_argument("--interval", type=int, default=100)
    parser.add_argument("--reports", type=int, default=2)
    parser.add_argument("--backend", default="torchscript")
    arguments = parser.parse_args()
    topology, positions = pq.read_structure(arguments.structure, supercell=(arguments.repeat,) * 3)
    system = pq.create_system(arguments.model, topology, backend=arguments.backend)
    integrator = openmm.LangevinMiddleIntegrator(
        300 * unit.kelvin, 1 / unit.picosecond, 1 * unit.femtosecond
    )
    simulation = app.Simulation(topology, system, integrator)
    simulation.context.setPositions(positions)
    simulation.context.setVelocitiesToTemperature(300 * unit.kelvin, 1)
    with tempfile.TemporaryDirectory() as folder:
        reporters = [
            pq.ChargeReporter(f"{folder}/charges.h5", 1),
            pq.ChargeReporter(f"{folder}/charges.extxyz", 1),
            pq.DipoleReporter(f"{folder}/dipole.csv", 1),
            pq.EnergyReporter(f"{folder}/energies.csv", 1),
            pq.ChargeStatisticsReporter(f"{folder}/elements.csv", 1),
            pq.ProfileReporter(f"{folder}/profile.h5", 1),
        ]
        for _ in range(4):
            simulation.integrator.step(1)
            report(simulation, reporters)
        dynamics = writing = 0.0
        for index in range(arguments.reports):
            start = time.process_time()
            simulation.integrator.step(arguments.interval)
            middle = time.process_time()
            report(simulation, reporters)
            end = time.process_time()
            dynamics, writing = dynamics + middle - start, writing + end - middle
            print(
                f"report {index + 1}: {arguments.interval} steps {middle - start:.2f} s, reporters "
                f"{end - middle:.3f} s",
                flush=True,
            )
        for reporter in reporters:
            reporter.close()
    print(
        f"{topology.getNumAtoms()} atoms, every {arguments.interval} steps: reporters add "
        f"{writing / dynamics:.2%}"
    )


def report(simulation: app.Simulation, reporters: list) -> None:
    """One report of each."""
    for reporter in reporters:
        reporter.describeNextReport(simulation)
        reporter.report(simulation, None)


if __name__ == "__main__":
    main()
