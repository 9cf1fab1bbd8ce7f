"""The response of small crystals in a batch: against the energy written down naively, against the
package's own PQEq, and its slopes against differences."""

import math
from importlib import resources

import ase
import numpy as np
import pytest
import torch

import openmm_pqeq as pq
from openmm_pqeq.covalent_radii import covalent_radii
from openmm_pqeq.fitting.crystals import free_flow, problem, table
from openmm_pqeq.fitting.crystals import response as by_bonds
from openmm_pqeq.fitting.crystals.bonds import make_bonds, softness_of
from openmm_pqeq.fitting.crystals.data import Crystal
from openmm_pqeq.fitting.crystals.response import Geometry, Rows
from openmm_pqeq.fitting.crystals.waves import batches_of, make_waves
from openmm_pqeq.neighbors.search import NeighborSearch
from openmm_pqeq.pqeq import PQEq, resolve_parameters
from openmm_pqeq.pqeq.bonds import BOND_RANGE
from openmm_pqeq.pqeq.coulomb.kernels import dipole_self_energy, gaussian_self_energy
from openmm_pqeq.pqeq.derivatives.polarizability import polarizability_and_born_charges
from openmm_pqeq.response import response
from openmm_pqeq.structure import structure_of
from openmm_pqeq.units import COULOMB, KCAL_PER_MOL_PER_EV

LONGEST = 9.0  # Å⁻¹: Gaussians of 0.6 Å interact by 1e-12 beyond it


def rattled(symbols="NaClNaCl", seed=0) -> ase.Atoms:
    """Four atoms in a low-symmetry cell."""
    rng = np.random.default_rng(seed)
    cell = np.diag([4.0, 4.3, 5.4]) + 0.3 * rng.normal(size=(3, 3))
    places = np.array([[0, 0, 0], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]])
    places = places + 0.03 * rng.normal(size=places.shape)
    return ase.Atoms(symbols, scaled_positions=places, cell=cell, pbc=True)


def geometry_of(crystals, charges) -> Geometry:
    cells = np.array([np.array(atoms.cell) for atoms in crystals])
    places = np.array([atoms.positions for atoms in crystals])
    volumes = torch.tensor([atoms.get_volume() for atoms in crystals])
    waves = make_waves(cells, places, LONGEST)
    return Geometry(waves, make_bonds(crystals), volumes, torch.tensor(charges))


def random_rows(shape, seed=1) -> Rows:
    rng = np.random.default_rng(seed)
    radius = torch.tensor(rng.uniform(0.6, 1.1, shape))
    uniform = [torch.tensor(rng.uniform(*span, shape)) for span in ((2, 9), (6, 12), (3, 15))]
    softness, decay = (torch.tensor(rng.uniform(*s, shape)) for s in ((0.1, 0.4), (2.0, 5.0)))
    return Rows(
        uniform[0],
        gaussian_self_energy(radius) + uniform[1],
        1.1 * dipole_self_energy(radius) + uniform[2],
        radius,
        softness,
        decay,
        torch.tensor(rng.uniform(-4, 4, shape)),
    )


def naive_bonds(atoms) -> list[tuple[int, int, torch.Tensor, float]]:
    """Tail, head, shift (Å) and R_i + R_j of every bond, once, by looking at all images."""
    radii = covalent_radii().numpy()[atoms.numbers]
    found = []
    for i, j, *image in np.ndindex(len(atoms), len(atoms), 7, 7, 7):
        shift = (np.array(image) - 3) @ np.array(atoms.cell)
        distance = np.linalg.norm(atoms.positions[j] + shift - atoms.positions[i])
        once = i < j or (i == j and tuple(image) > (3, 3, 3))
        if once and distance < BOND_RANGE * (radii[i] + radii[j]):
            found.append((i, j, torch.tensor(shift), radii[i] + radii[j]))
    return found


