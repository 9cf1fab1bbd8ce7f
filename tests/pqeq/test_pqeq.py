"""PQEq: the charge solution and its derivatives, fields, published numbers."""

import pytest
import torch
from pqeq_potentials import TIGHT, energy_of, potential_of
from structures import CELL, FIELD, perovskite, tensor, water

from openmm_pqeq.neighbors.search import NeighborSearch
from openmm_pqeq.potential import build
from openmm_pqeq.response import response
from openmm_pqeq.structure import Structure, collate, deformed, structure_of


@pytest.mark.parametrize(
    ("structure", "charge"), [(perovskite(0.0), 0.0), (perovskite(1.5), 1.5), (water(-1.0), -1.0)]
)
def test_charges_add_up_and_their_potentials_are_equal(structure, charge):
    model = potential_of("ewald").pqeq
    pairs = NeighborSearch(6.0)(structure)
    solution = model(structure, pairs, structure.positions)
    assert abs(float(solution.charges.sum()) - charge) < 1e-12
    problem = model.problem(structure, pairs)
    q, s = (
        solution.charges.clone().requires_grad_(True),
        solution.shells.clone().requires_grad_(True),
    )
    slope = torch.autograd.grad(model.energy(problem, q, s), (q, s))
    assert float((slope[0] - slope[0].mean()).abs().max()) < TIGHT
    assert float(slope[1].abs().max()) < TIGHT


CASES = [
    ("ewald", "shell", perovskite(0.0, FIELD)),
    ("ewald", "shell", perovskite(1.5, FIELD)),
    (
        "ewald",
        "shell",
        structure_of(
            torch.zeros(1, 3, dtype=torch.float64),
            torch.tensor([11]),
            tensor(CELL),
            total_charge=0.5,
        ),
    ),
    ("reaxnet", "shell", water(0.0, FIELD)),
    ("reaxnet", "full", water(1.0, FIELD)),
    ("direct", "shell", water(1.0, FIELD)),
    ("direct", "full", water(0.0, FIELD)),
    ("pme", "shell", perovskite(0.0, FIELD)),
    ("pme", "shell", perovskite(1.5, FIELD)),
]


@pytest.mark.parametrize(("protocol", "coupling", "structure"), CASES)
def test_forces_and_stress_against_finite_differences(protocol, coupling, structure):
    """With `shell` the force is −∇E + qF, where qF is a force and no gradient. 1e-5 eV/Å, 1e-6
    eV/Å³; step 1e-4 Å."""
    potential = potential_of(protocol, coupling)
    periodic = bool(structure.pbc.all())
    found = potential.evaluate(structure, stress=periodic)
    expected = found.forces - (
        found.charges[:, None] * structure.field if coupling == "shell" else 0.0
    )
    step = 1e-4
    for atom in range(len(structure.numbers)):
        for axis in range(3):
            energies = []
            for sign in (1, -1):
                moved = structure.positions.clone()
                moved[atom, axis] += sign * step
                energies.append(energy_of(potential, structure._replace(positions=moved)))
            assert (
                abs(-(energies[0] - energies[1]) / (2 * step) - float(expected[atom, axis])) < 1e-5
            )
    if periodic:
        volume = float(torch.linalg.det(structure.cell[0]).abs())
        for a in range(3):
            for b in range(a, 3):
                strain = torch.zeros(1, 3, 3, dtype=torch.float64)
                strain[0, a, b] += step / 2
                strain[0, b, a] += step / 2
                rise = energy_of(potential, deformed(structure, strain)) - energy_of(
                    potential, deformed(structure, -strain)
                )
                assert abs(rise / (2 * step * volume) - float(found.stress[0, a, b])) < 1e-6


def test_a_cell_and_its_supercell_have_the_same_energy_per_atom():
    potential, one = potential_of("ewald"), perovskite(0.0, FIELD)
    cell = one.cell[0]
    eight = torch.cartesian_prod(*[torch.arange(2, dtype=torch.float64)] * 3)
    positions = (one.positions[None] + (eight @ cell)[:, None]).reshape(-1, 3)
    large = structure_of(positions, one.numbers.repeat(8), 2 * cell, field=FIELD)
    assert abs(energy_of(potential, large) / 40 - energy_of(potential, one) / 5) < 1e-8


