"""Crystals with Born charges and ε∞: from files to what a fit compares with.

A `.jsonl` file (also `.jsonl.gz`) has one crystal a line: id, cell (rows, Å), numbers, frac
(fractional positions), born (n, 3, 3) e [atom, field, force], eps_inf (3, 3); anything else is read
by ASE, with `born_charge` (n, 9) and `dielectric` (3, 3) as in targets.py. A crystal without
labels is not fitted; it takes part in the guard.
"""

import gzip
import io
import json
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import ase
import ase.io
import numpy as np

SUM_RULE = 0.2
"""e, of the mean Born charge of a crystal's atoms; labels beyond it are wrong."""


class Crystal(NamedTuple):
    """A crystal; charges (n,) e are its reference charges, born (n, 3, 3) e and epsilon (3, 3) its
    labels, NaN where there are none."""

    name: str
    atoms: ase.Atoms
    charges: np.ndarray
    born: np.ndarray
    epsilon: np.ndarray

    @property
    def labelled(self) -> bool:
        """Whether there is something to fit: labels, whose Born charges add up to nothing within
        `SUM_RULE`."""
        there = bool(np.isfinite(self.born).all() and np.isfinite(self.epsilon).all())
        return there and float(np.abs(self.born.mean(axis=0)).max()) < SUM_RULE

    @property
    def system(self) -> str:
        """Its chemical system, such as Ba-O-Ti."""
        return "-".join(sorted(set(self.atoms.get_chemical_symbols())))


def read_crystals(files: Sequence[str | Path], most_atoms: int) -> list[Crystal]:
    """All crystals of at most `most_atoms` atoms, without reference charges (NaN)."""
    found: list[Crystal] = []
    for file in files:
        path = Path(file)
        if not path.is_file():
            raise FileNotFoundError(f"crystals: no file {file}")
        lines = path.name.endswith((".jsonl", ".jsonl.gz"))
        for name, atoms, born, epsilon in _lines(path) if lines else _frames(path):
            if not atoms.pbc.all():
                raise ValueError(f"crystals: {name}: expected three periodic directions")
            if len(atoms) <= most_atoms:
                found.append(
                    Crystal(
                        name,
                        atoms,
                        np.full(len(atoms), np.nan),
                        *_shaped(name, atoms, born, epsilon),
                    )
                )
    if not found:
        raise ValueError(f"crystals: no crystal of at most {most_atoms} atoms in {files}")
    return found


def _shaped(
    name: str, atoms: ase.Atoms, born: np.ndarray, epsilon: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Born charges (n, 3, 3), NaN where there are none, and ε∞ (3, 3)."""
    n_atoms = len(atoms)
    if born.size not in (0, 9 * n_atoms) or epsilon.size != 9:
        raise ValueError(
            f"crystals: {name}: expected Born charges of {n_atoms} atoms, ({n_atoms}, 3, 3), and "
            f"eps_inf (3, 3), got {born.shape} and {epsilon.shape}"
        )
    filled = born if born.size else np.full(9 * n_atoms, np.nan)
    return filled.reshape(n_atoms, 3, 3), epsilon.reshape(3, 3)


def _text_of(path: Path) -> str:
    """Its text; ValueError names a file that is none, or none that gzip has packed."""
    opened = gzip.open if path.suffix == ".gz" else open
    try:
        with opened(path, "rt", encoding="utf-8") as file:
            return str(file.read())
    except (UnicodeDecodeError, gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise ValueError(
            f"crystals: {path}: expected lines of JSON in UTF-8, got something else ({error})"
        ) from None


def _lines(path: Path) -> Iterator[tuple[str, ase.Atoms, np.ndarray, np.ndarray]]:
    for number, line in enumerate(io.StringIO(_text_of(path)), 1):
        try:
            row: dict[str, Any] = json.loads(line)
            atoms = ase.Atoms(
                row["numbers"], scaled_positions=row["frac"], cell=row["cell"], pbc=True
            )
            born = np.array(row.get("born", []), dtype=float)
            epsilon = np.array(row.get("eps_inf", np.full((3, 3), np.nan)), dtype=float)
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(
                f"crystals: {path}, line {number}: expected a crystal with cell, numbers and "
                f"frac ({type(error).__name__}: {error})"
            ) from None
        yield f"{path.name.split('.')[0]}/{row.get('id', number)}", atoms, born, epsilon


def _frames(path: Path) -> Iterator[tuple[str, ase.Atoms, np.ndarray, np.ndarray]]:
    try:
        images = ase.io.read(path, index=":")
    except Exception as error:
        raise ValueError(
            f"crystals: ASE cannot read {path}: {error or type(error).__name__}"
        ) from error
    for index, atoms in enumerate(images):
        places = {**atoms.info, **atoms.arrays}
        born = np.asarray(places.get("born_charge", []), dtype=float)
        epsilon = np.asarray(places.get("dielectric", np.full(9, np.nan)), dtype=float)
        yield f"{path.name} frame {index}", atoms, born, epsilon


def split_by_system(
    crystals: Sequence[Crystal], share: float, seed: int
) -> tuple[list[int], list[int]]:
    """Indices of fitted and of held-out crystals; a chemical system is on one side only."""
    systems = sorted({crystal.system for crystal in crystals})
    order = np.random.default_rng(seed).permutation(len(systems))
    out = {systems[index] for index in order[: round(share * len(systems))]}
    fitted = [index for index, crystal in enumerate(crystals) if crystal.system not in out]
    held_out = [index for index, crystal in enumerate(crystals) if crystal.system in out]
    return fitted, held_out
