"""Molecules without a cell: polarizability and charges of water and its dimer, with the two
couplings of a field.

    python examples/water_in_a_field.py

PQEq alone holds no molecule together, so the geometries stay as they are. The coupling `full` lets
charge flow through a molecule, and between molecules; `shell` polarizes the shells, and the charges
only answer to them.
"""

import numpy as np
from ase.build import molecule

import openmm_pqeq as pq

BOHR3 = 0.529177210903**3
potential = pq.build({"pqeq": {"protocol": "direct", "parameters": "pqeq1", "tolerance": 1e-10}})

water = molecule("H2O")
pair = water.copy()
pair.translate((0.0, 0.0, 2.9))
dimer = water + pair

print("isotropic polarizability in a.u. (experiment, one molecule: 9.8)")
for coupling in ("shell", "full"):
    values = []
    for atoms in (water, dimer):
        atoms.calc = pq.PQEqCalculator(potential, coupling=coupling)
        # α/(4πε₀) in Å³ is k_e α
        values.append(
            14.399645 * np.trace(atoms.calc.get_property("polarizability", atoms)) / 3 / BOHR3
        )
    print(f"  {coupling:5s}  molecule {values[0]:6.2f}   dimer {values[1]:6.2f}")

print("charge that flows between the molecules in 0.25 V/Å along the dimer")
for coupling in ("shell", "full"):
    charge = []
    for field in ((0, 0, 0), (0, 0, 0.25)):
        dimer.calc = pq.PQEqCalculator(potential, field=field, coupling=coupling)
        charge.append(dimer.calc.get_property("charges", dimer)[:3].sum())
    print(f"  {coupling:5s}  {charge[1] - charge[0]:+.4f} e")
