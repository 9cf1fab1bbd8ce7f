"""Does the spread of a committee tell where its models are wrong?

    python validation/committee.py --work WORK [--models 3] [--frames 24] [--epochs 60] [--seed 0]

The teacher is `batio3`, so that the error of every force is known. Small networks are trained from
different seeds on the teacher's labels of tetragonal BaTiO3 (40 atoms) with atoms moved at random by
0.05 Å (standard deviation), and compared with it where atoms are moved less and more. For each
displacement: the RMS over atoms of σ_i, the spread, and of |f̄_i − f_i|, the error of the mean; their
correlation over atoms; and the share of frames whose largest σ_i is above twice that of the training
displacement, which is what `run --committee-save-above` would have saved. What is in WORK already is
not done again.
"""

import argparse
import time
from pathlib import Path

import ase.io
import numpy as np
from ase.calculators.singlepoint import SinglePointCalculator

import openmm_pqeq as pq
from openmm_pqeq.cli import main as command_line

TRAINED = 0.05
DISPLACEMENTS = (0.03, 0.05, 0.08, 0.12, 0.16, 0.2)
"""Å."""
TEST_FRAMES = 8
NETWORK = """
[potential.gnn]
species = ["O", "Ti", "Ba"]
hidden_irreps = "16x0e + 8x1o + 4x2e"
sh_irreps = "1x0e + 1x1o + 1x2e"
layers = 2
r_max = 4.5
n_basis = 8
radial_hidden = [32]

[data]
files = ["frames.extxyz"]

[training]
epochs = {epochs}
learning_rate = 0.01
ema = 0.99
threads = 1
"""


def labelled(displacement: float, n_frames: int, seed: int) -> list[ase.Atoms]:
    """Frames with the teacher's energy and forces."""
    cell = ase.io.read("examples/BaTiO3.cif").repeat((2, 2, 2))
    random, teacher = (
        np.random.default_rng([seed, round(1000 * displacement)]),
        pq.PQEqCalculator("batio3"),
    )
    frames = []
    for _ in range(n_frames):
        atoms = cell.copy()
        atoms.positions += random.normal(0, displacement, atoms.positions.shape)
        atoms.calc = teacher
        energy, forces = atoms.get_potential_energy(), atoms.get_forces()
        atoms.calc = SinglePointCalculator(atoms, energy=energy, forces=forces)
        frames.append(atoms)
    return frames


def committee(
    work: Path, n_models: int, n_frames: int, epochs: int, seed: int
) -> list[pq.PQEqCalculator]:
    """The models, trained where they are not there yet."""
    work.mkdir(parents=True, exist_ok=True)
    if not (work / "frames.extxyz").exists():
        ase.io.write(work / "frames.extxyz", labelled(TRAINED, n_frames, seed))
    (work / "train.toml").write_text(NETWORK.format(epochs=epochs))
    for number in range(n_models):
        folder = work / f"model-{number}"
        if not (folder / "model.pt").exists():
            flags = ["--seed", str(seed + number), "--output", str(folder), "--overwrite"]
            if command_line(["train", str(work / "train.toml"), *flags]) != 0:
                raise SystemExit(1)
    return [pq.PQEqCalculator(work / f"model-{i}" / "model.pt") for i in range(n_models)]


def forces_of(calculator: pq.PQEqCalculator, atoms: ase.Atoms) -> np.ndarray:
    again = ase.Atoms(atoms.numbers, atoms.positions, cell=atoms.cell, pbc=True)
    again.calc = calculator
    return again.get_forces()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--models", type=int, default=3)
    parser.add_argument("--frames", type=int, default=24)
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    begun = time.process_time()
    models = committee(asked.work, asked.models, asked.frames, asked.epochs, asked.seed)
    print(f"{time.process_time() - begun:.0f} s of processor time for {asked.models} models\n")
    print(
        "| moved by, Å | label RMS, eV/Å | error RMS, eV/Å | spread RMS, eV/Å | correlation | saved |"
    )
    print("|---|---|---|---|---|---|")
    rows, limit = {}, 0.0
    for displacement in DISPLACEMENTS:
        frames = labelled(displacement, TEST_FRAMES, asked.seed + 1000)
        labels = np.array([atoms.get_forces() for atoms in frames])
        found = np.array([[forces_of(model, atoms) for model in models] for atoms in frames])
        spread = np.sqrt(
            ((found - found.mean(axis=1, keepdims=True)) ** 2).sum(axis=-1).mean(axis=1)
        )
        error = np.linalg.norm(found.mean(axis=1) - labels, axis=-1)
        rows[displacement] = (np.linalg.norm(labels, axis=-1), error, spread)
        if displacement == TRAINED:
            limit = 2 * float(np.median(spread.max(axis=1)))
    for displacement, (label, error, spread) in rows.items():
        rms = [float(np.sqrt((values**2).mean())) for values in (label, error, spread)]
        correlation = float(np.corrcoef(error.ravel(), spread.ravel())[0, 1])
        saved = int((spread.max(axis=1) > limit).sum())
        numbers = " | ".join(f"{value:.3f}" for value in rms)
        print(f"| {displacement} | {numbers} | {correlation:.2f} | {saved} of {TEST_FRAMES} |")


if __name__ == "__main__":
    main()
