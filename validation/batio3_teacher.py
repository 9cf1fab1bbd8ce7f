"""Structures on which the second teacher of `batio3_bonds` learns and is watched, of what the first one had.

    python validation/batio3_teacher.py --frames before/batio3_train.extxyz --labels batio3_labels/training.traj [--output FOLDER]

batio3_validation.extxyz : five tetragonal frames of DFT, of the training's own, from calm to hot
batio3_teacher.extxyz : its other frames; the phases at rest, twice, and every third calm structure of the orthorhombic and
    rhombohedral ones as the first teacher labelled them. DFT has no frame of these two, and a network
    that learns the other two alone forgets their order.
"""

import argparse
from pathlib import Path

import ase
import numpy as np
from ase.io import read, write

TETRAGONAL = 135
"""Atoms of a tetragonal frame."""
CALM = 0.6
"""RMS of forces, eV/Å."""
GIVEN = "as given"
"""How `distill` calls what it has not moved."""


def strength(atoms: ase.Atoms) -> float:
    """RMS of the forces, eV/Å."""
    return float(np.sqrt(np.mean(atoms.get_forces() ** 2)))


def main() -> None:
    """Choose and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=Path, required=True, help="training frames of DFT")
    parser.add_argument("--labels", type=Path, required=True, help="of the first teacher")
    parser.add_argument("--output", type=Path, default=Path(), help="folder of what is written")
    given = parser.parse_args()
    frames, labels = read(given.frames, ":"), read(given.labels, ":")
    tetragonal = [i for i, atoms in enumerate(frames) if len(atoms) == TETRAGONAL]
    away = sorted(tetragonal, key=lambda i: strength(frames[i]))[3::9]
    rest = [atoms for atoms in labels if atoms.info["how"] == GIVEN]
    calm = [
        atoms
        for atoms in labels
        if atoms.info["phase"] in ("batio3_O", "batio3_R")
        and atoms.info["how"] != GIVEN
        and strength(atoms) < CALM
    ]
    others = [atoms for i, atoms in enumerate(frames) if i not in away]
    given.output.mkdir(parents=True, exist_ok=True)
    write(given.output / "batio3_validation.extxyz", [frames[i] for i in away])
    write(given.output / "batio3_teacher.extxyz", [*others, *rest, *rest, *calm[::3]])


if __name__ == "__main__":
    main()
