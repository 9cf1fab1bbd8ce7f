"""Charges by bonds: derivatives, limits, and the laws of insulators in a field."""

import math

import laws
import pytest
import torch
from pqeq_potentials import BONDED
from structures import tensor

from openmm_pqeq.covalent_radii import covalent_radii
from openmm_pqeq.neighbors.search import NeighborSearch
from openmm_pqeq.potential import build
from openmm_pqeq.pqeq import groups_of
from openmm_pqeq.pqeq.bonds import BOND_RANGE, bond_softness
from openmm_pqeq.pqeq.coupling import ionic_energy_of_free_directions
from openmm_pqeq.pqeq.parameters import resolve_parameters, split_kind
from openmm_pqeq.response import response
from openmm_pqeq.structure import ATOMIC_NUMBERS, collate, structure_of
from openmm_pqeq.units import COULOMB

CHARGES = {"H": 1.0, "O": -2.0, "Na": 1.0, "Cl": -1.0, "Cs": 1.0, "Au": 0.0}
FIELD = (0.03, -0.02, 0.05)  # V/Å


def potential_of(protocol="ewald", parameters=BONDED, **settings):
    settings = {"tolerance": 1e-11, "charge_flow": "bonds", **settings}
    return build({"pqeq": {"protocol": protocol, "parameters": parameters, **settings}})


def structure(elements, positions, cell=None, pbc=None, field=(0, 0, 0), charges=CHARGES):
    reference = [charges[e] for e in elements]
    return structure_of(
        torch.as_tensor(positions, dtype=torch.float64),
        torch.tensor([ATOMIC_NUMBERS[e] for e in elements]),
        None if cell is None else torch.as_tensor(cell, dtype=torch.float64),
        None if pbc is None else torch.tensor(pbc),
        sum(reference),
        tensor(field),
        tensor(reference),
    )


def crystal(pbc=(True, True, True), field=FIELD):
    """A distorted cell with an ion too many in it, when not all directions are periodic."""
    cell = tensor([[5.2, 0, 0], [0.3, 5.6, 0], [0.2, 0.4, 5.9]])
    places = [
        [0, 0, 0],
        [0.5, 0.5, 0],
        [0.5, 0, 0.5],
        [0, 0.5, 0.5],
        [0.5, 0.5, 0.55],
        [0.1, 0.05, 0.5],
    ]
    generator = torch.Generator().manual_seed(3)
    shaken = 0.2 * torch.rand(6, 3, generator=generator, dtype=torch.float64)
    elements = ["Na", "Na", "Na", "Cl", "Cl", "Cl"]
    return structure(elements, tensor(places) @ cell + shaken, cell, pbc, field)


WATER = [[0.0, 0.0, 0.0], [0.757, 0.586, 0.0], [-0.757, 0.586, 0.0]]
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


def free_part(at):
    rows = torch.where(at.pbc[0][:, None], at.cell[0], torch.zeros_like(at.cell[0]))
    return at.field[0] - torch.linalg.pinv(rows) @ (rows @ at.field[0])


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
    field = at.field.clone().requires_grad_(True)
    found = potential(at._replace(field=field))
    (slope,) = torch.autograd.grad(found.energy.sum(), field)
    laws.close(-slope, found.dipole, 1e-9, "dipole")
    step = 1e-4 * torch.eye(3, dtype=torch.float64)[2]

    def value(sign):
        moved = at._replace(field=at.field + sign * step)
        bare = potential(moved).energy - ionic_energy_of_free_directions(
            at.reference_charges, at.positions, moved
        )
        return float(bare)

    along = (value(1) - value(-1)) / 2e-4
    ionic = float(at.reference_charges @ at.positions[:, 2])
    assert along == pytest.approx(-float(found.dipole[0, 2]) + ionic, abs=1e-7)


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


def test_an_independent_dense_code_gives_the_same():
    """Rock salt of 5.6 Å in closed reciprocal-space form: charges, ε∞ and Born charges of a matrix of
    8 × 8, with nothing of the package but its constants."""
    at = rock_salt_pair()
    charges, epsilon, born = dense_response(at)
    potential = potential_of("ewald")
    found = potential(at)
    laws.close(found.charges, charges, 1e-9, "charges")
    alpha, z = response(potential, at)
    volume = float(torch.linalg.det(at.cell[0]).abs())
    identity = torch.eye(3, dtype=torch.float64)
    laws.close(identity + 4 * math.pi * COULOMB * alpha / volume, epsilon, 1e-7, "ε∞")
    laws.close(z[0], born, 1e-6, "Born charges")


