"""Where charges by bonds flow from: oxidation states, and what somebody says."""

import re

import numpy as np
import pytest
import torch
from ase.build import bulk
from pqeq_potentials import BONDED
from through_openmm import BOX, SALT, salt_positions, topology_of

from openmm_pqeq.calculator import PQEqCalculator
from openmm_pqeq.force.create import create_energy
from openmm_pqeq.potential import build
from openmm_pqeq.reference_charges.given import reference_charges_of
from openmm_pqeq.reference_charges.oxidation import oxidation_states


def atoms_of(formula):
    found = re.findall(r"([A-Z][a-z]?)(\d*)", formula)
    return [element for element, n in found for _ in range(int(n or 1))]


@pytest.mark.parametrize(
    ("formula", "total", "states"),
    [
        ("NaCl", 0, {"Na": 1, "Cl": -1}),
        ("Na9Cl8", 1, {"Na": 1, "Cl": -1}),
        ("BaTiO3", 0, {"Ba": 2, "Ti": 4, "O": -2}),
        ("Li7La3Zr2O12", 0, {"Li": 1, "La": 3, "Zr": 4, "O": -2}),
        ("Li6PS5Cl", 0, {"Li": 1, "P": 5, "S": -2, "Cl": -1}),
        ("LiFePO4", 0, {"Li": 1, "Fe": 2, "P": 5, "O": -2}),
        ("NaClO3", 0, {"Na": 1, "Cl": 5, "O": -2}),
        ("SO4", -2, {"S": 6, "O": -2}),
        ("SiC", 0, {"Si": 4, "C": -4}),
        ("AsGa", 0, {"Ga": 3, "As": -3}),
        ("NaH", 0, {"Na": 1, "H": -1}),
        ("H2O", 0, {"H": 1, "O": -2}),
        ("H2O2", 0, {"H": 1, "O": -1}),
        ("Fe3O4", 0, {"Fe": 8 / 3, "O": -2}),
        ("Mn3O4", 0, {"Mn": 8 / 3, "O": -2}),
        ("KNO3", 0, {"K": 1, "N": 5, "O": -2}),
        ("NaBH4", 0, {"Na": 1, "B": 3, "H": -1}),
        ("ZnSiP2", 0, {"Zn": 2, "Si": 4, "P": -3}),
        ("CuInSe2", 0, {"Cu": 1, "In": 3, "Se": -2}),
        ("NaCuO2", 0, {"Na": 1, "Cu": 3, "O": -2}),
        ("Bi2Te3", 0, {"Bi": 3, "Te": -2}),
        ("TlClO4", 0, {"Tl": 1, "Cl": 7, "O": -2}),
        ("Sb2Bi2O8", 0, {"Sb": 5, "Bi": 3, "O": -2}),
        ("BaS3", 0, {"Ba": 2, "S": -2 / 3}),
        ("BaClN3", 0, {"Ba": 2, "Cl": -1, "N": -1 / 3}),
        ("La2S2O2", 0, {"La": 3, "S": -1, "O": -2}),
        ("NbSe2Br2", 0, {"Nb": 4, "Se": -1, "Br": -1}),
        ("ZrS3", 0, {"Zr": 4, "S": -4 / 3}),
        ("NaN3", 0, {"Na": 1, "N": -1 / 3}),
        ("PdCl2Se6", 0, {"Pd": 2, "Cl": -1, "Se": 0}),
        ("ScNiP", 0, {"Sc": 3, "Ni": 0, "P": -3}),
        ("Li8", 0, {"Li": 0}),
    ],
)
def test_oxidation_states_of_compositions(formula, total, states):
    elements = atoms_of(formula)
    found = oxidation_states(elements, total)
    assert found == pytest.approx([states[element] for element in elements])
    assert sum(found) == pytest.approx(total)


@pytest.mark.parametrize(
    ("formula", "total", "message"),
    [
        ("Rb2InGaF6", 0, "equally common"),
        ("AlNi", 0, "no common oxidation states of AlNi.*Al: \\+3"),
        ("NaCl", 9, "add up to 9 e"),
        ("NaOg", 0, "known for Og"),
    ],
)
def test_what_a_composition_does_not_say_is_asked_for(formula, total, message):
    with pytest.raises(ValueError, match=f"reference_charges: .*{message}"):
        oxidation_states(atoms_of(formula), total)


RESIDUES = [("HOH", 0)] * 3 + [("NA", 1), ("SO4", 2)] + [("SO4", 2)] * 4
BRINE = [*"OHH", "Na", "S", *"OOOO"]


def test_by_element_residue_and_atom():
    given = {"HOH": 0, "NA": 1, "SO4": -2}
    found = reference_charges_of(given, BRINE, RESIDUES, -1)
    assert found == [-2, 1, 1, 1, 6, -2, -2, -2, -2]
    elements = {"O": -2, "H": 1, "Na": 1, "S": 6}
    assert reference_charges_of(elements, BRINE, RESIDUES, -1) == found
    assert reference_charges_of(found, BRINE, RESIDUES, -1) == found
    assert reference_charges_of("oxidation", ["Na", "Cl"], [], 0.0) == [1, -1]


