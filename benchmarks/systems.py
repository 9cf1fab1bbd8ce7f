"""The structures that the benchmarks run on.

lipon      432 atoms cut out of Li2PO2N, rattled by 0.05 Å; about 21,000 pairs within 5 Å. Read from a folder with LiPON_Li2PO2N.cif
           where one is given; without, a rock salt of the same four elements and number density
lipon2160  the 2,160 atoms of the same
lipon23760 23,760 atoms: eleven times that, for memory
nacl       1,000 atoms of rock salt, a = 5.64 Å, rattled by 0.1 Å
"""

from pathlib import Path

import ase.io
import numpy as np
from ase import Atoms
from ase.build import bulk

NUMBER_DENSITY = 0.10107
"""Atoms per Å³ of the crystal in LiPON_Li2PO2N.cif, 2,160 atoms in 27.305 × 27.468 × 28.494 Å."""

SYSTEMS = ("lipon", "nacl", "lipon2160", "lipon23760")


def system(name: str, data: Path | None = None) -> Atoms:
    """A structure by name; `data` is a folder with LiPON_Li2PO2N.cif."""
    if name not in SYSTEMS:
        raise ValueError(f"system: expected one of {', '.join(SYSTEMS)}; got {name!r}")
    if name == "nacl":
        return rattled(bulk("NaCl", "rocksalt", a=5.64, cubic=True) * (5, 5, 5), 0.1)
    whole = ase.io.read(data / "LiPON_Li2PO2N.cif") if data is not None else None
    if name.startswith("lipon2"):
        once = whole if isinstance(whole, Atoms) else like_lipon((6, 9, 10))
        return rattled(once * (1, 1, 11) if name == "lipon23760" else once, 0.05)
    return rattled(part(whole) if isinstance(whole, Atoms) else like_lipon((3, 3, 12)), 0.05)


def part(crystal: Atoms) -> Atoms:
    """3 × 2 × 3 of the 5 × 3 × 6 cells of a crystal, cut where no atom lies."""
    shares = np.array([3 / 5, 2 / 3, 3 / 6])
    kept = crystal[((crystal.get_scaled_positions() + 0.005) % 1.0 < shares).all(axis=1)]
    kept.set_cell(crystal.cell.array * shares[:, None])
    if len(kept) != 432:
        raise ValueError(
            "data: expected LiPON_Li2PO2N.cif with 2,160 atoms, of which 432 are kept; got "
            f"{len(kept)} of {len(crystal)}"
        )
    return kept


def like_lipon(repeats: tuple[int, int, int]) -> Atoms:
    """Rock salt of four atoms to a cell with the elements and the density of LiPON; 4 atoms per
    repeat."""
    cell = bulk("LiO", "rocksalt", a=(8 / NUMBER_DENSITY) ** (1 / 3), cubic=True)[[0, 1, 2, 3]]
    cell.set_cell(np.diag(np.full(3, (4 / NUMBER_DENSITY) ** (1 / 3))))
    cell.set_scaled_positions([[0, 0, 0], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]])
    atoms = cell * repeats
    atoms.set_chemical_symbols((["Li"] * 2 + ["P", "O", "O", "N"]) * (len(atoms) // 6))
    return atoms


def rattled(atoms: Atoms, size: float) -> Atoms:
    """Normal displacements of `size` Å, always the same."""
    made = atoms.copy()
    made.positions += np.random.default_rng(0).normal(0.0, size, made.positions.shape)
    return made
