"""What a second start finds: tables and compiled functions are made once, and the numbers are the
same to the last bit."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import openmm
import pytest
import torch
from openmm import unit
from small import crystal, forces, network, potential
from through_openmm import torchforce

from openmm_pqeq import ops
from openmm_pqeq.calculator import PQEqCalculator
from openmm_pqeq.force import compiled
from openmm_pqeq.force.create import create_energy, create_system
from openmm_pqeq.gnn import InferenceNequIP, packed_table
from openmm_pqeq.start import cache

fused = pytest.mark.skipif(
    not ops.available("equivariant_convolution"), reason="tables are for the native operators"
)


@pytest.fixture
def made(tmp_path, monkeypatch):
    """Counts what is made, with a cache of the test's own; `made.clear()` begins a new process."""
    monkeypatch.setenv(cache.VARIABLE, str(tmp_path / "start"))
    packed_table._in_use.clear()
    counted = []

    def counting(name, function):
        def call(*arguments):
            counted.append(name)
            return function(*arguments)

        return call

    monkeypatch.setattr(packed_table, "RadialTable", counting("table", packed_table.RadialTable))
    monkeypatch.setattr(compiled, "flattened", counting("functions", compiled.flattened))
    yield counted
    packed_table._in_use.clear()


def start_again(made):
    """What a process knows is gone, but for what is on the disk."""
    packed_table._in_use.clear()
    made.clear()


@fused
def test_tables_are_made_once_and_equal(made):
    first = InferenceNequIP(network().float())
    assert made == ["table"] * 2
    again = InferenceNequIP(network().float())
    assert made == ["table"] * 2
    for ours, theirs in zip(first.interactions, again.interactions):
        assert ours.convolution.table.data_ptr() == theirs.convolution.table.data_ptr()
    expected = [layer.convolution.table.clone() for layer in first.interactions]
    grids = [layer.convolution.grid for layer in first.interactions]
    del first, again, ours, theirs
    start_again(made)
    second = InferenceNequIP(network().float())
    assert made == []
    for layer, table, grid in zip(second.interactions, expected, grids):
        assert torch.equal(layer.convolution.table, table)
        assert layer.convolution.grid == grid


@fused
def test_other_weights_and_dtypes_have_other_tables(made):
    model = network()
    InferenceNequIP(model)
    made.clear()
    InferenceNequIP(network().float())
    assert made == ["table"] * 2
    made.clear()
    with torch.no_grad():
        model.interactions[1].radial.weights[0] *= 1.001
    InferenceNequIP(model)
    assert made == ["table"]


@fused
def test_tables_that_nobody_uses_are_forgotten(made):
    keep = InferenceNequIP(network())
    InferenceNequIP(network(seed=1))
    InferenceNequIP(network())
    assert len(packed_table._in_use) == len(keep.interactions)


@fused
def test_a_damaged_table_is_made_again(made, tmp_path):
    expected = [
        layer.convolution.table.clone() for layer in InferenceNequIP(network()).interactions
    ]
    start_again(made)
    for entry in (tmp_path / "start").iterdir():
        entry.write_bytes(entry.read_bytes()[:-1] + b"x")
    again = InferenceNequIP(network())
    assert made == ["table"] * 2
    assert all(
        torch.equal(layer.convolution.table, table)
        for layer, table in zip(again.interactions, expected)
    )
    start_again(made)
    InferenceNequIP(network())
    assert made == []


@fused
def test_tables_are_made_by_one_thread(monkeypatch):
    threads = []
    before = torch.get_num_threads()
    monkeypatch.setenv(cache.VARIABLE, "0")
    packed_table._in_use.clear()

    def noting(*arguments):
        threads.append(torch.get_num_threads())
        return plain(*arguments)

    plain = packed_table.RadialTable
    monkeypatch.setattr(packed_table, "RadialTable", noting)
    torch.set_num_threads(2)
    try:
        InferenceNequIP(network())
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
    assert threads == [1, 1]


@torchforce
def test_functions_are_made_once_for_structures_and_weights(made, monkeypatch):
    first = forces(potential(), field=(0, 0, 0.01))
    assert made.count("functions") == 1
    start_again(made)
    assert np.array_equal(forces(potential(), field=(0, 0, 0.01)), first)
    assert made == []
    other = potential()
    with torch.no_grad():
        other.gnn.embedding *= 1.5  # which leaves the grid of the tables as it is
    others = [forces(other, field=(0.01, 0, 0)), forces(potential(), 2, field=(0, 0, 0.02))]
    assert "functions" not in made
    monkeypatch.setenv(cache.VARIABLE, "0")
    start_again(made)
    assert np.array_equal(forces(potential(), field=(0, 0, 0.01)), first)
    assert np.array_equal(forces(other, field=(0.01, 0, 0)), others[0])
    assert np.array_equal(forces(potential(), 2, field=(0, 0, 0.02)), others[1])
    assert made.count("functions") == 3


