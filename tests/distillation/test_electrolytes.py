"""The model `electrolytes`: near its teacher where it was not trained, and honest about the rest."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk

import openmm_pqeq as pq

ANTIPEROVSKITE = Atoms(
    "OClLi3",
    scaled_positions=[(0.5, 0.5, 0.5), (0, 0, 0), (0.5, 0.5, 0), (0.5, 0, 0.5), (0, 0.5, 0.5)],
    cell=[3.907] * 3,
    pbc=True,
)
MOVES = [[0.1, 0, 0.05], [0, -0.1, 0], [0.15, 0.1, 0], [0, 0, -0.1], [-0.1, 0.05, 0.1]]
TEACHER = [
    [-1.1791, -0.0904, -0.4019],
    [0.1608, 0.1734, 0.1066],
    [-0.2644, -0.1562, 0.2074],
    [-0.0603, 0.1349, 0.1652],
    [1.343, -0.0617, -0.0774],
]
"""eV/Å: forces of SevenNet-l3i5 on Li3OCl, which is not among the phases that were trained on."""


def test_forces_of_a_phase_that_was_never_trained_on_are_near_the_teachers():
    """60 meV/Å is what the card says of all held-out structures."""
    atoms = ANTIPEROVSKITE.copy()
    atoms.positions += MOVES
    forces = pq.PQEqCalculator("electrolytes").get_forces(atoms)
    assert 1000 * float(np.sqrt(np.square(forces - TEACHER).mean())) < 60


@pytest.mark.parametrize(
    ("symbol", "lattice", "edge"), [("LiCl", "rocksalt", 5.15), ("Li", "bcc", 3.44)]
)
def test_lattice_constants(symbol, lattice, edge):
    """Those of PBE (Materials Project: LiCl 5.15, Li 3.44 Å), to 1 %."""
    sizes = edge * np.linspace(0.97, 1.03, 7)
    calculator = pq.PQEqCalculator("electrolytes")
    energies = [calculator.get_potential_energy(bulk(symbol, lattice, a)) for a in sizes]
    a, b, _ = np.polyfit(sizes, energies, 2)
    assert -b / (2 * a) == pytest.approx(edge, rel=0.01)


def test_it_says_what_it_is_for():
    potential = pq.load("electrolytes")
    assert sorted(potential.species) == ["Cl", "F", "Fe", "La", "Li", "N", "O", "P", "S", "Zr"]
    assert potential.limits.temperature == (0.0, 1000.0)
    assert potential.pqeq is not None
    with pytest.raises(ValueError, match="Ge"):
        pq.PQEqCalculator(potential).get_potential_energy(bulk("Ge"))
    assert "Yutack Park" in pq.checkpoint.card("electrolytes")["licence"]
