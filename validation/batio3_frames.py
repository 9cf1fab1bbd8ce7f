"""Frames of BaTiO3 for the training of the model `batio3`: two functionals and two phases on one scale of energy.

    python validation/batio3_frames.py --tetragonal FILE --cubic FILE --output FOLDER

tetragonal : batio3_pbe_59.xyz, 59 PBE frames of 135 atoms in one cell, 3.966 x 3.966 x
    4.304 Å (allegro-pol, MIT; Falletta et al., Nat. Commun. 2025)
cubic : batio3_pbesol_cubic222_aimd_random.extxyz, 80 PBEsol frames of 40 atoms (example of ALAMODE, MIT)

Codes, pseudopotentials and functionals differ, and so do their energies, by a constant for each formula
unit. The constant of either set is its mean difference from SevenNet-0, which is taken off: what the
phases have between each other is then that network's, what frames of one set have between them is DFT's.
batio3_fit.extxyz has three tetragonal frames with Born charges and ε∞, for validation/batio3_fit.toml.
Kept away are the 12 tetragonal frames that are held out of `batio3` today, and every tenth cubic one.
"""

import argparse
from pathlib import Path

import ase
import numpy as np
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import read, write

import openmm_pqeq as pq
from openmm_pqeq.units import COULOMB

FITTED = (1, 25, 7)
"""Tetragonal frames for the charges: the coldest, a middle one and the hottest of those not kept away."""
UNIT = 5
"""Atoms of BaTiO3."""
COMPARED = 6
"""Frames of each set that are compared with the network."""


def labelled(atoms: ase.Atoms) -> ase.Atoms:
    """The frame with nothing but energy (eV), forces (eV/Å) and stress (eV/Å³)."""
    results = atoms.calc.results if atoms.calc is not None else {}
    known = {**atoms.arrays, **atoms.info, **results}
    energy = float(known.get("total_energy", known.get("energy", np.nan)))
    labels = {"energy": energy, "forces": np.array(known["forces"])}
    if "stress" in known:
        labels["stress"] = np.array(known["stress"])
    made = ase.Atoms(atoms.numbers, atoms.positions, cell=atoms.cell, pbc=True)
    made.calc = SinglePointCalculator(made, **labels)
    return made


def with_response(atoms: ase.Atoms) -> ase.Atoms:
    """The frame with born_charge (n, 9) e and dielectric (3, 3)."""
    made = ase.Atoms(atoms.numbers, atoms.positions, cell=atoms.cell, pbc=True)
    made.arrays["born_charge"] = atoms.arrays["born_charge"]
    alpha = np.array(atoms.info["polarizability"]).reshape(3, 3)
    made.info["dielectric"] = np.eye(3) + 4 * np.pi * COULOMB * alpha / atoms.cell.volume
    return made


def moved(frames: list[ase.Atoms], network: pq.PQEqCalculator) -> float:
    """eV a formula unit, taken off the energies of the frames."""
    chosen = [frames[i] for i in np.linspace(0, len(frames) - 1, COMPARED).astype(int)]
    away = [
        (atoms.get_potential_energy() - network.get_potential_energy(atoms)) * UNIT / len(atoms)
        for atoms in chosen
    ]
    for atoms in frames:
        atoms.calc.results["energy"] -= float(np.mean(away)) * len(atoms) / UNIT
    print(f"{1000 * np.std(away):.1f} meV a formula unit between frames")
    return float(np.mean(away))


def main() -> None:
    """Read, move, split, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tetragonal", type=Path, required=True, help="59 frames, extended XYZ")
    parser.add_argument("--cubic", type=Path, required=True, help="80 frames, extended XYZ")
    parser.add_argument("--output", type=Path, default=Path(), help="folder of the two files")
    given = parser.parse_args()
    network = pq.PQEqCalculator("sevennet-0", dtype="float32")
    train, held_out = [], []
    for path, kept in ((given.tetragonal, None), (given.cubic, 10)):
        frames = [labelled(atoms) for atoms in read(path, ":")]
        print(f"{path.name}: {moved(frames, network):.4f} eV a formula unit taken off")
        order = np.random.default_rng(0).permutation(len(frames))[:12]
        away = set(order.tolist() if kept is None else range(0, len(frames), kept))
        held_out += [atoms for index, atoms in enumerate(frames) if index in away]
        train += [atoms for index, atoms in enumerate(frames) if index not in away]
    given.output.mkdir(parents=True, exist_ok=True)
    tetragonal = read(given.tetragonal, ":")
    fitted = [with_response(tetragonal[index]) for index in FITTED]
    for name, chosen in (("train", train), ("held_out", held_out), ("fit", fitted)):
        write(given.output / f"batio3_{name}.extxyz", chosen)
        print(f"batio3_{name}.extxyz: {len(chosen)} frames")


if __name__ == "__main__":
    main()
