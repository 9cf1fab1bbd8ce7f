"""A structure file as ASE's atoms, and the facts it states beside them.

ASE reads; what its readers misunderstand is set right on the way to them (pdb.py, poscar.py, isotopes.py), what
they warn of is passed on, and what no simulation can mean is refused (sites.py).
"""

import codecs
import contextlib
import io
import os
import warnings
from collections.abc import Iterator, Sequence
from numbers import Integral
from typing import Any

import ase
import ase.io
import numpy as np
from ase.io.formats import filetype, open_with_compression

from openmm_pqeq.jobs import values
from openmm_pqeq.structure import FARTHEST
from openmm_pqeq.topology import pdb, poscar, sites
from openmm_pqeq.topology.facts import CHARGE_KEYS, StructureFacts, charge_in, facts_in
from openmm_pqeq.topology.isotopes import ISOTOPES, Masses, hydrogens_of_xyz

PLAIN = {
    "xyz": hydrogens_of_xyz,
    "extxyz": hydrogens_of_xyz,
    "vasp": poscar.plain,
}
DEUTERON = 2.01355
"""amu, the mass that ASE's reader of CIF gives to D: the nucleus without its electron."""


def read_atoms(
    path: str | os.PathLike[str], index: int = -1, supercell: Sequence[int] = (1, 1, 1)
) -> ase.Atoms:
    """The structure as ASE has it, with the checks of `read_structure` and its errors."""
    return read_file(path, index, supercell)[0]


def read_file(
    path: str | os.PathLike[str], index: int = -1, supercell: Sequence[int] = (1, 1, 1)
) -> tuple[ase.Atoms, StructureFacts]:
    """The structure and its facts, in the file's order and orientation; arguments and errors are
    those of `read_structure`.

    A supercell has everything as often as the cell is repeated, the total charge too; that is where
    ASE's calculators look for it, in `atoms.info["charge"]`.
    """
    name = str(values.path("path", path))
    atoms, notes = _read(name, index)
    with _named(name):
        check(atoms)
        atoms = _repeated(atoms, supercell)
        facts = facts_in(atoms)
    return atoms, facts._replace(notes=(*notes, *facts.notes))


@contextlib.contextmanager
def _named(name: str) -> Iterator[None]:
    """The name of the file before the message of a ValueError."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None


def _read(name: str, index: int) -> tuple[ase.Atoms, list[str]]:
    """ASE's atoms, and notes of what was left out or warned of."""
    if isinstance(index, bool) or not isinstance(index, Integral):
        raise ValueError(
            f"index: expected an integer, the number of one structure in the file, got {index!r}"
        )
    if not os.path.exists(name):
        raise FileNotFoundError(f"{name}: there is no such structure file")
    if os.path.isdir(name):
        raise ValueError(f"{name}: expected a structure file, got a directory")
    kind = ""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            kind = filetype(name)
            atoms, notes = _understood(name, kind, int(index))
        except Exception as error:  # ASE's readers raise anything at all
            reason = str(error).strip() or type(error).__name__
            if kind == "vasp" and isinstance(error, AttributeError):  # ASE looks for POTCAR
                reason = "it has no line with the symbols of its elements"
            if isinstance(error, IndexError | StopIteration) and index not in (0, -1):
                raise ValueError(
                    f"index: {name} has no structure {index}; the first is 0 and the last -1"
                ) from error
            raise ValueError(
                f"{name}: ASE cannot read structure {index} of this file ({reason}). Expected a "
                "format that ASE knows (https://ase-lib.org/ase/io/io.html) with an ending that "
                "tells which, such as .cif, .extxyz, .vasp or .pdb"
            ) from error
        with _named(name):
            sites.refuse_partial_sites(atoms)
            if kind == "cif" and (caught or "occupancy" in atoms.info):
                sites.refuse_shared_sites_of_cif(io.StringIO(_text(name)), int(index))
    for warning in caught:
        warnings.warn(f"{name}: ASE says: {warning.message}", warning.category, stacklevel=4)
        if issubclass(warning.category, UserWarning):
            notes.append(f"ASE says: {warning.message}")
    return atoms, notes


