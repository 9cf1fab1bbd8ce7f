"""Polarization against a field that goes back and forth: a ferroelectric loop of one unit cell of
BaTiO3.

    python examples/polarization_loop.py

One cell (five atoms with all their images) switches as a whole, without domain walls, and so needs
far larger fields than a crystal.
"""

from pathlib import Path

import numpy as np
import openmm
from openmm import app, unit

import openmm_pqeq as pq
from openmm_pqeq.md.schedule import FieldSchedule
from openmm_pqeq.report.plots import plot_loop

HERE = Path(__file__).parent
OUTPUT = HERE / "output" / "polarization_loop"
OUTPUT.mkdir(parents=True, exist_ok=True)
PERIOD, AMPLITUDE = 1.0, 0.15  # ps, V/Å

topology, positions = pq.read_structure(HERE / "BaTiO3.cif")
system = pq.create_system("batio3", topology)
integrator = openmm.LangevinMiddleIntegrator(
    300 * unit.kelvin, 5 / unit.picosecond, 1 * unit.femtosecond
)
integrator.setRandomNumberSeed(1)
simulation = app.Simulation(topology, system, integrator)
simulation.context.setPositions(positions)
simulation.context.setVelocitiesToTemperature(300 * unit.kelvin, 1)
simulation.reporters += [
    FieldSchedule((0, 0, f"{AMPLITUDE}*sin(2*pi*t/{PERIOD})"), 5),
    pq.DipoleReporter(OUTPUT / "dipole.csv", 10),
]
simulation.step(int(1.25 * PERIOD / 0.001))
simulation.reporters[1].close()

table = np.genfromtxt(OUTPUT / "dipole.csv", delimiter=",", names=True)
field, polarization = table["field_z_V_per_A"], table["polarization_z_uC_per_cm2"]
figure = plot_loop(
    field,
    polarization,
    ("field along c, V/Å", "change of polarization along c, µC/cm²"),
    "One cell of BaTiO3 in an alternating field",
    f"300 K, period {PERIOD} ps; change since the start, which is polar along +c",
)
figure.savefig(OUTPUT / "loop.png")
print(
    f"field from {field.min():+.2f} to {field.max():+.2f} V/Å, polarization changed by up to "
    f"{np.ptp(polarization):.1f} µC/cm²"
)
print(f"plot: {OUTPUT / 'loop.png'}")
