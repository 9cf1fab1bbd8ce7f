"""NPT with a barostat that scales the three axes by themselves.

python examples/npt.py

This shows the mechanics: the card of `batio3` says that it is not for relaxing the cell, and
`addForce` warns of it. For numbers take a model that has learnt from strained cells.
"""

from pathlib import Path

import numpy as np
import openmm
from openmm import app, unit

import openmm_pqeq as pq

HERE = Path(__file__).parent

topology, positions = pq.read_structure(HERE / "BaTiO3.cif", supercell=(1, 1, 2))
system = pq.create_system("batio3", topology)
# a crystal has no bonds in its topology, so the barostat scales atoms
barostat = openmm.MonteCarloAnisotropicBarostat(
    openmm.Vec3(1, 1, 1), 300 * unit.kelvin, True, True, True, 10
)
barostat.setRandomNumberSeed(1)
system.addForce(barostat)
integrator = openmm.LangevinMiddleIntegrator(
    300 * unit.kelvin, 1 / unit.picosecond, 1 * unit.femtosecond
)
integrator.setRandomNumberSeed(1)
simulation = app.Simulation(topology, system, integrator)
simulation.context.setPositions(positions)
simulation.context.setVelocitiesToTemperature(300 * unit.kelvin, 1)

axes = []
for _ in range(10):
    simulation.step(40)
    box = (
        simulation.context.getState()
        .getPeriodicBoxVectors(asNumpy=True)
        .value_in_unit(unit.angstrom)
    )
    axes.append(np.diag(box) / (1, 1, 2))
    print(
        f"step {simulation.currentStep:4d}   a {axes[-1][0]:.3f}   b {axes[-1][1]:.3f}   c "
        f"{axes[-1][2]:.3f} Å"
    )
print(
    f"mean c/a {np.mean([a[2] / (0.5 * (a[0] + a[1])) for a in axes]):.3f} (the training data have "
    "one cell only: 1.085)"
)
