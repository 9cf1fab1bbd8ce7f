"""Charges by bonds: derivatives, limits, and what is refused."""

import laws
import pytest
import torch
from bonded import (
    CHARGES,
    FIELD,
    WATER,
    assert_dipole,
    crystal,
    free_part,
    potential_of,
    rock_salt_pair,
    structure,
)
from pqeq_potentials import BONDED
from structures import tensor

from openmm_pqeq.covalent_radii import covalent_radii
from openmm_pqeq.neighbors.search import NeighborSearch
from openmm_pqeq.potential import build
from openmm_pqeq.pqeq.bonds import BOND_RANGE, bond_softness
from openmm_pqeq.pqeq.coupling import ionic_energy_of_free_directions
from openmm_pqeq.pqeq.kinds import split_kind
from openmm_pqeq.pqeq.parameters import ElementParameters, resolve_parameters
from openmm_pqeq.response import response
from openmm_pqeq.structure import collate

CASES = {
    "ewald": ("ewald", crystal()),
    "pme": ("pme", crystal()),
    "slab": ("pme", crystal((True, True, False))),
    "wire": ("ewald", crystal((True, False, False))),
    "molecule": ("direct", crystal((False, False, False))),
    "ion": ("direct", structure(["O", "H"], [[0, 0, 0], [0.9, 0.2, 0.1]], field=FIELD)),
    "water": ("direct", structure(["O", "H", "H"], WATER, field=FIELD)),
}
every_case = pytest.mark.parametrize(("protocol", "at"), CASES.values(), ids=CASES)


def push(at):
    """The field's force on reference charges along periods, which is of no energy; (n_atoms, 3)."""
    return at.reference_charges[:, None] * (at.field[0] - free_part(at))


# Derivatives


@every_case
def test_forces_and_stress_are_derivatives_of_the_energy(protocol, at):
    potential = potential_of(protocol)

    def energy(one):
        return potential(one).energy

    laws.assert_forces(energy, at, push=push(at))
    if bool(at.pbc.all()):
        laws.assert_stress(energy, at, potential.evaluate(at, stress=True).stress[0])


@every_case
def test_dipole_is_the_derivative_in_the_field(protocol, at):
    potential = potential_of(protocol)
    assert_dipole(potential, at, 1e-9)
    step = 1e-4 * torch.eye(3, dtype=torch.float64)[2]

    def value(sign):
        moved = at._replace(field=at.field + sign * step)
        bare = potential(moved).energy - ionic_energy_of_free_directions(
            at.reference_charges, at.positions, moved
        )
        return float(bare)

    along = (value(1) - value(-1)) / 2e-4
    ionic = float(at.reference_charges @ at.positions[:, 2])
    assert along == pytest.approx(-float(potential(at).dipole[0, 2]) + ionic, abs=1e-7)


@every_case
def test_compiled_form_gives_the_same(protocol, at):
    plain = potential_of(protocol)
    compiled = potential_of(protocol).compile_for_inference()
    field = at.field.clone().requires_grad_(True)
    positions = at.positions.clone().requires_grad_(True)
    slopes = []
    for potential in (plain, compiled):
        found = potential(at._replace(field=field, positions=positions))
        slopes.append(
            [found.energy.sum(), *torch.autograd.grad(found.energy.sum(), [positions, field])]
        )
    for name, one, other in zip(("energy", "forces", "dipole"), *slopes):
        laws.close(one.detach(), other.detach(), 1e-9, name)
    both = [p.evaluate(at, stress=bool(at.pbc.all())) for p in (plain, compiled)]
    if bool(at.pbc.all()):
        laws.close(both[0].stress, both[1].stress, 1e-10, "stress")