def naive_energy(atoms, bonds, rows, charges, positions, field, p, dipoles) -> torch.Tensor:
    """E of one crystal with explicit bond variables p, nothing simplified."""
    q = list(torch.tensor(charges))
    energy = torch.zeros(()).double()
    moment = dipoles.sum(0) + (torch.tensor(charges)[:, None] * positions).sum(0)
    for number, (i, j, shift, radii) in enumerate(bonds):
        d = positions[j] + shift - positions[i]
        x = d.norm() / radii
        a = 0.5 * (rows.decay[0, i] + rows.decay[0, j])
        f = torch.exp(-a * (x - 1)) * (1 - (x / BOND_RANGE) ** 2) ** 3
        sigma = rows.softness[0, i] * rows.softness[0, j] * f
        q[j], q[i] = q[j] + p[number], q[i] - p[number]
        lean = (rows.slope[0, j] - rows.slope[0, i]) * (x - 1)
        energy = energy + 0.5 * p[number] ** 2 / sigma + lean * p[number]
        moment = moment + p[number] * d
    q = torch.stack(q)
    own = 0.5 * rows.hardness[0] * q**2 + rows.electronegativity[0] * q
    spring = 0.5 * rows.stiffness[0] * (dipoles**2).sum(1)
    reciprocal = 2 * math.pi * np.linalg.inv(np.array(atoms.cell)).T
    k = (np.array(list(np.ndindex(15, 15, 15))) - 7.0) @ reciprocal
    k = torch.tensor(k[(np.linalg.norm(k, axis=1) > 0) & (np.linalg.norm(k, axis=1) < LONGEST)])
    k2 = (k**2).sum(1)
    width = torch.exp(-k2 * rows.radius[0][:, None] ** 2 / (2 * 0.462770))
    phase, along = positions @ k.T, dipoles @ k.T
    re = (width * (q[:, None] * phase.cos() - along * phase.sin())).sum(0)
    im = (width * (q[:, None] * phase.sin() + along * phase.cos())).sum(0)
    coulomb = 2 * math.pi * COULOMB / atoms.get_volume() * ((re**2 + im**2) / k2).sum()
    itself = 0.5 * gaussian_self_energy(rows.radius[0]) * q**2
    itself = itself + 0.5 * dipole_self_energy(rows.radius[0]) * (dipoles**2).sum(1)
    return energy + coulomb + (own + spring - itself).sum() - field @ moment


def test_response_by_bonds_is_that_of_the_energy():
    """Born charges to 1e-8 e and ε∞ to 1e-8 against the naive energy, whose minimum is that of a
    quadratic form."""
    atoms, charges = rattled("HClHCl"), [0.9, -0.9, 1.1, -1.1]
    rows = random_rows((1, 4))
    geometry = geometry_of([atoms], [charges])
    found = by_bonds.response(geometry, rows, by_bonds.solve(geometry, rows))
    positions, bonds = torch.tensor(atoms.positions), naive_bonds(atoms)
    assert len(bonds) == int((geometry.bonds.reduced < BOND_RANGE).sum())

    def energy(v, r, f):
        p, dipoles = v[: len(bonds)], v[len(bonds) :].reshape(4, 3)
        return naive_energy(atoms, bonds, rows, charges, r, f, p, dipoles)

    nothing = torch.zeros(len(bonds) + 12).double()
    hessian = torch.func.hessian(energy)(nothing, positions, torch.zeros(3).double())

    def force_and_moment(field):
        slope = torch.func.grad(energy)(nothing, positions, field)
        v = -torch.linalg.solve(hessian, slope)
        return [-g for g in torch.func.grad(energy, argnums=(1, 2))(v, positions, field)]

    h = 1e-2  # linear in the field, up to its square in the forces
    for a in range(3):
        step = h * torch.eye(3).double()[a]
        (f1, m1), (f0, m0) = force_and_moment(step), force_and_moment(-step)
        alpha = (m1 - m0) / (2 * h)
        epsilon = torch.eye(3)[a] + 4 * math.pi * COULOMB / atoms.get_volume() * alpha
        torch.testing.assert_close(found.born[0, :, a], (f1 - f0) / (2 * h), rtol=0, atol=1e-8)
        torch.testing.assert_close(found.epsilon[0, a], epsilon.double(), rtol=0, atol=1e-8)


