"""Charges by bonds in insulators: the laws of electrostatics and of a field."""

import math

import pytest
import torch
from bonded import caesium_chloride, crystal, free_part, potential_of, structure
from pqeq_potentials import BONDED
from structures import tensor

from openmm_pqeq.potential import build
from openmm_pqeq.response import response
from openmm_pqeq.units import COULOMB


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
