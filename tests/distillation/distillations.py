"""A small distillation of copper by a teacher that counts what it is asked: what the tests of
distilling share."""

from pathlib import Path

import ase.db
import ase.io
import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.singlepoint import SinglePointCalculator

from openmm_pqeq.distillation.config import distillation_of

pytest.importorskip("lightning", reason="training needs the extra `train`")

from openmm_pqeq.distillation.run import distilled

FEW = {"rattled": [0.1], "strained": [0.02], "scaled": [1.03], "copies": 1}
FEW |= {"temperatures": [300, 900], "frames": 2, "interval": 20, "timestep": 5}
COUNTING, EMT = "counting_teacher:Counting", "ase.calculators.emt:EMT"
ONE_MORE = {"Na": 1.0, "Cl": -1.0, "K": 1.0}
"""e; of an element that some frames do not have."""
N_TRAINING, N_HELD_OUT = 4 + 2 * 2, 3 + 2


def table(folder: Path, **structures) -> dict:
    """The content of a file; the structures are made in the folder."""
    ase.io.write(folder / "Cu.xyz", bulk("Cu", cubic=True), format="extxyz")
    return {
        "output": str(folder / "out"),
        "teacher": {"calculator": COUNTING},
        "structures": {"files": ["Cu.xyz"]} | FEW | structures,
        "held_out": {"temperatures": [600]},
        "student": {"channels": 4, "layers": 1, "cutoff": 4.0, "basis": 4},
        "training": {"epochs": 1, "threads": 1},
    }


def labelled(atoms: Atoms, teacher) -> Atoms:
    """With the teacher's energy and forces."""
    found = atoms.copy()
    found.calc = teacher.calculator
    found.calc = SinglePointCalculator(
        found, energy=found.get_potential_energy(), forces=found.get_forces()
    )
    return found


def do(table: dict, folder: Path, output: str = "out", **how):
    settings = distillation_of(table, folder)
    arguments = {"overwrite": False, "resume": False, "labels_only": True, "say": lambda line: None}
    return distilled(settings, folder / output, **(arguments | how))


def rows(path: Path) -> list:
    return list(ase.db.connect(path).select())


def positions(folder: Path, output: str = "out") -> np.ndarray:
    return np.array([a.positions for a in ase.io.read(folder / output / "training.traj", ":")])
