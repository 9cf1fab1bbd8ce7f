"""The screened repulsion of nuclei: the laws, the formula in plain numpy, and a term among others
at every door."""

import csv

import laws
import numpy as np
import openmm
import pytest
import torch
from ase import Atoms
from openmm import app
from through_openmm import (
    BOX,
    SALT,
    assert_same,
    both_routes,
    context_of,
    evaluated,
    expected,
    salt_positions,
    topology_of,
)

import openmm_pqeq as pq
from openmm_pqeq.checkpoint import load, save
from openmm_pqeq.neighbors.search import NeighborSearch
from openmm_pqeq.potential import build
from openmm_pqeq.structure import ATOMIC_NUMBERS, structure_of
from openmm_pqeq.zbl import ZBL

pytestmark = pytest.mark.python_route

CELL = torch.tensor([[2.9, 0.0, 0.0], [0.3, 3.1, 0.0], [-0.4, 0.2, 2.7]], dtype=torch.float64)
INNER, OUTER = 1.5, 3.5


def crystal():
    """Three atoms of different elements, images within the cutoff."""
    fractions = torch.tensor(
        [[0.02, 0.01, 0.0], [0.5, 0.52, 0.49], [0.5, 0.1, 0.55]], dtype=torch.float64
    )
    return structure_of(fractions @ CELL, torch.tensor([56, 22, 8]), CELL)


def dimer(r, one="Ti", other="O", dtype=torch.float64):
    return structure_of(
        torch.tensor([[0.0, 0.0, 0.0], [0.0, 0.0, r]], dtype=dtype),
        torch.tensor([ATOMIC_NUMBERS[one], ATOMIC_NUMBERS[other]]),
    )


def energy_of(term=None):
    term = ZBL(INNER, OUTER) if term is None else term
    search = NeighborSearch(term.cutoff)
    return lambda structure: term(structure, search(structure), structure.positions).energy


def published(z_i, z_j, r):
    """The formula with its constants, as pair_style zbl of LAMMPS has them; k_e of CODATA."""
    x = r * (z_i**0.23 + z_j**0.23) / 0.46850
    phi = (
        0.02817 * np.exp(-0.20162 * x)
        + 0.28022 * np.exp(-0.40290 * x)
        + 0.50986 * np.exp(-0.94229 * x)
        + 0.18175 * np.exp(-3.19980 * x)
    )
    return 14.3996454785 * z_i * z_j / r * phi


LAWS = [
    laws.assert_translation,
    laws.assert_rotation,
    laws.assert_inversion,
    laws.assert_permutation,
    laws.assert_any_image,
    laws.assert_forces,
    laws.assert_stress,
    laws.assert_second_derivatives,
    laws.assert_supercell,
]


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__)
def test_the_laws_of_a_crystal(law):
    law(energy_of(), crystal())


def test_a_batch_is_its_structures_and_far_ones_do_not_meet():
    laws.assert_batch(energy_of(), [crystal(), dimer(1.1), dimer(2.0, "U", "H")])
    laws.assert_size_consistency(energy_of(), dimer(1.1), dimer(2.0, "Si", "C"))


@pytest.mark.parametrize("distance", [INNER, OUTER])
def test_two_derivatives_are_continuous_where_it_is_switched_off(distance):
    energy, step = energy_of(), 1e-6
    # 26 eV/Å and 180 eV/Å², times the 2e-7 Å from one side to the other
    laws.assert_continuous(energy, dimer, distance, tolerance=1e-5, force=1e-4)
    bends = []
    for r in (distance - step, distance + step):
        length = torch.tensor([r], dtype=torch.float64, requires_grad=True)
        z = torch.tensor([22.0, 8.0], dtype=torch.float64)
        value = ZBL(INNER, OUTER).repulsion(z[:1], z[1:], length).sum()
        (slope,) = torch.autograd.grad(value, length, create_graph=True)
        bends.append(torch.autograd.grad(slope.sum(), length)[0])
    laws.close(bends[0], bends[1], 1e-3, "second derivative, eV/Å²")  # the third is some 100 eV/Å³
    assert float(energy(dimer(OUTER))) == 0.0


@pytest.mark.parametrize(("one", "other"), [("H", "H"), ("O", "Ti"), ("Si", "Si"), ("U", "Ba")])
@pytest.mark.parametrize("r", [0.3, 0.9, 1.4])
def test_the_published_formula(one, other, r):
    """To 1e-7 of a value: k_e of the published PQEq tables is 3e-8 below CODATA's."""
    found = float(energy_of()(dimer(r, one, other)))
    expected = published(ATOMIC_NUMBERS[one], ATOMIC_NUMBERS[other], r)
    assert found == pytest.approx(expected, rel=1e-7)
    assert found > 0.0


def test_nuclei_that_meet_have_their_bare_repulsion():
    """The published amplitudes add up to one, φ(0) = 1."""
    z = torch.tensor([22.0, 8.0], dtype=torch.float64)
    r = torch.tensor([1e-6], dtype=torch.float64)
    bare = 14.399645 * 22 * 8 / 1e-6
    assert float(ZBL().repulsion(z[:1], z[1:], r)) == pytest.approx(bare, rel=1e-4)


def test_it_repels_at_all_distances():
    z = torch.full([200], 14.0, dtype=torch.float64)
    r = torch.linspace(0.05, OUTER - 0.01, 200, dtype=torch.float64)
    energies = ZBL(INNER, OUTER).repulsion(z, z, r)
    assert (energies > 0).all()
    assert (energies.diff() < 0).all()