def _understood(name: str, kind: str, index: int) -> tuple[ase.Atoms, list[str]]:
    """ASE's atoms of a file of some format, with isotopes and one location of each atom."""
    if kind == "proteindatabank":
        text, masses, notes = pdb.plain(_text(name))
    elif kind in PLAIN:
        text, masses = PLAIN[kind](_text(name))
        notes = []
    else:
        atoms = _counted(io.StringIO(_text(name)) if _is_marked(name) else name, index, kind)
        if kind == "cif" and atoms.has("masses"):
            given = atoms.get_masses()
            atoms.set_masses(np.where(np.abs(given - DEUTERON) < 1e-6, ISOTOPES["D"], given))
        return atoms, []
    atoms = _counted(io.StringIO(text), index, kind)
    _set_isotopes(atoms, masses[index] if -len(masses) <= index < len(masses) else {})
    return atoms, notes


def _text(name: str) -> str:
    """The text of a file, without the mark with which some editors begin it."""
    with open_with_compression(name) as file:
        return str(file.read()).removeprefix("\ufeff")


def _is_marked(name: str) -> bool:
    """Whether the file begins with that mark."""
    with open(name, "rb") as file:
        return file.read(len(codecs.BOM_UTF8)) == codecs.BOM_UTF8


def _counted(source: Any, index: int, kind: str) -> ase.Atoms:
    """The structure of an index; IndexError for one before the first, which some of ASE's readers
    take for the first."""
    if index >= -1:
        return _one(ase.io.read(source, index=index, format=kind, do_not_split_by_at_sign=True))
    images = ase.io.read(source, index=":", format=kind, do_not_split_by_at_sign=True)
    if len(images) < -index:
        raise IndexError(f"there are {len(images)}")
    return _one(images[index:][:1])


def _one(read: ase.Atoms | list[ase.Atoms]) -> ase.Atoms:
    """What ASE reads under one index is one structure."""
    return read[0] if isinstance(read, list) else read


def _set_isotopes(atoms: ase.Atoms, masses: Masses) -> None:
    if masses:
        given = atoms.get_masses()
        given[list(masses)] = list(masses.values())
        atoms.set_masses(given)


def check(atoms: ase.Atoms) -> None:
    """ValueError for what no potential can mean anything for."""
    if len(atoms) == 0:
        raise ValueError("expected a structure with atoms, got none")
    unknown = np.flatnonzero(atoms.numbers == 0)
    if len(unknown):
        raise ValueError(
            f"expected an element for every atom, got {len(unknown)} without (atom "
            f"{unknown[0]} is the first)"
        )
    if not np.isfinite(atoms.positions).all() or not np.isfinite(atoms.cell.array).all():
        raise ValueError("expected finite positions and cell vectors, got NaN or infinity")
    if np.abs(atoms.positions).max() > FARTHEST:
        raise ValueError(
            f"expected coordinates up to {FARTHEST:g} Å, beyond which digits are missing, got "
            f"{np.abs(atoms.positions).max():g} Å; wrap the atoms into the cell before they grow"
        )
    sites.refuse_singular(atoms)
    sites.refuse_no_volume(atoms)
    sites.refuse_coincident(atoms)


def _repeated(atoms: ase.Atoms, supercell: Sequence[int]) -> ase.Atoms:
    """The structure repeated along its cell vectors, with as many times its charge."""
    n = values.cells("supercell", supercell)
    missing = [axis for axis in range(3) if n[axis] > 1 and not atoms.cell[axis].any()]
    if missing:
        raise ValueError(
            f"supercell: the file has no cell vector along direction {missing[0] + 1}, so it "
            f"cannot be repeated, got {n}"
        )
    repeated, charge = atoms.repeat(n), charge_in(atoms.info)
    if charge is not None:
        rest = {key: value for key, value in atoms.info.items() if key not in CHARGE_KEYS}
        repeated.info = {**rest, "charge": charge * n[0] * n[1] * n[2]}
    return repeated