@every_case
def test_responses_are_derivatives_of_dipole_and_forces(protocol, at):
    potential = potential_of(protocol)
    alpha, born = response(potential, at)
    step = 1e-3
    for a in range(3):
        ends = []
        for sign in (1, -1):
            field = at.field.clone()
            field[0, a] += sign * step
            ends.append(potential.evaluate(at._replace(field=field)))
        change = (ends[0].dipole - ends[1].dipole)[0] / (2 * step)
        laws.close(alpha[a], change, 1e-7, "polarizability")
        laws.close(born[:, a], (ends[0].forces - ends[1].forces) / (2 * step), 1e-7, "Born charges")
    total = at.reference_charges.sum() * torch.eye(3, dtype=torch.float64)
    laws.close(born.sum(dim=0), total, 1e-8, "sum rule")


# Limits


def scaled(factor, **changes):
    return {
        e: {**row, "softness": row["softness"] * factor, **changes} for e, row in BONDED.items()
    }


def test_without_softness_atoms_keep_their_reference_charges():
    at = crystal()
    found = potential_of("ewald", scaled(0.0))(at)
    laws.close(found.charges, at.reference_charges, 1e-12, "charges")


def test_with_soft_bonds_charge_flows_freely():
    at = crystal(field=(0, 0, 0))
    soft = potential_of(
        "ewald", scaled(1e4, electronegativity_slope=0.0), polarizable=False, tolerance=1e-9
    )
    free = build(
        {
            "pqeq": {
                "protocol": "ewald",
                "parameters": BONDED,
                "polarizable": False,
                "tolerance": 1e-11,
            }
        }
    )
    laws.close(soft(at).charges, free(at).charges, 1e-6, "charges")


def test_a_slope_changes_what_a_moving_atom_carries():
    """χ' at a bond as long as its two radii: charges, polarizability and energy are what they are
    without it, the Born charge along the bond is linear in it, and falls below the reference charge."""
    radii = covalent_radii()
    at = structure(["Na", "Cl"], [[0, 0, 0], [0, 0, float(radii[11] + radii[17])]])

    def found(slope):
        rows = scaled(1.0, electronegativity_slope=0.0)
        rows["Cl"]["electronegativity_slope"] = slope
        potential = potential_of("direct", rows)
        return potential(at), *response(potential, at)

    (less, alpha, below), (none, flat, between), (_, _, above) = map(found, (-40.0, 0.0, 40.0))
    laws.close(less.charges, none.charges, 1e-10, "charges")
    laws.close(less.energy, none.energy, 1e-10, "energy")
    laws.close(alpha, flat, 1e-8, "polarizability")
    laws.close(0.5 * (below + above), between, 1e-8, "Born charges")
    assert float(below[0, 2, 2]) < 1.0 < float(between[0, 2, 2]) < float(above[0, 2, 2])


def test_fragments_apart_keep_their_charge_and_energies_add():
    near = structure(["Na", "Cl"], [[0, 0, 0], [2.4, 0, 0]])
    potential = potential_of("direct")
    assert float(potential(near).charges[0].detach()) < 0.97
    reach = BOND_RANGE * float(covalent_radii()[torch.tensor([11, 17])].sum())
    far = structure(["Na", "Cl"], [[0, 0, 0], [reach + 1e-6, 0, 0]])
    assert potential(far).charges.tolist() == [1.0, -1.0]
    two = structure(
        ["O", "H", "H"] * 2, [*WATER, *(tensor(WATER) + tensor([0, 0, 400.0])).tolist()]
    )
    one = structure(["O", "H", "H"], WATER)
    assert float(potential(two).energy) == pytest.approx(2 * float(potential(one).energy), abs=1e-6)
    laws.close(response(potential, two)[0], 2 * response(potential, one)[0], 1e-5, "polarizability")


def test_a_bond_appears_with_two_derivatives():
    radii = tensor([1.66 + 1.02])
    ends = BOND_RANGE * radii + tensor([-1e-3, 1e-3])
    distance = ends.clone().requires_grad_(True)
    value = bond_softness(distance, tensor([1.0]), radii, tensor([3.76]))
    (slope,) = torch.autograd.grad(value.sum(), distance, create_graph=True)
    (curvature,) = torch.autograd.grad(slope.sum(), distance)
    for derivative in (value, slope, curvature):
        assert float(derivative[1].detach()) == 0.0
    assert 0 < float(curvature[0]) < 1e-2
    assert 0 < float(-slope[0].detach()) < 1e-5


