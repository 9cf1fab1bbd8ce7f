"""True gradients of the published two-sweep model against the published recipe, which holds charges
and shells fixed.

    python validation/gradients.py [--data FOLDER]

Protocol `reaxnet`, set `reaxnet`, PQEq alone, float64. Crystals of 64 atoms and LiPON, 96 atoms (2,
1 and 2 of the 5, 3 and 6 unit cells in FOLDER/structures/LiPON_Li2PO2N.cif), every coordinate moved
by normal deviates of 0.1 Å, seed 0. The column −ΔE/Δr compares the true gradient with central
differences of the energy (1e-4 Å) for three atoms. Forces in eV/Å; RMS over all components, the
maximum is the largest difference of one component.
"""

import argparse
from pathlib import Path

import ase.build
import ase.io
import numpy as np
import torch

import openmm_pqeq as pq
from openmm_pqeq.potential import Potential
from openmm_pqeq.structure import structure_of

LATTICE = {"NaCl": 5.640, "MgO": 4.212, "LiF": 4.027}
MOVED, SEED, STEP, CHECKED = 0.1, 0, 1e-4, 3


def evaluated(potential: Potential, atoms: ase.Atoms, forces: bool = True):
    numbers, cell = torch.as_tensor(atoms.numbers), torch.as_tensor(atoms.cell.array.copy())
    return potential.evaluate(
        structure_of(torch.as_tensor(atoms.positions.copy()), numbers, cell), forces=forces
    )


def differences(potential: Potential, atoms: ase.Atoms, count: int) -> np.ndarray:
    """−ΔE/Δr (count, 3) eV/Å of the first atoms."""
    result = np.zeros((count, 3))
    for atom, axis in np.ndindex(result.shape):
        for sign in (1, -1):
            moved = atoms.copy()
            moved.positions[atom, axis] += sign * STEP
            result[atom, axis] -= (
                sign * float(evaluated(potential, moved, forces=False).energy[0]) / (2 * STEP)
            )
    return result


def part(atoms: ase.Atoms, share: np.ndarray) -> ase.Atoms:
    """The first unit cells of a supercell: a share of its length along each direction."""
    inside = ((atoms.get_scaled_positions() + 1e-4) % 1.0 < share).all(axis=1)
    cut = atoms[inside]
    cut.set_cell(share[:, None] * atoms.cell.array)
    return cut


def rms(values: np.ndarray) -> float:
    return float(np.sqrt(np.mean(values**2)))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, help="adds LiPON")
    arguments = parser.parse_args()
    crystals = {
        name: ase.build.bulk(name, "rocksalt", a, cubic=True).repeat(2)
        for name, a in LATTICE.items()
    }
    if arguments.data:
        crystals["LiPON"] = part(
            ase.io.read(arguments.data / "structures" / "LiPON_Li2PO2N.cif"),
            np.array([2 / 5, 1 / 3, 2 / 6]),
        )
    published = pq.build({"pqeq": {"protocol": "reaxnet", "stop_gradient": True}})
    true = pq.build({"pqeq": {"protocol": "reaxnet"}})
    print(
        "| | atoms | RMS force | published − true, RMS | published − true, max | true − (−ΔE/Δr), "
        "max | longest shell, Å |"
    )
    print("|---|---|---|---|---|---|---|")
    for name, atoms in crystals.items():
        atoms.positions += np.random.default_rng(SEED).normal(0, MOVED, atoms.positions.shape)
        found = evaluated(true, atoms)
        forces = found.forces.numpy()
        off = evaluated(published, atoms).forces.numpy() - forces
        error = np.abs(forces[:CHECKED] - differences(true, atoms, CHECKED)).max()
        shell = float(found.shells.norm(dim=1).max())
        print(
            f"| {name} | {len(atoms)} | {rms(forces):.3f} | {rms(off):.2g} | "
            f"{np.abs(off).max():.2g} | {error:.0e} | {shell:.2f} |"
        )


if __name__ == "__main__":
    main()
