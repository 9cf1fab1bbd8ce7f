"""Reference charges at every door: the same energy from the same charges, kept in XML and restarts."""

import json

import ase.io
import numpy as np
import openmm
import pytest
from ase import Atoms
from openmm import app, unit

import openmm_pqeq as pq
from openmm_pqeq.cli import main
from openmm_pqeq.conditions import settled
from openmm_pqeq.force.arguments import known_of
from openmm_pqeq.md.config import run_config
from openmm_pqeq.md.resume import resumed_config
from openmm_pqeq.md.run import run
from openmm_pqeq.mlpotential import OPTIONS, PQEqPotentialImpl
from openmm_pqeq.topology.read import read_structure
from openmm_pqeq.units import KJ_PER_MOL_PER_EV
from openmm_pqeq.wanted import Wanted

pytestmark = pytest.mark.python_route

KEYS = ("electronegativity", "hardness", "radius", "softness", "spring_constant", "core_charge")
PARAMETERS = {
    "Na": dict(zip(KEYS, (2.8, 9.0, 1.6, 0.35, 1200.0, 1.0))),
    "Cl": dict(zip(KEYS, (7.5, 11.0, 1.1, 0.45, 420.0, 1.0))),
}
CHARGES = {"Na": 0.8, "Cl": -0.8}
FIELD = (0.0, 0.02, 0.03)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Rattled rock salt, a model, and the energy (eV) and forces with `CHARGES` in `FIELD`."""
    folder = tmp_path_factory.mktemp("reference")
    charges = {"protocol": "ewald", "parameters": PARAMETERS, "charge_flow": "bonds"}
    pq.save(pq.build({"pqeq": {**charges, "tolerance": 1e-9}, "zbl": {}}), folder / "model.pt")
    places = [[0, 0, 0], [2.8, 2.8, 0], [2.8, 0, 2.8], [0, 2.8, 2.8]]
    places += [[2.8, 2.8, 2.8], [0, 0, 2.8], [0, 2.8, 0], [2.8, 0, 0]]
    atoms = Atoms("Na4Cl4", places, cell=[5.6, 5.6, 5.6], pbc=True)
    atoms.rattle(0.1, seed=4)
    ase.io.write(folder / "salt.extxyz", atoms)
    return folder


@pytest.fixture(scope="module")
def right(folder):
    atoms = ase.io.read(folder / "salt.extxyz")
    settings = {"field": FIELD, "reference_charges": CHARGES}
    atoms.calc = pq.PQEqCalculator(folder / "model.pt", **settings)
    energy = atoms.get_potential_energy()
    guessed = pq.PQEqCalculator(folder / "model.pt", field=FIELD)
    assert abs(energy - guessed.get_potential_energy(atoms)) > 0.1  # of another thing
    return energy, atoms.get_forces()


def energy_of(system, positions):
    platform = openmm.Platform.getPlatformByName("Reference")
    context = openmm.Context(system, openmm.VerletIntegrator(0.001), platform)
    context.setPositions(positions)
    energy = context.getState(energy=True).getPotentialEnergy()
    return energy.value_in_unit(unit.kilojoule_per_mole) / KJ_PER_MOL_PER_EV


def test_systems_their_xml_and_openmm_ml(folder, right):
    topology, positions = read_structure(folder / "salt.extxyz")
    settings = {"field": FIELD, "reference_charges": CHARGES, "precision": "double"}
    model = pq.load(folder / "model.pt")
    system = pq.create_system(model, topology, backend="python", **settings)
    assert energy_of(system, positions) == pytest.approx(right[0], abs=1e-6)
    again = openmm.XmlSerializer.deserialize(openmm.XmlSerializer.serialize(system))
    assert energy_of(again, positions) == pytest.approx(right[0], abs=1e-6)
    assert "reference_charges" in OPTIONS
    mixed = openmm.System()
    for atom in topology.atoms():
        mixed.addParticle(atom.element.mass)
    mixed.setDefaultPeriodicBoxVectors(*topology.getPeriodicBoxVectors())
    made = PQEqPotentialImpl(model, {"reference_charges": {"Na": 1, "Cl": -1}})
    made.addForces(topology, mixed, None, 0, **settings)  # the later one counts
    assert energy_of(mixed, positions) == pytest.approx(right[0], abs=1e-6)


def test_the_command_line(folder, right, capsys, tmp_path):
    structure, model = str(folder / "salt.extxyz"), str(folder / "model.pt")
    flags = ["--model", model, "--reference-charges", "Na=0.8", "Cl=-0.8"]
    flags += ["--field", *map(str, FIELD)]
    assert main(["energy", structure, *flags, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["energy"] == pytest.approx(right[0], abs=1e-6)
    relaxed = ["relax", structure, *flags, "--steps", "1", "-o", str(tmp_path / "relaxed")]
    assert main(relaxed) == 1  # not yet
    first = np.genfromtxt(tmp_path / "relaxed" / "steps.csv", delimiter=",", names=True)[0]
    assert first["energy_eV"] == pytest.approx(right[0], abs=1e-6)
    largest = np.linalg.norm(right[1], axis=1).max()
    assert first["largest_force_eV_per_A"] == pytest.approx(largest, rel=1e-4)


def test_a_run_keeps_them(folder, right, tmp_path):
    """And is resumed with no others."""
    settings = {"structure": str(folder / "salt.extxyz"), "model": str(folder / "model.pt")}
    settings |= {"reference_charges": {"Na": 0.8, "Cl": -0.8}, "field": FIELD, "ensemble": "NVE"}
    settings |= {"temperature": 0, "steps": 2, "timestep": 1e-4, "backend": "python"}
    settings |= {"output": str(tmp_path / "run"), "table_interval": 1, "precision": "double"}
    result = run(run_config(settings))
    assert result.row["potential_energy_eV"] == pytest.approx(right[0], abs=1e-5)
    with pytest.raises(ValueError, match="reference_charges: the run in"):
        resumed_config(tmp_path / "run", {"reference_charges": "Na=1 Cl=-1", "steps": 4})
    toml = tmp_path / "run" / "run.toml"
    toml.write_text(toml.read_text().replace("Na=0.8", "Na=1.0").replace("Cl=-0.8", "Cl=-1.0"))
    with pytest.raises(ValueError, match="resume: reference_charges: the run in"):
        run(resumed_config(tmp_path / "run", {"steps": 4}), resume=True)


METAL = {**PARAMETERS, "Au": dict(zip(KEYS, (5.8, 9.0, 0.8, 0.3, 900.0, 1.0)))}


@pytest.fixture
def sandwich(tmp_path):
    """A slab of gold beside a cluster of salt, in a slab geometry, and a model."""
    gold = [[2.04 * i, 2.04 * j, 2.04 * k] for i in range(2) for j in range(2) for k in range(2)]
    salt = [[0.5, 0.5, 7.0], [0.6, 0.4, 9.5]]
    atoms = Atoms("Au8NaCl", gold + salt, cell=[4.08, 4.08, 40.0], pbc=(True, True, False))
    ase.io.write(tmp_path / "sandwich.extxyz", atoms)
    settings = {"protocol": "ewald", "parameters": METAL, "charge_flow": "bonds"}
    pq.save(pq.build({"pqeq": {**settings, "tolerance": 1e-9}}), tmp_path / "model.pt")
    return atoms, tmp_path


def test_a_metal_that_floats_keeps_its_charge_at_every_door(sandwich):
    atoms, folder = sandwich
    settings = {"fragments": [[*range(8)]], "fragment_charges": [0.4], "total_charge": 0.4}
    settings |= {"field": (0, 0, 0.02), "reference_charges": {"Na": 1, "Cl": -1}}
    atoms.calc = pq.PQEqCalculator(folder / "model.pt", **settings)
    energy, charges = atoms.get_potential_energy(), atoms.get_charges()
    assert charges[:8].sum() == pytest.approx(0.4, abs=1e-8)
    assert charges[8:].sum() == pytest.approx(0.0, abs=1e-8)
    topology, positions = read_structure(folder / "sandwich.extxyz")
    system = pq.create_system(
        folder / "model.pt", topology, backend="python", precision="double", **settings
    )
    assert energy_of(system, positions) == pytest.approx(energy, abs=1e-6)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"field": (0.02, 0, 0)}, "field: electrodes .* and metals within themselves"),
        (
            {"fragment_charges": {"AU": 1}},
            "fragment_charges: .* fragments are metals, expected a list",
        ),
        ({"fragments": None, "fragment_charges": [1.0]}, "fragment_charges: .* give fragments"),
        ({"fragments": [[0, 0]]}, r"fragments\[\d\]: an atom is listed more than once"),
        ({"fragment_charges": [0.4, 0.1]}, "fragment_charges: expected"),
    ],
)
def test_metals_that_have_no_meaning_are_refused(sandwich, settings, message):
    atoms, folder = sandwich
    good = {"fragments": [[*range(8)]], "reference_charges": {"Na": 1, "Cl": -1}}
    with pytest.raises(ValueError, match=message):
        pq.PQEqCalculator(folder / "model.pt", **(good | settings)).get_potential_energy(atoms)


def test_sites_of_a_polyanion_are_told_apart_at_both_doors(tmp_path):
    """K2Se3 with Se⁻–Se⁰–Se⁻ across the cell's face: as with those charges given."""
    places = [[6.5, 2.0, 3.0], [3.5, 6.0, 4.5], [7.0, 4.0, 4.0], [0.4, 5.7, 4.0], [1.8, 4.0, 4.0]]
    atoms = Atoms("K2Se3", places, cell=[8.0, 8.0, 8.0], pbc=True)
    ase.io.write(tmp_path / "K2Se3.extxyz", atoms)
    charges = {"protocol": "ewald", "parameters": "response", "charge_flow": "bonds"}
    potential = pq.build({"pqeq": charges})
    topology, positions = read_structure(tmp_path / "K2Se3.extxyz")
    system = pq.create_system(potential, topology, backend="python", precision="double")
    found = energy_of(system, positions)
    atoms.calc = pq.PQEqCalculator(potential)
    assert atoms.get_potential_energy() == pytest.approx(found, abs=1e-4)
    atoms.calc = pq.PQEqCalculator(potential, reference_charges=[1, 1, -1, -1, 0])
    other = atoms.get_potential_energy()
    atoms.calc = pq.PQEqCalculator(potential, reference_charges=[1, 1, -1, 0, -1])
    assert atoms.get_potential_energy() == pytest.approx(found, abs=1e-4)
    assert abs(other - found) > 0.01