def rock_salt_pair(shift=(0.1, 0.05, -0.07)):
    half = 2.8
    cell = [[0, half, half], [half, 0, half], [half, half, 0]]
    place = tensor([half, half, half]) + tensor(shift)
    return structure(["Na", "Cl"], [[0, 0, 0], place.tolist()], cell)


def dense_response(at):
    """Charges, ε∞, and ∂(dipole)/∂(position of the first atom) by central differences."""

    def solve(positions, field):
        chi, eta, radius, sigma, spring = (
            tensor([BONDED[element][key] for element in ("Na", "Cl")])
            for key in (
                "electronegativity",
                "hardness",
                "radius",
                "softness",
                "spring_constant",
            )
        )
        alpha = 0.462770 / (2 * radius**2)
        volume = float(torch.linalg.det(at.cell[0]).abs())
        reciprocal = 2 * math.pi * torch.linalg.inv(at.cell[0]).t()
        grid = torch.cartesian_prod(*[torch.arange(-14, 15, dtype=torch.float64)] * 3)
        k = (grid @ reciprocal)[(grid != 0).any(dim=1)]
        square = (k * k).sum(dim=1)
        weight = 4 * math.pi * COULOMB / (square * volume)
        phase = torch.exp(1j * (positions @ k.t()).to(torch.complex128))
        wave = torch.exp(-square / 4 / alpha[:, None]) * phase  # of q, (2, n_k)
        waves = torch.cat([wave, *(1j * k[:, a] * wave for a in range(3))])  # q, μ_x, μ_y, μ_z
        matrix = ((waves * weight) @ waves.conj().t()).real
        gamma = torch.sqrt(alpha / 2)
        own_q = COULOMB * 2 * gamma / math.sqrt(math.pi)
        own_dipole = COULOMB * 4 * gamma**3 / (3 * math.sqrt(math.pi))
        stiffness = spring / 23.060547830619026
        matrix = matrix + torch.diag(torch.cat([eta - own_q, *[stiffness - own_dipole] * 3]))
        # bonds: all images within the range
        radii = covalent_radii()[at.numbers]
        laplacian = torch.zeros(2, 2, dtype=torch.float64)
        drop, g = torch.zeros(2, dtype=torch.float64), torch.zeros(3, 3, dtype=torch.float64)
        flow = torch.zeros(2, 3, dtype=torch.float64)
        shifts = torch.cartesian_prod(*[torch.arange(-4, 5, dtype=torch.float64)] * 3) @ at.cell[0]
        for i in range(2):
            for j in range(2):
                for d in positions[j] - positions[i] + shifts:
                    r = float(d.norm())
                    if 1e-6 < r < 1.6 * float(radii[i] + radii[j]):
                        x = r / float(radii[i] + radii[j])
                        s = float(sigma[i] * sigma[j]) * math.exp(-3.76 * (x - 1))
                        s *= (1 - (x / 1.6) ** 2) ** 3
                        laplacian[i, i] += s
                        laplacian[i, j] -= s
                        drop[i] -= s * float(field @ d)
                        flow[i] -= s * d
                        g += 0.5 * s * torch.outer(d, d)
        a, b, c = matrix[:2, :2], matrix[:2, 2:], matrix[2:, 2:]
        reference = at.reference_charges
        left = torch.cat(
            [
                torch.cat([torch.eye(2).double() + laplacian @ a, laplacian @ b], dim=1),
                torch.cat([b.t(), c], dim=1),
            ]
        )
        pull = field.repeat_interleave(2)
        right = torch.cat([reference + drop - laplacian @ chi, pull])
        x = torch.linalg.solve(left, right)
        q, mu = x[:2], x[2:].view(3, 2)
        potential = a @ q + b @ x[2:] + chi
        polarization = g @ field - flow.t() @ potential + mu.sum(dim=1)
        return q, polarization + reference @ positions

    zero, step = tensor([0.0, 0, 0]), 1e-4
    q, _ = solve(at.positions, zero)
    identity = torch.eye(3, dtype=torch.float64)
    volume = float(torch.linalg.det(at.cell[0]).abs())
    alpha = torch.stack(
        [solve(at.positions, e)[1] - solve(at.positions, zero)[1] for e in identity]
    )
    born = torch.zeros(3, 3, dtype=torch.float64)
    for b in range(3):
        moved = torch.zeros_like(at.positions)
        moved[0, b] = step
        ends = [solve(at.positions + sign * moved, zero)[1] for sign in (1, -1)]
        born[:, b] = (ends[0] - ends[1]) / (2 * step)
    return q, identity + 4 * math.pi * COULOMB * alpha / volume, born


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
    soft = potential_of("ewald", scaled(1e4), polarizable=False, tolerance=1e-9)
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


