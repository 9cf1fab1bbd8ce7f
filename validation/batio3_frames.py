"""Frames of BaTiO3 for the training of `batio3_bonds`: two functionals and two phases on one scale of energy and pressure.

    python validation/batio3_frames.py --tetragonal FILE --cubic FILE [--network MODEL] --output FOLDER

tetragonal : batio3_pbe_59.xyz, 59 PBE frames of 135 atoms in one cell, 3.966 x 3.966 x
    4.304 Å (allegro-pol, MIT; Falletta et al., Nat. Commun. 2025)
cubic : batio3_pbesol_cubic222_aimd_random.extxyz, 80 PBEsol frames of 40 atoms (example of ALAMODE, MIT)

Codes, pseudopotentials and functionals differ, and so do their energies: for each set by a constant and by
a pressure, E = E' + a + p (V − V₀), σ = σ' + p.
A network stands between the sets, SevenNet-l3i5 or another: a and p of either are its mean differences from it.
The tetragonal stress stays, so the scale of pressure is that set's; the cubic one takes it, and both lose their a.
What the phases have between each other is then the network's, what frames of one set have between them is DFT's.
batio3_fit.extxyz has three tetragonal frames with Born charges and ε∞, for validation/batio3_fit.toml.
batio3_C.xyz, _T, _O and _R are the phases as the network relaxes them: validation/batio3_labels.toml begins
with them; batio3_T_pbe.xyz is the tetragonal one in the cell of DFT's frames: validation/batio3_hot.toml.
Kept away are the 12 tetragonal frames that are held out of `batio3` too, and every tenth cubic one.
"""

import argparse
from pathlib import Path

import ase
import numpy as np
from ase.calculators.singlepoint import SinglePointCalculator
from ase.filters import FrechetCellFilter
from ase.io import read, write
from ase.optimize import BFGS
from ase.units import GPa

import openmm_pqeq as pq
from openmm_pqeq.units import COULOMB

FITTED = (1, 25, 7)
"""Tetragonal frames for the charges: the coldest, a middle one and the hottest of those not kept away."""
UNIT = 5
"""Atoms of BaTiO3."""
VOLUME = 67.7
"""Å³ a formula unit at which the scale of energy is the network's: that of the tetragonal frames."""
REPEATS = 3
"""Of the unit along each edge of DFT's tetragonal cell."""
COMPARED = 6
"""Frames of each set that are compared with the network."""
PHASES = {"C": (0, 0, 0), "T": (0, 0, 1), "O": (0, 1, 1), "R": (1, 1, 1)}
"""Where Ti goes, along the cubic axes: cubic, tetragonal, orthorhombic, rhombohedral."""


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


def differences(frames: list[ase.Atoms], network: pq.PQEqCalculator) -> tuple[np.ndarray, float]:
    """Energy, eV a formula unit, of the frames compared, and their mean pressure, eV/Å³: labels minus the network."""
    chosen = [frames[i] for i in np.linspace(0, len(frames) - 1, COMPARED).astype(int)]
    energy, pressure = [], []
    for atoms in chosen:
        network.calculate(atoms, ["energy", "stress"])
        away = atoms.get_potential_energy() - network.results["energy"]
        energy.append(away * UNIT / len(atoms))
        pressure.append((atoms.get_stress() - network.results["stress"])[:3].mean())
    print(
        f"{1000 * np.std(energy):.1f} meV a formula unit, {np.std(pressure) / GPa:.3f} GPa between frames"
    )
    return np.array(energy), float(np.mean(pressure))


def move(frames: list[ase.Atoms], network: pq.PQEqCalculator, pressure: float | None) -> float:
    """Labels onto the network's energies and `pressure` (eV/Å³) above its own, the frames' without one; gives that pressure.

    All frames have one cell, of V Å³ a formula unit.
    """
    energy, own = differences(frames, network)
    kept = own if pressure is None else pressure
    volume = frames[0].cell.volume * UNIT / len(frames[0])
    constant = float(energy.mean()) - kept * (volume - VOLUME)
    for atoms in frames:
        atoms.calc.results["energy"] -= constant * len(atoms) / UNIT
        atoms.calc.results["stress"][:3] += kept - own
    print(f"{constant:.4f} eV a formula unit and {(own - kept) / GPa:.3f} GPa taken off")
    return kept


def phase(along: tuple[int, int, int]) -> ase.Atoms:
    """Five atoms in a cube of 4 Å, Ti and O moved against each other by 4 % of it `along` (none:
    cubic)."""
    sites = np.array([[0, 0, 0], [0.5, 0.5, 0.5], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]])
    step = 0.02 * np.array(along) / max(np.linalg.norm(along), 1.0)
    sites[1] += step
    sites[2:] -= step
    return ase.Atoms("BaTiO3", scaled_positions=sites, cell=[4.0, 4.0, 4.0], pbc=True)


def relaxed(atoms: ase.Atoms, network: pq.PQEqCalculator) -> ase.Atoms:
    """The phase where the network's forces and stress vanish."""
    atoms.calc = network
    BFGS(FrechetCellFilter(atoms), logfile=None).run(fmax=0.005, steps=200)
    return ase.Atoms(atoms.symbols, atoms.positions, cell=atoms.cell, pbc=True)


def main() -> None:
    """Read, move, split, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tetragonal", type=Path, required=True, help="59 frames, extended XYZ")
    parser.add_argument("--cubic", type=Path, required=True, help="80 frames, extended XYZ")
    parser.add_argument("--network", default="sevennet-l3i5", help="between the sets")
    parser.add_argument("--output", type=Path, default=Path(), help="folder of what is written")
    given = parser.parse_args()
    network = pq.PQEqCalculator(given.network, dtype="float32")
    train, held_out, pressure = [], [], None
    for path, kept in ((given.tetragonal, None), (given.cubic, 10)):
        frames = [labelled(atoms) for atoms in read(path, ":")]
        print(path.name)
        pressure = move(frames, network, pressure)
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
    cells = {name: relaxed(phase(along), network) for name, along in PHASES.items()}
    for name, atoms in cells.items():
        write(given.output / f"batio3_{name}.xyz", atoms, format="extxyz")
    long = cells["T"].copy()
    long.set_cell(tetragonal[0].cell.array / REPEATS, scale_atoms=True)
    write(given.output / "batio3_T_pbe.xyz", long, format="extxyz")


if __name__ == "__main__":
    main()
