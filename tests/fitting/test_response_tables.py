"""The response tables that ship: complete, convex for every structure, with their sources."""

from importlib import resources

import numpy as np
import pytest
import torch
from ase.units import Debye

from openmm_pqeq.covalent_radii import covalent_radii
from openmm_pqeq.fitting.crystals import table
from openmm_pqeq.fitting.crystals.table import Kind
from openmm_pqeq.potential import build
from openmm_pqeq.pqeq import resolve_parameters
from openmm_pqeq.pqeq.coulomb.kernels import dipole_self_energy, gaussian_self_energy
from openmm_pqeq.pqeq.parameters import spring_constant_ev
from openmm_pqeq.response import response
from openmm_pqeq.structure import ATOMIC_NUMBERS, structure_of

TABLES = ("pqeq_response.csv", "pqeq_response_free.csv")


def text_of(name: str) -> str:
    return resources.files("openmm_pqeq.data").joinpath(name).read_text(encoding="utf-8")


@pytest.mark.parametrize("name", TABLES)
def test_every_element_has_a_row_and_every_row_a_minimum(name):
    """η above a Gaussian's interaction with itself by 0.3 eV, K above 1.1 times that of a dipole."""
    rows = table.rows_to_start(str(resources.files("openmm_pqeq.data").joinpath(name)))
    elements = {ATOMIC_NUMBERS[symbol] for symbol in resolve_parameters("reaxnet")}
    assert {kind.number for kind in rows if kind.charge is None} == elements
    for kind, row in rows.items():
        radius = torch.tensor(row.radius, dtype=torch.float64)
        assert row.hardness > float(gaussian_self_energy(radius)) + 0.2999, kind.label
        assert spring_constant_ev(row) / row.core_charge**2 > 1.0999 * float(
            dipole_self_energy(radius)
        ), kind.label


def test_rows_by_bonds_say_how_soft_they_are():
    lines = [line for line in text_of("pqeq_response.csv").splitlines() if line[0] != "#"]
    columns = lines[0].split(",")
    for line in lines[1:]:
        row = dict(zip(columns, line.split(",")))
        number = ATOMIC_NUMBERS[row["element"]]
        assert float(row["covalent_radius"]) == pytest.approx(float(covalent_radii()[number]))
        assert 0 < float(row["softness"]) < 10
        assert 0 < float(row["decay"]) < 40
        assert abs(float(row["chi_slope"])) < 40


def test_usual_ions_have_rows_of_their_own():
    rows = table.rows_to_start(str(resources.files("openmm_pqeq.data").joinpath(TABLES[0])))
    for number, charge in ((8, -2), (17, -1), (17, 7), (16, -2), (16, 6), (11, 1), (22, 4)):
        assert Kind(number, charge) in rows


def cation_charge(symbols, places, cell, charges) -> float:
    """A third of the trace of the first atom's Born charge, e, with the set `response`."""
    potential = build(
        {"pqeq": {"protocol": "ewald", "parameters": "response", "charge_flow": "bonds"}}
    )
    cell = torch.tensor(cell, dtype=torch.float64)
    structure = structure_of(
        torch.tensor(places, dtype=torch.float64) @ cell,
        torch.tensor([ATOMIC_NUMBERS[symbol] for symbol in symbols]),
        cell,
        reference_charges=torch.tensor(charges),
    )
    return float(response(potential, structure)[1][0].trace()) / 3


def test_born_charges_are_above_and_below_oxidation_states():
    """Ti⁴⁺ of cubic BaTiO3 (PBEsol: 7.7 e) and W⁴⁺ of 2H-WS2 (−0.5 e)."""
    places = [[0.5, 0.5, 0.5], [0, 0, 0], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]]
    titanium = cation_charge(
        ["Ti", "Ba", "O", "O", "O"], places, 4.0 * np.eye(3), [4.0, 2.0, -2.0, -2.0, -2.0]
    )
    assert 6.0 < titanium < 8.0
    a, b, z = 1 / 3, 2 / 3, 0.6225
    places = [
        [a, b, 0.25],
        [b, a, 0.75],
        [a, b, z],
        [b, a, 1 - z],
        [b, a, z - 0.5],
        [a, b, 1.5 - z],
    ]
    cell = [[3.153, 0, 0], [-1.5765, 2.7306, 0], [0, 0, 12.32]]
    tungsten = cation_charge(
        ["W", "W", "S", "S", "S", "S"], places, cell, [4.0, 4.0, -2.0, -2.0, -2.0, -2.0]
    )
    assert -1.5 < tungsten < 1.0


@pytest.mark.parametrize("name", TABLES)
def test_authors_and_licence_are_named(name):
    head = text_of(name).split("element,")[0]
    for words in ("CC BY 4.0", "A. Togo", "Petretto", "Materials Project"):
        assert words in head


def moments_of_water(first: float, second: float, angle: float) -> tuple[np.ndarray, np.ndarray]:
    """Dipole (D) and the quadrupole's diagonal about the centre of mass (D Å) with the set for
    molecules; y along the bisector."""
    half = np.deg2rad(angle) / 2
    x, y = np.sin(half), np.cos(half)
    places = np.array([[0, 0, 0], [first * x, first * y, 0], [-second * x, second * y, 0]])
    places -= np.array([15.999, 1.008, 1.008]) @ places / 18.015
    potential = build(
        {"pqeq": {"protocol": "direct", "parameters": "molecules", "charge_flow": "bonds"}}
    )
    structure = structure_of(
        torch.tensor(places), torch.tensor([8, 1, 1]), reference_charges=torch.zeros(3)
    )
    found = potential.evaluate(structure, forces=False)
    assert found.charges is not None
    assert found.shells is not None
    q, dipoles = found.charges.numpy(), -found.shells.numpy()
    across = 2 * np.einsum("ix,ix->x", dipoles, places)
    second_moment = np.einsum("i,ix,ix->x", q, places, places) + across
    quadrupole = 1.5 * second_moment - 0.5 * second_moment.sum()
    return (q @ places + dipoles.sum(axis=0)) / Debye, quadrupole / Debye


def test_water_has_the_moments_that_distant_waters_feel():
    """Experiment: 1.855 D; 2.63, −0.13, −2.50 D Å (doi:10.1063/1.1673462). Stretched by 0.03 Å, the
    dipole grows by 0.012 D (CCSD/aug-cc-pVTZ); a set whose dipole fell had distant waters a fifth too
    little energy."""
    dipole, quadrupole = moments_of_water(0.9572, 0.9572, 104.52)
    assert abs(dipole[1] - 1.855) < 0.1
    assert np.abs(quadrupole - [2.63, -0.13, -2.50]).max() < 0.6
    stretched, _ = moments_of_water(0.9872, 0.9872, 104.52)
    assert 0.0 < stretched[1] - dipole[1] < 0.06
    bent, _ = moments_of_water(0.9572, 0.9572, 109.5)
    assert -0.12 < bent[1] - dipole[1] < -0.05
