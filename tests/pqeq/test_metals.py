"""Charges by bonds beside metals: electrodes, and metals that keep a charge of their own."""

import math

import laws
import pytest
import torch
from bonded import assert_dipole, caesium_chloride, crystal, potential_of, structure
from structures import tensor

from openmm_pqeq.pqeq import groups_of
from openmm_pqeq.response import response
from openmm_pqeq.units import COULOMB


def plates(voltage, gap=9.0, between=()):
    """Two plates of gold in a slab geometry, atoms between them, and the groups."""
    a, n = 4.08, 2
    sheet = [[0.5 * a * i * 1.0, 0.5 * a * j, 0.0] for i in range(2) for j in range(2)]
    bottom = [[x, y, z * 2.04] for z in range(n) for x, y, _ in sheet]
    top = [[x, y, z + gap + 2.04 * (n - 1)] for x, y, z in bottom]
    elements = ["Au"] * len(bottom + top) + [e for e, _ in between]
    places = bottom + top + [p for _, p in between]
    at = structure(elements, places, torch.diag(tensor([a, a, 90.0])), (True, True, False))
    ions = list(range(len(bottom + top), len(places)))
    electrodes = [(range(len(bottom)), 0.0), (range(len(bottom), len(bottom + top)), voltage)]
    electrodes = [(list(atoms), v) for atoms, v in electrodes]
    return at, groups_of(len(places), [ions] if ions else None, None, electrodes, 0.0)


def test_a_capacitor_has_its_charge():
    """Q grows with V as ε₀A/d, d larger by what each plate's Gaussians reach into the gap."""
    a, charge = 4.08, {}
    for gap in (12.0, 15.0):
        at, groups = plates(1.0, gap)
        found = potential_of("ewald", tolerance=1e-9).configured(groups=groups)(at)
        charge[gap] = float(found.charges[8:].sum())
    inverse = 1 / charge[15.0] - 1 / charge[12.0]
    assert inverse == pytest.approx(4 * math.pi * COULOMB * 3.0 / a**2, rel=1e-6)


def test_an_insulator_between_plates_screens():
    """Layers of an insulator between two plates add to 1/C what ε takes from their thickness."""
    potential = potential_of("ewald", tolerance=1e-9)
    a = 4.08

    def layers(n):
        return [
            (e, [0.5 * a * s, 0.5 * a * s, 13.0 + a * k + 0.5 * a * s])
            for k in range(n)
            for s, e in enumerate(("Cs", "Cl"))
        ]

    inverse = {}
    for n in (7, 8):
        at, groups = plates(0.5, gap=22.0 + a * n, between=layers(n))
        other, _ = plates(0.0, gap=22.0 + a * n, between=layers(n))
        with_voltage = potential.configured(groups=groups)(at).charges
        without = potential.configured(groups=groups._replace(voltage=0 * groups.voltage))(
            other
        ).charges
        inverse[n] = 0.5 / float((with_voltage - without)[8:16].sum())
    cell = caesium_chloride(1, a=a)
    alpha, _ = response(potential, cell)
    epsilon = 1 + 4 * math.pi * COULOMB * float(alpha[2, 2]) / a**3
    added = 4 * math.pi * COULOMB * a / (a**2 * epsilon)
    assert inverse[8] - inverse[7] == pytest.approx(added, rel=0.01)


def test_no_charge_crosses_from_metal_to_insulator():
    at, groups = plates(2.0, gap=8.0, between=[("Na", [2.0, 2.0, 4.5]), ("Cl", [2.0, 2.0, 7.0])])
    potential = potential_of("ewald").configured(groups=groups)
    assert float(potential(at).charges[16:].sum()) == pytest.approx(0.0, abs=1e-9)
    laws.assert_forces(lambda one: potential(one).energy, at, samples=4)


