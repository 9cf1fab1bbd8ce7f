"""Slabs and wires: no vacuum needed, supercells, the limit of a molecule, net charges, and sheets
of charge."""

import math

import pytest
import torch
from pqeq_potentials import energy_of, potential_of
from structures import periodic_along, perovskite, tensor, water

from openmm_pqeq.neighbors.search import NeighborSearch
from openmm_pqeq.potential import build
from openmm_pqeq.pqeq.coulomb.boundary import coulomb_waves, summation_box
from openmm_pqeq.structure import structure_of

SLAB, WIRE = (True, True, False), (False, True, False)


@pytest.mark.parametrize("protocol", ["ewald", "pme"])
@pytest.mark.parametrize("directions", [SLAB, WIRE, (True, False, True)])
def test_the_vacuum_in_the_cell_does_not_matter(protocol, directions):
    potential, one = potential_of(protocol), periodic_along(perovskite(0.5), directions)
    free = ~torch.tensor(directions)
    cell = one.cell.clone()
    cell[0, free] *= 3.7
    zero = one.cell.clone()
    zero[0, free] = 0.0
    for other in (cell, zero):
        assert (
            abs(energy_of(potential, one) - energy_of(potential, one._replace(cell=other))) < 1e-9
        )


@pytest.mark.parametrize("directions", [SLAB, WIRE])
def test_a_cell_and_its_supercell_have_the_same_energy_per_atom(directions):
    potential, one = potential_of("ewald"), periodic_along(perovskite(0.5), directions)
    axis = directions.index(True)
    positions = torch.cat([one.positions, one.positions + one.cell[0, axis]])
    cell = one.cell[0].clone()
    cell[axis] *= 2
    two = structure_of(
        positions, one.numbers.repeat(2), cell, torch.tensor(directions), total_charge=1.0
    )
    assert abs(energy_of(potential, two) - 2 * energy_of(potential, one)) < 1e-8


@pytest.mark.parametrize("directions", [SLAB, WIRE])
def test_a_molecule_far_from_its_images_is_a_molecule(directions):
    """Dipole–dipole interactions at 60 Å: 14.4 μ²/d³ with μ = 0.8 e Å is 4e-5 eV for each
    neighbour."""
    alone = energy_of(potential_of("direct"), water())
    inside = periodic_along(
        water()._replace(cell=60.0 * torch.eye(3, dtype=torch.float64)[None]), directions
    )
    assert abs(energy_of(potential_of("pme", tolerance=1e-6), inside) - alone) < 1e-4


def test_two_sheets_of_charge_are_a_plate_capacitor():
    """Fixed charges ±q on two square lattices: the energy grows by 2π k_e q² d/A with the distance,
    exactly for distances of several lattice constants."""
    side, q, difference = 3.0, 0.4, 2.0
    model = build({"pqeq": {"protocol": "ewald", "tolerance": 1e-10}}).pqeq
    energies = []
    for distance in (12.0, 12.0 + difference):
        positions = tensor([[0.0, 0.0, 0.0], [1.0, 0.5, distance]])
        structure = structure_of(
            positions,
            torch.tensor([3, 3]),
            side * torch.eye(3, dtype=torch.float64),
            torch.tensor(SLAB),
        )
        problem = model.problem(structure, NeighborSearch(6.0)(structure))
        still = torch.zeros(2, 3, dtype=torch.float64)
        energies.append(float(model.coulomb_energy(problem, tensor([q, -q]), still)))
    expected = 2 * math.pi * 14.399645 * q**2 * difference / side**2
    assert abs(energies[1] - energies[0] - expected) < 1e-7


def test_forces_and_stress_of_slab_and_wire_against_finite_differences():
    """1e-6 eV/Å and eV; stresses times the volume, along periodic directions and across them."""
    for directions in (SLAB, WIRE):
        potential, one, step = (
            potential_of("pme", tolerance=1e-10),
            periodic_along(perovskite(0.3), directions),
            1e-4,
        )
        found = potential.evaluate(one, stress=True)
        volume = float(torch.linalg.det(one.cell[0]))
        for a in range(3):
            energies = []
            for sign in (1, -1):
                stretch = torch.eye(3, dtype=torch.float64)
                stretch[a, a] += sign * step
                energies.append(
                    energy_of(
                        potential,
                        one._replace(positions=one.positions @ stretch, cell=one.cell @ stretch),
                    )
                )
            assert (
                abs(
                    (energies[0] - energies[1]) / (2 * step) - volume * float(found.stress[0, a, a])
                )
                < 1e-5
            )
            energies = []
            for sign in (1, -1):
                moved = one.positions.clone()
                moved[2, a] += sign * step
                energies.append(energy_of(potential, one._replace(positions=moved)))
            assert abs(-(energies[0] - energies[1]) / (2 * step) - float(found.forces[2, a])) < 1e-6


@pytest.mark.parametrize(
    "directions", [SLAB, WIRE, (True, True, True)], ids=["slab", "wire", "bulk"]
)
def test_kernels_have_the_derivative_of_their_values_in_the_box(directions):
    """A period longer than the width, where the waves along a wire reach across it. 1e-8 eV/e² Å is
    the error of the step."""
    periodic, step = torch.tensor(directions), 1e-4
    cell = torch.diag(tensor([70.0, 50.0, 60.0]))
    waves = [tensor([0.0, 1.0, 2.0]).view(shape) for shape in ((3, 1, 1), (1, 3, 1), (1, 1, 3))]
    weights = torch.randn(3, 3, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    for axis in (a for a in range(3) if directions[a]):

        def total(length, axis=axis):
            changed = torch.where(torch.arange(9).view(3, 3) == 4 * axis, length, cell)
            return (
                weights * coulomb_waves(summation_box(changed, periodic, 18.0), periodic, *waves)[1]
            ).sum()

        length = cell[axis, axis].clone().requires_grad_(True)
        (slope,) = torch.autograd.grad(total(length), length)
        with torch.no_grad():
            expected = (total(length + step) - total(length - step)) / (2 * step)
        assert abs(float(expected)) > 1e-4
        assert abs(float(slope - expected)) < 1e-8


def test_the_box_of_the_sum_keeps_periodic_vectors_and_stands_upright():
    cell = perovskite().cell[0]
    slab = summation_box(cell, torch.tensor(SLAB), 25.0)
    assert torch.equal(slab[:2], cell[:2])
    torch.testing.assert_close(slab[2] @ cell[:2].t(), tensor([0.0, 0.0]), atol=1e-12, rtol=0)
    wire = summation_box(cell, torch.tensor(WIRE), 25.0)
    torch.testing.assert_close(
        (wire @ wire.t())[1], tensor([0.0, float(cell[1] @ cell[1]), 0.0]), atol=1e-12, rtol=0
    )
