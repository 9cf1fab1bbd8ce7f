"""Labels of the teacher in a database of ASE (SQLite), a row each, written as soon as it is known.

A row is found again by the request that it answers: a structure, or dynamics from a structure for
some steps. So nothing is labelled twice, whatever was stopped where, and whatever is added to the
settings later. All rows of a database are of one teacher, whose identity each of them holds, or, of
an earlier version, the checksum of its file.
"""

import hashlib
import json
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import ase
import ase.db
import numpy as np
from ase.calculators.singlepoint import SinglePointCalculator

from openmm_pqeq.distillation.structures import Made
from openmm_pqeq.distillation.teacher import Teacher, asked, label_of

CHARGE = "total_charge"
"""The key of it in a row; by "charge" ASE gives the sum of initial charges, whatever was written."""


class Labels:
    """The labels of a teacher in the file `path`, made where it is not there; `seconds` that all of
    them took.

    Raises ValueError where it holds those of another teacher, or is no such database; OSError on the
    way where it can be read or written no more.
    """

    def __init__(self, path: Path, teacher: Teacher):
        self.path, self.teacher = path, teacher
        self._database = ase.db.connect(path, type="db")
        self._rows: dict[str, int] = {}
        self.seconds = 0.0
        try:
            rows = list(
                self._database.select(columns=["id", "key_value_pairs"], include_data=False)
            )
            found = {row.request: (row.id, row.teacher, row.get("seconds", 0.0)) for row in rows}
        except (sqlite3.Error, AttributeError, ValueError, KeyError) as error:
            raise ValueError(
                f"{path}: not the labels of a distillation, or damaged ({error}); bring the file back, "
                "or begin anew with --overwrite"
            ) from error
        known = {hashed(teacher.identity), hashed(teacher.checksum)}
        if others := [row for row in rows if row.teacher not in known]:
            raise ValueError(
                f"teacher: the labels in {path} are those of another one, {_name(others[0])}; "
                f"choose another output folder for {teacher.name}"
            )
        self._rows = {request: number for request, (number, _, _) in found.items()}
        self.seconds = sum(seconds for _, _, seconds in found.values())

    def __len__(self) -> int:
        return len(self._rows)

    def known(self, request: str) -> ase.Atoms | None:
        """The labelled structure that answers a request, with its momenta; None where it has not
        been labelled."""
        if request not in self._rows:
            return None
        with self._opened():
            row = self._database.get(id=self._rows[request])
        atoms = row.toatoms()
        if CHARGE in row:
            atoms.info["charge"] = row[CHARGE]
        return atoms

    def label(self, made: Made, request: str, begun: float) -> ase.Atoms:
        """Ask the teacher, and keep what it says, with the seconds since `begun` (time.monotonic),
        those of its dynamics among them; CalculatorError where it has nothing to say."""
        atoms = made.atoms.copy()
        with asked(self.teacher, made.name):
            found = label_of(atoms, self.teacher)
        atoms.calc = SinglePointCalculator(atoms, **found)
        pairs: dict[str, Any] = {
            "request": request,
            "structure": hashed(described(atoms)),
            "teacher": hashed(self.teacher.identity),
            "teacher_name": f"teacher {self.teacher.name}",
            "made": made.name,
            "part": made.part,
            "seconds": round(time.monotonic() - begun, 4),
        }
        charge = {CHARGE: float(atoms.info["charge"])} if "charge" in atoms.info else {}
        self.seconds += pairs["seconds"]
        with self._opened():
            self._rows[request] = self._database.write(atoms, key_value_pairs={**pairs, **charge})
        return atoms

    @contextmanager
    def _opened(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise OSError(f"{self.path} cannot be read or written: {error}") from error


def _name(row: Any) -> str:
    return str(row.teacher_name).removeprefix("teacher ")


def hashed(text: str) -> str:
    """A checksum of a text that no database takes for a number."""
    return f"sha256:{hashlib.sha256(text.encode('utf-8')).hexdigest()}"


def described(atoms: ase.Atoms) -> str:
    """All that tells a structure, and where it goes, from others."""
    arrays = (atoms.numbers, atoms.positions, atoms.cell.array, atoms.pbc, atoms.get_momenta())
    charge = float(atoms.info.get("charge", 0.0))
    return json.dumps([*(np.asarray(one).tolist() for one in arrays), charge])
