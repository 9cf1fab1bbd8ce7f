"""Fragments and electrodes: charges that stay, charges that flow, fields, and what is refused."""

import math

import pytest
import torch
from pqeq_potentials import TIGHT, energy_of, potential_of
from structures import FIELD, tensor, water

from openmm_pqeq.potential import build
from openmm_pqeq.pqeq import groups_of
from openmm_pqeq.response import response
from openmm_pqeq.structure import Structure, structure_of


def dimer(distance: float, field: torch.Tensor | None = None) -> Structure:
    one = water()
    positions = torch.cat([one.positions, one.positions + tensor([0.0, 0.0, distance])])
    return structure_of(positions, one.numbers.repeat(2), field=field)


def salt(distance: float) -> Structure:
    return structure_of(tensor([[0.0, 0.0, 0.0], [0.0, 0.0, distance]]), torch.tensor([11, 17]))


def plates(gap: float, side: float = 3.4) -> Structure:
    """Two slabs of two layers of lithium each, face to face, periodic in x and y."""
    positions = tensor(
        [[0, 0, 0], [side / 2, side / 2, 1.7], [side / 2, side / 2, 1.7 + gap], [0, 0, 3.4 + gap]]
    )
    return structure_of(
        positions,
        torch.full((4,), 3),
        side * torch.eye(3, dtype=torch.float64),
        torch.tensor([True, True, False]),
    )


def between(potential, structure: Structure, fragments, **settings):
    return potential.configured(
        coupling="fragment", groups=groups_of(len(structure.numbers), fragments, **settings)
    )


@pytest.mark.parametrize("protocol", ["direct", "reaxnet"])
def test_every_fragment_keeps_its_charge_and_has_one_potential(protocol):
    potential, structure = potential_of(protocol), dimer(3.0, FIELD)
    ion = structure._replace(total_charge=tensor([1.0]))
    found = between(
        potential, ion, [[0, 1, 2], [3, 4, 5]], fragment_charges=[1.0, 0.0], total_charge=1.0
    ).evaluate(ion)
    torch.testing.assert_close(
        found.charges.view(2, 3).sum(1), tensor([1.0, 0.0]), atol=1e-10, rtol=0
    )


def test_molecules_pulled_apart_are_two_molecules_and_without_fragments_they_are_not():
    """Sodium chloride at 40 Å: two neutral atoms, or two ions, as told; one group moves 0.4 e
    however far."""
    potential = potential_of("direct")
    far = salt(40.0)
    assert abs(float(potential.evaluate(far).charges[0])) > 0.3
    atoms = between(potential, far, [[0], [1]])
    assert float(atoms.evaluate(far).charges.abs().max()) < 1e-12
    ions = between(potential, far, [[0], [1]], fragment_charges=[1.0, -1.0])
    torch.testing.assert_close(ions.evaluate(far).charges, tensor([1.0, -1.0]), atol=1e-12, rtol=0)
    energy = energy_of(ions, salt(41.0)) - energy_of(ions, far)
    assert (
        abs(energy - 14.399645 * (1 / 40 - 1 / 41)) < 1e-3
    )  # and a little polarization, which falls off faster
    waters = between(potential, dimer(30.0), [[0, 1, 2], [3, 4, 5]])
    assert abs(energy_of(waters, dimer(30.0)) - 2 * energy_of(potential, water())) < 1e-4


@pytest.mark.parametrize("charges", [[0.0, 0.0], [1.0, -1.0], [1.0, 0.0]])
def test_forces_in_a_field_are_the_gradient_and_the_push_on_charged_fragments(charges):
    """The force on a fragment's first atom has +Q F; 1e-6 eV/Å."""
    structure = dimer(3.1, FIELD)._replace(total_charge=tensor([sum(charges)]))
    potential = between(
        potential_of("direct"),
        structure,
        [[0, 1, 2], [3, 4, 5]],
        fragment_charges=charges,
        total_charge=sum(charges),
    )
    forces, step = potential.evaluate(structure).forces, 1e-4
    for atom in (0, 1, 3, 5):
        for axis in range(3):
            energies = []
            for sign in (1, -1):
                moved = structure.positions.clone()
                moved[atom, axis] += sign * step
                energies.append(energy_of(potential, structure._replace(positions=moved)))
            push = {0: charges[0], 3: charges[1]}.get(atom, 0.0) * float(FIELD[axis])
            assert (
                abs(-(energies[0] - energies[1]) / (2 * step) + push - float(forces[atom, axis]))
                < 1e-6
            )


