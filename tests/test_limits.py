"""What a card says to programs, and that every door warns of what goes beyond it."""

import openmm
import pytest
from ase import Atoms
from openmm import unit
from through_openmm import BOX, SALT, salt_positions, topology_of

from openmm_pqeq.calculator import PQEqCalculator
from openmm_pqeq.checkpoint import available_models, card, load, save
from openmm_pqeq.force.create import create_system
from openmm_pqeq.limits import Limits, limits_of
from openmm_pqeq.md.build import build_simulation, read_parts
from openmm_pqeq.md.config import run_config
from openmm_pqeq.potential import build
from openmm_pqeq.training.config import config_of

VALID_FOR = {"elements": ["Na", "Cl"], "temperature": [10, 400], "cell": False, "phases": "salt"}
CELL = r"model .*salt\.pt: .* not for cells that change \(it is for salt\), and "


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    path = tmp_path_factory.mktemp("limits") / "salt.pt"
    charges = {"protocol": "reaxnet", "cutoff": 5.0}
    save(build({"pqeq": charges, "zbl": {}}), path, {"valid_for": VALID_FOR})
    return path


def test_the_cards_of_shipped_models_have_limits():
    for name in available_models():
        limits = load(name).limits
        assert limits == limits_of(card(name), name)
        assert set(limits.elements) == set(load(name).species)
        assert limits.cell == (name not in ("batio3", "brine"))
        assert limits.temperature[1] >= 313


def test_limits_stay_with_copies(model):
    potential = load(model)
    assert potential.limits.temperature == (10.0, 400.0)
    for copied in (
        potential.select("pqeq"),
        potential.configured(),
        potential.compile_for_inference(),
    ):
        assert copied.limits == potential.limits
    assert build({"pqeq": {}}).limits == limits_of({}, "") == Limits()


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ("all", "expected a table"),
        ({"pressure": 1}, "unknown key 'pressure'"),
        ({"elements": "Na"}, r"elements: expected a list"),
        ({"temperature": 300}, "temperature: expected the lowest and the highest"),
        ({"temperature": [400, 10]}, "temperature: expected the lowest and the highest"),
        ({"temperature": [0, float("nan")]}, "temperature: expected the lowest"),
        ({"cell": "no"}, "cell: expected true or false"),
        ({"phases": ["a"]}, "phases: expected a text"),
    ],
)
def test_odd_limits_are_refused(table, words, tmp_path):
    with pytest.raises(ValueError, match=words):
        save(build({"pqeq": {}}), tmp_path / "model.pt", {"valid_for": table})


def test_a_barostat_in_openmm(model):
    system = create_system(model, topology_of(SALT, BOX), backend="python")
    with pytest.warns(UserWarning, match=CELL + "MonteCarloBarostat changes it"):
        system.addForce(openmm.MonteCarloBarostat(1 * unit.bar, 300 * unit.kelvin))
    with pytest.warns(UserWarning, match=r"for 10 to 400 K, and 500 K is wanted"):
        system.addForce(openmm.AndersenThermostat(500 * unit.kelvin, 1 / unit.picosecond))


def test_a_cell_that_changes_in_ase(model):
    atoms = Atoms(SALT, salt_positions(), cell=BOX, pbc=True, calculator=PQEqCalculator(model))
    atoms.get_stress()
    atoms.rattle(0.01)
    atoms.get_stress()
    atoms.set_cell(BOX * 1.01, scale_atoms=True)
    with pytest.warns(UserWarning, match=CELL + "the cell of these atoms has changed"):
        atoms.get_stress()


def test_elements(tmp_path):
    save(build({"pqeq": {}}), tmp_path / "salt.pt", {"valid_for": VALID_FOR})
    with pytest.warns(UserWarning, match=r"it is for Na, Cl, and there is K;"):
        PQEqCalculator(tmp_path / "salt.pt").get_potential_energy(
            Atoms("KCl", [[0, 0, 0], [0, 0, 3]])
        )


def test_a_run(model, tmp_path):
    atoms = Atoms(SALT, salt_positions(), cell=BOX, pbc=True)
    atoms.write(tmp_path / "salt.extxyz")
    save(build({"pqeq": {}, "d3": {"damping": "bj", "functional": "pbe"}}), tmp_path / "bare.pt")
    settings = {"structure": str(tmp_path / "salt.extxyz"), "output": "out", "steps": 1, "seed": 1}
    settings |= {"model": str(model), "backend": "python", "platform": "Reference"}
    read_parts(run_config(settings))
    with pytest.warns(UserWarning, match=r"for 10 to 400 K, and 1200 K is wanted"):
        read_parts(run_config(settings | {"temperature": 1200}))
    npt = run_config(settings | {"ensemble": "NPT"})
    with pytest.warns(UserWarning, match=CELL):
        build_simulation(npt, read_parts(npt), "NPT")
    with pytest.warns(UserWarning, match="has neither a network nor a repulsion"):
        read_parts(run_config(settings | {"model": str(tmp_path / "bare.pt")}))


def test_a_quadratic_sum_in_ase(ewald, monkeypatch):
    monkeypatch.setattr("openmm_pqeq.conditions.MANY_FOR_EWALD", 3)
    with pytest.warns(UserWarning, match=r"square of the number of atoms, here 4; 'pme'"):
        PQEqCalculator(ewald).get_potential_energy(
            Atoms(SALT, salt_positions(), cell=BOX, pbc=True)
        )


def test_a_training_refuses_odd_limits_at_its_beginning():
    """Not when it saves the model, hours later."""
    table = {"data": {"files": ["x.xyz"]}, "potential": {"gnn": {"species": ["H"]}}}
    card_of = {"valid_for": {"temperature": 300}}
    with pytest.raises(ValueError, match=r"valid_for\.temperature: expected the lowest"):
        config_of(table | {"card": card_of})
    assert config_of(table | {"card": {"valid_for": VALID_FOR}}).card["valid_for"] == VALID_FOR
