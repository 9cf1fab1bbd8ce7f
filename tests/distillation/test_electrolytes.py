"""The models `electrolytes` and `electrolytes_fast`: near their teacher, and honest about the rest."""

import importlib
import sys
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.data import covalent_radii

import openmm_pqeq as pq
from openmm_pqeq.distillation.config import read_distillation
from openmm_pqeq.force.time_steps import inner_potential

RECIPE = Path(__file__).parents[2] / "examples" / "distill_electrolytes"

ANTIPEROVSKITE = Atoms(
    "OClLi3",
    scaled_positions=[(0.5, 0.5, 0.5), (0, 0, 0), (0.5, 0.5, 0), (0.5, 0, 0.5), (0, 0.5, 0.5)],
    cell=[3.907] * 3,
    pbc=True,
)
MOVES = [[0.1, 0, 0.05], [0, -0.1, 0], [0.15, 0.1, 0], [0, 0, -0.1], [-0.1, 0.05, 0.1]]
TEACHER = [
    [-1.1791, -0.0904, -0.4019],
    [0.1608, 0.1734, 0.1066],
    [-0.2644, -0.1562, 0.2074],
    [-0.0603, 0.1349, 0.1652],
    [1.343, -0.0617, -0.0774],
]
"""eV/Å: forces of SevenNet-l3i5 on Li3OCl, which is not among the phases that were trained on."""


BOTH = pytest.mark.parametrize("model", ["electrolytes", "electrolytes_fast"])
SHIFTED = [[0.1, -0.05, 0.0], [0.0, 0.1, 0.05], [-0.05, 0.0, -0.1]]
OF_LITHIUM_SULFIDE = [
    [-0.5469, 0.5037, -0.0432],
    [0.195, -0.399, -0.3399],
    [0.3519, -0.1047, 0.3831],
]
OF_ZIRCONIA = [[-1.1152, 1.1048, 0.0227], [0.2142, -1.355, -1.757], [0.901, 0.2502, 1.7343]]
"""eV/Å: forces of SevenNet-l3i5 on fluorites whose three atoms are moved by SHIFTED."""


def test_forces_of_a_phase_that_was_never_trained_on_are_near_the_teachers():
    """60 meV/Å is what the card says of all held-out structures."""
    atoms = ANTIPEROVSKITE.copy()
    atoms.positions += MOVES
    forces = pq.PQEqCalculator("electrolytes").get_forces(atoms)
    assert 1000 * float(np.sqrt(np.square(forces - TEACHER).mean())) < 60


@BOTH
@pytest.mark.parametrize(
    ("symbol", "edge", "teacher", "most"),
    [("SLi2", 5.71, OF_LITHIUM_SULFIDE, 60), ("ZrO2", 5.12, OF_ZIRCONIA, 150)],
)
def test_forces_of_crystals_are_near_the_teachers(model, symbol, edge, teacher, most):
    """To `most` meV/Å; atoms moved in a way that was not trained on."""
    atoms = bulk(symbol, "fluorite", a=edge)
    atoms.positions += SHIFTED
    forces = pq.PQEqCalculator(model).get_forces(atoms)
    assert 1000 * float(np.sqrt(np.square(forces - teacher).mean())) < most


def test_the_fast_one_is_an_inner_model_of_the_other():
    """What an outer step adds is small beside the force itself."""
    atoms = bulk("SLi2", "fluorite", a=5.71, cubic=True).repeat(2)
    atoms.rattle(0.1, seed=0)
    whole, inner = (
        pq.PQEqCalculator(inner_potential(name)).get_forces(atoms)
        for name in ("electrolytes", "electrolytes_fast")
    )
    assert np.square(whole - inner).mean() < 0.15**2 * np.square(whole).mean()


@BOTH
@pytest.mark.parametrize(
    ("symbol", "lattice", "edge"), [("LiCl", "rocksalt", 5.15), ("Li", "bcc", 3.44)]
)
def test_lattice_constants(model, symbol, lattice, edge):
    """Those of PBE (Materials Project: LiCl 5.15, Li 3.44 Å), to 1 %."""
    sizes = edge * np.linspace(0.97, 1.03, 7)
    calculator = pq.PQEqCalculator(model)
    energies = [calculator.get_potential_energy(bulk(symbol, lattice, a)) for a in sizes]
    a, b, _ = np.polyfit(sizes, energies, 2)
    assert -b / (2 * a) == pytest.approx(edge, rel=0.01)