@pytest.mark.parametrize("protocol", ["ewald", "reaxnet"])
def test_any_image_of_any_atom_gives_the_same_energy_and_forces(protocol):
    potential, one = (
        potential_of(protocol, cutoff=6.0 if protocol == "ewald" else 8.37),
        perovskite(0.0, FIELD),
    )
    shifts = tensor([[0, 0, 0], [3, 0, -1], [0, -2, 5], [1, 1, 1], [-7, 0, 0]])
    other = one._replace(positions=one.positions + shifts @ one.cell[0])
    a, b = potential.evaluate(one, stress=True), potential.evaluate(other, stress=True)
    torch.testing.assert_close(a.energy, b.energy, atol=1e-9, rtol=0)
    torch.testing.assert_close(a.forces, b.forces, atol=1e-8, rtol=0)
    torch.testing.assert_close(a.stress, b.stress, atol=1e-9, rtol=0)


def test_a_batch_is_its_structures_one_by_one():
    potential = potential_of("ewald")
    structures = [perovskite(0.5, FIELD), water(0.0, FIELD), perovskite()]
    together = potential.evaluate(collate(structures))
    apart = [potential.evaluate(structure) for structure in structures]
    torch.testing.assert_close(
        together.energy, torch.cat([x.energy for x in apart]), atol=1e-12, rtol=0
    )
    torch.testing.assert_close(
        together.forces, torch.cat([x.forces for x in apart]), atol=1e-12, rtol=0
    )
    torch.testing.assert_close(
        together.dipole, torch.cat([x.dipole for x in apart]), atol=1e-12, rtol=0
    )


def test_without_a_cell_ewald_is_direct():
    assert energy_of(potential_of("ewald"), water(1.0)) == energy_of(
        potential_of("direct"), water(1.0)
    )


def test_a_large_cell_is_like_no_cell():
    """Water's images at 30 Å: what is left is dipole–dipole, 4π/3 μ²/(2V)·14.4 below 1e-4 eV."""
    inside = water()._replace(
        cell=30.0 * torch.eye(3, dtype=torch.float64)[None], pbc=torch.ones(1, 3, dtype=torch.bool)
    )
    assert (
        0
        < abs(energy_of(potential_of("ewald"), inside) - energy_of(potential_of("direct"), water()))
        < 5e-4
    )


def test_a_warm_start_changes_nothing_beyond_the_tolerance():
    """Forward, far away, and back: barostats and minimisers do that. 1e-9 eV, because the error is
    quadratic in 1e-5."""
    cold = potential_of("ewald", tolerance=1e-5)
    warm = cold.compile_for_inference()
    for shift in (0.0, 0.01, 0.02, 0.3, -0.2, 0.0, 0.01):
        moved = perovskite()
        moved.positions[1, 2] += shift
        assert abs(energy_of(warm, moved) - energy_of(cold, moved)) < 1e-9


# --- response
# --------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("protocol", "coupling", "structure"), [CASES[1], CASES[3], CASES[5], CASES[6], CASES[7]]
)
def test_polarizability_and_born_charges_against_finite_differences(protocol, coupling, structure):
    """1e-5 of each unit; energy differences of 1e-3 V/Å steps carry 1e-6."""
    potential, step = potential_of(protocol, coupling), 1e-3
    alpha, born = response(potential, structure)

    def with_field(change: torch.Tensor) -> Structure:
        return structure._replace(field=structure.field + change)

    axes = step * torch.eye(3, dtype=torch.float64)
    for a in range(3):
        rise = (
            potential.evaluate(with_field(axes[a])).forces
            - potential.evaluate(with_field(-axes[a])).forces
        )
        torch.testing.assert_close(born[:, a], rise / (2 * step), atol=1e-5, rtol=0)
        for b in range(3):
            signs = ((1, 1), (1, -1), (-1, 1), (-1, -1))
            mixed = sum(
                x * y * energy_of(potential, with_field(x * axes[a] + y * axes[b]))
                for x, y in signs
            )
            assert abs(-mixed / (4 * step**2) - float(alpha[a, b])) < 1e-5
    charge = float(structure.total_charge)
    torch.testing.assert_close(
        born.sum(0), charge * torch.eye(3, dtype=torch.float64), atol=1e-8, rtol=0
    )


