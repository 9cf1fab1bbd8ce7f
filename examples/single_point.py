"""A single point: energy by term, forces, charges and the response to a field of tetragonal BaTiO3.

python examples/single_point.py
"""

from pathlib import Path

import numpy as np
from ase.io import read

import openmm_pqeq as pq

HERE = Path(__file__).parent

atoms = read(HERE / "BaTiO3.cif")
atoms.calc = pq.PQEqCalculator("batio3", tolerance=1e-10)

print(f"energy {atoms.get_potential_energy():.4f} eV")
for term, energy in atoms.calc.results["energy_terms"].items():
    print(f"  {term:5s} {energy:12.4f} eV")
print(f"largest force {np.abs(atoms.get_forces()).max():.3f} eV/Å")
print(f"stress {np.array2string(atoms.get_stress(), precision=4)} eV/Å³ (xx yy zz yz xz xy)")

charges = atoms.calc.get_property("charges", atoms)
born = atoms.calc.get_property("born_charges", atoms)
alpha = atoms.calc.get_property("polarizability", atoms)
print("atom   charge/e   Born charge along x, y, z/e")
for symbol, charge, tensor in zip(atoms.symbols, charges, born):
    print(
        f"  {symbol:2s}  {charge:8.3f}   " + "".join(f"{value:8.2f}" for value in np.diag(tensor))
    )
# ε∞ = 1 + 4π k_e α/V, with k_e = 14.399645 eV Å/e²
epsilon = 1 + 4 * np.pi * 14.399645 * np.diag(alpha) / atoms.get_volume()
print(f"dielectric constant of the electrons {np.array2string(epsilon, precision=2)}")
