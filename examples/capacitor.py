"""Water between two lithium electrodes at a voltage: charge on the plates, and the dipole of the
water.

Two slabs of lithium face each other, periodic in x and y. The energy is the electric enthalpy; the
charge of the plates against the voltage is the capacitance, with water and without it.
"""

import numpy as np
from ase import Atoms
from ase.build import bcc100, molecule

import openmm_pqeq as pq

potential = pq.build({"pqeq": {"protocol": "pme"}})

plate = bcc100("Li", size=(3, 3, 3), a=3.49)
plate.positions[:, 2] -= plate.positions[:, 2].max()
gap = 9.0
other = plate.copy()
other.positions[:, 2] = gap - other.positions[:, 2]
plates = plate + other
plates.cell[2] = (0, 0, 60)
plates.positions[:, 2] += 20
plates.pbc = (True, True, False)
left, right = list(range(len(plate))), list(range(len(plate), len(plates)))

side = plates.cell.lengths()[0]
waters = Atoms()
rng = np.random.default_rng(1)
for x in range(3):
    for y in range(3):
        one = molecule("H2O")
        one.rotate(rng.uniform(0, 360), rng.normal(size=3), center="COM")
        one.translate(
            np.array([(x + 0.5) * side / 3, (y + 0.5) * side / 3, 20 + 0.5 * gap])
            - one.get_center_of_mass()
        )
        waters += one

print("voltage (V)   charge of a plate (e): vacuum   water   dipole of the water along z (e Å)")
for voltage in (0.0, 0.5, 1.0, 1.5):
    electrodes = [(left, 0.0), (right, voltage)]
    empty = plates.copy()
    empty.calc = pq.PQEqCalculator(potential, electrodes=electrodes)
    full = plates + waters
    fragments = [[len(plates) + 3 * k + atom for atom in range(3)] for k in range(9)]
    full.calc = pq.PQEqCalculator(
        potential, coupling="fragment", fragments=fragments, electrodes=electrodes
    )
    charges = full.get_charges()
    shells = full.calc.get_property("shells", full)
    first = len(plates)
    dipole = (charges[first:] * full.positions[first:, 2]).sum() - shells[
        first:, 2
    ].sum()  # Z is 1 e for every element here
    print(
        f"{voltage:8.1f} {empty.get_charges()[right].sum():28.4f} {charges[right].sum():15.4f} "
        f"{dipole:15.3f}"
    )
