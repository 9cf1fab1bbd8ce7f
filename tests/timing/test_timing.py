"""The profile of a step: its parts are the whole potential, its times add up, and the command line
shows and writes it."""

import json
import re

import pytest
import torch

from openmm_pqeq import versions
from openmm_pqeq.checkpoint import load, save
from openmm_pqeq.cli import main
from openmm_pqeq.potential import build
from openmm_pqeq.structure import structure_of
from openmm_pqeq.timing.parts import NEIGHBORS, Cost, PartTime, PartTimer
from openmm_pqeq.timing.step import OPENMM, REST, StepProfile

pytestmark = pytest.mark.python_route

NETWORK, CHARGES, DISPERSION, REPULSION = "network", "charges", "dispersion", "repulsion"

TERMS = {
    "gnn": {
        "species": ["Na", "Cl"],
        "hidden_irreps": "4x0e + 4x1o",
        "layers": 2,
        "r_max": 4.0,
        "radial_hidden": (8,),
    },
    "pqeq": {"protocol": "pme", "tolerance": 1e-10},
    "d3": {"functional": "pbe", "cutoff": 8.0, "cn_cutoff": 6.0},
    "zbl": {"outer": 3.0},
}


def rock_salt(step=0):
    """Eight atoms, displaced by up to some 0.2 Å, and further from step to step."""
    basis = torch.tensor(
        [[0, 0, 0], [0, 1, 1], [1, 0, 1], [1, 1, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 1]]
    )
    generator = torch.Generator().manual_seed(0)
    positions = 2.82 * basis.double() + (0.1 + 0.002 * step) * torch.randn(
        8, 3, generator=generator, dtype=torch.float64
    )
    return structure_of(
        positions, torch.tensor([11] * 4 + [17] * 4), 5.64 * torch.eye(3, dtype=torch.float64)
    )


@pytest.mark.parametrize("compiled", [True, False], ids=["compiled", "as trained"])
@pytest.mark.parametrize(
    "terms", [tuple(TERMS), ("gnn",), ("pqeq",), ("d3",), ("zbl",)], ids=" ".join
)
def test_the_parts_together_are_the_potential(terms, compiled):
    potential = build({name: TERMS[name] for name in terms})
    if compiled:
        potential = potential.compile_for_inference()
    timer, structure = PartTimer(potential), rock_salt()
    found, whole = timer.measure(structure), potential.evaluate(structure)
    # float64; charges are converged to 1e-10 eV/e
    assert abs(found.energy - float(whole.energy)) < 1e-8
    assert (found.forces - whole.forces).abs().max() < 1e-8
    assert whole.forces.abs().max() > 1e-4


def test_every_part_is_named_and_keeps_what_it_would_in_a_simulation():
    timer = PartTimer(build(TERMS).compile_for_inference())
    cold, *others = [timer.measure(rock_salt(step)) for step in range(5)]
    names = [part.name for part in cold.parts]
    layers = [
        f"{NETWORK}: edges",
        f"{NETWORK}: layer 1",
        f"{NETWORK}: layer 2",
        f"{NETWORK}: readout",
    ]
    expected = [
        NEIGHBORS,
        *(layers if timer.by_layers else [NETWORK]),
        CHARGES,
        f"{DISPERSION}: neighbours",
        DISPERSION,
        REPULSION,
    ]
    assert names == expected
    assert 0 < others[-1].products < cold.products
    assert int(timer.search.searches) == 1
    assert all(cost.wall > 0 for part in cold.parts for cost in (part.energy, part.forces))


def test_shares_of_a_step_add_up_and_searches_count():
    parts = [
        PartTime(NEIGHBORS, Cost(1.0, 1.0), Cost(1.0, 1.0)),
        PartTime(CHARGES, Cost(5.0, 5.0), Cost(1.0, 1.0)),
    ]
    profile = StepProfile(
        8,
        20,
        parts,
        Cost(0.5, 0.5),
        Cost(1.5, 1.5),
        Cost(10.0, 10.0),
        5.0,
        Cost(4.0, 4.0),
        2,
        Cost(30.0, 30.0),
    )
    assert sum(row.processor for row in profile.rows) == pytest.approx(profile.step.processor)
    assert profile.neighbors_and_openmm == pytest.approx(
        (4.0 + 1.5) / 12.0
    )  # a search now and then adds 2 to the mean step
    assert profile.speedup == 3.0
    assert profile.ns_per_day() == pytest.approx(0.5e-6 * 8640)  # 10 s a step


