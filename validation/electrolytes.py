"""Electrolytes in dynamics: does each structure hold together at each temperature?

    python examples/distill_electrolytes/structures.py
    python validation/electrolytes.py --structures examples/distill_electrolytes/structures --work WORK
    python validation/electrolytes.py --model electrolytes_fast --structures ... --work FAST

NVT (Langevin, 5/ps, 2 fs) through OpenMM. A run is whole where every P and Zr has as many
anions around it at the end as at the beginning, no two atoms came nearer than half their covalent
radii, and the temperature is what was set. What is finished in WORK/dynamics.json is not run again.
"""

import argparse
import json
import time
from pathlib import Path
from typing import Any

import ase
import ase.io
import numpy as np
import openmm
from ase.data import covalent_radii
from openmm import app, unit

import openmm_pqeq as pq

CENTRES = {"P": 1.35, "Zr": 1.35}
"""Atoms whose coordination is counted: neighbours up to so much of the sum of covalent radii."""
ANIONS = ("N", "O", "F", "S", "Cl")
LOOKS = 20
"""At how many moments of a run the structure is looked at."""


def coordination(atoms: ase.Atoms, positions: np.ndarray) -> dict[str, list[int]]:
    """Anions around each centre."""
    moved = atoms.copy()
    moved.positions = positions
    anions = np.flatnonzero(np.isin(moved.get_chemical_symbols(), ANIONS))
    found: dict[str, list[int]] = {}
    for element, factor in CENTRES.items():
        for centre in moved.symbols.search(element):
            radii = covalent_radii[moved.numbers[anions]] + covalent_radii[moved.numbers[centre]]
            near = moved.get_distances(centre, anions, mic=True) < factor * radii
            found.setdefault(element, []).append(int(near.sum()))
    return found


def closest(atoms: ase.Atoms, positions: np.ndarray) -> float:
    """The shortest distance over the sum of covalent radii."""
    moved = atoms.copy()
    moved.positions = positions
    distances = moved.get_all_distances(mic=True)
    radii = covalent_radii[moved.numbers]
    np.fill_diagonal(distances, np.inf)
    return float((distances / (radii[:, None] + radii)).min())


def run(model: str, file: Path, n_atoms: int, kelvin: float, picoseconds: float) -> dict[str, Any]:
    """One run; its row."""
    atoms = ase.io.read(file)
    repeats = np.ones(3, dtype=int)
    while len(atoms) * repeats.prod() < n_atoms:
        repeats[np.argmin(repeats * atoms.cell.lengths())] += 1
    topology, positions = pq.read_structure(file, supercell=tuple(int(n) for n in repeats))
    atoms = ase.Atoms(
        [atom.element.symbol for atom in topology.atoms()],
        positions.value_in_unit(unit.angstrom),
        cell=topology.getPeriodicBoxVectors().value_in_unit(unit.angstrom),
        pbc=True,
    )
    integrator = openmm.LangevinMiddleIntegrator(kelvin, 5 / unit.picosecond, 2 * unit.femtosecond)
    integrator.setRandomNumberSeed(1)
    simulation = app.Simulation(topology, pq.create_system(model, topology), integrator)
    simulation.context.setPositions(positions)
    simulation.minimizeEnergy(maxIterations=50)
    simulation.context.setVelocitiesToTemperature(kelvin, 1)
    looked = [positions_of(simulation)]
    temperatures, begun, steps = [], time.process_time(), round(500 * picoseconds / LOOKS)
    for _ in range(LOOKS):
        simulation.step(steps)
        looked.append(positions_of(simulation))
        kinetic = simulation.context.getState(energy=True).getKineticEnergy()
        per_atom = 1.5 * unit.MOLAR_GAS_CONSTANT_R * len(atoms)
        temperatures.append((kinetic / per_atom).value_in_unit(unit.kelvin))
    first, last = coordination(atoms, looked[0]), coordination(atoms, looked[-1])
    kept = {k: float(np.mean(np.array(first[k]) == np.array(last[k]))) for k in first}
    return {
        "structure": file.stem,
        "atoms": len(atoms),
        "temperature": kelvin,
        "ps": picoseconds,
        "mean temperature": float(np.mean(temperatures[LOOKS // 4 :])),
        "closest": min(closest(atoms, one) for one in looked),
        "coordination kept": kept,
        "ms a step": 1000 * (time.process_time() - begun) / (steps * LOOKS),
    }


def positions_of(simulation: app.Simulation) -> np.ndarray:
    """(n_atoms, 3) Å."""
    state = simulation.context.getState(positions=True)
    return np.array(state.getPositions(asNumpy=True).value_in_unit(unit.angstrom))


def main() -> None:
    """All runs that are not there."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="electrolytes")
    parser.add_argument("--structures", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--names", nargs="+", default=["Li6PS5Cl", "Li3PS4", "LLZO", "LiFePO4"])
    parser.add_argument("--temperatures", nargs="+", type=float, default=[1000, 600, 300])
    parser.add_argument("--atoms", type=int, default=48)
    parser.add_argument("--ps", type=float, default=20.0)
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    path = options.work / "dynamics.json"
    rows = json.loads(path.read_text()) if path.is_file() else []
    for kelvin in options.temperatures:
        for name in options.names:
            known = (name, kelvin, options.ps)
            if any((row["structure"], row["temperature"], row["ps"]) == known for row in rows):
                continue
            file = options.structures / f"{name}.xyz"
            rows.append(run(options.model, file, options.atoms, kelvin, options.ps))
            path.write_text(json.dumps(rows, indent=1) + "\n")
            print(rows[-1], flush=True)


if __name__ == "__main__":
    main()
