"""Oxidation states of compositions: what every chemist says, and what cannot be said."""

from collections import Counter

import ase
import pytest

from openmm_pqeq.reference_charges import STATES, choices, oxidation_states

KNOWN = {
    "BaTiO3": {"Ba": 2, "Ti": 4, "O": -2},
    "H2O": {"H": 1, "O": -2},
    "LiPF6": {"Li": 1, "P": 5, "F": -1},
    "KNO3": {"K": 1, "N": 5, "O": -2},
    "NaBH4": {"Na": 1, "B": 3, "H": -1},
    "ZnSiP2": {"Zn": 2, "Si": 4, "P": -3},
    "CuInSe2": {"Cu": 1, "In": 3, "Se": -2},
    "NaCuO2": {"Na": 1, "Cu": 3, "O": -2},
    "Bi2Te3": {"Bi": 3, "Te": -2},
    "GaAs": {"Ga": 3, "As": -3},
    "TlClO4": {"Tl": 1, "Cl": 7, "O": -2},
    "Sb2Bi2O8": {"Sb": 5, "Bi": 3, "O": -2},
    "Fe3O4": {"Fe": 8 / 3, "O": -2},
    "BaO2": {"Ba": 2, "O": -1},
    "BaS3": {"Ba": 2, "S": -2 / 3},
    "NaN3": {"Na": 1, "N": -1 / 3},
    "ScNiP": {"Sc": 3, "Ni": 0, "P": -3},
    "Si2": {"Si": 0},
}


@pytest.mark.parametrize("formula", KNOWN)
def test_states_are_the_ones_of_textbooks(formula):
    elements = ase.Atoms(formula).get_chemical_symbols()
    found = oxidation_states(elements)
    assert found == pytest.approx([KNOWN[formula][element] for element in elements])
    assert sum(found) == pytest.approx(0.0)


def test_the_total_charge_is_met():
    elements = ase.Atoms("SO4").get_chemical_symbols()
    assert oxidation_states(elements, -2.0) == [6.0, -2.0, -2.0, -2.0, -2.0]
    assert sum(oxidation_states(["Na"] * 4, 1.0)) == pytest.approx(1.0)


def test_equals_are_refused_with_the_candidates():
    with pytest.raises(ValueError, match=r"equally common; give one of them") as refused:
        oxidation_states(ase.Atoms("Rb2InGaF6").get_chemical_symbols())
    assert "'In': 3" in str(refused.value)
    assert "'In': 1" in str(refused.value)


def test_every_choice_adds_up():
    for formula, total in (("Fe2O3", 0), ("NH4", 1), ("ScNiP", 0), ("K2S5", 0)):
        counts = Counter(ase.Atoms(formula).get_chemical_symbols())
        found = choices(counts, total)
        assert found
        for choice in found:
            assert sum(counts[e] * state for e, state in choice.states.items()) == pytest.approx(
                total
            )


def test_unknown_elements_are_named():
    assert "Og" not in STATES
    with pytest.raises(ValueError, match="no oxidation states are known for Og"):
        oxidation_states(["Og", "O"])
