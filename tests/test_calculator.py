"""The ASE calculator: ASE's own laws first (numerical forces and stress, relaxation), then what it
accepts and what it refuses."""

import pickle
import subprocess
import sys

import ase.io
import ase.units
import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk, molecule
from ase.calculators.calculator import PropertyNotImplementedError
from ase.calculators.fd import calculate_numerical_forces, calculate_numerical_stress
from ase.calculators.singlepoint import SinglePointCalculator
from ase.filters import FrechetCellFilter
from ase.md.verlet import VelocityVerlet
from ase.optimize import BFGS

from openmm_pqeq import checkpoint
from openmm_pqeq.calculator import PQEqCalculator
from openmm_pqeq.cli import main
from openmm_pqeq.potential import Potential, build
from openmm_pqeq.pqeq import FieldEnergy
from openmm_pqeq.structure import structure_of

pytestmark = pytest.mark.python_route  # needs no TorchForce, and people use it with a current torch

TIGHT = 1e-10  # eV/e and eV/Å: the charge solution then adds nothing to central differences

D3 = {"damping": "bj", "functional": "pbe", "cutoff": 7.0, "cn_cutoff": 6.0, "smoothing_width": 2.0}


@pytest.fixture(scope="module")
def ewald() -> Potential:
    return build({"pqeq": {"protocol": "ewald", "parameters": "pqeq1"}, "d3": D3})


@pytest.fixture(scope="module")
def dispersion() -> Potential:
    return build({"d3": D3})


def rattled(atoms: Atoms, seed: int = 0) -> Atoms:
    atoms.rattle(0.05, seed=seed)
    return atoms


def water() -> Atoms:
    return rattled(molecule("H2O"))


def crystal() -> Atoms:
    """A skewed four-atom cell, smaller than every cutoff."""
    cell = [[3.9, 0.0, 0.0], [0.6, 4.1, 0.0], [-0.4, 0.7, 4.4]]
    positions = [(0, 0, 0), (0.45, 0.5, 0.1), (0.1, 0.45, 0.55), (0.55, 0.05, 0.5)]
    return Atoms("SiO2F", cell=cell, scaled_positions=positions, pbc=True)


def with_calculator(atoms: Atoms, potential: object, **settings: object) -> Atoms:
    atoms.calc = PQEqCalculator(potential, **settings)
    return atoms


# What ASE asks for


def test_results_of_a_crystal(ewald):
    atoms = with_calculator(crystal(), ewald, tolerance=TIGHT)
    assert atoms.get_potential_energy() == atoms.get_potential_energy(force_consistent=True)
    results = atoms.calc.results
    assert set(results) == {"energy", "free_energy", "charges", "dipole"}  # what ASE knows
    assert "energy_terms" in results
    assert list(results["energy_terms"]) == ["pqeq", "d3"]
    assert sum(results["energy_terms"].values()) == pytest.approx(results["energy"], abs=1e-12)
    assert (atoms.get_forces().shape, atoms.get_stress().shape, results["shells"].shape) == (
        (4, 3),
        (6,),
        (4, 3),
    )
    assert abs(atoms.get_charges().sum()) < 1e-9
    z = ewald.pqeq.core_charge[torch.tensor(atoms.numbers)].numpy()
    moment = (results["charges"][:, None] * atoms.positions - z[:, None] * results["shells"]).sum(0)
    np.testing.assert_allclose(
        atoms.get_dipole_moment(), moment, atol=1e-10
    )  # e Å: the formula of the docs


def test_the_numbers_are_those_of_the_potential(ewald):
    atoms = with_calculator(crystal(), ewald, tolerance=TIGHT)
    structure = structure_of(
        torch.tensor(atoms.positions), torch.tensor(atoms.numbers), torch.tensor(atoms.cell.array)
    )
    expected = ewald.configured(tolerance=TIGHT).evaluate(structure, stress=True)
    stress = atoms.get_stress(voigt=False)
    np.testing.assert_allclose(atoms.get_potential_energy(), float(expected.energy), atol=1e-9)
    np.testing.assert_allclose(atoms.get_forces(), expected.forces.numpy(), atol=1e-8)
    np.testing.assert_allclose(stress, expected.stress[0].numpy(), atol=1e-9)
    np.testing.assert_allclose(atoms.get_charges(), expected.charges.numpy(), atol=1e-8)


def test_forces_and_stress_as_ase_differentiates_them(ewald):
    """1e-5 eV/Å and 1e-6 eV/Å³, for a crystal, a charged one, and a molecule."""
    charged = crystal()
    charged.info["charge"] = 1
    for atoms in (crystal(), charged, water()):
        with_calculator(atoms, ewald, tolerance=TIGHT)
        np.testing.assert_allclose(
            atoms.get_forces(), calculate_numerical_forces(atoms, eps=1e-4), atol=1e-5
        )
        if atoms.pbc.all():
            np.testing.assert_allclose(
                atoms.get_stress(), calculate_numerical_stress(atoms, eps=1e-5), atol=1e-6
            )


