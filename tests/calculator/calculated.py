"""Atoms with the ASE calculator."""

from ase import Atoms
from ase.build import molecule

from openmm_pqeq.calculator import PQEqCalculator

TIGHT = 1e-10  # eV/e and eV/Å: the charge solution then adds nothing to central differences
D3 = {"damping": "bj", "functional": "pbe", "cutoff": 7.0, "cn_cutoff": 6.0, "smoothing_width": 2.0}


def rattled(atoms: Atoms, seed: int = 0) -> Atoms:
    atoms.rattle(0.05, seed=seed)
    return atoms


def water() -> Atoms:
    return rattled(molecule("H2O"))


def crystal() -> Atoms:
    """A skewed four-atom cell, smaller than every cutoff."""
    cell = [[3.9, 0.0, 0.0], [0.6, 4.1, 0.0], [-0.4, 0.7, 4.4]]
    positions = [(0, 0, 0), (0.45, 0.5, 0.1), (0.1, 0.45, 0.55), (0.55, 0.05, 0.5)]
    return Atoms("SiO2F", cell=cell, scaled_positions=positions, pbc=True)


def with_calculator(atoms: Atoms, potential: object, **settings: object) -> Atoms:
    atoms.calc = PQEqCalculator(potential, **settings)
    return atoms
