"""Frames of NaCl in water for the training of the model `brine`: those to train on, and those kept away.

    python validation/brine_frames.py --data nacl_water_revpbe0d3.extxyz.gz --output FOLDER

Kept away are all frames of one composition, 56 H2O and 4 NaCl in 12.42 Å (3.96 mol/kg, between those
that stay), and every tenth of the others. One frame is left out: an ordinary geometry with forces of
30 eV/Å, five times those of any other, whose calculation cannot have converged.

Data: O'Neill et al., arXiv 2311.01527, CC BY-SA 4.0.
"""

import argparse
from pathlib import Path

import ase
from ase.io import read, write

HELD_OUT_PAIRS, DENSE = 4, 15.0
"""NaCl in the frames of the composition that is kept away; Å, a cell below which is a dense one."""

LARGEST_FORCE = 10.0
"""eV/Å; the other frames have 6.4 at most."""


def is_other(atoms: ase.Atoms) -> bool:
    """Whether a frame is of the composition that is kept away."""
    pairs = sum(symbol == "Na" for symbol in atoms.symbols)
    return pairs == HELD_OUT_PAIRS and atoms.cell.lengths()[0] < DENSE


def main() -> None:
    """Read, split, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="all frames, extended XYZ")
    parser.add_argument("--output", type=Path, default=Path(), help="folder of the two files")
    given = parser.parse_args()
    frames = [a for a in read(given.data, ":") if abs(a.get_forces()).max() < LARGEST_FORCE]
    others = [atoms for atoms in frames if is_other(atoms)]
    alike = [atoms for atoms in frames if not is_other(atoms)]
    held_out = others + alike[::10]
    train = [atoms for index, atoms in enumerate(alike) if index % 10]
    given.output.mkdir(parents=True, exist_ok=True)
    for name, chosen in (("train", train), ("held_out", held_out)):
        write(given.output / f"brine_{name}.extxyz", chosen)
        print(f"brine_{name}.extxyz: {len(chosen)} frames")


if __name__ == "__main__":
    main()