def test_relaxation_of_atoms_and_cell():
    """Forces and stress agree with the energy well enough for BFGS to find where both vanish.

    Argon with a repulsive C8 term (s8 < 0) of D3, the nearest to a Lennard-Jones crystal that needs
    no network.
    """
    lennard = {
        "damping": "bj",
        "s6": 20.0,
        "s8": -20.0,
        "a1": 0.0,
        "a2": 1.0,
        "cutoff": 8.0,
        "cn_cutoff": 6.0,
        "species": ["Ar"],
    }
    argon = with_calculator(rattled(bulk("Ar", a=5.5, cubic=True)), build({"d3": lennard}))
    before = argon.get_potential_energy()
    assert BFGS(FrechetCellFilter(argon), logfile=None).run(fmax=1e-3, steps=100)
    assert argon.get_potential_energy() < before
    assert np.abs(argon.get_forces()).max() < 1e-3  # eV/Å
    assert np.abs(argon.get_stress()).max() < 1e-4  # eV/Å³


def test_dynamics_conserve_energy(ewald):
    """20 fs of a silicon–oxygen–fluorine cell without a network: 0.1 meV/atom of fluctuation at
    0.25 fs."""
    atoms = with_calculator(crystal(), ewald, tolerance=1e-8)
    atoms.set_velocities(np.random.default_rng(0).normal(scale=0.002, size=(4, 3)))
    totals = []
    dynamics = VelocityVerlet(atoms, timestep=0.25 * ase.units.fs)
    dynamics.attach(lambda: totals.append(atoms.get_total_energy()))
    dynamics.run(20)
    assert np.ptp(totals) / len(atoms) < 1e-4


def test_stress_only_of_crystals(dispersion):
    slab = crystal()
    slab.pbc = (True, True, False)
    for atoms in (slab, water()):
        with_calculator(atoms, dispersion)
        atoms.get_forces()
        with pytest.raises(PropertyNotImplementedError, match="three periodic directions"):
            atoms.get_stress()


def test_partial_periodicity(dispersion):
    """A slab's energy does not depend on the vector along which it is not periodic; a cell without
    that vector will do."""
    slab = crystal()
    slab.pbc = (True, True, False)
    expected = with_calculator(slab.copy(), dispersion).get_potential_energy()
    for vector in ([0, 0, 0], [1.0, 2.0, 30.0]):
        slab.cell[2] = vector
        assert with_calculator(slab.copy(), dispersion).get_potential_energy() == pytest.approx(
            expected, abs=1e-10
        )
    assert expected != pytest.approx(
        with_calculator(crystal(), dispersion).get_potential_energy(), abs=1e-3
    )


def test_properties_that_a_potential_does_not_have(ewald, dispersion):
    with pytest.raises(PropertyNotImplementedError):
        with_calculator(water(), ewald).get_potential_energies()
    bare = with_calculator(water(), dispersion)
    assert bare.get_potential_energies().sum() == pytest.approx(
        bare.get_potential_energy(), abs=1e-12
    )
    for name in ("charges", "dipole", "shells", "polarizability", "born_charges", "magmoms"):
        with pytest.raises(PropertyNotImplementedError):
            bare.calc.get_property(name, bare)


# Fields, charges, responses


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


# Caching


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


