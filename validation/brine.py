"""The model `brine` against frames that it has not seen, and against the frames' own structure.

    python validation/brine.py --frames brine_held_out.extxyz [--model brine] [--every 1] [--run FOLDER ...]

frames : held-out frames of `validation/brine_frames.py` (revPBE0-D3)
run : folders of `openmm-pqeq run` with trajectory.dcd, at 300 K

Errors of forces by composition and element; the force between an ion pair in vacuum; g(r) of runs
beside that of the frames (O–O, Na–O, Cl–O: first peak and first shell); diffusion, molecular dipoles
and ε∞ of the last frames of a run.
"""

import argparse
from collections import defaultdict
from pathlib import Path

import ase
import mdtraj
import numpy as np
from ase.io import read
from ase.units import Debye

import openmm_pqeq as pq
from openmm_pqeq.analysis.paths import unwrapped
from openmm_pqeq.analysis.radial import first_shell, radial_distribution
from openmm_pqeq.units import ANGSTROM_PER_NM, COULOMB

PAIRS = (("O", "O"), ("Na", "O"), ("Cl", "O"))
LONGEST = 6.0
"""Å, of g(r): half of the small cells."""
ENOUGH = 50
"""Frames of one composition for a g(r)."""
LAST = 3
"""Frames of a run whose dipoles and ε∞ are computed."""


def composition(atoms: ase.Atoms) -> str:
    """Such as "4 NaCl, 56 H2O, 12.42 Å"; the cells of dilute frames differ."""
    pairs, waters = (int(np.sum(atoms.symbols == symbol)) for symbol in ("Na", "O"))
    edge = float(atoms.cell.lengths()[0])
    return f"{pairs} NaCl, {waters} H2O, {f'{edge:.2f} Å' if edge < 15 else 'dilute'}"


def rmse(parts: list[np.ndarray]) -> float:
    return 1000.0 * float(np.sqrt(np.mean(np.concatenate([part.ravel() for part in parts]) ** 2)))


def errors(frames: list[ase.Atoms], model: pq.PQEqCalculator) -> None:
    """Of forces and energies, by composition and by element."""
    forces, labels, energies, of_element = (defaultdict(list) for _ in range(4))
    for atoms in frames:
        difference = model.get_forces(atoms) - atoms.get_forces()
        away = model.get_potential_energy(atoms) - atoms.get_potential_energy()
        for group in (composition(atoms), "all"):
            forces[group].append(difference)
            labels[group].append(atoms.get_forces())
            energies[group].append(np.array([away / len(atoms)]))
        for symbol in sorted(set(atoms.symbols)):
            of_element[symbol].append(difference[atoms.symbols == symbol])
    print("frames of                     n   force RMSE (labels)   energy mean, RMSE without it")
    for group, found in sorted(forces.items()):
        energy = np.concatenate(energies[group])
        print(
            f"{group:28s} {len(found):3d}   {rmse(found):5.1f} ({rmse(labels[group]):4.0f}) meV/Å   "
            f"{1000 * energy.mean():+.2f}, {1000 * energy.std():.2f} meV/atom"
        )
    print(", ".join(f"{symbol} {rmse(found):.1f}" for symbol, found in of_element.items()))


def trajectory_of(frames: list[ase.Atoms]) -> mdtraj.Trajectory:
    """Frames of one composition and cell."""
    topology = mdtraj.Topology()
    residue = topology.add_residue("BOX", topology.add_chain())
    for symbol in frames[0].symbols:
        topology.add_atom(symbol, mdtraj.element.get_by_symbol(symbol), residue)
    made = mdtraj.Trajectory(np.array([f.positions for f in frames]) / ANGSTROM_PER_NM, topology)
    made.unitcell_vectors = np.array([f.cell.array for f in frames]) / ANGSTROM_PER_NM
    return made


def structure(name: str, trajectory: mdtraj.Trajectory) -> None:
    """First peak of g, Å and height, and what is within the first minimum."""
    symbols = np.array([atom.element.symbol for atom in trajectory.topology.atoms])
    found = []
    for center, other in PAIRS:
        ends = (np.flatnonzero(symbols == symbol) for symbol in (center, other))
        radial = radial_distribution(trajectory, *ends, longest=LONGEST)
        peak, minimum = first_shell(radial)
        within = float(np.interp(minimum, radial.edges, radial.coordination))
        height = float(radial.g.max())
        found.append(f"{center}–{other} {peak:.2f} Å {height:.2f}, {within:.1f} to {minimum:.2f} Å")
    print(f"{name} ({len(trajectory)} frames): {'; '.join(found)}")


