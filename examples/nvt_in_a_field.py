"""NVT in a constant field, and the analysis of its trajectory with mdtraj.

python examples/nvt_in_a_field.py
"""

from pathlib import Path

import matplotlib
import mdtraj
import numpy as np
import openmm
from openmm import app, unit

import openmm_pqeq as pq

matplotlib.use("Agg")

HERE = Path(__file__).parent
OUTPUT = HERE / "output" / "nvt_in_a_field"
OUTPUT.mkdir(parents=True, exist_ok=True)

topology, positions = pq.read_structure(HERE / "BaTiO3.cif", supercell=(1, 1, 2))
system = pq.create_system("batio3", topology, field=(0, 0, 0.02))  # V/Å
integrator = openmm.LangevinMiddleIntegrator(
    300 * unit.kelvin, 1 / unit.picosecond, 1 * unit.femtosecond
)
integrator.setRandomNumberSeed(1)
simulation = app.Simulation(topology, system, integrator)
simulation.context.setPositions(positions)
simulation.context.setVelocitiesToTemperature(300 * unit.kelvin, 1)
with open(OUTPUT / "topology.pdb", "w", encoding="utf-8") as file:
    app.PDBFile.writeFile(topology, positions, file)
simulation.reporters += [
    app.DCDReporter(str(OUTPUT / "trajectory.dcd"), 10),
    app.StateDataReporter(
        str(OUTPUT / "table.csv"), 10, step=True, potentialEnergy=True, temperature=True
    ),
    pq.ChargeReporter(OUTPUT / "charges.h5", 10),
    pq.DipoleReporter(OUTPUT / "dipole.csv", 10),
]
simulation.step(500)
for reporter in simulation.reporters[2:]:
    reporter.close()

trajectory = mdtraj.load(str(OUTPUT / "trajectory.dcd"), top=str(OUTPUT / "topology.pdb"))
titanium = trajectory.topology.select("element Ti")
oxygen = trajectory.topology.select("element O")
distances = 10 * mdtraj.compute_distances(
    trajectory, [(i, j) for i in titanium for j in oxygen], periodic=True
)
shortest = np.sort(distances.reshape(len(trajectory), len(titanium), -1), axis=2)[:, :, 0]
print(f"{len(trajectory)} frames of {trajectory.n_atoms} atoms in {OUTPUT}")
print(
    f"shortest Ti–O distance: mean {shortest.mean():.2f} Å (the polar bond of the tetragonal phase)"
)
table = np.genfromtxt(OUTPUT / "dipole.csv", delimiter=",", names=True)
print(
    "polarization along the field since the start: mean "
    f"{table['polarization_z_uC_per_cm2'].mean():+.2f} µC/cm²"
)