def test_ase_needs_no_openmm():
    """Imports of OpenMM fail in a process of its own, as where it is not installed."""
    program = """
import importlib.metadata, sys
from importlib.abc import MetaPathFinder

class Absent(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("openmm", "openmmtorch", "openmmml"):
            raise ModuleNotFoundError(f"No module named {name!r}")

sys.meta_path.insert(0, Absent())
version = importlib.metadata.version

def without_openmm(package):
    if package.startswith("openmm") and package != "openmm-pqeq":
        raise importlib.metadata.PackageNotFoundError(package)
    return version(package)

importlib.metadata.version = without_openmm
import ase, openmm_pqeq
potential = openmm_pqeq.build({"pqeq": {"protocol": "direct"}})
atoms = ase.Atoms("NaCl", [[0, 0, 0], [2.5, 0, 0]])
atoms.calc = openmm_pqeq.PQEqCalculator(
    potential, coupling="fragment", fragment_charges={"NA": 1, "CL": -1}, field=(0.1, 0, 0)
)
print(atoms.get_charges().round(9).tolist(), "openmm" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout.strip() == "[1.0, -1.0] False", done.stderr


def test_single_precision_and_files(ewald, tmp_path):
    """1e-5 eV/atom and 1e-4 eV/Å for float32; a path or a string stands for the potential in it."""
    checkpoint.save(ewald, tmp_path / "model.pt")
    double = with_calculator(crystal(), tmp_path / "model.pt", tolerance=TIGHT)
    single = with_calculator(crystal(), str(tmp_path / "model.pt"), dtype="float32")
    assert single.get_potential_energy() == pytest.approx(double.get_potential_energy(), abs=4e-5)
    np.testing.assert_allclose(single.get_forces(), double.get_forces(), atol=1e-4)
    assert single.get_forces().dtype == np.float64
    assert single.calc.potential.d3.c6.dtype == torch.float32
    alpha = [atoms.calc.get_property("polarizability", atoms) for atoms in (single, double)]
    np.testing.assert_allclose(
        *alpha, atol=1e-6
    )  # solved in float64 all the same, from positions rounded to float32


# Doors


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"total_charge": "one"}, "total_charge: expected a finite number"),
        ({"total_charge": float("nan")}, "total_charge: expected a finite number"),
        ({"field": 0.1}, "field: expected three"),
        ({"field": (0.0, 0.1)}, "field: expected three"),
        ({"field": (0.0, 0.1, float("inf"))}, "field: expected three"),
        ({"coupling": "fragments"}, "coupling: expected one of"),
        ({"tolerance": 0.0}, "tolerance: expected a positive"),
        ({"dtype": "float16"}, "dtype: expected one of"),
        ({"device": "cuda:99"}, "device: no 'cuda:99' here"),
        ({"device": "gpu"}, "device: expected a torch device"),
        ({"device": "meta"}, "device: expected 'cpu' or 'cuda'"),
    ],
)
def test_bad_arguments_are_refused(ewald, settings, message):
    with pytest.raises(ValueError, match=message):
        PQEqCalculator(ewald, **settings)


def test_what_is_no_potential_is_refused(dispersion):
    with pytest.raises(ValueError, match="potential: expected a Potential"):
        PQEqCalculator(3.0)
    with pytest.raises(FileNotFoundError, match="no-such-model"):
        PQEqCalculator("no-such-model")
    with pytest.raises(ValueError, match="field: this potential has no charges"):
        PQEqCalculator(dispersion, field=(0, 0, 0.1))
    with pytest.raises(ValueError, match="total_charge: this potential has no charges"):
        PQEqCalculator(dispersion, total_charge=1)
    with pytest.raises(ValueError, match="electrodes: this potential has no charges"):
        PQEqCalculator(dispersion, electrodes=[([0], 0.0), ([1], 1.0)])
    with pytest.raises(ValueError, match="fragments: this potential has no charges"):
        PQEqCalculator(dispersion, coupling="fragment", fragments=[[0, 1]])


def broken(what: str) -> Atoms:
    atoms = crystal()
    if what == "nan":
        atoms.positions[2, 1] = np.nan
    elif what == "element":
        atoms.numbers[0] = 79
    elif what == "no element":
        atoms.numbers[0] = 0
    elif what == "same place":
        atoms.positions[1] = atoms.positions[0] + atoms.cell[0]
    elif what == "singular":
        atoms.cell[2] = atoms.cell[0] + atoms.cell[1]
    elif what == "no cell":
        atoms.cell[:] = 0.0
    elif what == "nan cell":
        atoms.cell[0, 0] = np.nan
    elif what == "charge":
        atoms.info["charge"] = "+1"
    return atoms if what != "empty" else Atoms()


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("empty", "atoms: expected at least one atom"),
        ("nan", r"positions: expected finite numbers.*atoms \[2\]"),
        ("element", "elements: .* Au"),
        ("no element", "elements: .* (X|0)"),
        ("same place", "positions: atoms 0 and 1 .* same place"),
        ("singular", "cell: singular"),
        ("no cell", "cell: singular"),
        ("nan cell", "cell: expected finite"),
        ("charge", r'info\["charge"\]: expected the total charge'),
    ],
)
def test_bad_structures_are_refused(ewald, what, message):
    atoms = with_calculator(broken(what), ewald)
    for _ in range(2):  # what failed once is not remembered as done
        with pytest.raises(ValueError, match=message):
            atoms.get_potential_energy()


def test_full_coupling_refuses_a_field_along_the_cell(ewald):
    atoms = with_calculator(crystal(), ewald, coupling="full", field=(0, 0, 0.1))
    with pytest.raises(ValueError, match="field: .* no meaning along a periodic direction"):
        atoms.get_potential_energy()
    atoms.calc.set(field=None)
    atoms.get_potential_energy()
