"""Relaxation of a structure: atoms, or atoms and cell, to the nearest minimum of the energy.

    E(r) or the enthalpy H(r, ε) = E + pV,     until every force, and every V·(σ + p)/n_atoms of a
                                               cell that may change, is below a limit

ASE's optimizers; the cell by the exponential of its strain (Tadmor et al., Phys. Rev. B 59, 235
(1999), doi:10.1103/PhysRevB.59.235; ase.filters.FrechetCellFilter). eV, Å, eV/Å, GPa.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import ase
import numpy as np
from ase.filters import FrechetCellFilter
from ase.optimize import BFGS, FIRE, LBFGS
from ase.units import GPa

CELLS = ("fixed", "isotropic", "free")
"""How the cell may change: not at all, in size alone, in size and shape."""

OPTIMIZERS = {"bfgs": BFGS, "lbfgs": LBFGS, "fire": FIRE}
LONGEST_MOVE = 0.1
"""Å, of an atom in one step."""


class Step(NamedTuple):
    """A step of a relaxation: energy eV, largest force eV/Å (of the cell's too), volume Å³ (NaN
    without a cell)."""

    step: int
    energy: float
    largest_force: float
    volume: float


def relax(
    atoms: ase.Atoms,
    cell: str = "fixed",
    largest_force: float = 0.01,
    steps: int = 500,
    pressure: float = 0.0,
    optimizer: str = "bfgs",
) -> Iterator[Step]:
    """Relax atoms in place, a step at a time; the first is the structure as it came.

    Parameters
    ----------
    atoms : with a calculator; their constraints are kept
    cell : "fixed", "isotropic" or "free"
    largest_force : eV/Å, at which it ends
    steps : the most
    pressure : GPa, of a cell that may change
    optimizer : "bfgs", "lbfgs", whose cost does not grow with the square of the atoms, or "fire"

    Raises ValueError where the cell cannot change because not all directions are periodic.
    """
    if cell not in CELLS:
        raise ValueError(f"cell: expected one of {', '.join(CELLS)}, got {cell!r}")
    if optimizer not in OPTIMIZERS:
        raise ValueError(f"optimizer: expected one of {', '.join(OPTIMIZERS)}, got {optimizer!r}")
    if cell != "fixed" and not atoms.pbc.all():
        raise ValueError(
            f"cell: expected three periodic directions for a cell that changes, got "
            f"{atoms.pbc.tolist()}; use cell = fixed"
        )
    if cell == "fixed" and pressure:
        raise ValueError(
            f"pressure: expected 0 for a cell that is fixed, got {pressure:g} GPa; let the cell change "
            "(cell = isotropic or free)"
        )
    moved: Any = atoms
    if cell != "fixed":
        moved = FrechetCellFilter(
            atoms, hydrostatic_strain=cell == "isotropic", scalar_pressure=pressure * GPa
        )
    search = OPTIMIZERS[optimizer](moved, logfile=None, maxstep=LONGEST_MOVE)
    for _ in search.irun(fmax=largest_force, steps=steps):
        forces = moved.get_forces()
        yield Step(
            search.nsteps,
            float(atoms.get_potential_energy()),
            float(np.sqrt((forces**2).sum(axis=1).max())),
            float(atoms.get_volume()) if atoms.pbc.all() else float("nan"),
        )
