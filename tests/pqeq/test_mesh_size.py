"""How fine a mesh is: planned from the tolerance, the charges and the angles of the cell, and kept
while it has room."""

import math

import pytest
import torch
from laws import supercell_of
from pqeq_potentials import energy_of, potential_of
from structures import FRACTIONS, perovskite, rock_salt, tensor

from openmm_pqeq.pqeq.coulomb.ewald import decay
from openmm_pqeq.pqeq.coulomb.kernels import gaussian_exponents, pair_exponents
from openmm_pqeq.pqeq.coulomb.mesh_size import (
    FINER,
    mesh_error,
    mesh_spacing,
    smooth_size,
    spline_order,
    steepness,
)
from openmm_pqeq.pqeq.coulomb.split import charges_of
from openmm_pqeq.structure import structure_of


def test_a_mesh_is_kept_while_it_has_room():
    """Within the tenth that a plan leaves the mesh is that of the first volume, also where a new
    plan would be another."""
    kept, crystal = (
        potential_of("pme", tolerance=1e-5).compile_for_inference(),
        rock_salt((11, 17), 5.64),
    )
    sizes = []
    for scale in (1.0, 1.08, 1.0, 1.3):
        fresh = potential_of("pme", tolerance=1e-5).compile_for_inference()
        for potential in (kept, fresh):
            energy_of(
                potential,
                crystal._replace(positions=scale * crystal.positions, cell=scale * crystal.cell),
            )
        sizes.append(
            (kept.pqeq.lattice.planned_size.tolist(), fresh.pqeq.lattice.planned_size.tolist())
        )
    first = sizes[0][0]
    assert [of_kept for of_kept, _ in sizes[:3]] == [first] * 3
    assert sizes[1][1] != first
    assert sizes[3][0] == sizes[3][1] != first


FORMAL = {56: 2.0, 22: 4.0, 8: -2.0}
SOFT = {
    symbol: {
        "electronegativity": 0.0,
        "hardness": 12.0,
        "radius": 0.85,
        "core_charge": 1.0,
        "spring_constant": 30.0,
        "softness": 0.05,
    }
    for symbol in ("Ba", "Ti", "O")
}


def formal(cells=(2, 1, 1)):
    """A rattled perovskite with its formal charges, and the potential for it with a tolerance."""
    crystal = supercell_of(perovskite(), cells)
    charges = torch.tensor([FORMAL[int(n)] for n in crystal.numbers], dtype=torch.float64)
    return crystal._replace(reference_charges=charges)


def test_highly_charged_ions_keep_the_tolerance_on_the_mesh():
    """With splines of order 8, for unit charges, the largest error is 1.2e-5 eV/Å."""
    structure, bonds = formal(), {"coupling": None, "charge_flow": "bonds", "parameters": SOFT}
    exact = potential_of("ewald", tolerance=1e-11, **bonds).evaluate(structure)
    found = potential_of("pme", tolerance=1e-5, **bonds).evaluate(structure)
    assert float((found.forces - exact.forces).abs().max()) < 1e-5


def acute(k):
    """A rattled perovskite of 4.05 Å in the cell k + δ_ij, whose angles are 90°, 34°, 20°, 14° for k of
    0 to 3."""
    matrix = k * torch.ones(3, 3, dtype=torch.float64) + torch.eye(3, dtype=torch.float64)
    corners = torch.cartesian_prod(*[torch.arange(3 * k + 1, dtype=torch.float64)] * 3)
    inside = corners @ torch.linalg.inv(matrix)
    corners = corners[((inside > -1e-9) & (inside < 1 - 1e-9)).all(dim=1)]
    places = (corners[:, None] + tensor(FRACTIONS)).reshape(-1, 3)
    noise = torch.randn(
        places.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64
    )
    numbers = torch.tensor([56, 22, 8, 8, 8]).repeat(3 * k + 1)
    charges = torch.tensor([FORMAL[int(n)] for n in numbers], dtype=torch.float64)
    crystal = structure_of(4.05 * places + 0.15 * noise, numbers, 4.05 * matrix)
    return crystal._replace(reference_charges=charges)


@pytest.mark.parametrize(("k", "tolerance"), [(0, 1e-5), (1, 1e-5), (2, 1e-7)])
def test_cells_of_small_angles_keep_the_tolerance_on_the_mesh(k, tolerance):
    """Planned as if at right angles the largest errors are 0.02, 1.4 and 5.7 times the tolerance."""
    structure, bonds = acute(k), {"coupling": None, "charge_flow": "bonds", "parameters": SOFT}
    exact = potential_of("ewald", tolerance=1e-11, **bonds).evaluate(structure)
    pme = potential_of("pme", tolerance=tolerance, **bonds)
    pme.pqeq.tolerance = 1e-11  # of the solution alone
    assert float((pme.evaluate(structure).forces - exact.forces).abs().max()) < tolerance


