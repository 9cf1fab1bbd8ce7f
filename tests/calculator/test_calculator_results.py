"""What the ASE calculator computes anew, what it keeps, and where its results go."""

import pickle

import ase.io
import ase.units
import numpy as np
import pytest
from ase.build import bulk, molecule
from ase.calculators.singlepoint import SinglePointCalculator
from calculated import D3, TIGHT, crystal, rattled, water, with_calculator

from openmm_pqeq import checkpoint
from openmm_pqeq.calculator import PQEqCalculator
from openmm_pqeq.cli import main
from openmm_pqeq.fitting.targets import read_response_frames
from openmm_pqeq.potential import Potential, build
from openmm_pqeq.pqeq import FieldEnergy

pytestmark = pytest.mark.python_route  # needs no TorchForce, and people use it with a current torch


def test_only_what_is_asked_for_is_computed(ewald, monkeypatch):
    calls = []
    evaluate = Potential.evaluate

    def counted(
        self: Potential, structure: object, forces: bool = True, stress: bool = False
    ) -> object:
        calls.append((forces, stress))
        return evaluate(self, structure, forces=forces, stress=stress)

    monkeypatch.setattr(Potential, "evaluate", counted)
    atoms = with_calculator(crystal(), ewald)
    atoms.get_potential_energy()
    atoms.get_dipole_moment()
    atoms.get_stress()
    atoms.get_forces()
    atoms.set_initial_charges([1, 1, 1, 1])
    atoms.get_charges()
    assert calls == [(False, False), (True, True)]
    assert "polarizability" not in atoms.calc.results
    atoms.positions[0, 0] += 0.01
    atoms.get_forces()
    assert calls[2:] == [(True, False)]


def test_one_calculator_for_several_systems(ewald):
    """As many atoms, other elements: what the solver remembers of one system must not reach the
    next."""
    calculator = PQEqCalculator(ewald, tolerance=TIGHT)
    others = [molecule("H2O"), molecule("SO2"), molecule("CO2"), molecule("H2O")]
    energies = []
    for atoms in others:
        atoms.calc = calculator
        energies.append(atoms.get_potential_energy())
    fresh = [
        with_calculator(atoms.copy(), ewald, tolerance=TIGHT).get_potential_energy()
        for atoms in others
    ]
    np.testing.assert_allclose(energies, fresh, atol=1e-9)


@pytest.mark.filterwarnings("default:no charges")
def test_charges_that_add_nothing_are_solved_only_on_request(
    dispersion, monkeypatch, tmp_path, capsys
):
    """Of what a field adds, without one: relaxing needs no charges, and may not fail for them."""
    field = {"protocol": "ewald", "parameters": "pqeq1", "energy": "field"}
    potential = build({"d3": D3, "pqeq": field})
    atoms = with_calculator(crystal(), potential)
    bare = with_calculator(crystal(), dispersion)
    assert np.abs(atoms.get_forces() - bare.get_forces()).max() < 1e-12
    assert "charges" not in atoms.calc.results
    charges = atoms.get_charges()
    whole = with_calculator(crystal(), build({"d3": D3, "pqeq": {**field, "energy": "all"}}))
    assert np.abs(charges - whole.get_charges()).max() < 1e-6
    assert np.abs(charges).max() > 0.1

    def fails(*arguments):
        raise RuntimeError("charges: there are none")

    ase.io.write(tmp_path / "a.extxyz", crystal())
    checkpoint.save(potential, tmp_path / "a.pt")
    monkeypatch.setattr(FieldEnergy, "converged", fails)
    atoms = with_calculator(crystal(), potential)
    atoms.get_stress()
    with pytest.raises(RuntimeError, match="there are none"):
        atoms.get_charges()
    atoms.calc.set(field=(0.0, 0.0, 0.01))
    with pytest.raises(RuntimeError, match="there are none"):
        atoms.get_forces()
    assert main(["energy", str(tmp_path / "a.extxyz"), "--model", str(tmp_path / "a.pt")]) == 0
    assert "no charges: charges: there are none" in capsys.readouterr().err


def test_results_of_other_atoms_are_forgotten_however_it_is_called(ewald):
    """ASE's own calls forget them; so does one of `calculate` from outside."""
    calculator, one, other = PQEqCalculator(ewald), water(), water()
    other.positions[1] += 0.1
    calculator.calculate(one, ["born_charges"])
    calculator.calculate(other, ["energy"])
    assert "born_charges" not in calculator.results
    calculator.calculate(other, ["forces"], [])
    assert "energy" in calculator.results