def test_dipole_of_full_coupling_is_the_derivative_of_the_energy():
    potential, step = potential_of("direct", "full"), 1e-3
    for axis, change in enumerate(step * torch.eye(3, dtype=torch.float64)):
        rise = energy_of(potential, water(0.0, change)) - energy_of(potential, water(0.0, -change))
        assert abs(-rise / (2 * step) - float(potential.evaluate(water()).dipole[0, axis])) < 1e-6


# --- published numbers
# -----------------------------------------------------------------------------------------------------------

# Na–Cl without a cell, from the ReaxNet authors' code: distance (Å), energy (eV), charge of Na (e),
# force on Na along x (eV/Å)
PUBLISHED_NACL = [
    (1.800000000000, -2.0499554945, 0.7156981802, 0.0854904344),
    (2.400000000000, -1.9867352174, 0.6909917664, 0.1247344568),
    (3.400000000000, -1.8365335146, 0.6352989190, 0.1701420332),
    (6.375000000000, -1.3551804298, 0.4701731229, 0.1218691672),
    (12.000000000000, -1.1298772462, 0.3949929195, 0.0001209260),
]


@pytest.mark.parametrize(("distance", "energy", "charge", "force"), PUBLISHED_NACL)
def test_two_sweeps_of_sodium_chloride_as_published(distance, energy, charge, force):
    positions = tensor([[0.0, 0.0, 0.0], [distance, 0.0, 0.0]])
    found = potential_of("reaxnet", stop_gradient=True).evaluate(
        structure_of(positions, torch.tensor([11, 17]))
    )
    assert abs(float(found.energy) - energy) < 1e-6
    assert abs(float(found.charges[0]) - charge) < 1e-6
    assert abs(float(found.forces[0, 0]) - force) < 1e-6


def test_published_forces_hold_charges_fixed_and_true_ones_do_not():
    structure = perovskite()
    published = potential_of("reaxnet", cutoff=8.37, stop_gradient=True).evaluate(structure)
    true = potential_of("reaxnet", cutoff=8.37).evaluate(structure)
    assert float(published.energy) == float(true.energy)
    assert float((published.forces - true.forces).abs().max()) > 1e-3


# --- refusals
# --------------------------------------------------------------------------------------------------------------------


def test_a_problem_without_a_minimum_is_refused_with_the_elements_named():
    """pqeq0's hydrogen: its hardness (12.98 eV) is below its Gaussian self-energy (14.9); two close
    atoms have no minimum."""
    hydrogen = structure_of(tensor([[0.0, 0.0, 0.0], [0.3, 0.0, 0.0]]), torch.tensor([1, 1]))
    with pytest.raises(RuntimeError, match=r"negative curvature.*H"):
        potential_of("direct", parameters="pqeq0").evaluate(hydrogen)


def test_a_hopeless_tolerance_raises_with_the_residual():
    potential = potential_of("ewald")
    potential.pqeq.tolerance = 1e-30  # settings do not allow it
    with pytest.raises(RuntimeError, match="did not converge; residual"):
        potential.evaluate(perovskite())


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"protocol": "pme2"}, "protocol: expected one of"),
        ({"coupling": "strong"}, "coupling: expected one of"),
        ({"parameters": "pqeq9"}, "parameters: expected one of the sets"),
        ({"parameters": {"Xx": {}}}, "expected the keys"),
        ({"tolerance": -1.0}, "tolerance: expected a positive number"),
        ({"protocol": "ewald", "sweeps": 3}, "sweeps: belongs to the protocol"),
        ({"color": "red"}, "unknown key 'color'"),
    ],
)
def test_bad_settings_are_named(settings, words):
    with pytest.raises(ValueError, match=words):
        build({"pqeq": settings})


def test_protocols_refuse_the_wrong_periodicity():
    with pytest.raises(ValueError, match="has no images"):
        potential_of("direct").evaluate(perovskite())


def test_full_coupling_refuses_a_field_along_a_periodic_direction():
    with pytest.raises(ValueError, match="no meaning along a periodic direction"):
        potential_of("ewald", "full").evaluate(perovskite(0.0, FIELD))


def test_a_cell_that_is_not_finite_is_refused_before_the_search():
    broken = perovskite()._replace(cell=torch.full((1, 3, 3), float("nan"), dtype=torch.float64))
    with pytest.raises(ValueError, match="expected finite numbers"):
        potential_of("ewald").evaluate(broken)