def test_every_structure_has_a_solution():
    """Also those that shells would not have: atoms that overlap, in small cells."""
    generator = torch.Generator().manual_seed(11)
    potential = potential_of("ewald", tolerance=1e-6)
    for _ in range(20):
        cell = torch.diag(2.5 + 2 * torch.rand(3, generator=generator, dtype=torch.float64))
        places = torch.rand(6, 3, generator=generator, dtype=torch.float64)
        at = structure(
            ["Na", "Cl", "Cs", "Cl", "O", "H"], places @ cell, cell, charges={**CHARGES, "H": 2.0}
        )
        search = NeighborSearch(8.0)(at)
        if float(search.distances.min()) > 0.3:
            assert bool(torch.isfinite(potential(at).energy).all())


def test_parameters_without_a_minimum_are_refused():
    soft = {**BONDED, "Na": {**BONDED["Na"], "hardness": 2.0}}
    with pytest.raises(ValueError, match=r"parameters\['Na'\].*hardness is at least"):
        potential_of("ewald", soft)
    loose = {**BONDED, "Cl": {**BONDED["Cl"], "spring_constant": 2.0}}
    with pytest.raises(ValueError, match=r"parameters\['Cl'\].*spring constant"):
        potential_of("ewald", loose)


def test_rows_by_reference_charge():
    other = {**BONDED["Cl"], "electronegativity": 12.0}
    both = {**BONDED, "Cl5+": other, "Cl-": BONDED["Cl"]}
    anion = structure(["Cs", "Cl"], [[0, 0, 0], [3.0, 0, 0]])
    cation = structure(["Cs", "Cl"], [[0, 0, 0], [3.0, 0, 0]], charges={"Cs": 1.0, "Cl": 5.0})
    plain, typed = potential_of("direct"), potential_of("direct", both)
    alone = potential_of("direct", {**BONDED, "Cl": other})
    assert float(typed(anion).energy) == pytest.approx(float(plain(anion).energy), abs=1e-10)
    assert float(typed(cation).energy) == pytest.approx(float(alone(cation).energy), abs=1e-10)
    assert typed.species == plain.species
    assert split_kind("Cl5+") == ("Cl", 5)
    with pytest.raises(ValueError, match="'Cl5' is not an element"):
        resolve_parameters({**BONDED, "Cl5": other})


@pytest.mark.parametrize("name", ElementParameters._fields)
def test_every_parameter_may_be_of_a_reference_charge(name):
    """A row of Cl5+ that differs in one parameter acts on Cl5+, and on no Cl-."""
    change = {"core_charge": 1.3, "covalent_radius": 1.1, "decay": 3.0}.get(name)
    other = {**BONDED["Cl"], name: change or 1.2 * BONDED["Cl"][name]}
    typed, alone = (potential_of("direct", {**BONDED, kind: other}) for kind in ("Cl5+", "Cl"))
    places = [[0, 0, 0], [2.6, 0, 0], [0.2, 2.9, 0]]
    cation = structure(["Cs", "Cl", "O"], places, charges={"Cs": 1.0, "Cl": 5.0, "O": -2.0})
    anion = structure(["Cs", "Cl", "O"], places)
    plain = potential_of("direct")
    assert float(typed(cation).energy) == pytest.approx(float(alone(cation).energy), abs=1e-10)
    assert float(typed(anion).energy) == pytest.approx(float(plain(anion).energy), abs=1e-10)
    assert abs(float(alone(cation).energy) - float(plain(cation).energy)) > 1e-5


def test_a_batch_is_its_structures():
    potential = potential_of("ewald")
    several = [crystal(), crystal(field=(0, 0.01, 0)), rock_salt_pair()]
    together = potential(collate(several))
    alone = [potential(one) for one in several]
    laws.close(together.energy, torch.cat([one.energy for one in alone]), 1e-9, "energies")
    laws.close(together.dipole, torch.cat([one.dipole for one in alone]), 1e-9, "dipoles")