@pytest.fixture(scope="module")
def here(tmp_path_factory):
    """A folder with a small model of MgO and a crystal."""
    from ase.build import bulk

    folder = tmp_path_factory.mktemp("bench")
    elements = {
        "Mg": {
            "electronegativity": 3.9,
            "hardness": 8.0,
            "core_charge": 1.0,
            "radius": 1.4,
            "spring_constant": 100.0,
        },
        "O": {
            "electronegativity": 8.7,
            "hardness": 8.6,
            "core_charge": 1.0,
            "radius": 0.7,
            "spring_constant": 300.0,
        },
    }
    save(build({"pqeq": {"protocol": "ewald", "parameters": elements}}), folder / "model.pt", {})
    atoms = bulk("MgO", "rocksalt", a=4.2, cubic=True)
    atoms.rattle(0.05, seed=1)
    atoms.write(folder / "MgO.extxyz")
    return folder


BENCH = (
    "bench",
    "MgO.extxyz",
    "--model",
    "model.pt",
    "--steps",
    "6",
    "--backend",
    "python",
    "--platform",
    "Reference",
)


def test_bench_prints_a_table_and_writes_all_times_and_a_plot(here, monkeypatch, capsys):
    monkeypatch.chdir(here)
    assert main([*BENCH, "--reference", "--output", "one", "--protocol", "pme"]) == 0
    text = capsys.readouterr().out
    for word in (
        "MgO, 8 atoms",
        NEIGHBORS,
        CHARGES,
        OPENMM,
        "products a solution",
        "ns/day",
        "as trained",
    ):
        assert word in text
    content = json.loads((here / "one" / "bench.json").read_text())
    assert set(content["parts"]) == {NEIGHBORS, CHARGES, REST, OPENMM}
    assert sum(part["share"] for part in content["parts"].values()) == pytest.approx(1.0)
    assert content["atoms"] == 8
    assert content["settings"]["protocol"] == "pme"
    assert content["machine"]["versions"]["torch"] == versions.installed("torch")
    assert content["times_as_trained"] > 0
    assert (here / "one" / "bench.png").read_bytes().startswith(b"\x89PNG")
    assert main([*BENCH, "--output", "one"]) == 2
    assert "already has bench.json and bench.png" in capsys.readouterr().err


WRONG = {
    "steps": (["--steps", "0"], r"steps: expected a whole number above zero, got '0'"),
    "supercell": (["--supercell", "2", "2", "x"], r"supercell: .*got 'x'"),
    "model": (["--model", "batio33"], r"model 'batio33'.*ships"),
    "precision": (
        ["--precision", "half"],
        r"precision: expected one of double, mixed, single, got 'half'",
    ),
    "protocol": (["--protocol", "reaxnet"], r"protocol: this model was made for 'ewald'"),
    "output": (["--output", "MgO.extxyz"], r"output: MgO.extxyz is a file"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_input_is_said_in_one_message_and_nothing_is_written(here, monkeypatch, capsys, case):
    monkeypatch.chdir(here)
    arguments, message = WRONG[case]
    before = sorted(here.iterdir())
    assert main([*BENCH, *arguments]) == 2
    assert re.search(message, capsys.readouterr().err.replace("\n", " "))
    assert sorted(here.iterdir()) == before


def test_without_a_structure_it_is_the_model_that_ships(monkeypatch, tmp_path):
    import argparse

    from openmm_pqeq.cli import bench
    from openmm_pqeq.topology.file import read_atoms

    parser = argparse.ArgumentParser()
    bench.add_arguments(parser)
    config = bench.configuration(parser.parse_args([]), tmp_path)
    atoms = read_atoms(config.structure, -1, config.supercell)
    assert (config.model, config.protocol, config.ensemble, len(atoms)) == (
        "batio3",
        "pme",
        "NVE",
        1080,
    )
    load("batio3").check_elements(atoms.numbers)
    # Ti to its nearest O along c and across: short bonds of tetragonal PBE BaTiO3, not touching
    # atoms
    assert 1.7 < min(atoms.get_distances(1, range(2, 5), mic=True)) < 2.1


def test_a_run_with_a_profile_is_the_same_run(here, monkeypatch, capsys):
    monkeypatch.chdir(here)
    run = [
        "run",
        "MgO.extxyz",
        "--model",
        "model.pt",
        "--steps",
        "3",
        "--seed",
        "1",
        "--table-interval",
        "1",
    ]
    run += ["--backend", "python", "--platform", "Reference"]
    assert main([*run, "--output", "plain"]) == 0
    capsys.readouterr()
    assert main([*run, "--output", "profiled", "--profile"]) == 0
    assert f"{NEIGHBORS} and OpenMM" in capsys.readouterr().out
    assert (here / "profiled" / "table.csv").read_text() == (
        here / "plain" / "table.csv"
    ).read_text()
    assert json.loads((here / "profiled" / "profile.json").read_text())["steps"] == 20
    assert (here / "profiled" / "profile.png").is_file()
    assert main([*run, "--output", "profiled", "--profile"]) == 2
    assert "already has" in capsys.readouterr().err
