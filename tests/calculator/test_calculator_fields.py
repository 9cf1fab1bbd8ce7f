"""The ASE calculator in fields, with charges, and its responses."""

import numpy as np
import pytest
from ase import Atoms
from calculated import TIGHT, crystal, water, with_calculator

from openmm_pqeq.calculator import PQEqCalculator
from openmm_pqeq.potential import build

pytestmark = pytest.mark.python_route  # needs no TorchForce, and people use it with a current torch


def test_field_pushes_a_charged_molecule(ewald):
    """Shell coupling: Σ force = Q F, to the solution's tolerance."""
    atoms = with_calculator(
        water(), ewald, total_charge=1, field=(0.0, 0.02, -0.01), tolerance=TIGHT
    )
    np.testing.assert_allclose(atoms.get_forces().sum(0), [0.0, 0.02, -0.01], atol=1e-8)
    assert atoms.get_charges().sum() == pytest.approx(1.0, abs=1e-9)


def test_responses_are_derivatives_in_the_field(ewald):
    """Polarizability −∂²E/∂F² (e²Å²/eV) and Born charges ∂force/∂F (e) against central differences;
    charges' sum rule."""
    step = 1e-3
    atoms = with_calculator(water(), ewald, tolerance=TIGHT)
    alpha, born = (
        atoms.calc.get_property(name, atoms) for name in ("polarizability", "born_charges")
    )
    assert (alpha.shape, born.shape) == ((3, 3), (3, 3, 3))
    np.testing.assert_allclose(born.sum(0), np.zeros((3, 3)), atol=1e-8)

    def at(field: np.ndarray) -> tuple[float, np.ndarray]:
        atoms.calc.set(field=field)
        return atoms.get_potential_energy(), atoms.get_forces()

    unfielded, _ = at(np.zeros(3))
    for a in range(3):
        (up, forces_up), (down, forces_down) = at(step * np.eye(3)[a]), at(-step * np.eye(3)[a])
        assert -(up - 2 * unfielded + down) / step**2 == pytest.approx(alpha[a, a], abs=1e-4)
        np.testing.assert_allclose((forces_up - forces_down) / (2 * step), born[:, a], atol=1e-5)


def test_total_charge_comes_from_the_atoms_unless_given(ewald):
    atoms = with_calculator(water(), ewald)
    neutral = atoms.get_potential_energy()
    atoms.info["charge"] = np.int64(-1)
    anion = atoms.get_potential_energy()
    assert abs(anion - neutral) > 0.1
    assert atoms.get_charges().sum() == pytest.approx(-1.0, abs=1e-6)
    del atoms.info["charge"]
    assert atoms.get_potential_energy() == pytest.approx(neutral, abs=1e-6)
    atoms.calc = PQEqCalculator(ewald, total_charge=-1)
    assert atoms.get_potential_energy() == pytest.approx(anion, abs=1e-6)


def test_settings_can_be_changed(ewald):
    atoms = with_calculator(water(), ewald, tolerance=TIGHT)
    without = atoms.get_potential_energy()
    assert atoms.calc.set(field=(0.0, 0.0, 0.05)) == {"field": (0.0, 0.0, 0.05)}
    assert atoms.calc.results == {}
    shell = atoms.get_potential_energy()
    atoms.calc.set(coupling="full")
    assert len({round(e, 6) for e in (without, shell, atoms.get_potential_energy())}) == 3
    with pytest.raises(ValueError, match="colour: not a setting"):
        atoms.calc.set(colour="red")


def test_full_coupling_refuses_a_field_along_the_cell(ewald):
    atoms = with_calculator(crystal(), ewald, coupling="full", field=(0, 0, 0.1))
    with pytest.raises(ValueError, match="field: .* no meaning along a periodic direction"):
        atoms.get_potential_energy()
    atoms.calc.set(field=None)
    atoms.get_potential_energy()