def test_a_metal_takes_what_is_left_of_the_total_charge():
    at, groups = plates(0.0, gap=8.0, between=[("Na", [2.0, 2.0, 6.04])])
    at = at._replace(total_charge=0.0 * at.total_charge)
    found = potential_of("ewald").configured(groups=groups)(at)
    assert float(found.charges[16]) == pytest.approx(1.0, abs=1e-9)
    assert float(found.charges[:16].sum()) == pytest.approx(-1.0, abs=1e-9)


def with_floating(at, groups, floating, charges, voltages):
    """The same atoms with gold of its own charge among them."""
    n, held = len(at.numbers), {atom for atoms in floating for atom in atoms}
    plates_of = [[k for k in range(8)], [k for k in range(8, 16)]]
    bonded = [k for k in range(16, n) if k not in held]
    fragments = [bonded, *floating] if bonded else floating
    given = [0.0, *charges] if bonded else charges
    return groups_of(n, fragments, given, list(zip(plates_of, voltages)), 0.0, metals=len(floating))


def sheets(height, layers=2, a=4.08):
    """A slab of gold."""
    places = [[0.5 * a * i, 0.5 * a * j, 0.0] for i in range(2) for j in range(2)]
    return [("Au", [x, y, height + 2.04 * k]) for k in range(layers) for x, y, _ in places]


def test_a_metal_that_floats_between_plates_is_two_capacitors_in_series():
    """1/C does not depend on where it floats, grows by 4πk_e/A with each Å of the gaps, and is the sum
    of those of the two gaps, but for the depth of charges in metals of two layers, 0.3 Å; the metal
    keeps its charge."""
    inverse, per_angstrom = {}, 4 * math.pi * COULOMB / 4.08**2
    for gap, height in ((30.0, 12.0), (30.0, 15.0), (33.0, 15.0)):
        at, groups = plates(1.0, gap, between=sheets(height))
        groups = with_floating(at, groups, [list(range(16, 24))], [0.0], (0.0, 1.0))
        found = potential_of("ewald", tolerance=1e-9).configured(groups=groups)(at)
        assert float(found.charges[16:].sum()) == pytest.approx(0.0, abs=1e-9)
        assert float(found.charges[16:].abs().max()) > 1e-3
        inverse[gap, height] = 1 / float(found.charges[8:16].sum())
    assert inverse[30.0, 15.0] == pytest.approx(inverse[30.0, 12.0], rel=1e-6)
    grown = inverse[33.0, 15.0] - inverse[30.0, 15.0]
    assert grown == pytest.approx(3.0 * per_angstrom, rel=1e-6)
    apart = 0.0
    for gap in (12.0 - 2.04, 30.0 - 12.0 - 2.04 + 2.04):  # between the faces of plate and slab
        at, groups = plates(1.0, gap)
        found = potential_of("ewald", tolerance=1e-9).configured(groups=groups)(at)
        apart += 1 / float(found.charges[8:].sum())
    assert inverse[30.0, 12.0] == pytest.approx(apart, abs=0.4 * per_angstrom)


def test_metals_keep_their_own_charges_and_one_potential_each():
    between = [*sheets(7.0), *sheets(13.0, 1), ("Na", [2.0, 2.0, 10.8]), ("Cl", [0.2, 0.1, 18.0])]
    at, groups = plates(0.5, 22.0, between=between)
    groups = with_floating(
        at, groups, [list(range(16, 24)), list(range(24, 28))], [0.3, -0.5], (0.0, 0.5)
    )
    at = at._replace(total_charge=0.0 * at.total_charge, field=tensor([[0.0, 0.0, 0.02]]))
    potential = potential_of("ewald").configured(groups=groups)
    charges = potential(at).charges
    for atoms, charge in (((16, 24), 0.3), ((24, 28), -0.5), ((28, 29), 1.0), ((29, 30), -1.0)):
        assert float(charges[slice(*atoms)].sum()) == pytest.approx(charge, abs=1e-9)
    assert float(charges[:16].sum()) == pytest.approx(0.2, abs=1e-9)
    for made in (potential, potential.compile_for_inference()):
        laws.assert_forces(lambda one, p=made: p(one).energy, at, samples=8)
    assert_dipole(potential, at, 1e-8)