def test_a_fragment_in_a_crystal_may_be_wrapped_and_answers_a_field_along_any_direction():
    side = 6.5 * torch.eye(3, dtype=torch.float64)
    inside = structure_of(water().positions + 0.1, water().numbers, side, field=FIELD)
    wrapped = inside._replace(
        positions=inside.positions + tensor([[0, 0, 0], [1, 0, -2], [0, 3, 0]]) @ side
    )
    potential = between(potential_of("pme"), inside, [[0, 1, 2]])
    a, b = potential.evaluate(inside), potential.evaluate(wrapped)
    torch.testing.assert_close(a.energy, b.energy, atol=1e-9, rtol=0)
    torch.testing.assert_close(a.forces, b.forces, atol=1e-8, rtol=0)


@pytest.mark.parametrize("protocol", ["direct", "reaxnet"])
def test_response_of_fragments_against_finite_differences_and_the_sum_rule(protocol):
    structure = dimer(3.0, FIELD)._replace(total_charge=tensor([1.0]))
    potential = between(
        potential_of(protocol),
        structure,
        [[0, 1, 2], [3, 4, 5]],
        fragment_charges=[1.0, 0.0],
        total_charge=1.0,
    )
    alpha, born = response(potential, structure)
    step = 1e-3
    for a, axis in enumerate(step * torch.eye(3, dtype=torch.float64)):
        up, down = (
            potential.evaluate(structure._replace(field=structure.field + s * axis))
            for s in (1, -1)
        )
        torch.testing.assert_close(
            born[:, a], (up.forces - down.forces) / (2 * step), atol=1e-5, rtol=0
        )
    torch.testing.assert_close(born.sum(0), torch.eye(3, dtype=torch.float64), atol=1e-8, rtol=0)
    assert torch.linalg.eigvalsh(alpha).min() > 0


def test_electrodes_are_a_capacitor():
    """Q grows with V, its inverse capacitance with the gap by 4π k_e/A exactly, and Ω = Ω(0) − ½ Q
    V."""
    potential, area = build({"pqeq": {"protocol": "ewald", "tolerance": TIGHT}}), 3.4**2
    inverse = []
    for gap in (8.0, 11.0):
        structure = plates(gap)
        found = []
        for voltage in (0.0, 1.0, 2.0):
            electrodes = [([0, 1], 0.0), ([2, 3], voltage)]
            at = potential.configured(groups=groups_of(4, None, electrodes=electrodes)).evaluate(
                structure
            )
            found.append((float(at.charges[2:].sum()), float(at.energy)))
        assert abs(found[0][0]) < 1e-9
        assert (
            abs(found[2][0] - 2 * found[1][0]) < 1e-3 * found[1][0]
        )  # shells of bent springs are all that is not linear
        assert abs(found[1][1] - found[0][1] + 0.5 * found[1][0]) < 1e-3 * found[1][0]
        inverse.append(1.0 / found[1][0])
    assert abs(inverse[1] - inverse[0] - 4 * math.pi * 14.399645 * 3.0 / area) < 1e-3


def test_between_distant_electrodes_a_molecule_feels_a_uniform_field():
    """Water in the middle of 40 Å: the shells move as in the field 4π k_e σ, to a part in a
    thousand."""
    empty, n = plates(40.0, 12.0), 4
    potential = potential_of("ewald", tolerance=1e-8)
    electrodes = [([0, 1], 0.0), ([2, 3], 4.0)]
    molecule = water().positions + tensor([6.0, 6.0, 21.7])
    full = empty._replace(
        positions=torch.cat([empty.positions, molecule]),
        numbers=torch.cat([empty.numbers, water().numbers]),
        batch=torch.zeros(7, dtype=torch.int64),
    )
    charged = potential.configured(
        coupling="fragment", groups=groups_of(7, [[4, 5, 6]], electrodes=electrodes)
    ).evaluate(full)
    rest = [([0, 1], 0.0), ([2, 3], 0.0)]
    neutral = potential.configured(
        coupling="fragment", groups=groups_of(7, [[4, 5, 6]], electrodes=rest)
    ).evaluate(full)
    sigma = float(charged.charges[2:n].sum() - neutral.charges[2:n].sum()) / 144.0
    field = tensor([0.0, 0.0, -4 * math.pi * 14.399645 * sigma])
    alone = structure_of(molecule, water().numbers, field=field)
    plain = between(potential_of("direct"), alone, [[0, 1, 2]])
    moved = (
        plain.evaluate(alone).dipole
        - plain.evaluate(alone._replace(field=torch.zeros(1, 3, dtype=torch.float64))).dipole
    )
    z = potential.pqeq.core_charge[full.numbers[n:]].unsqueeze(1)

    def dipole(of) -> torch.Tensor:
        return (of.charges[n:].unsqueeze(1) * molecule - z * of.shells[n:]).sum(0)

    torch.testing.assert_close(
        dipole(charged) - dipole(neutral), moved[0], atol=0.02 * float(moved.abs().max()), rtol=0
    )