def test_born_charges_add_up_to_nothing_in_neutral_crystals():
    """Σ Z* = 0 to 1e-12 e, by bonds and with free flow; Σ Z* = Q·1 by bonds."""
    crystals, neutral = [rattled(seed=s) for s in range(3)], [[1.0, -1.0, 1.0, -1.0]] * 3
    rows = random_rows((3, 4))
    for charges, total in ((neutral, 0.0), ([[1.0, -1.0, 1.0, -0.5]] * 3, 0.5)):
        geometry = geometry_of(crystals, charges)
        born = by_bonds.response(geometry, rows, by_bonds.solve(geometry, rows)).born.sum(dim=1)
        expected = total * torch.eye(3).double().expand(3, 3, 3)
        torch.testing.assert_close(born, expected, rtol=0, atol=1e-11)


def test_atoms_far_from_all_others_keep_their_reference_charge():
    """A cell of 30 Å: no bond reaches, and ε∞ is that of the dipoles alone."""
    atoms = ase.Atoms("NaCl", positions=[[0, 0, 0], [15, 0, 0]], cell=[30] * 3, pbc=True)
    geometry = Geometry(
        make_waves(np.array([np.array(atoms.cell)]), atoms.positions[None], 2.0),
        make_bonds([atoms]),
        torch.tensor([27000.0]).double(),
        torch.tensor([[1.0, -1.0]]).double(),
    )
    rows = random_rows((1, 2))
    found = by_bonds.response(geometry, rows, by_bonds.solve(geometry, rows))
    torch.testing.assert_close(found.charges, geometry.reference, rtol=0, atol=1e-14)
    assert float(softness_of(geometry.bonds, rows.softness, rows.decay).value.abs().max()) == 0.0


def test_response_by_bonds_is_the_packages():
    """Two solvers of one energy, with the table that ships: Born charges to 1e-7 e, ε∞ to 1e-7."""
    shipped = str(resources.files("openmm_pqeq.data").joinpath("pqeq_response.csv"))
    settings = {"protocol": "ewald", "charge_flow": "bonds", "tolerance": 1e-9}
    potential = pq.build({"pqeq": settings | {"parameters": shipped}})
    rows = table.rows_to_start(shipped)
    kinds = sorted(rows, key=lambda kind: (kind.charge is not None, kind.number))
    start = table.start_of(kinds, table.BOND_COLUMNS, rows)
    atoms, charges = rattled("NaClHCl"), np.array([1.0, -1.0, 1.0, -1.0])
    one = Crystal("one", atoms, charges, np.zeros((4, 3, 3)), np.eye(3))
    known = problem.Problem([one], kinds, table.BOND_COLUMNS, start, 1e-12)
    found = known.response(known.batches[0], start)
    structure = structure_of(
        torch.tensor(atoms.positions),
        torch.tensor(atoms.numbers),
        torch.tensor(np.array(atoms.cell)),
    )._replace(reference_charges=torch.tensor(charges))
    alpha, born = response(potential, structure)
    epsilon = torch.eye(3) + 4 * math.pi * COULOMB / atoms.get_volume() * alpha
    torch.testing.assert_close(found.born[0], born, rtol=0, atol=1e-7)
    torch.testing.assert_close(found.epsilon[0], epsilon.double(), rtol=0, atol=1e-7)