def test_one_calculator_for_systems_of_other_sizes():
    """16 atoms; 2 with nothing to solve, as they are equal; those 2 in a field: a preconditioner of
    the 16 is none of the 2."""
    potential = build({"pqeq": {"protocol": "ewald"}})
    salt, metal = rattled(bulk("NaCl", "rocksalt", 5.6) * (2, 2, 2)), bulk("Na", cubic=True)
    field = (0.0, 0.0, 0.1)
    calculator = PQEqCalculator(potential, tolerance=TIGHT)
    assert calculator.get_property("energy", salt) < -1.0
    assert calculator.get_property("energy", metal) == pytest.approx(0.0, abs=1e-12)
    calculator.set(field=field)
    fresh = with_calculator(metal.copy(), potential, tolerance=TIGHT, field=field)
    energy = fresh.get_potential_energy()
    assert calculator.get_property("energy", metal) == pytest.approx(energy, abs=1e-9)
    assert energy < -1e-3


def test_only_what_changed_is_built_again(ewald, monkeypatch):
    built = []
    compile_for_inference = Potential.compile_for_inference

    def counted(self: Potential) -> Potential:
        built.append(self)
        return compile_for_inference(self)

    monkeypatch.setattr(Potential, "compile_for_inference", counted)
    atoms = with_calculator(water(), ewald, tolerance=TIGHT)
    for settings, count in (
        ({}, 1),
        ({"field": (0.0, 0.0, 0.05)}, 1),
        ({"total_charge": 1}, 1),
        ({"coupling": "shell"}, 1),
        ({"coupling": "fragment", "total_charge": 0}, 2),
        ({"field": (0.0, 0.1, 0.05)}, 2),
        ({"coupling": "full"}, 3),
        ({"tolerance": 1e-9}, 4),
        ({"coupling": "shell", "field": None, "total_charge": None, "tolerance": TIGHT}, 5),
        ({"coupling": None, "electrodes": [([0], 0.0), ([1, 2], 1.0)]}, 6),
        ({"electrodes": None}, 7),
    ):
        atoms.calc.set(**settings)
        if not settings:
            first = atoms.get_potential_energy()
        last = atoms.get_potential_energy()
        assert len(built) == count, settings
    assert last == pytest.approx(first, abs=1e-9)


def test_results_go_where_ase_takes_results(ewald, dispersion, tmp_path):
    """A copy, an export, extxyz and pickle of what was computed; our own names stay with the
    calculator."""
    for potential in (ewald, dispersion):
        atoms = with_calculator(crystal(), potential)
        atoms.get_stress()
        results = atoms.calc.results
        copied = SinglePointCalculator(atoms, **results)
        assert set(copied.results) == set(results)
        exported = atoms.calc.export_properties()
        np.testing.assert_array_equal(exported["forces"], results["forces"])
        ase.io.write(tmp_path / "out.extxyz", atoms)
        back = ase.io.read(tmp_path / "out.extxyz")
        assert back.get_potential_energy() == pytest.approx(results["energy"], abs=1e-6)
        np.testing.assert_allclose(back.get_forces(), results["forces"], atol=1e-6)
        np.testing.assert_allclose(back.get_stress(), results["stress"], atol=1e-6)
        for again in (results.copy(), pickle.loads(pickle.dumps(results))):
            assert again["energy_terms"] == results.get("energy_terms")
            assert list(again) == list(results)
    atoms = with_calculator(crystal(), ewald)
    atoms.calc.get_property("born_charges", atoms)
    assert "born_charges" in atoms.calc.results
    assert "born_charges" in repr(atoms.calc.results)
    assert "energy" not in atoms.calc.results
    SinglePointCalculator(atoms, **atoms.calc.results)
    with pytest.raises(KeyError):
        atoms.calc.results["colours"]
    assert atoms.calc.results.get("colours") is None


def test_a_file_of_labelled_atoms_has_all_results(ewald, tmp_path):
    """Born charges, polarizability, shells and terms, which ASE leaves out of what it writes."""
    atoms = with_calculator(crystal(), ewald)
    with pytest.raises(ValueError, match="labelled: expected results of a calculation"):
        atoms.calc.labelled()
    atoms.get_stress()
    born = atoms.calc.get_property("born_charges", atoms)
    results, path = atoms.calc.results, tmp_path / "all.extxyz"
    atoms.calc.labelled().write(path)
    back = ase.io.read(path)
    stored = {**back.calc.results, **back.arrays, **back.info}
    np.testing.assert_allclose(stored["born_charge"].reshape(-1, 3, 3), born, atol=1e-7)
    for name in ("energy", "forces", "stress", "charges", "dipole", "shells", "polarizability"):
        np.testing.assert_allclose(stored[name], results[name], atol=1e-7, err_msg=name)
    assert stored["energy_terms"] == pytest.approx(results["energy_terms"], abs=1e-9)
    (frame,) = read_response_frames([path], ["born_charge"])
    np.testing.assert_allclose(frame.labels["born_charge"], born, atol=1e-7)
    assert "born_charge" not in atoms.arrays  # the atoms themselves are as they were