def test_a_batch_is_its_structures():
    potential = potential_of("ewald")
    several = [crystal(), crystal(field=(0, 0.01, 0)), rock_salt_pair()]
    together = potential(collate(several))
    alone = [potential(one) for one in several]
    laws.close(together.energy, torch.cat([one.energy for one in alone]), 1e-9, "energies")
    laws.close(together.dipole, torch.cat([one.dipole for one in alone]), 1e-9, "dipoles")


# Laws of insulators


def caesium_chloride(layers, pbc=(True, True, True), a=4.12):
    """Cells of caesium chloride one on the other along z."""
    cell = torch.diag(tensor([a, a, a * layers]))
    up = a * torch.arange(layers, dtype=torch.float64)
    nothing = torch.zeros_like(up)
    cations = torch.stack([nothing, nothing, up], dim=1)
    anions = cations + 0.5 * a
    places = torch.stack([cations, anions], dim=1).flatten(0, 1)
    return structure(["Cs", "Cl"] * layers, places, cell, pbc)


def macroscopic(potential):
    """Z* of the cation, ε∞ and the volume of the cubic cell."""
    at = caesium_chloride(1)
    alpha, born = response(potential, at)
    volume = float(torch.linalg.det(at.cell[0]))
    return float(born[0, 2, 2]), 1 + 4 * math.pi * COULOMB * float(alpha[2, 2]) / volume, volume


def wave_stiffness(potential, layers, axis, amplitude=1e-3):
    """Restoring force per displacement, eV/Å², of a wave of the cations along z, moving along
    `axis`."""
    at = caesium_chloride(layers)
    phase = 2 * math.pi * torch.arange(layers, dtype=torch.float64) / layers
    wave = torch.zeros_like(at.positions)
    wave[::2, axis] = amplitude * torch.cos(phase)
    ends = [
        potential.evaluate(at._replace(positions=at.positions + s * wave)).forces for s in (1, -1)
    ]
    return -float((0.5 * (ends[0] - ends[1]) * wave).sum() / (wave * wave).sum())


def test_longitudinal_and_transverse_waves_split():
    """k_L − k_T → 4πk_e Z*²/(ε∞V) as the wave gets longer, quadratically."""
    potential = potential_of("ewald", tolerance=1e-9)
    born, epsilon, volume = macroscopic(potential)
    expected = 4 * math.pi * COULOMB * born**2 / (epsilon * volume)
    split = {n: wave_stiffness(potential, n, 2) - wave_stiffness(potential, n, 0) for n in (12, 24)}
    assert abs(split[24] - expected) < 0.35 * abs(split[12] - expected)
    assert (4 * split[24] - split[12]) / 3 == pytest.approx(expected, rel=0.01)


def test_a_film_screens_as_electrostatics_says():
    """Per layer of a film in a field across it α = V(1 − 1/ε)/4πk_e, and its Born charges are Z*/ε."""
    potential = potential_of("ewald", tolerance=1e-9)
    born, epsilon, volume = macroscopic(potential)
    films = {n: response(potential, caesium_chloride(n, (True, True, False))) for n in (6, 7)}
    per_layer = float(films[7][0][2, 2] - films[6][0][2, 2])
    assert per_layer == pytest.approx(
        volume * (1 - 1 / epsilon) / (4 * math.pi * COULOMB), rel=2e-3
    )
    assert float(films[7][1][6, 2, 2]) == pytest.approx(born / epsilon, rel=0.02)


