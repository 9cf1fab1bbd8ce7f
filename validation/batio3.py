"""Errors of a model of BaTiO3 on the 12 tetragonal frames held out of every training here: energy, forces, stress, Born
charges.

    python validation/batio3.py --data batio3_pbe_59.xyz [--model batio3_bonds] [--born N]

The file holds 59 PBE frames of 135 atoms (`total_energy` eV, `forces` eV/Å, `stress` eV/Å³,
`born_charge` e). The whole potential is measured, as `load` gives it, not the network alone; the
energy without its mean error, since models have zeros of their own. Born charges take a second or so
a frame.
"""

import argparse

import ase.io
import numpy as np

import openmm_pqeq as pq


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
        help="also the Born charges of every second held-out frame, N of them",
    )
    arguments = parser.parse_args()
    frames = ase.io.read(arguments.data, ":")
    held_out = sorted(map(int, np.random.default_rng(0).permutation(len(frames))[:12]))
    calculator = pq.PQEqCalculator(arguments.model, tolerance=1e-8)
    with_born = held_out[::2][: arguments.born]
    energy, forces, stress, born = [], [], [], []
    for index in held_out:
        labelled = frames[index]
        atoms = ase.Atoms(labelled.numbers, labelled.positions, cell=labelled.cell, pbc=True)
        atoms.calc = calculator
        stress.append(atoms.get_stress() - labelled.get_stress())
        forces.append(atoms.get_forces() - labelled.get_forces())
        energy.append((atoms.get_potential_energy() - labelled.info["total_energy"]) / len(atoms))
        if index in with_born:
            reference = labelled.arrays["born_charge"].reshape(-1, 3, 3)
            born.append(calculator.get_property("born_charges", atoms) - reference)
    print(f"held-out frames {held_out}")
    print(f"energy  RMSE {1000 * float(np.std(energy)):8.2f} meV/atom, without its mean")
    print(f"forces  RMSE {1000 * rmse(forces):8.1f} meV/Å")
    print(f"stress  RMSE {rmse(stress):8.1e} eV/Å³")
    if born:
        print(f"Born charges RMSE {rmse(born):.3f} e ({len(born)} frames)")


if __name__ == "__main__":
    main()
