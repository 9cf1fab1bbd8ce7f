"""Two water molecules, 5 Å apart, in 0.25 V/Å along the line between them. Who gets charged, and
who drifts?

    python studies/two_waters/run.py [--short | --here | --full]

QEq        charges without shells, coupling `full`: charge runs from one molecule to the other,
           the field takes hold of it, and the farther apart they are the more of it there is
PQEq       free flow, coupling `shell` (the paper's): the field acts on the shells alone
by bonds   charges by bonds (set `molecules`): each molecule has the charge that it had

The molecules are rigid (OpenMM's constraints) and their oxygens repel each other by the
Lennard-Jones term of TIP4P/2005; everything else is the model's. NVE from rest.
"""

import sys
from pathlib import Path
from typing import NamedTuple

import ase
import numpy as np
import openmm
from openmm import app, unit

sys.path.insert(0, str(Path(__file__).parents[1]))
import study as studies

import openmm_pqeq as pq

FIELD = 0.25  # V/Å
APART = 5.0  # Å
TIMESTEP = 0.5  # fs
EVERY = 20  # steps between frames
SIGMA, EPSILON = 0.31589, 0.77490  # nm, kJ/mol: Abascal and Vega, J. Chem. Phys. 123, 234505 (2005)


class Size(NamedTuple):
    """Steps of 0.5 fs."""

    n_steps: int


SIZES = {"short": Size(400), "here": Size(4000), "full": Size(40_000)}


def two_waters() -> ase.Atoms:
    half = np.deg2rad(104.52) / 2
    y, z = 0.9572 * np.sin(half), 0.9572 * np.cos(half)
    one = ase.Atoms("OH2", [[0, 0, 0], [0, y, z], [0, -y, z]])
    other = one.copy()
    other.translate([APART, 0, 0])
    return one + other


def topology_of(atoms: ase.Atoms) -> app.Topology:
    topology = app.Topology()
    chain = topology.addChain()
    for molecule in range(len(atoms) // 3):
        residue = topology.addResidue("HOH", chain)
        for symbol in atoms.get_chemical_symbols()[3 * molecule : 3 * molecule + 3]:
            topology.addAtom(symbol, app.Element.getBySymbol(symbol), residue)
    return topology


def models() -> dict[str, tuple[pq.Potential, dict]]:
    """Potentials, and what they need to be told about a field."""
    pqeq = {"protocol": "direct", "parameters": "pqeq1"}
    bonds = {**pqeq, "parameters": "molecules", "charge_flow": "bonds"}
    return {
        "QEq": (pq.build({"pqeq": {**pqeq, "polarizable": False}}), {"coupling": "full"}),
        "PQEq": (pq.build({"pqeq": pqeq}), {"coupling": "shell"}),
        "by bonds": (pq.build({"pqeq": bonds}), {"reference_charges": {"O": 0, "H": 0}}),
    }


def rigid_system(atoms: ase.Atoms, force: openmm.Force) -> openmm.System:
    """Masses, constraints, repulsion of oxygens, and the model."""
    system = openmm.System()
    repulsion = openmm.CustomBondForce("4*epsilon*((sigma/r)^12 - (sigma/r)^6)")
    repulsion.addGlobalParameter("sigma", SIGMA)
    repulsion.addGlobalParameter("epsilon", EPSILON)
    repulsion.addBond(0, 3, [])
    for mass in atoms.get_masses():
        system.addParticle(mass)
    for first in (0, 3):
        for i, j in ((0, 1), (0, 2), (1, 2)):
            length = atoms.get_distance(first + i, first + j)
            system.addConstraint(first + i, first + j, length * unit.angstrom)
    system.addForce(repulsion)
    system.addForce(force)
    return system


def dynamics(potential: pq.Potential, settings: dict, n_steps: int) -> np.ndarray:
    """(n_frames, 6, 3) Å."""
    atoms = two_waters()
    force = pq.create_force(
        potential, topology_of(atoms), field=(FIELD, 0, 0), precision="double", **settings
    )
    integrator = openmm.VerletIntegrator(TIMESTEP * unit.femtosecond)
    platform = openmm.Platform.getPlatformByName("Reference")
    context = openmm.Context(rigid_system(atoms, force), integrator, platform)
    context.setPositions(atoms.positions * unit.angstrom)
    frames = []
    for _ in range(n_steps // EVERY):
        state = context.getState(getPositions=True)
        frames.append(state.getPositions(asNumpy=True).value_in_unit(unit.angstrom))
        integrator.step(EVERY)
    return np.array(frames)


def charges_of_the_first(potential: pq.Potential, settings: dict, frames) -> np.ndarray:
    """(n_frames,) e."""
    calculator = pq.PQEqCalculator(potential, field=(FIELD, 0, 0), **settings)
    atoms, found = two_waters(), []
    for positions in frames:
        atoms.positions = positions
        found.append(calculator.get_property("charges", atoms)[:3].sum())
    return np.array(found)


def main() -> None:
    study, size = studies.begin(__file__, __doc__, SIZES)
    figure, (above, below) = studies.axes_of(1, 2)
    styles = {
        "QEq": ("--", studies.GREEN),
        "PQEq": ("-.", studies.ORANGE),
        "by bonds": ("-", studies.BLUE),
    }
    rows = []
    for name, (potential, settings) in models().items():
        frames = dynamics(potential, settings, size.n_steps)
        charge = charges_of_the_first(potential, settings, frames)
        distance = np.linalg.norm(frames[:, 3] - frames[:, 0], axis=1)
        time = 1e-3 * TIMESTEP * EVERY * np.arange(len(frames))
        dash, colour = styles[name]
        above.plot(time, distance, dash, color=colour, label=name)
        below.plot(time, charge, dash, color=colour, label=name)
        most = charge[np.abs(charge).argmax()]
        rows.append(
            [name, float(charge[0]), float(most), float(distance[-1]), float(distance.min())]
        )
        study.say(f"{name}: {len(frames)} frames")
    above.set(ylabel="O–O, Å", xlabel="time, ps")
    below.set(ylabel="charge of the left molecule, e", xlabel="time, ps")
    above.legend(frameon=False, fontsize=9)
    study.table(
        ["", "charge of a molecule at 5 Å, e", "largest, e", "O–O at the end, Å", "least O–O, Å"],
        rows,
    )
    study.picture(figure, "Two waters in 0.25 V/Å", "the field points to the right")


if __name__ == "__main__":
    main()