def test_a_metal_alone_in_a_field_adds_its_thickness_to_the_polarizability():
    """A neutral slab of gold without electrodes: A·d/4πk_e with each layer."""
    a, alpha = 4.08, {}
    for layers in (9, 10):
        atoms = sheets(0.0, layers)
        at = structure(
            [e for e, _ in atoms],
            [p for _, p in atoms],
            torch.diag(tensor([a, a, 60.0])),
            (True, True, False),
        )
        groups = groups_of(len(atoms), [list(range(len(atoms)))], [0.0], metals=1)
        potential = potential_of("ewald", tolerance=1e-10).configured(groups=groups)
        alpha[layers] = float(response(potential, at)[0][2, 2])
    assert alpha[10] - alpha[9] == pytest.approx(a * a * 2.04 / (4 * math.pi * COULOMB), rel=1e-4)


def at_plates(voltage):
    """Ions between plates, more cations than anions."""
    ions = [("Na", [2.0, 2.0, 6.5]), ("Na", [0.3, 1.0, 8.5]), ("Cl", [2.2, 0.4, 7.6])]
    at, groups = plates(voltage, gap=12.0, between=ions)
    return at._replace(total_charge=0.0 * at.total_charge), groups


@pytest.mark.parametrize("voltage", [0.0, 1.5])
def test_electrodes_in_a_field_are_of_the_same_energy(voltage):
    """Ions of either charge between plates, so that the metal has a charge of its own: forces, dipole
    and Born charges are derivatives of one energy."""
    at, groups = at_plates(voltage)
    at = at._replace(field=tensor([[0.0, 0.0, 0.04]]))
    plain = potential_of("ewald").configured(groups=groups)
    for potential in (plain, plain.compile_for_inference()):
        laws.assert_forces(lambda one, p=potential: p(one).energy, at, samples=12)
        assert_dipole(potential, at, 1e-8)
    _, born = response(potential_of("ewald").configured(groups=groups), at)
    ends = []
    for sign in (1, -1):
        moved = at._replace(field=at.field + sign * tensor([[0.0, 0.0, 1e-3]]))
        ends.append(plain.evaluate(moved).forces)
    laws.close(born[:, 2], (ends[0] - ends[1]) / 2e-3, 1e-6, "Born charges")


OF_FIELD = {
    "molecule": lambda: ("direct", crystal((False, False, False)), None),
    "slab": lambda: ("pme", crystal((True, True, False)), None),
    "wire": lambda: ("ewald", crystal((True, False, False)), None),
    "electrodes": lambda: ("ewald", *at_plates(0.0)),
    "voltage": lambda: ("ewald", *at_plates(1.5)),
}


@pytest.mark.parametrize("case", OF_FIELD.values(), ids=OF_FIELD)
@pytest.mark.parametrize("compiled", [False, True])
def test_the_slope_of_the_fields_energy_at_no_field_is_that_of_small_fields(case, compiled):
    """−P from either side, and that of the energies themselves, across where nothing is periodic."""
    protocol, at, groups = case()
    potential = potential_of(protocol, energy="field").configured(groups=groups)
    if compiled:
        potential = potential.compile_for_inference()
    energies, slopes = [], []
    for value in (-1e-3, -1e-8, 0.0, 1e-8, 1e-3):
        field = tensor([[0.0, 0.0, value]]).requires_grad_(True)
        energy = potential(at._replace(field=field)).energy.sum()
        slopes.append(float(torch.autograd.grad(energy, field)[0][0, 2]))
        energies.append(float(energy.detach()))
    assert abs(slopes[2]) > 0.01  # e Å
    for near in (slopes[1], slopes[3], 0.5 * (slopes[0] + slopes[4])):
        assert slopes[2] == pytest.approx(near, abs=1e-7)
    assert (energies[4] - energies[0]) / 2e-3 == pytest.approx(slopes[2], abs=1e-7)
    assert energies[2] == pytest.approx(0.5 * (energies[1] + energies[3]), abs=1e-9)
