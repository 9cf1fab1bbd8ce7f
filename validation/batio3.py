"""Errors of `batio3` on the 12 frames held out of its training: energy, forces, stress, Born
charges.

    python validation/batio3.py --data batio3_pbe_59.xyz

The file holds 59 PBE frames of 135 atoms (`total_energy` eV, `forces` eV/Å, `stress` eV/Å³,
`born_charge` e). The whole potential is measured, as `load` gives it, not the network alone. Born
charges with --born (minutes).
"""

import argparse

import ase.io
import numpy as np
import torch

import openmm_pqeq as pq
from openmm_pqeq.response import born_charges
from openmm_pqeq.structure import structure_of


def rmse(differences: list[np.ndarray]) -> float:
    return float(np.sqrt(np.mean(np.concatenate([d.ravel() for d in differences]) ** 2)))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", required=True)
    parser.add_argument("--model", default="batio3")
    parser.add_argument(
        "--born",
        type=int,
        default=0,
        metavar="N",
        help="also the Born charges of the first N held-out frames",
    )
    arguments = parser.parse_args()
    potential = pq.load(arguments.model)
    frames = ase.io.read(arguments.data, ":")
    held_out = np.random.default_rng(0).permutation(len(frames))[:12]
    energy, forces, stress, born = [], [], [], []
    for rank, index in enumerate(held_out):
        atoms = frames[index]
        structure = structure_of(
            *(
                torch.as_tensor(np.array(x))
                for x in (atoms.positions, atoms.numbers, atoms.cell.array)
            )
        )
        found = potential.evaluate(structure, stress=True)
        energy.append((found.energy.numpy() - atoms.info["total_energy"]) / len(atoms))
        forces.append(found.forces.numpy() - atoms.arrays["forces"])
        stress.append(found.stress[0].numpy().ravel() - np.ravel(atoms.info["stress"]))
        if rank < arguments.born:
            reference = atoms.arrays["born_charge"].reshape(-1, 3, 3)
            born.append(born_charges(potential, structure).numpy() - reference)
    print(f"held-out frames {sorted(map(int, held_out))}")
    print(f"energy  RMSE {1000 * rmse(energy):8.2f} meV/atom")
    print(f"forces  RMSE {1000 * rmse(forces):8.1f} meV/Å")
    print(f"stress  RMSE {rmse(stress):8.1e} eV/Å³")
    if born:
        print(f"Born charges RMSE {rmse(born):.3f} e ({len(born)} frames)")


if __name__ == "__main__":
    main()