@pytest.mark.parametrize(("one", "other", "sum_of_radii"), [("O", "H", 0.97), ("I", "Cs", 3.83)])
def test_its_range_in_covalent_radii(one, other, sum_of_radii):
    """The same x as with lengths, where one unit is the sum of both radii."""
    term = ZBL(0.4, 0.65, of_radii=True)
    energy, whole = energy_of(term), energy_of(ZBL(0.4 * sum_of_radii, 0.65 * sum_of_radii))
    for share in (0.3, 0.45, 0.6):
        at = dimer(share * sum_of_radii, one, other)
        assert float(energy(at)) == pytest.approx(float(whole(at)), rel=1e-12)
    assert float(energy(dimer(0.649 * sum_of_radii, one, other))) > 0.0
    assert float(energy(dimer(0.651 * sum_of_radii, one, other))) == 0.0
    assert build({"zbl": term.settings}).config["zbl"] == term.settings


NETWORK = {"species": ["O", "Ti", "Ba"], "hidden_irreps": "4x0e+4x1o", "layers": 1, "r_max": 4.0}
CONFIG = {
    "gnn": NETWORK,
    "pqeq": {"protocol": "ewald", "tolerance": 1e-10},
    "zbl": {"inner": 1.5, "outer": 3.0},
}


def test_a_term_among_others_selected_saved_and_scripted(tmp_path):
    potential = build(CONFIG)
    whole = potential.evaluate(crystal(), stress=True)
    alone = potential.select("zbl").evaluate(crystal(), stress=True)
    rest = potential.select("gnn", "pqeq").evaluate(crystal(), stress=True)
    assert list(whole.terms) == ["gnn", "pqeq", "zbl"]
    assert float(alone.forces.abs().max()) > 1.0
    laws.close(alone.energy + rest.energy, whole.energy, 1e-10, "energy")
    laws.close(alone.forces + rest.forces, whole.forces, 1e-10, "forces")
    laws.close(alone.stress + rest.stress, whole.stress, 1e-12, "stress")
    laws.close(
        whole.atomic_energies.sum(), whole.terms["gnn"] + alone.energy, 1e-10, "energies of atoms"
    )
    save(potential, tmp_path / "model.pt")
    loaded = load(tmp_path / "model.pt")
    assert loaded.config == potential.config
    script = torch.jit.freeze(torch.jit.script(loaded.compile_for_inference()))
    for module in (loaded, loaded.compile_for_inference(), script):
        structure = crystal()
        structure.positions.requires_grad_(True)
        energy = module(structure, None).energy
        (slope,) = torch.autograd.grad([energy.sum()], [structure.positions])
        laws.close(-slope, whole.forces, 1e-8, "forces")


def test_lower_precision_stays_close():
    """Pairs of some ten eV in seven digits."""
    potential = build({"zbl": CONFIG["zbl"]})
    mixed = potential.configured(precision="mixed")
    assert mixed.terms["zbl"].charges.dtype == torch.float32
    error = mixed.evaluate(crystal()).forces - potential.evaluate(crystal()).forces
    assert 0 < float(error.abs().max()) < 1e-4


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"inner": 2.0, "outer": 1.0}, "inner, outer: .* got 2.0, 1.0"),
        ({"inner": -1.0}, "inner, outer: "),
        ({"outer": "2"}, "outer: expected a number"),
        ({"species": ["Xx"]}, "species: .*'Xx'"),
        ({"cutoff": 2.0}, "unknown key 'cutoff'; the keys are inner, outer, species"),
    ],
)
def test_bad_settings_are_refused(settings, words):
    with pytest.raises(ValueError, match=words):
        build({"zbl": settings})


def test_species_narrow_what_a_potential_knows():
    assert build({"zbl": {"species": ["O", "Ti"]}}).species == ["O", "Ti"]
    assert len(build({"zbl": {}}).species) > 94


# At the doors


@pytest.fixture(scope="module")
def salt():
    return build({"pqeq": {"protocol": "ewald", "tolerance": 1e-10}, "zbl": {"outer": 4.0}})


@both_routes
def test_openmm_has_it_and_reports_it(salt, backend, tmp_path):
    topology = topology_of(SALT, BOX)
    system = pq.create_system(salt, topology, backend=backend, precision="double")
    wanted = expected(salt, SALT, salt_positions(), BOX)
    repulsion = float(wanted[2].terms["zbl"])
    assert repulsion > 0.1
    assert_same(evaluated(context_of(system, salt_positions())), wanted)
    simulation = app.Simulation(
        topology,
        system,
        openmm.VerletIntegrator(0.0),
        openmm.Platform.getPlatformByName("Reference"),
    )
    simulation.context.setPositions(0.1 * salt_positions())
    simulation.reporters.append(pq.EnergyReporter(tmp_path / "energies.csv", 1))
    simulation.step(1)
    simulation.reporters.pop().close()
    (row,) = csv.DictReader((tmp_path / "energies.csv").read_text().splitlines())
    assert [name for name in row if name.endswith("_eV")] == ["pqeq_eV", "zbl_eV", "sum_eV"]
    assert float(row["zbl_eV"]) == pytest.approx(repulsion, abs=1e-6)


def test_the_calculator_has_it(salt):
    atoms = Atoms(SALT, salt_positions(), cell=BOX, pbc=True, calculator=pq.PQEqCalculator(salt))
    energy, wanted = atoms.get_potential_energy(), expected(salt, SALT, salt_positions(), BOX)
    terms = atoms.calc.results["energy_terms"]
    assert list(terms) == ["pqeq", "zbl"]
    assert terms["zbl"] == pytest.approx(float(wanted[2].terms["zbl"]), abs=1e-8)
    assert sum(terms.values()) == pytest.approx(energy, abs=1e-8)