def test_free_flow_is_the_packages_pqeq():
    """Two solvers of one energy: Born charges to 1e-6 e and ε∞ to 1e-6, with shells of some
    hundredths of Å."""
    atoms = rattled()
    values = {"Na": (2.8, 14.0, 2.0, 0.9, 20.0), "Cl": (16.0, 15.0, 2.0, 0.8, 18.0)}
    names = ("electronegativity", "hardness", "core_charge", "radius")
    mapping = {
        s: dict(zip(names, v)) | {"spring_constant": v[4] * KCAL_PER_MOL_PER_EV}
        for s, v in values.items()
    }
    model = PQEq(resolve_parameters(mapping), "ewald", tolerance=1e-10)
    cell = torch.tensor(np.array(atoms.cell))
    structure = structure_of(torch.tensor(atoms.positions), torch.tensor(atoms.numbers), cell)
    alpha, born = polarizability_and_born_charges(model, structure, NeighborSearch(model.cutoff))
    epsilon = torch.eye(3) + 4 * math.pi * COULOMB / atoms.get_volume() * alpha
    columns = torch.tensor([[values[s] for s in atoms.get_chemical_symbols()]]).double()
    rows = free_flow.ShellRows(*columns.unbind(dim=2))
    geometry = geometry_of([atoms], [[0.0] * 4])
    solution = free_flow.solve(geometry, rows, free_flow.cold(geometry))
    found = free_flow.response(geometry, rows, solution)
    assert float(solution.shells.norm(dim=2).max()) > 0.005
    torch.testing.assert_close(found.born[0], born.detach(), rtol=0, atol=1e-6)
    torch.testing.assert_close(found.epsilon[0], epsilon.detach().double(), rtol=0, atol=1e-6)


def test_free_flow_without_a_minimum_is_lost():
    """A spring softer than its surroundings: not a number rather than some number."""
    atoms = rattled()
    rows = free_flow.ShellRows(
        *(torch.full((1, 4), v).double() for v in (3.0, 20.0, 3.0, 0.7, 2.0))
    )
    geometry = geometry_of([atoms], [[0.0] * 4])
    found = free_flow.response(
        geometry, rows, free_flow.solve(geometry, rows, free_flow.cold(geometry))
    )
    assert torch.isnan(found.born).all()
    assert torch.isnan(found.epsilon).all()


@pytest.mark.parametrize("columns", [table.BOND_COLUMNS, table.SHELL_COLUMNS])
def test_slopes_of_residuals_are_differences(columns):
    """Of every coordinate of two crystals: to 1e-6 of the largest by bonds, to 1e-3 with free
    flow, whose slopes are differences themselves."""
    crystals = [
        Crystal(str(s), rattled("NaClHCl", s), np.array([1.0, -1, 1, -1]),
                np.ones((4, 3, 3)) * 0.3, np.eye(3) * 2.5)
        for s in range(2)
    ]  # fmt: skip
    kinds = table.kinds_of(crystals, 1, columns is table.BOND_COLUMNS)
    start = table.start_of(kinds, columns, table.rows_to_start("reaxnet"))
    fitted = problem.Problem(crystals, kinds, columns, start)
    (batch,) = fitted.batches
    found = fitted.linearized(batch, start)
    h, relative = (1e-5, 1e-6) if columns is table.BOND_COLUMNS else (1e-4, 1e-3)
    seen = set()
    for slot, column in enumerate(found.columns[0]):
        if column < 0:
            continue
        seen.add(int(column))
        up, down = start.copy(), start.copy()
        up[column] += h
        down[column] -= h
        difference = fitted.residuals(batch, up) - fitted.residuals(batch, down)
        largest = float(found.jacobian[..., slot].abs().max())
        torch.testing.assert_close(
            found.jacobian[0, :, slot],
            difference[0] / (2 * h),
            rtol=0,
            atol=relative * largest + 1e-8,
        )
    used = {row for one in batch.rows for row in one if row >= 0}
    assert len(seen) == len(columns.names) * len(used)


def test_batches_have_one_size_and_bounded_work():
    batches = batches_of([2, 3, 2, 2, 5, 3, 5], work=20)
    assert sorted(index for one in batches for index in one) == list(range(7))
    assert batches == [[0, 2, 3], [1, 5], [4], [6]]