def test_forces_at_constant_voltage_are_the_gradient_of_the_enthalpy():
    structure, step = plates(3.0), 1e-4
    potential = potential_of("ewald").configured(
        groups=groups_of(4, None, electrodes=[([0, 1], -1.0), ([2, 3], 1.5)])
    )
    forces = potential.evaluate(structure).forces
    for atom in range(4):
        energies = []
        for sign in (1, -1):
            moved = structure.positions.clone()
            moved[atom, 2] += sign * step
            energies.append(energy_of(potential, structure._replace(positions=moved)))
        assert abs(-(energies[0] - energies[1]) / (2 * step) - float(forces[atom, 2])) < 1e-6


def test_plain_qeq_answers_a_field_across_a_flat_molecule_with_nothing_and_pqeq_with_its_shells():
    """Water in the yz-plane, field along x: the energy of QEq stays, that of PQEq falls as
    −½αF²."""
    flat = structure_of(
        tensor([[0, 0, 0], [0, 0.76, 0.59], [0, -0.76, 0.59]]), torch.tensor([8, 1, 1])
    )
    energies: dict[bool, list[float]] = {True: [], False: []}
    for polarizable in (True, False):
        potential = potential_of("direct", "full", polarizable=polarizable)
        for strength in (0.0, 0.1, 0.2):
            energies[polarizable].append(
                energy_of(potential, flat._replace(field=tensor([[strength, 0.0, 0.0]])))
            )
    assert abs(energies[False][2] - energies[False][0]) < 1e-12
    fall = [energies[True][0] - e for e in energies[True][1:]]
    assert fall[0] > 1e-4
    assert abs(fall[1] / fall[0] - 4.0) < 0.02


def test_point_charges_are_narrow_gaussians():
    ions = salt(30.0)
    points = between(
        potential_of("direct", gaussian=False, polarizable=False),
        ions,
        [[0], [1]],
        fragment_charges=[1.0, -1.0],
    )
    near = energy_of(points, salt(2.0)) - energy_of(points, ions)
    assert abs(near + 14.399645 * (1 / 2.0 - 1 / 30.0)) < 1e-9


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (((4, [[0, 1], [1, 2, 3]])), r"fragments\[1\]: atom 1 is in fragments\[0\] too"),
        (((4, [[0, 1], [3]])), "atoms 2 are in no fragment"),
        (((4, [[0, 1], [2, 7]])), r"fragments\[1\]: expected indices from 0 to 3, got 7"),
        (((4, [[0, 1], [2, 3]], [1.0])), "fragment_charges: expected 2 numbers"),
        (((4, [[0, 1], [2, 3]], [1.0, 0.5])), "add up to 1.5 e, and total_charge is 0 e"),
        (((4, [[0, 1]], None, [([2, 3], 0.0), ([3], 1.0)])), "atom 3 is in electrodes too"),
        (((4, [[0, 1]], None, [([2, 3], "1 V")])), r"electrodes\[0\]: expected a voltage"),
        (((4, None, None, [[0, 1, 2]])), r"electrodes\[0\]: expected \(atoms, voltage\)"),
        (((4, None, None, [[0, 1]])), r"electrodes\[0\] atoms: expected indices of atoms, got 0"),
        (
            ((4, None, None, 3)),
            r"electrodes: expected a list with \(atoms, voltage\) of each.*got 3",
        ),
        (((4, [[0, 1, 2, 3], []])), r"fragments\[1\]: expected indices from 0 to 3, got none"),
        (((4, 3)), "fragments: expected a list with the atoms of each fragment.*got 3"),
    ],
)
def test_wrong_groups_are_named(arguments, words):
    with pytest.raises(ValueError, match=words):
        groups_of(*arguments)


def test_groups_belong_to_one_structure():
    with pytest.raises(ValueError, match="coupling 'fragment' needs to know them"):
        potential_of("direct", "fragment").evaluate(water())
    with pytest.raises(ValueError, match="those of 6 atoms, and this structure has 3"):
        between(potential_of("direct"), dimer(3.0), [[0, 1, 2], [3, 4, 5]]).evaluate(water())
