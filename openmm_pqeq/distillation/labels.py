"""Labels of the teacher in a database of ASE (SQLite), a row each, written as soon as it is known.

A row is found again by the request that it answers: a structure, or dynamics from a structure for
some steps. So nothing is labelled twice, whatever was stopped where, and whatever is added to the
settings later. All rows of a database are of one teacher, whose identity each of them holds.
"""

import hashlib
import json
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import ase
import ase.db
import numpy as np
from ase.calculators.calculator import PropertyNotImplementedError
from ase.calculators.singlepoint import SinglePointCalculator

from openmm_pqeq.distillation.structures import Made
from openmm_pqeq.distillation.teacher import Teacher

CHARGE = "total_charge"
"""The key of it in a row; by "charge" ASE gives the sum of initial charges, whatever was written."""


class Labels:
    """The labels of a teacher in the file `path`, made where it is not there; `seconds` that all of
    them took.

    Raises ValueError where it holds those of another teacher.
    """

    def __init__(self, path: Path, teacher: Teacher):
        self.teacher = teacher
        self._database = ase.db.connect(path, type="db")
        self._rows: dict[str, int] = {}
        self.seconds = 0.0
        for row in self._database.select(columns=["id", "key_value_pairs"], include_data=False):
            if row.teacher != hashed(teacher.identity):
                raise ValueError(
                    f"teacher: the labels in {path} are those of another one, {_name(row)}; "
                    f"choose another output folder for {teacher.name}"
                )
            self._rows[row.request] = row.id
            self.seconds += row.get("seconds", 0.0)

    def __len__(self) -> int:
        return len(self._rows)

    def known(self, request: str) -> ase.Atoms | None:
        """The labelled structure that answers a request, with its momenta; None where it has not
        been labelled."""
        if request not in self._rows:
            return None
        row = self._database.get(id=self._rows[request])
        atoms = row.toatoms()
        if CHARGE in row:
            atoms.info["charge"] = row[CHARGE]
        return atoms

    def label(self, made: Made, request: str, begun: float) -> ase.Atoms:
        """Ask the teacher, and keep what it says, with the seconds since `begun` (time.monotonic),
        those of its dynamics among them."""
        atoms = made.atoms.copy()
        atoms.calc = self.teacher.calculator
        found = {"energy": atoms.get_potential_energy(), "forces": atoms.get_forces()}
        if atoms.pbc.all():
            with suppress(PropertyNotImplementedError):
                found["stress"] = atoms.get_stress()
        atoms.calc = SinglePointCalculator(atoms, **found)
        pairs: dict[str, Any] = {
            "request": request,
            "structure": hashed(described(atoms)),
            "teacher": hashed(self.teacher.identity),
            "teacher_name": f"teacher {self.teacher.name}",
            "made": f"{made.phase}: {made.how}",
            "part": made.part,
            "seconds": round(time.monotonic() - begun, 4),
        }
        charge = {CHARGE: float(atoms.info["charge"])} if "charge" in atoms.info else {}
        self.seconds += pairs["seconds"]
        self._rows[request] = self._database.write(atoms, key_value_pairs={**pairs, **charge})
        return atoms


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
