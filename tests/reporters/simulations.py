"""Simulations of MgO that stand still, and what reporters have written of them."""

import csv

import numpy as np
import openmm
from openmm import app, unit

from openmm_pqeq.force.create import create_system

FIELD = (0.01, -0.02, 0.03)
EDGE = 4.2  # Å, MgO's cubic cell


def mgo(rattle=0.1):
    """Symbols and positions (8, 3) Å of a cubic cell of MgO, displaced at random."""
    sites = np.array([[i // 4, i // 2 % 2, i % 2] for i in range(8)])
    symbols = ["O" if site.sum() % 2 else "Mg" for site in sites]
    return symbols, sites * EDGE / 2 + np.random.default_rng(5).normal(0, rattle, (8, 3))


def simulation_of(potential, backend="python", atoms=None, cell=True, extra=0, field=FIELD):
    """A Simulation of MgO with steps of zero length, so that positions stay as they are set."""
    symbols, positions = mgo()
    topology = app.Topology()
    residue = topology.addResidue("MgO", topology.addChain())
    for _ in range(extra):
        topology.addAtom("X", None, residue)
    for symbol in symbols:
        topology.addAtom(symbol, app.Element.getBySymbol(symbol), residue)
    if cell:
        topology.setPeriodicBoxVectors(
            [openmm.Vec3(*row) for row in (np.eye(3) * EDGE / 10).tolist()] * unit.nanometer
        )
    system = create_system(
        potential,
        topology,
        field=field,
        atoms=atoms,
        backend=backend,
        precision="double",
        removeCMMotion=False,
    )
    integrator = openmm.CustomIntegrator(0.001)
    simulation = app.Simulation(
        topology, system, integrator, openmm.Platform.getPlatformByName("Reference")
    )
    simulation.context.setPositions(np.vstack([np.zeros((extra, 3)), positions]) / 10)
    return simulation


def rows_of(path):
    """Rows of a CSV file as dicts of text."""
    return list(csv.DictReader(path.read_text().splitlines()))
