"""Fragments, their charges and electrodes in words, for flags and TOML files.

    0-2,7            atoms, counted from 0 as in the structure file (in its supercell)
    NA=1             charge (e) of the molecules of a name; without a name, of the next fragment
    0-39:1.5         atoms of an electrode, and its voltage

Settings keep these words; `meaning` says what they mean.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from openmm_pqeq.jobs import values

_RANGE = re.compile(r"(\d{1,7})(?:-(\d{1,7}))?")


def fragments(name: str, value: Any) -> tuple[str, ...]:
    """Atoms of each fragment, in words or as lists of numbers."""
    return tuple(
        _atoms(f"{name}[{k}]", item)
        for k, item in enumerate(_several(name, value, "lists of atoms such as 0-2 3-5"))
    )


def fragment_charges(name: str, value: Any) -> tuple[str, ...]:
    """Charges by the names of molecules, in words or as a mapping, or one for each fragment."""
    if isinstance(value, Mapping):
        value = [f"{molecule}={charge}" for molecule, charge in value.items()]
    items = [str(item) for item in _several(name, value, "charges (e) such as NA=1 CL=-1")]
    named = ["=" in item for item in items]
    if any(named) and not all(named):
        raise ValueError(
            f"{name}: expected all charges with names such as NA=1, or none, got {values.shown(value)}"
        )
    for item in items:
        values.number(name, item.rpartition("=")[2])
    return tuple(items)


def electrodes(name: str, value: Any) -> tuple[str, ...]:
    """Atoms and voltage (V) of each electrode, in words or as tables with `atoms` and
    `voltage`."""
    return tuple(
        _electrode(f"{name}[{k}]", item)
        for k, item in enumerate(_several(name, value, "atoms and voltages such as 0-39:1.5"))
    )


def reference_charges(name: str, value: Any) -> tuple[str, ...]:
    """Charges by elements or residues, in words or as a mapping, one for each atom, or the word
    "oxidation"."""
    if value == "oxidation" or (isinstance(value, list | tuple) and [*value] == ["oxidation"]):
        return ("oxidation",)
    return fragment_charges(name, value)


class Meaning(NamedTuple):
    """Lists of atoms, charges (e), (atoms, voltage in V) and reference charges (e), as `create_force`
    takes them."""

    fragments: list[list[int]] | None
    fragment_charges: list[float] | dict[str, float] | None
    electrodes: list[tuple[list[int], float]] | None
    reference_charges: list[float] | dict[str, float] | str | None = None

    def renumbered(self, place: Sequence[int]) -> "Meaning":
        """Atoms by new numbers: atom i has become atom place[i]."""

        def moved(atoms: list[int]) -> list[int]:
            return [int(place[atom]) if atom < len(place) else atom for atom in atoms]

        lists, plates, charges = self.fragments, self.electrodes, self.reference_charges
        if isinstance(charges, list) and len(charges) == len(place):
            by_new = dict(zip(map(int, place), charges))
            charges = [by_new[atom] for atom in range(len(charges))]
        return self._replace(
            reference_charges=charges,
            fragments=None if lists is None else [moved(atoms) for atoms in lists],
            electrodes=None if plates is None else [(moved(atoms), v) for atoms, v in plates],
        )


def meaning(lists: Any, charges: Any, plates: Any, reference: Any = None) -> Meaning:
    """What fragments, their charges, electrodes and reference charges mean, in words or as TOML has
    them."""
    return Meaning(
        None if lists is None else [atoms_in(words) for words in fragments("fragments", lists)],
        None if charges is None else _charges_in(fragment_charges("fragment_charges", charges)),
        None if plates is None else [_plate(words) for words in electrodes("electrodes", plates)],
        None if reference is None else _reference_in(reference),
    )


def _reference_in(value: Any) -> list[float] | dict[str, float] | str:
    words = reference_charges("reference_charges", value)
    return "oxidation" if words == ("oxidation",) else _charges_in(words)


def _charges_in(words: Sequence[str]) -> list[float] | dict[str, float]:
    """A mapping from names, or a list; no words at all are an empty mapping."""
    pairs = [word.rpartition("=") for word in words]
    if all(equals for _, equals, _ in pairs):
        return {molecule: float(charge) for molecule, _, charge in pairs}
    return [float(charge) for _, _, charge in pairs]


def _plate(words: str) -> tuple[list[int], float]:
    atoms, _, voltage = words.rpartition(":")
    return atoms_in(atoms), float(voltage)


def atoms_in(words: str) -> list[int]:
    """Indices of atoms.

    >>> atoms_in("0-2,7")
    [0, 1, 2, 7]
    """
    found: list[int] = []
    for part in words.split(","):
        first, _, last = part.partition("-")
        found += range(int(first), int(last or first) + 1)
    return found


def _several(name: str, value: Any, kind: str) -> list[Any]:
    if isinstance(value, str):
        return value.split()
    if isinstance(value, Mapping) or not isinstance(value, Sequence):
        raise ValueError(f"{name}: expected {kind}, got {values.shown(value)}")
    return list(value)


def _atoms(name: str, value: Any) -> str:
    """Atoms in words."""
    if isinstance(value, Sequence) and not isinstance(value, str):
        value = ",".join(str(item) for item in value)
    words = str(value).replace(" ", "")
    parts = [_RANGE.fullmatch(part) for part in words.split(",")]
    if not all(part and int(part[2] or part[1]) >= int(part[1]) for part in parts):
        raise ValueError(f"{name}: expected atoms such as 0-2,7, got {values.shown(value)}")
    return words


def _electrode(name: str, value: Any) -> str:
    if isinstance(value, Mapping):
        if set(value) != {"atoms", "voltage"}:
            raise ValueError(
                f"{name}: expected atoms and voltage, got {', '.join(value) or 'none'}"
            )
        atoms, voltage = value["atoms"], value["voltage"]
    else:
        atoms, colon, voltage = str(value).rpartition(":")
        if not colon:
            raise ValueError(
                f"{name}: expected atoms and a voltage such as 0-39:1.5, got {values.shown(value)}"
            )
    return f"{_atoms(name, atoms)}:{values.number(name, voltage)!r}"