@BOTH
def test_it_says_what_it_is_for(model):
    potential = pq.load(model)
    assert sorted(potential.species) == ["Cl", "F", "Fe", "La", "Li", "N", "O", "P", "S", "Zr"]
    assert potential.limits.temperature == (0.0, 1000.0)
    assert (potential.pqeq is not None) == (model == "electrolytes")
    with pytest.raises(ValueError, match="Ge"):
        pq.PQEqCalculator(potential).get_potential_energy(bulk("Ge"))
    assert "Yutack Park" in pq.checkpoint.card(model)["licence"]


@pytest.fixture(scope="module")
def recipe():
    """The scripts that make its structures, for the moment in the place of the tests' own
    `structures`."""
    pytest.importorskip("pymatgen", reason="the extra `analysis` is not installed")
    names = ("structures", "structures_more")
    with pytest.MonkeyPatch.context() as patch:
        for name in names:
            patch.delitem(sys.modules, name, raising=False)
        patch.syspath_prepend(RECIPE)
        found = [importlib.import_module(name) for name in names]
        for name in names:
            del sys.modules[name]
    return found


@pytest.fixture(scope="module")
def crystals(recipe):
    """Those of the recipe."""
    first = recipe[0]
    made = first.simple() | first.phosphates_and_sulfides() | first.garnets()
    return made | first.interfaces(made)


@pytest.fixture(scope="module")
def more(recipe):
    """What its third part adds to them."""
    return recipe[1].made()


@pytest.mark.parametrize("name", ["electrolytes", "electrolytes_fast", "electrolytes_more"])
def test_the_recipe_names_the_structures_that_it_makes(crystals, more, name):
    settings = read_distillation(RECIPE / f"{name}.toml")
    named = {Path(file).stem for file in settings.held_out.files}
    assert named == set(crystals)
    trained = [Path(file) for file in settings.structures.files]
    assert named - {file.stem for file in trained} == {"Li3OCl", "Li3PS4_gamma"}
    added = {file.stem for file in trained if file.parent.name == "structures_more"}
    assert added == (set(more) if name == "electrolytes_more" else set())


def test_the_third_part_measures_what_the_others_measure():
    """The same held-out structures, so that errors may be compared, from other seeds than those that
    are trained on."""
    first, third = (read_distillation(RECIPE / f"electrolytes{one}.toml") for one in ("", "_more"))
    assert third.held_out == first.held_out
    assert third.structures.seed not in (first.structures.seed, third.held_out.seed)


def test_structures_of_the_third_part_are_what_they_are_called(crystals, more):
    """The first of a phase is the crystal that is measured; no atoms are nearer than 0.6 of their
    covalent radii; every P of a sulfide has four S, 1.8 to 2.4 Å away, and no fifth within 2.8."""
    for name, images in more.items():
        for atoms in images:
            distances = atoms.get_all_distances(mic=True)
            np.fill_diagonal(distances, np.inf)
            radii = covalent_radii[atoms.numbers]
            assert float((distances / (radii[:, None] + radii)).min()) > 0.6, name
            if name.startswith("Li3PS4"):
                bonds = distances[np.ix_(atoms.symbols == "P", atoms.symbols == "S")]
                assert (bonds < 2.4).sum(axis=1).tolist() == [4] * len(bonds), name
                assert (bonds < 2.8).sum(axis=1).tolist() == [4] * len(bonds), name
                assert bonds.min() > 1.8, name
        if name in crystals:
            assert images[0] == crystals[name], name
    stacked, gamma = more["Li3PS4_cubic_stacking"][0], crystals["Li3PS4_gamma"]
    sizes = [atoms.get_volume() / len(atoms) for atoms in (stacked, gamma)]
    assert sizes[0] == pytest.approx(sizes[1], rel=0.01)


def test_crystals_of_the_recipe_are_what_they_are_called(crystals):
    """Formulae, and no two atoms nearer than 0.6 of their covalent radii (Li on split sites)."""
    formulae = {"Li3P": "Li6P2", "LLZO": "La12Li28Zr8O48", "LLZO_cubic": "La24Li56Zr16O96"}
    formulae |= {"Li3PS4": "Li12P4S16", "Li6PS5Cl": "Li24P4S20Cl4", "LiPON": "Li24P8N2O29"}
    for name, formula in formulae.items():
        assert (
            dict(crystals[name].symbols.formula.count()) == Atoms(formula).symbols.formula.count()
        )
    for name, atoms in crystals.items():
        distances = atoms.get_all_distances(mic=True)
        np.fill_diagonal(distances, np.inf)
        radii = covalent_radii[atoms.numbers]
        assert float((distances / (radii[:, None] + radii)).min()) > 0.6, name
