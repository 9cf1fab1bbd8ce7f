"""Labelled structures from files: whatever ASE reads, RuNNer/n2p2's `input.data`, and DeePMD's
folders of arrays.

    n2p2     bohr, hartree, hartree/bohr; blocks begin … end with lines
             lattice x y z (three of them, or none), atom x y z symbol charge unused fx fy fz,
             energy E, charge Q
    DeePMD   Å, eV, eV/Å, virial in eV: type.raw, type_map.raw, set.*/{coord, box, energy, force, virial}.npy, one row per frame;
             σ = −virial/V. An empty file `nopbc` says that there is no cell.

Everything becomes ASE's atoms with `info["energy"]` (eV), `info["charge"]` (e), `info["stress"]`
(eV/Å³), `arrays["forces"]` (eV/Å) and `arrays["charges"]` (e) as far as the file has them. n2p2
leaves the units to the user; this reader takes them for atomic ones.
"""

from pathlib import Path
from typing import Sequence

import ase
import ase.io
import numpy as np
from ase.data import chemical_symbols

from openmm_pqeq.units import BOHR, HARTREE


def read_images(
    path: Path, type_map: Sequence[str] = (), name: str = "data.files"
) -> list[ase.Atoms]:
    """All frames of a file or folder, whose format is found from its content.

    type_map : element symbols of the types in DeePMD's type.raw, where no type_map.raw says so
    name : of the setting, for messages
    Raises ValueError where it cannot be read.
    """
    if path.is_dir():
        systems = sorted(file.parent for file in path.rglob("type.raw"))
        if not systems:
            raise ValueError(
                f"{name}: {path} is a folder without type.raw: expected a file, or DeePMD's "
                "folder of arrays"
            )
        return [atoms for system in systems for atoms in read_deepmd(system, type_map)]
    n2p2 = is_n2p2(path)
    try:
        images = read_n2p2(path) if n2p2 else ase.io.read(path, index=":")
        return images if isinstance(images, list) else [images]
    except Exception as error:
        reader = "the reader of n2p2's format" if n2p2 else "ASE"
        raise ValueError(
            f"{name}: {reader} cannot read {path}: {error or type(error).__name__}"
        ) from error


def is_n2p2(path: Path) -> bool:
    """Whether the first word of the file is "begin"."""
    with path.open("rb") as file:
        words = file.read(200).split()
    return bool(words) and words[0] == b"begin"


def read_n2p2(path: Path) -> list[ase.Atoms]:
    """Frames of an `input.data` in atomic units; raises ValueError with the number of the line."""
    images: list[ase.Atoms] = []
    rows: list[list[str]] = []
    lattice: list[list[float]] = []
    info: dict[str, float] = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        word, *values = line.split() or [""]
        try:
            if word == "begin":
                rows, lattice, info = [], [], {}
            elif word == "atom":
                if len(values) < 9:
                    raise ValueError(
                        f"expected x y z symbol charge unused fx fy fz, got {len(values)} values"
                    )
                rows.append(values)
            elif word == "lattice":
                lattice.append([float(value) for value in values[:3]])
            elif word in ("energy", "charge"):
                info[word] = float(values[0])
            elif word == "end":
                images.append(_n2p2_frame(rows, lattice, info))
            elif word not in ("", "comment") and not word.startswith("#"):
                raise ValueError(f"unknown word {word!r}")
        except (ValueError, IndexError, KeyError) as error:
            raise ValueError(f"line {number}: {error}") from error
    return images


def _n2p2_frame(
    rows: list[list[str]], lattice: list[list[float]], info: dict[str, float]
) -> ase.Atoms:
    if len(lattice) not in (0, 3):
        raise ValueError(f"expected three lattice lines or none, got {len(lattice)}")
    numbers = np.array(
        [[float(value) for value in (*row[:3], row[4], *row[6:9])] for row in rows]
    ).reshape(-1, 7)
    cell = BOHR * np.array(lattice) if lattice else None
    atoms = ase.Atoms([row[3] for row in rows], BOHR * numbers[:, :3], cell=cell, pbc=bool(lattice))
    atoms.info["charge"] = info.get("charge", 0.0)
    if "energy" in info:
        atoms.info["energy"] = HARTREE * info["energy"]
    atoms.arrays["charges"] = numbers[:, 3]
    atoms.arrays["forces"] = HARTREE / BOHR * numbers[:, 4:]
    return atoms


def read_deepmd(folder: Path, type_map: Sequence[str] = ()) -> list[ase.Atoms]:
    """Frames of a DeePMD system: a folder with type.raw and set.000, set.001, ..."""
    types = np.loadtxt(folder / "type.raw", dtype=int, ndmin=1)
    if (folder / "type_map.raw").is_file():
        type_map = (folder / "type_map.raw").read_text(encoding="utf-8").split()
    if types.max() >= len(type_map) or any(
        symbol not in chemical_symbols[1:] for symbol in type_map
    ):
        raise ValueError(
            f"data.files: {folder}: expected an element for each of the types 0 to {types.max()}, "
            f"got {list(type_map) or 'none'};"
            ' name them with type_map in [data], such as type_map = ["Li", "S"]'
        )
    symbols = [type_map[kind] for kind in types]
    periodic = not (folder / "nopbc").exists()
    images: list[ase.Atoms] = []
    for part in sorted(folder.glob("set.*")):
        arrays = {
            name: np.load(part / f"{name}.npy", allow_pickle=False).astype(np.float64)
            for name in ("coord", "box", "energy", "force", "virial")
            if (part / f"{name}.npy").is_file()
        }
        if "coord" not in arrays or (periodic and "box" not in arrays):
            raise ValueError(
                f"data.files: {part}: expected coord.npy and box.npy, got "
                f"{', '.join(arrays) or 'neither'}"
            )
        for index, positions in enumerate(arrays["coord"]):
            atoms = ase.Atoms(symbols, positions.reshape(-1, 3))
            if periodic:
                atoms.set_cell(arrays["box"][index].reshape(3, 3))
                atoms.pbc = True
            if "energy" in arrays:
                atoms.info["energy"] = float(arrays["energy"].ravel()[index])
            if "force" in arrays:
                atoms.arrays["forces"] = arrays["force"][index].reshape(-1, 3)
            if "virial" in arrays and periodic:
                atoms.info["stress"] = -arrays["virial"][index].reshape(3, 3) / atoms.get_volume()
            images.append(atoms)
    return images