def molecular_dipoles(atoms: ase.Atoms, charges: np.ndarray, shells: np.ndarray) -> np.ndarray:
    """(n_molecules,) D: Σ (q r − s) of an oxygen and the two hydrogens next to it; core charges are 1."""
    oxygens, hydrogens = (np.flatnonzero(atoms.symbols == symbol) for symbol in ("O", "H"))
    moments = []
    for oxygen in oxygens:
        away = atoms.get_distances(oxygen, hydrogens, mic=True, vector=True)
        near = np.argsort(np.linalg.norm(away, axis=1))[:2]
        moment = charges[hydrogens[near]] @ away[near]
        moments.append(moment - shells[[oxygen, *hydrogens[near]]].sum(axis=0))
    return np.linalg.norm(moments, axis=1) / Debye


def temperature(table: np.ndarray) -> float:
    """K, mean of the last half of a run."""
    return float(np.mean(table["temperature_K"][len(table) // 2 :]))


def run_of(folder: Path, model: pq.PQEqCalculator) -> None:
    """What a run says of structure, diffusion, dipoles and ε∞."""
    trajectory = mdtraj.load(folder / "trajectory.dcd", top=folder / "topology.pdb")
    structure(folder.name, trajectory[len(trajectory) // 5 :])
    symbols = np.array([atom.element.symbol for atom in trajectory.topology.atoms])
    cells = trajectory.unitcell_vectors * ANGSTROM_PER_NM
    path = unwrapped(trajectory.xyz * ANGSTROM_PER_NM, cells)
    half = len(path) // 2
    moved = np.sum((path[half:] - path[:-half]) ** 2, axis=2).mean(axis=0)
    table = np.genfromtxt(folder / "table.csv", delimiter=",", names=True)
    time = float(table["time_ps"][-1]) * half / len(path)
    print(f"{float(table['time_ps'][-1]):.2f} ps; last half at {temperature(table):.0f} K")
    for symbol in ("O", "Na", "Cl"):
        value = moved[symbols == symbol].mean() / (6 * time)
        print(f"{symbol}: D {value:.3f} Å²/ps, from {time:.1f} ps")
    for index in range(-LAST, 0):
        atoms = ase.Atoms(symbols, path[index], cell=cells[index], pbc=True)
        charges, shells = (model.get_property(name, atoms) for name in ("charges", "shells"))
        dipoles = molecular_dipoles(atoms, charges, shells)
        alpha = np.trace(model.get_property("polarizability", atoms)) / 3
        eps = 1 + 4 * np.pi * COULOMB * alpha / atoms.cell.volume
        print(f"dipole of a molecule {dipoles.mean():.2f} ± {dipoles.std():.2f} D, ε∞ {eps:.3f}")


def ion_pair(model: pq.PQEqCalculator) -> None:
    """The force between Na⁺ and Cl⁻ alone, beyond what the network sees of them, beside Coulomb's."""
    for distance in (6.0, 8.0, 10.0, 12.0):
        pair = ase.Atoms("NaCl", [[0, 0, 0], [0, 0, distance]])
        force, right = model.get_forces(pair)[1, 2], -COULOMB / distance**2
        print(f"Na–Cl at {distance:.0f} Å: {force:.4f} eV/Å, Coulomb {right:.4f}")


def main() -> None:
    """Print everything."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=Path, required=True, help="held-out frames")
    parser.add_argument("--model", default="brine")
    parser.add_argument("--every", type=int, default=1, help="of the frames, for errors")
    parser.add_argument("--run", type=Path, nargs="*", default=[], help="folders of runs")
    given = parser.parse_args()
    frames, model = read(given.frames, ":"), pq.PQEqCalculator(given.model)
    if given.every:
        errors(frames[:: given.every], model)
    ion_pair(model)
    dense = defaultdict(list)
    for atoms in frames:
        if "dilute" not in composition(atoms):
            dense[composition(atoms)].append(atoms)
    for name, alike in dense.items():
        if len(alike) >= ENOUGH:
            structure(name, trajectory_of(alike))
    for folder in given.run:
        run_of(folder, model)


if __name__ == "__main__":
    main()