@torchforce
def test_other_settings_have_other_functions(made):
    topology, _ = crystal()
    for arguments in [
        {},
        {"precision": "single"},
        {"tolerance": 1e-7},
        {"periodic": [True, True, False]},
    ]:
        made.clear()
        compiled.compiled(create_energy(potential(), topology, **arguments))
        assert made.count("functions") == 1, arguments


@torchforce
def test_charge_and_fragments_are_put_into_the_functions_of_others(made, monkeypatch):
    whole = {"coupling": "fragment", "fragments": [[0, 1, 2, 3, 4]]}
    other = {"coupling": "fragment", "fragments": [[0, 2, 3, 4], [1]], "fragment_charges": [-1, 1]}
    forces(potential(), **whole)
    start_again(made)
    found = forces(potential(), **other)
    assert "functions" not in made
    monkeypatch.setenv(cache.VARIABLE, "0")
    assert np.array_equal(forces(potential(), **other), found)


@torchforce
def test_reporters_find_kept_functions(made):
    from openmm_pqeq.reporters.observer import Observer

    topology, positions = crystal()
    charges = []
    for _ in range(2):
        system = create_system(potential(), topology, precision="double")
        simulation = openmm.app.Simulation(topology, system, openmm.VerletIntegrator(0.001))
        simulation.context.setPositions(0.1 * positions * unit.nanometer)
        charges.append(Observer(system).observe(simulation).charges)
    assert made.count("functions") == 1
    assert np.array_equal(*charges)
    assert abs(charges[0]).max() > 0.1


@torchforce
def test_the_potential_is_in_the_functions_once():
    """openmmtorch copies all of them for each Context, and keeps the copies."""
    topology, _ = crystal()
    functions = compiled.compiled(create_energy(potential(), topology))
    assert functions._c._method_names() == ["forward"]


@torchforce
def test_every_value_has_a_name_of_its_own():
    topology, _ = crystal()
    functions = compiled.compiled(create_energy(potential(), topology))
    names = [value.debugName() for value in compiled._values(functions.graph)]
    assert len(names) > 1000
    assert len(set(names)) == len(names)
    assert sum(map(len, names)) * 2 > compiled.SHORT_TEXT - compiled.OTHER_TEXT * len(names)


@fused
def test_calculators_of_a_model_share_its_tables(made):
    from ase import Atoms

    _, positions = crystal()
    atoms = Atoms("BaTiO3", positions, cell=4.0 * np.eye(3), pbc=True)
    given, results = potential(), []
    calculators = [PQEqCalculator(given), PQEqCalculator(given, field=(0, 0, 0.01))]
    for calculator in calculators:
        atoms.calc = calculator
        results.append(atoms.get_potential_energy())
    assert made == ["table"] * 2
    calculators[0].set(field=(0, 0, 0.01))
    compiled_before = calculators[0]._compiled
    atoms.calc = calculators[0]
    assert atoms.get_potential_energy() == pytest.approx(results[1], abs=1e-9)
    assert calculators[0]._compiled is compiled_before
    calculators[0].set(total_charge=1.0)
    atoms.get_potential_energy()
    assert calculators[0]._compiled is compiled_before
    calculators[0].set(tolerance=1e-8)
    atoms.get_potential_energy()
    assert made == ["table"] * 2


SCRIPT = """
import logging, sys
logging.basicConfig(level=logging.INFO, stream=sys.stdout, format="made by %(name)s")
sys.path[:0] = {paths!r}
from small import forces, potential
print("numbers", forces(potential(), backend={backend!r}).tobytes().hex())
print("imported", sorted(set(sys.modules) & {{"e3nn", "lightning", "matplotlib", "sympy"}}))
"""


@pytest.mark.python_route
@pytest.mark.parametrize("backend", [pytest.param("torchscript", marks=torchforce), "python"])
def test_a_second_process(tmp_path, monkeypatch, backend):
    """It makes nothing, imports nothing that only training needs, and has the numbers of the
    first."""
    monkeypatch.setenv(cache.VARIABLE, str(tmp_path / "start"))
    here = Path(__file__).parent
    script = SCRIPT.format(paths=[str(here), str(here.parent)], backend=backend)
    runs = []
    for _ in range(2):
        ended = subprocess.run(
            [sys.executable, "-c", script], capture_output=True, text=True, check=True
        )
        runs.append(ended.stdout.splitlines())
    assert [line.split()[0] for line in runs[1]] == ["numbers", "imported"]
    assert runs[1][0] == runs[0][-2]
    assert runs[1][1] == "imported []"
    assert "made by openmm_pqeq.force.compiled" in runs[0]
