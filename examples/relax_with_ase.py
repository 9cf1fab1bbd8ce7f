"""Relaxation of atoms and cell with ASE.

python examples/relax_with_ase.py
"""

from pathlib import Path

import numpy as np
from ase.filters import FrechetCellFilter
from ase.io import read
from ase.optimize import BFGS

import openmm_pqeq as pq

HERE = Path(__file__).parent

atoms = read(HERE / "BaTiO3.cif")
atoms.rattle(0.03, seed=1)
atoms.calc = pq.PQEqCalculator("batio3", tolerance=1e-8)
print(
    f"start: {atoms.get_potential_energy():.4f} eV, largest force "
    f"{np.abs(atoms.get_forces()).max():.3f} eV/Å"
)

BFGS(atoms, logfile=None).run(fmax=0.01, steps=200)
print(
    f"atoms relaxed: {atoms.get_potential_energy():.4f} eV, stress "
    f"{np.array2string(atoms.get_stress()[:3], precision=4)} eV/Å³"
)

optimizer = BFGS(
    FrechetCellFilter(atoms, mask=[True, True, True, False, False, False]), logfile=None
)
optimizer.run(fmax=0.01, steps=100)
lengths = atoms.cell.lengths()
print(f"cell relaxed after {optimizer.nsteps} steps: {atoms.get_potential_energy():.4f} eV")
print(
    f"a {lengths[0]:.3f}   c {lengths[2]:.3f} Å   c/a {lengths[2] / lengths[0]:.3f} (the model was "
    "trained on one cell, c/a 1.085)"
)