def test_a_potential_has_charges_of_its_own_within_a_neutral_residue():
    """A water of a model with fixed charges is not 2 H+ and O2-."""
    own = {"O": -0.8, "H": 0.4, "Na": 1.0}
    water, residues = [*"OHH", "Na"], [("HOH", 0)] * 3 + [("NA", 1)]
    assert reference_charges_of({"HOH": 0, "NA": 1}, water, residues, 1, own) == [-0.8, 0.4, 0.4, 1]
    assert reference_charges_of(None, water, residues, 1, own) == [-0.8, 0.4, 0.4, 1]
    with pytest.raises(ValueError, match=r"the model's own add up to 1 e .*give total_charge"):
        reference_charges_of(None, water, residues, 0, own)
    hydroxide, of = [*"OH", "Na"], [("OH", 0)] * 2 + [("NA", 1)]
    assert reference_charges_of({"OH": -1, "NA": 1}, hydroxide, of, 0, own) == [-2, 1, 1]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"Na": 1}, "none for Cl"),
        ({"Na": 1, "Cl": -2}, "add up to -2 e.*total_charge is 0"),
        ({"Na": 1, "Cl": "x"}, "\\['Cl'\\]: expected a finite number"),
        ({"Na": 1, "Cl": -1, "K": 1}, "no atom is of an element or residue 'K'"),
        ([1, -1, 1], "expected 4 finite numbers"),
        ([1, 1, -1, float("nan")], "expected 4 finite numbers"),
        ("formal", "expected a mapping"),
        (3.0, "expected a mapping"),
    ],
)
def test_bad_reference_charges_are_refused_at_every_door(given, message):
    potential = build({"pqeq": {"protocol": "ewald", "parameters": BONDED, "charge_flow": "bonds"}})
    salt = bulk("NaCl", "rocksalt", a=5.64).repeat((2, 1, 1))
    with pytest.raises(ValueError, match=f"^reference_charges.*{message}"):
        PQEqCalculator(potential, reference_charges=given).get_potential_energy(salt)
    with pytest.raises(ValueError, match=f"^reference_charges.*{message}"):
        create_energy(potential, topology_of(SALT, BOX), reference_charges=given)


def test_what_belongs_to_the_other_flow_of_charge_is_refused():
    free = build({"pqeq": {"protocol": "ewald", "parameters": BONDED}})
    bonds = build({"pqeq": {"protocol": "ewald", "parameters": BONDED, "charge_flow": "bonds"}})
    with pytest.raises(
        ValueError, match="reference_charges: the charges of this potential flow freely"
    ):
        PQEqCalculator(free, reference_charges={"Na": 1, "Cl": -1})
    for wrong in ({"coupling": "shell"}, {"fragment_charges": {"NA": 1}}):
        with pytest.raises(ValueError, match=f"^{next(iter(wrong))}: charges by bonds"):
            create_energy(bonds, topology_of(SALT, BOX), **wrong)
    with pytest.raises(ValueError, match="coupling: charges by bonds have one of their own"):
        build({"pqeq": {"protocol": "ewald", "charge_flow": "bonds", "coupling": "shell"}})
    with pytest.raises(ValueError, match="charge_flow: 'bonds' needs a converged solution"):
        build({"pqeq": {"protocol": "reaxnet", "charge_flow": "bonds"}})


def test_only_what_has_to_be_solved_needs_them():
    """A field energy without a field runs on any composition, and says what it lacks once a field
    comes."""
    metal = {"Na": BONDED["Na"], "Cs": BONDED["Cs"]}
    potential = build(
        {
            "pqeq": {
                "protocol": "ewald",
                "parameters": metal,
                "charge_flow": "bonds",
                "energy": "field",
            }
        }
    )
    topology = topology_of(["Na", "Cs"] * 2, BOX)
    energy = create_energy(potential, topology)
    box, zero = 0.1 * np.eye(3) @ BOX, np.zeros(3)
    at = [torch.tensor(x) for x in (0.1 * salt_positions(), box)]
    assert float(energy(*at, torch.tensor(zero))) == 0.0
    with pytest.raises(ValueError, match="reference_charges: charges by bonds flow from them"):
        energy(*at, torch.tensor([0.0, 0.0, 0.01]))
    with pytest.raises(ValueError, match="reference_charges: no common oxidation states of Na2Cs2"):
        create_energy(potential, topology, field=(0, 0, 0.01))
    alloy = bulk("NaCs", "cesiumchloride", a=4.5)
    alloy.calc = PQEqCalculator(potential)
    assert alloy.get_potential_energy() == 0.0
    assert "charges" not in alloy.calc.results
    with pytest.raises(ValueError, match="reference_charges: no common oxidation states of NaCs"):
        alloy.get_charges()
    alloy.calc.set(reference_charges={"Na": 0, "Cs": 0})
    assert abs(alloy.get_charges()).max() > 1e-3
