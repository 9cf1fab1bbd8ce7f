"""The ASE calculator: ASE's own laws (numerical forces and stress, relaxation)."""

import subprocess
import sys

import ase.io
import ase.units
import numpy as np
import pytest
import torch
from ase.build import bulk
from ase.calculators.calculator import PropertyNotImplementedError
from ase.calculators.fd import calculate_numerical_forces, calculate_numerical_stress
from ase.filters import FrechetCellFilter
from ase.md.verlet import VelocityVerlet
from ase.optimize import BFGS
from calculated import TIGHT, crystal, rattled, water, with_calculator

from openmm_pqeq import checkpoint
from openmm_pqeq.potential import build
from openmm_pqeq.structure import structure_of

pytestmark = pytest.mark.python_route  # needs no TorchForce, and people use it with a current torch


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