def test_a_topology_with_more_atoms_than_its_file_has_the_charges_of_its_composition(tmp_path):
    """Of the atoms of the file alone, their sites; with one that was added, as from elsewhere."""
    atoms = Atoms("K2Se2", [[2, 2, 5], [6, 5, 2], [2, 2, 2], [2, 4.3, 2]], cell=[8, 8, 8], pbc=True)
    ase.io.write(tmp_path / "K2Se2.extxyz", atoms)
    topology, _ = read_structure(tmp_path / "K2Se2.extxyz")
    topology.addAtom("Se", app.Element.getBySymbol("Se"), next(topology.residues()))
    potential = pq.build(
        {"pqeq": {"protocol": "ewald", "parameters": "response", "charge_flow": "bonds"}}
    )

    def charges(indices):
        return settled(Wanted(), potential, known_of(topology, indices)).reference_charges

    assert charges([0, 1, 2, 3]) == (1, 1, -1, -1)
    assert charges(None) == pytest.approx((1, 1, -2 / 3, -2 / 3, -2 / 3))


@pytest.mark.parametrize("said", ["argument", "topology"])
def test_bonds_across_faces_that_are_not_periodic_do_not_count(tmp_path, said):
    """S–S 2 Å across the upper face: a disulfide and a sulfide in a crystal, three sulfurs in a film."""
    places = [[4, 4, 4], [0, 4, 4], [4, 0, 4], [4, 0, 0.5], [0, 0, 1], [0, 0, 7], [4, 4, 0.5]]
    film = Atoms("Na4S3", places, cell=[8, 8, 8], pbc=True)
    ase.io.write(tmp_path / "film.extxyz", film)
    topology, _ = read_structure(tmp_path / "film.extxyz")
    by_bonds = {"protocol": "ewald", "charge_flow": "bonds", "parameters": "response"}
    potential = pq.build({"pqeq": by_bonds, "zbl": {}})
    whole = settled(Wanted(), potential, known_of(topology, None))
    assert whole.reference_charges[4:] == pytest.approx([-1, -1, -2])
    wanted = Wanted(periodic=(True, True, False))
    if said == "topology":
        topology.pq_pbc, wanted = (True, True, False), Wanted()
    cut = settled(wanted, potential, known_of(topology, None))
    assert cut.reference_charges[4:] == pytest.approx([-4 / 3] * 3)
