"""Products, time and error of the charges in dynamics: replayed trajectories at constant energy.

    PYTHONPATH=validation python benchmarks/charge_products.py
        [--systems response bonds nacl water] [--steps 120] [--output FILE.json]

OpenMM makes each trajectory (`validation/energy_conservation.py` has water, molten NaCl and what
holds them together; BaTiO3 is `examples/BaTiO3.cif`, 40 atoms, with the models `batio3`,
whose charge flows freely, and `batio3_bonds`). Its positions, every 0.5 fs and every 1 fs, are then
given to PQEq alone as OpenMM runs it (`pme`, mixed precision, tolerance 1e-5). Products: those with
the charge Hessian and gradients, of a step, the first twenty left out. Error: the largest of any
force component against tolerance 1e-8 in double precision, median of steps.
"""

import argparse
import json
from pathlib import Path

import ase
import numpy as np
import openmm
import torch
from energy_conservation import simulation, structure, topology_of
from openmm import unit

import openmm_pqeq as pq
from openmm_pqeq.structure import Structure, structure_of

MODELS = {"response": "batio3", "bonds": "batio3_bonds"}
TEMPERATURE = {"response": 300, "bonds": 300, "nacl": 1200, "water": 300}
CHARGES = {"Ba": 2, "Ti": 4, "O": -2}
STEP, RELAXATION, EQUILIBRATION, WARM_UP = 0.0005, 200, 600, 20  # ps, steps


def begun(system: str) -> tuple[ase.Atoms, openmm.System]:
    """Atoms, and the System that moves them."""
    if system not in MODELS:
        return structure(system, 0), simulation(system, "pme", 0).system
    atoms = structure("batio3", 0)
    reference = {"reference_charges": CHARGES} if system == "bonds" else {}
    model = pq.load(MODELS[system], protocol="pme")
    made = pq.create_system(model, topology_of(atoms), precision="double", **reference)
    return atoms, made


def trajectory(system: str, steps: int, seed: int = 1) -> tuple[ase.Atoms, np.ndarray]:
    """Positions (steps, n_atoms, 3) Å after 0.1 ps in which atoms are slowed down (OpenMM's minimiser
    tries steps at which charges have no solution) and 0.3 ps at the temperature."""
    atoms, made = begun(system)
    integrator = openmm.LangevinMiddleIntegrator(0.0, 100.0, STEP)
    integrator.setRandomNumberSeed(seed)
    platform = openmm.Platform.getPlatformByName("Reference")
    context = openmm.Context(made, integrator, platform)
    context.setPositions(atoms.positions / 10)
    integrator.step(RELAXATION)
    integrator.setTemperature(TEMPERATURE[system])
    integrator.setFriction(5.0)
    context.setVelocitiesToTemperature(TEMPERATURE[system], seed)
    integrator.step(EQUILIBRATION)
    integrator.setFriction(0.0)
    positions = []
    for _ in range(steps):
        integrator.step(1)
        state = context.getState(positions=True)
        positions.append(state.getPositions(asNumpy=True).value_in_unit(unit.angstrom))
    return atoms, np.array(positions)


def potential_of(system: str) -> pq.Potential:
    if system in MODELS:
        return pq.load(MODELS[system], protocol="pme").select("pqeq")
    return pq.build({"pqeq": {"protocol": "pme", "parameters": "reaxnet"}})


def replayed(system: str, atoms: ase.Atoms, positions: np.ndarray, every: int) -> dict:
    """One row of the table."""
    potential = potential_of(system)
    fast = potential.configured(precision="mixed", tolerance=1e-5).compile_for_inference()
    exact = potential.configured(precision="double", tolerance=1e-8).compile_for_inference()
    charges = torch.tensor([float(CHARGES.get(symbol, 0)) for symbol in atoms.symbols])
    numbers, cell = torch.tensor(atoms.numbers), torch.tensor(atoms.cell.array)
    products, errors = [], []
    for step, at in enumerate(positions[::every]):
        one: Structure = structure_of(
            torch.tensor(at), numbers, cell, reference_charges=charges.to(torch.float64)
        )
        found = fast.evaluate(one)
        if step >= WARM_UP:
            products.append(fast.pqeq.products)
            errors.append(float((found.forces - exact.evaluate(one).forces).abs().max()))
    return {
        "system": system,
        "fs": every * STEP * 1000,
        "products": float(np.mean(products)),
        "error": float(np.median(errors)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--systems", nargs="+", choices=TEMPERATURE, default=list(TEMPERATURE))
    parser.add_argument("--steps", type=int, default=120)
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    rows = []
    print("| system | fs | products | error, eV/Å |\n|---|---|---|---|")
    for system in arguments.systems:
        atoms, positions = trajectory(system, arguments.steps)
        for every in (1, 2):
            rows.append(replayed(system, atoms, positions, every))
            print(
                "| {system} | {fs} | {products:.2f} | {error:.1e} |".format(**rows[-1]), flush=True
            )
    if arguments.output:
        arguments.output.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
