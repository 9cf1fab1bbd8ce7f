"""Oxidation states of compositions: what every chemist says, and what cannot be said."""

from collections import Counter

import ase
import ase.spacegroup
import numpy as np
import pytest
from ase.collections import g2

from openmm_pqeq.reference_charges.like_bonds import like_bonds
from openmm_pqeq.reference_charges.oxidation import STATES, choices, oxidation_states

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
    "C2H6": {"C": -3, "H": 1},
    "CH2O": {"C": 0, "H": 1, "O": -2},
    "C2H2O2": {"C": 1, "H": 1, "O": -2},
    "C2H4O2": {"C": 0, "H": 1, "O": -2},
    "CH2Cl2": {"C": 0, "H": 1, "Cl": -1},
    "C2H3N": {"C": 0, "H": 1, "N": -3},
    "C2H5NO": {"C": 0, "H": 1, "N": -3, "O": -2},
    "KH2PO2": {"K": 1, "H": 1, "P": 1, "O": -2},
    "K3AuSn4": {"K": 1, "Au": 1, "Sn": -1},
    "S2Cl2": {"S": 1, "Cl": -1},
    "TeBr2": {"Te": 2, "Br": -1},
    "Te3Cl2": {"Te": 2 / 3, "Cl": -1},
    "Si2": {"Si": 0},
}


@pytest.mark.parametrize("formula", KNOWN)
def test_states_are_the_ones_of_textbooks(formula):
    elements = ase.Atoms(formula).get_chemical_symbols()
    found = oxidation_states(elements)
    assert found == pytest.approx([KNOWN[formula][element] for element in elements])
    assert sum(found) == pytest.approx(0.0)


BONDED = {
    # formula, bonds of the atoms to their like, charges of the atoms
    "azide": ("NaN3", [0, 2, 4, 2], [1, -1, 1, -1]),
    "azide and iodide": ("Rb2IN3", [0, 0, 0, 2, 4, 2], [1, 1, -1, -1, 1, -1]),
    "pyrite": ("FeS2", [0, 1, 1], [2, -1, -1]),
    "sulfide and disulfide": ("ZrSSS", [0, 1, 1, 0], [4, -1, -1, -2]),
    "a chain of three": ("K2Se3", [0, 0, 1, 2, 1], [1, 1, -1, 0, -1]),
    "a peroxide": ("BaO2", [0, 1, 1], [2, -1, -1]),
    "no peroxide": ("BaTiO3", [0] * 5, [2, 4, -2, -2, -2]),
    "phosphorus in pairs": ("SnP2S6", [0, 1, 1] + [0] * 6, [4, 4, 4] + [-2] * 6),
    "squares of tellurium are no pairs": ("Al2Te5", [0, 0, 0, 0, 4, 4, 4], [3, 3] + [-1.2] * 5),
}


@pytest.mark.parametrize("name", BONDED)
def test_bonds_between_like_atoms_tell_sites_apart(name):
    formula, bonds, charges = BONDED[name]
    elements = ase.Atoms(formula).get_chemical_symbols()
    found = oxidation_states(elements, 0.0, bonds)
    assert found == pytest.approx(charges)


def test_bonds_are_those_of_polyanions():
    pyrite = ase.spacegroup.crystal(
        ["Fe", "S"],
        [(0, 0, 0), (0.385, 0.385, 0.385)],
        spacegroup=205,
        cellpar=[5.418] * 3 + [90] * 3,
    )  # S–S 2.16 Å
    bonds = like_bonds(pyrite.numbers, pyrite.positions, pyrite.cell.array, pyrite.pbc)
    assert bonds == [0.0] * 4 + [1.0] * 8
    assert oxidation_states(pyrite.get_chemical_symbols(), 0.0, bonds) == [2.0] * 4 + [-1.0] * 8
    azide = np.array([[0, 0, 0], [1.18, 0, 0], [2.36, 0, 0], [5.5, 0, 0]])
    assert like_bonds([7, 7, 7, 11], azide, None, [False] * 3) == [2.0, 4.0, 2.0, 0.0]
    shifted = azide + np.array([0.7, 0, 0])  # an atom of the azide in the next cell
    cell = np.diag([8.0, 8.0, 8.0])
    wrapped = np.where(shifted < 2.0, shifted, shifted - 8.0)
    assert like_bonds([7, 7, 7, 11], wrapped, cell, [True] * 3) == [2.0, 4.0, 2.0, 0.0]


def test_peroxides_are_bonded():
    """O–O 1.50 Å (peroxide) and 1.33 Å (superoxide), and not the 1.7 Å that none of them has."""
    for length, order in [(1.33, 1.0), (1.50, 1.0), (1.70, 0.0)]:
        pair = np.array([[0.0, 0.0, 0.0], [length, 0.0, 0.0]])
        assert like_bonds([8, 8], pair, None, [False] * 3) == [order, order]
    peroxide = np.array([[0, 0, 0], [1.5, 0, 0], [0.75, 2.2, 0]])  # BaO2
    bonds = like_bonds([8, 8, 56], peroxide, None, [False] * 3)
    assert oxidation_states(["O", "O", "Ba"], 0.0, bonds) == [-1.0, -1.0, 2.0]


def test_neighbours_in_an_oxide_are_no_bonds():
    rutile = ase.spacegroup.crystal(
        ["Ti", "O"],
        [(0, 0, 0), (0.305, 0.305, 0)],
        spacegroup=136,
        cellpar=[4.594, 4.594, 2.959, 90, 90, 90],
    )  # O–O 2.53 Å
    assert not any(like_bonds(rutile.numbers, rutile.positions, rutile.cell.array, rutile.pbc))


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


def test_molecules_have_hydrogen_of_one_charge():
    """Of ASE's set g2 (doi:10.1063/1.473182), all with carbon that are no radicals: H⁺, N³⁻, O²⁻, Cl⁻.
    Methylsilane is left out: its hydrogen has both signs."""
    n = 0
    for name in g2.names:
        symbols, radical = g2[name].get_chemical_symbols(), g2[name].numbers.sum() % 2
        if "C" not in symbols or len(set(symbols)) == 1 or radical or name == "CH3SiH3":
            continue
        states = dict(zip(symbols, oxidation_states(symbols)))
        usual = {"H": 1, "N": -3, "O": -2, "F": -1, "Cl": -1, "S": -2}
        assert {e: q for e, q in states.items() if e in usual and q != usual[e]} == {}, name
        n += 1
    assert n > 60