def test_the_steepness_of_cells():
    cubic, sheared = (
        torch.eye(3, dtype=torch.float64),
        tensor([[1, 0, 0], [1, 3**0.5, 0], [0, 0, 5]]),
    )
    assert steepness(7.0 * cubic) == pytest.approx(1.0)
    assert steepness(sheared) == pytest.approx(2.0)  # one angle of 60°
    assert steepness(2.0 + cubic) == pytest.approx(17.0)


def test_a_context_keeps_its_mesh_where_the_cell_is_sheared_a_little():
    """The order of the splines and the mesh, so that the energy is continuous; of a cell that has become
    much steeper both are those of a new plan."""
    crystal, bonds = formal(), {"coupling": None, "charge_flow": "bonds", "parameters": SOFT}
    kept = potential_of("pme", tolerance=1e-6, **bonds).compile_for_inference()
    planned, energies = [], []
    for shear in [*(0.001 * step for step in range(25)), 2.0]:
        cell = crystal.cell + shear * crystal.cell[:, [1, 2, 0]] * tensor([[1.0, 0, 0]]).t()
        places = crystal.positions @ torch.linalg.inv(crystal.cell[0]) @ cell[0]
        energies.append(energy_of(kept, crystal._replace(positions=places, cell=cell)))
        planned.append(
            (float(kept.pqeq.lattice.planned_steepness), kept.pqeq.lattice.planned_size.tolist())
        )
    assert (
        steepness(crystal.cell[0] + 0.024 * crystal.cell[0, [1, 2, 0]] * tensor([[1.0, 0, 0]]).t())
        > (planned[0][0])
    )
    assert planned[:25] == [planned[0]] * 25
    assert planned[25][0] > 1.1 * planned[0][0]
    assert float(tensor(energies[:25]).diff(n=3).abs().max()) < 1e-7


@pytest.mark.parametrize("order", [8, 10, 12])
def test_the_error_of_a_mesh_is_what_it_is_planned_with(order, monkeypatch):
    """Largest force component, at the solution of the direct sum."""
    structure, bonds = formal(), {"coupling": None, "charge_flow": "bonds", "parameters": SOFT}
    monkeypatch.setattr("openmm_pqeq.pqeq.coulomb.split.spline_order", lambda *a: order)
    exact = potential_of("ewald", tolerance=1e-12, **bonds).evaluate(structure)
    pme = potential_of("pme", tolerance=1e-5, **bonds)
    pme.pqeq.tolerance = 1e-12  # of the solution alone
    error = float((pme.evaluate(structure).forces - exact.forces).abs().max())
    exponent = gaussian_exponents(torch.tensor([0.85], dtype=torch.float64))
    gamma = min(float(pair_exponents(exponent, exponent)), pme.pqeq.lattice.kappa())
    edges = structure.cell[0].norm(dim=1) / pme.pqeq.lattice.planned_size
    charges = exact.charges.abs().max() * exact.charges.square().mean().sqrt()
    density = len(structure.numbers) / float(torch.linalg.det(structure.cell[0]))
    planned = mesh_error(float(edges.max()), gamma, order, float(charges), density)
    assert 0.1 < error / planned < 4.0


@pytest.mark.parametrize("tolerance", [1e-3, 1e-5, 1e-7, 1e-9, 1e-11])
@pytest.mark.parametrize("charges", [1.0, 10.0, 100.0])
def test_a_mesh_is_planned_to_keep_the_tolerance_and_no_finer(tolerance, charges):
    gamma = decay(tolerance) / 6.0
    spacing = mesh_spacing(gamma, tolerance, charges)
    order = spline_order(spacing, gamma, tolerance, charges)
    error = mesh_error(spacing, gamma, order, charges)
    assert error < tolerance * (1 + 1e-9)
    widest = math.pi / (2.0 * gamma * decay(tolerance) * FINER)
    assert spacing == pytest.approx(widest) or error == pytest.approx(tolerance)
    assert order == 8 or mesh_error(spacing, gamma, order - 2, charges) > tolerance


def test_the_charges_of_a_mesh_are_the_reference_charges_and_never_below_one():
    ions = formal()
    mean_square = (2.0**2 + 4.0**2 + 3 * 2.0**2) / 5
    assert charges_of(ions) == pytest.approx(4.0 * math.sqrt(mean_square))
    assert charges_of(ions._replace(reference_charges=0.1 * ions.reference_charges)) == 1.0
    assert charges_of(ions._replace(reference_charges=None)) == 1.0


def test_the_order_of_splines_follows_from_the_charges():
    orders = [spline_order(0.6, 0.6, 1e-5, charges) for charges in (0.1, 1.0, 10.0, 1000.0)]
    assert orders == sorted(orders)
    assert orders[0] == 8
    assert orders[-1] == 12


def test_sizes_of_meshes_are_even_and_smooth():
    assert [smooth_size(n) for n in (0.3, 2.0, 6.1, 7.0, 13.9, 26.0, 49.0)] == [
        2,
        2,
        8,
        8,
        16,
        30,
        50,
    ]