def test_reference_charges_stay_while_a_bond_between_anions_breaks():
    """E(b) − E(a) = −∫ F dx across 1.1 (R_i + R_j), 2.31 Å of S–S; atoms that come from elsewhere have
    the charges of where they are."""
    potential = build(
        {"pqeq": {"protocol": "direct", "charge_flow": "bonds", "parameters": "response"}}
    )
    calculator = PQEqCalculator(potential, field=(0.02, 0.0, 0.1), tolerance=TIGHT)
    lengths = np.linspace(2.05, 2.55, 41)

    def titanium_disulfide(length: float) -> Atoms:
        return Atoms("TiS2", positions=[[0, 0, 2.2], [-length / 2, 0, 0], [length / 2, 0, 0]])

    atoms = titanium_disulfide(lengths[0])
    atoms.calc = calculator
    energies, along = [], []
    for length in lengths:
        atoms.positions = titanium_disulfide(length).positions
        energies.append(atoms.get_potential_energy())
        along.append((atoms.get_forces()[2, 0] - atoms.get_forces()[1, 0]) / 2)
    work = float(np.trapezoid(along, lengths))
    assert energies[-1] - energies[0] == pytest.approx(-work, abs=1e-3)
    alone = titanium_disulfide(lengths[-1])
    alone.calc = PQEqCalculator(potential, field=(0.02, 0.0, 0.1), tolerance=TIGHT)
    assert abs(alone.get_potential_energy() - energies[-1]) > 0.1
    atoms.positions = titanium_disulfide(4.0).positions
    atoms.get_potential_energy()
    atoms.positions = titanium_disulfide(lengths[-1]).positions
    assert atoms.get_potential_energy() == pytest.approx(alone.get_potential_energy(), abs=1e-6)


def test_reference_charges_stay_where_atoms_are_wrapped_into_the_cell():
    """Atoms that a bond has left, on the other side of the cell: the same structure, the same energy."""
    charges = {"protocol": "ewald", "charge_flow": "bonds", "parameters": "response"}
    places = [[0.2, 5, 7.2], [-0.9, 5, 5], [1.3, 5, 5]]
    atoms = Atoms("TiS2", places, cell=[10, 10, 10], pbc=True)
    atoms.calc = PQEqCalculator(build({"pqeq": charges}), tolerance=TIGHT)
    atoms.get_potential_energy()
    atoms.positions[2, 0] += 0.3
    energy = atoms.get_potential_energy()
    atoms.wrap()
    assert atoms.get_potential_energy() == pytest.approx(energy, abs=1e-6)
    atoms.positions += [3.0, 20.0, -4.0]  # elsewhere as a whole is another course
    assert abs(atoms.get_potential_energy() - energy) > 0.1


def test_reference_charges_stay_where_a_cell_takes_its_atoms_along():
    """In a cell 20 Å wide, stretched by 5 %, atoms go 0.9 Å and keep what they had; 0.9 Å in the same cell
    are another course, of charges without the bond between sulfurs that has broken."""
    charges = {"protocol": "ewald", "charge_flow": "bonds", "parameters": "response"}

    def energies(change):
        atoms = Atoms(
            "TiS2", [[18, 5, 7.2], [16.9, 5, 5], [19.1, 5, 5]], cell=[20, 10, 10], pbc=True
        )
        atoms.calc = PQEqCalculator(build({"pqeq": charges}), tolerance=TIGHT)
        atoms.get_potential_energy()
        atoms.positions[2, 0] += 0.3
        atoms.get_potential_energy()
        change(atoms)
        kept = atoms.get_potential_energy()
        atoms.calc = PQEqCalculator(build({"pqeq": charges}), tolerance=TIGHT)
        return kept, atoms.get_potential_energy()

    kept, anew = energies(lambda atoms: atoms.set_cell([21, 10, 10], scale_atoms=True))
    assert abs(kept - anew) > 0.1
    kept, anew = energies(lambda atoms: atoms.translate([0.9, 0, 0]))
    assert kept == pytest.approx(anew, abs=1e-6)