def test_an_ion_carried_around_the_cell_has_had_its_work():
    """∮ f·dr = Q⁰ F L: nothing else of the force survives a closed path."""
    potential = potential_of("ewald", tolerance=1e-8)
    field = (0.0, 0.04, 0.0)
    at = structure(
        ["Cs", "Cl"],
        [[0.3, 0.1, 0.2], [2.6, 2.2, 2.4]],
        torch.diag(tensor([4.6, 4.4, 4.5])),
        field=field,
    )
    steps = 40
    work = 0.0
    for k in range(steps):
        moved = at.positions.clone()
        moved[0, 1] += 4.4 * k / steps
        moved[0, 0] += 0.2 * math.sin(2 * math.pi * k / steps)
        velocity = tensor([0.2 * 2 * math.pi * math.cos(2 * math.pi * k / steps), 4.4, 0.0])
        work += float(potential.evaluate(at._replace(positions=moved)).forces[0] @ velocity) / steps
    assert work == pytest.approx(1.0 * 0.04 * 4.4, rel=1e-5)


@pytest.mark.parametrize(
    "pbc", [(True, True, True), (False, False, False)], ids=["crystal", "free"]
)
def test_energy_in_a_constant_field_is_conserved(pbc):
    """Velocity Verlet from a distorted start: E + kinetic − F·ΣQ⁰r of unwrapped positions."""
    config = {"pqeq": {"protocol": "ewald" if all(pbc) else "direct", "parameters": BONDED}}
    config["pqeq"] |= {"charge_flow": "bonds", "tolerance": 1e-8}
    potential = build({**config, "zbl": {}})
    at = crystal(pbc, field=(0.0, 0.05, 0.08))
    mass, step = 30.0 * 103.642697, 0.25  # eV fs²/Å², fs
    velocity = torch.zeros_like(at.positions)
    found = potential.evaluate(at)
    energies = []
    for _ in range(120):
        velocity = velocity + 0.5 * step * found.forces / mass
        at = at._replace(positions=at.positions + step * velocity)
        found = potential.evaluate(at)
        velocity = velocity + 0.5 * step * found.forces / mass
        kinetic = 0.5 * mass * float((velocity**2).sum())
        along = at.field[0] - free_part(at)
        hidden = -float(at.reference_charges @ (at.positions @ along))
        energies.append(kinetic + float(found.energy) + hidden)
    assert kinetic > 0.05
    assert max(energies) - min(energies) < 1e-3 * kinetic


# Metals


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
    field = at.field.clone().requires_grad_(True)
    found = potential(at._replace(field=field))
    (slope,) = torch.autograd.grad(found.energy.sum(), field)
    laws.close(-slope, found.dipole, 1e-8, "dipole")


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


@pytest.mark.parametrize("voltage", [0.0, 1.5])
def test_electrodes_in_a_field_are_of_the_same_energy(voltage):
    """Ions of either charge between plates, so that the metal has a charge of its own: forces, dipole
    and Born charges are derivatives of one energy."""
    ions = [("Na", [2.0, 2.0, 6.5]), ("Na", [0.3, 1.0, 8.5]), ("Cl", [2.2, 0.4, 7.6])]
    at, groups = plates(voltage, gap=12.0, between=ions)
    at = at._replace(total_charge=0.0 * at.total_charge, field=tensor([[0.0, 0.0, 0.04]]))
    plain = potential_of("ewald").configured(groups=groups)
    for potential in (plain, plain.compile_for_inference()):
        laws.assert_forces(lambda one, p=potential: p(one).energy, at, samples=12)
        field = at.field.clone().requires_grad_(True)
        found = potential(at._replace(field=field))
        (slope,) = torch.autograd.grad(found.energy.sum(), field)
        laws.close(-slope, found.dipole, 1e-8, "dipole")
    _, born = response(potential_of("ewald").configured(groups=groups), at)
    ends = []
    for sign in (1, -1):
        moved = at._replace(field=at.field + sign * tensor([[0.0, 0.0, 1e-3]]))
        ends.append(plain.evaluate(moved).forces)
    laws.close(born[:, 2], (ends[0] - ends[1]) / 2e-3, 1e-6, "Born charges")


def at_plates(voltage):
    """Ions between plates, more cations than anions."""
    ions = [("Na", [2.0, 2.0, 6.5]), ("Na", [0.3, 1.0, 8.5]), ("Cl", [2.2, 0.4, 7.6])]
    at, groups = plates(voltage, gap=12.0, between=ions)
    return at._replace(total_charge=0.0 * at.total_charge), groups


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
