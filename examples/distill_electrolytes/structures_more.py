"""What electrolytes_more.toml goes on with: structures_more/NAME.xyz, several structures of each phase that
`electrolytes` is bad at, and phases near them.

    python structures.py && python structures_more.py && openmm-pqeq distill electrolytes_more.toml

γ-Li3PS4 and Li3OCl are not among them: they stay phases that were never trained on.
"""

from pathlib import Path

import ase
import ase.io
import numpy as np
from ase.spacegroup import crystal
from scipy.spatial.transform import Rotation
from structures import BONDS, nitrided, phosphates_and_sulfides, simple

FOLDER = Path(__file__).parent / "structures_more"
PS_BOND = 2.05
"""Å, as in β-Li3PS4."""
DRAWS = 20
"""Turns of a tetrahedron to choose from."""


def deformed(atoms: ase.Atoms, n: int, size: float) -> list[ase.Atoms]:
    """The crystal, and `n` with strains of standard deviation `size`."""
    random = np.random.default_rng(0)
    found = [atoms]
    for _ in range(n):
        strain = random.normal(0, size, (3, 3))
        result = atoms.copy()
        result.set_cell(atoms.cell.array @ (np.eye(3) + (strain + strain.T) / 2), scale_atoms=True)
        found.append(result)
    return found


def tetragonal_zirconia() -> ase.Atoms:
    """Teufer, Acta Cryst. 15, 1187 (1962)."""
    return crystal(
        ["Zr", "O"],
        [(0, 0, 0), (0, 0.5, 0.185)],
        spacegroup=137,
        cellpar=[3.64, 3.64, 5.27, 90, 90, 90],
    )


def cubic_stacking() -> ase.Atoms:
    """Li3PS4 as famatinite: sulfur stacked as in zinc blende, where γ is as wurtzite. The volume is
    that of γ; sulfur is drawn to phosphorus until their bond is PS_BOND."""
    edge = 5.365
    x = PS_BOND / 3**0.5 / edge
    return crystal(
        ["P", "Li", "Li", "S"],
        [(0, 0, 0), (0, 0, 0.5), (0, 0.5, 0.25), (x, x, x / 2)],
        spacegroup=121,
        cellpar=[edge, edge, 2 * edge, 90, 90, 90],
    )


def disordered(atoms: ase.Atoms, seed: int) -> ase.Atoms:
    """With every PS4 turned about its phosphorus, as in a glass: of DRAWS random turns that which
    leaves sulfur the most room."""
    result, random = atoms.copy(), np.random.default_rng(seed)
    sulfur = [int(k) for k in atoms.symbols.search("S")]
    for centre in atoms.symbols.search("P"):
        bonds = atoms.get_distances(centre, sulfur, mic=True, vector=True)
        near = np.linalg.norm(bonds, axis=1) < BONDS["P", "S"]
        ends = np.array(sulfur)[near]
        others = [k for k in range(len(atoms)) if k not in {centre, *ends}]
        rooms = []
        for turn in Rotation.random(DRAWS, random_state=random.integers(2**31)):
            result.positions[ends] = atoms.positions[centre] + turn.apply(bonds[near])
            nearest = min(result.get_distances(k, others, mic=True).min() for k in ends)
            rooms.append((nearest, result.positions[ends]))
        result.positions[ends] = max(rooms, key=lambda room: room[0])[1]
    return result


def made() -> dict[str, list[ase.Atoms]]:
    """All of them; the first of a phase that structures.py has is as it is there."""
    given = simple() | phosphates_and_sulfides()
    phosphate = given["Li3PO4"].repeat((1, 2, 2))
    dense = given["Li3PS4"].repeat((1, 1, 2))
    return {
        "ZrO2": deformed(given["ZrO2"], 5, 0.02),
        "ZrO2_cubic": deformed(given["ZrO2_cubic"], 1, 0.02),
        "ZrO2_tetragonal": deformed(tetragonal_zirconia(), 2, 0.02),
        "LiPON": [nitrided(phosphate, seed) for seed in range(6)],
        "Li3PS4": deformed(given["Li3PS4"], 2, 0.02),
        "Li3PS4_cubic_stacking": deformed(cubic_stacking(), 2, 0.02),
        "Li3PS4_disordered": [disordered(dense, seed) for seed in range(4)],
        "Li3N": deformed(given["Li3N"], 1, 0.02),
        "La2O3": deformed(given["La2O3"], 1, 0.02),
        "FePO4": deformed(given["FePO4"], 1, 0.02),
    }


def main() -> None:
    """Write them all."""
    FOLDER.mkdir(exist_ok=True)
    for name, images in made().items():
        plain = [ase.Atoms(a.numbers, a.positions, cell=a.cell, pbc=a.pbc) for a in images]
        ase.io.write(FOLDER / f"{name}.xyz", plain, format="extxyz")
        print(f"{name:<22}{len(plain):>3} of {len(plain[0]):>3} atoms  {plain[0].symbols}")


if __name__ == "__main__":
    main()
