"""One law at every door: the same charges from the same conditions, and the same words where they
cannot be."""

import argparse
import json

import ase.io
import numpy as np
import openmm
import pytest
from ase import Atoms
from openmm import app

from openmm_pqeq import checkpoint
from openmm_pqeq.calculator import PQEqCalculator
from openmm_pqeq.cli import main, run
from openmm_pqeq.force.create import create_force, create_system
from openmm_pqeq.md.build import build_simulation, read_parts, with_seed
from openmm_pqeq.md.config import read_toml, run_config, write_toml
from openmm_pqeq.mlpotential import OPTIONS, PQEqPotentialImpl
from openmm_pqeq.potential import build
from openmm_pqeq.reporters.observer import Observer
from openmm_pqeq.topology.read import read_structure

pytestmark = pytest.mark.python_route

WATER = [[0, 0, 0], [0.757, 0.586, 0], [-0.757, 0.586, 0]]
BACKEND = {"backend": "python", "precision": "double", "tolerance": 1e-8}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Models, and structures in which a molecule's atoms are apart: O of the second water last."""
    folder = tmp_path_factory.mktemp("conditions")
    charged = {"pqeq": {"protocol": "ewald"}}
    checkpoint.save(build(charged), folder / "pqeq.pt")
    checkpoint.save(
        build({"d3": {"damping": "bj", "functional": "pbe", "cutoff": 7.0}}), folder / "d3.pt"
    )
    second = np.add(WATER, [0, 0, 3])
    positions = [*WATER, *second[1:], [4, 0, 0], [0, 6, 0], second[0]]
    atoms = Atoms("OH2H2NaClO", positions, cell=[11, 12, 13], pbc=True)
    ase.io.write(folder / "brine.extxyz", atoms)
    ase.io.write(folder / "salt.extxyz", atoms[[5, 6]])
    return folder


def words(settings):
    """Settings of the Python doors as flags."""
    flags = []
    for name, value in settings.items():
        flags.append("--" + name.replace("_", "-"))
        if name == "fragments":
            flags += [",".join(map(str, atoms)) for atoms in value]
        elif name == "electrodes":
            flags += [f"{','.join(map(str, atoms))}:{voltage}" for atoms, voltage in value]
        elif isinstance(value, dict):
            flags += [f"{key}={number}" for key, number in value.items()]
        else:
            flags += [
                str(item) for item in (value if isinstance(value, (list, tuple)) else [value])
            ]
    return flags


def observed(topology, positions, system):
    """Charges (n_atoms,) e in the file's order."""
    simulation = app.Simulation(topology, system, openmm.VerletIntegrator(0.001))
    simulation.context.setPositions(positions)
    charges = Observer.of(simulation).observe(simulation).charges
    return charges[np.argsort(topology.pq_order)]


def by_force(folder, model, structure, settings):
    topology, positions = read_structure(folder / structure, bonds=True)
    place = np.argsort(topology.pq_order).tolist()
    settings = dict(settings)
    if "fragments" in settings:
        settings["fragments"] = [
            [place[k] if k < len(place) else k for k in atoms] for atoms in settings["fragments"]
        ]
    if "electrodes" in settings:
        settings["electrodes"] = [([place[k] for k in a], v) for a, v in settings["electrodes"]]
    system = openmm.System()
    for _ in range(topology.getNumAtoms()):
        system.addParticle(1.0)
    system.setDefaultPeriodicBoxVectors(*topology.getPeriodicBoxVectors())
    return topology, positions, system, folder / model, settings


def create_force_door(folder, model, structure, settings):
    topology, positions, system, path, settings = by_force(folder, model, structure, settings)
    system.addForce(create_force(path, topology, **BACKEND, **settings))
    return observed(topology, positions, system)


def create_system_door(folder, model, structure, settings):
    topology, positions, _, path, settings = by_force(folder, model, structure, settings)
    return observed(topology, positions, create_system(path, topology, **BACKEND, **settings))


def openmmml_door(folder, model, structure, settings):
    topology, positions, system, path, settings = by_force(folder, model, structure, settings)
    potential = PQEqPotentialImpl(checkpoint.load(path), settings)
    potential.addForces(topology, system, None, 0, precision="double", tolerance=1e-8)
    return observed(topology, positions, system)


def calculator_door(folder, model, structure, settings):
    atoms = ase.io.read(folder / structure)
    atoms.calc = PQEqCalculator(folder / model, tolerance=1e-8, **settings)
    atoms.get_potential_energy()
    return atoms.get_charges()


def energy_door(folder, model, structure, settings, capsys=None):
    arguments = ["energy", str(folder / structure), "--model", str(folder / model), "--json"]
    code = main([*arguments, *words(settings)])
    out, err = capsys.readouterr()
    if code:
        raise ValueError(err)
    return np.array(json.loads(out)["charges"])


def run_door(folder, model, structure, settings, capsys=None):
    """By flags, through a TOML file of them."""
    output = folder / "out"
    arguments = [str(folder / structure), "--model", str(folder / model), "--output", str(output)]
    fixed = ["--steps", "1", *(f"--{name}={value}" for name, value in BACKEND.items())]
    parser = argparse.ArgumentParser()
    run.add_arguments(parser)
    config = run.configuration(parser.parse_args([*arguments, *fixed, *words(settings)]))
    (folder / "run.toml").write_text(write_toml(config))
    config = with_seed(run_config(read_toml(folder / "run.toml")))
    parts = read_parts(config)
    simulation = build_simulation(config, parts, "NVE")
    charges = Observer.of(simulation).observe(simulation).charges
    return charges[np.argsort(parts.topology.pq_order)]


DOORS = {
    "create_force": create_force_door,
    "create_system": create_system_door,
    "openmm-ml": openmmml_door,
    "calculator": calculator_door,
    "energy": energy_door,
    "run": run_door,
}


@pytest.fixture(params=DOORS)
def door(request, folder, capsys):
    extra = {"capsys": capsys} if request.param in ("energy", "run") else {}
    return lambda *arguments: DOORS[request.param](folder, *arguments, **extra)


IONS = {"coupling": "fragment", "fragment_charges": {"NA": 1, "CL": -1}}
LISTS = {
    "coupling": "fragment",
    "fragments": [[0, 1, 2], [3, 4, 7], [5], [6]],
    "fragment_charges": [0.0, 0.0, 1.0, -1.0],
}


@pytest.mark.parametrize("settings", [IONS, LISTS], ids=["by name", "by list"])
def test_ions_have_the_charges_that_were_given(door, settings):
    charges = door("pqeq.pt", "brine.extxyz", settings)
    np.testing.assert_allclose(charges[[5, 6]], [1.0, -1.0], atol=1e-9)
    np.testing.assert_allclose([charges[[0, 1, 2]].sum(), charges[[3, 4, 7]].sum()], 0.0, atol=1e-9)
    assert abs(charges[7]) > 0.1


def test_electrodes_exchange_charge_and_nothing_else_does(door):
    charges = door(
        "pqeq.pt",
        "brine.extxyz",
        {"coupling": "fragment", "electrodes": [([5], 0.0), ([6], 3.0)]},
    )
    assert abs(charges[5]) > 1e-3
    np.testing.assert_allclose(
        [charges[[5, 6]].sum(), charges[[0, 1, 2]].sum(), charges[[3, 4, 7]].sum()], 0, atol=1e-9
    )


def test_without_more_charge_flows_freely(door):
    charges = door("pqeq.pt", "brine.extxyz", {"total_charge": 1})
    assert charges.sum() == pytest.approx(1.0, abs=1e-9)
    assert abs(charges[:3].sum()) > 1e-4


@pytest.mark.parametrize(
    ("model", "settings", "message"),
    [
        (
            "pqeq.pt",
            {"coupling": "fragment"},
            "fragment_charges: 2 atoms are bonded to nothing and would be neutral fragments of "
            "their own: 1 of NA, 1 of CL. Give",
        ),
        (
            "pqeq.pt",
            {"coupling": "fragment", "fragment_charges": {"K": 1}},
            "fragment_charges: no fragment is of a residue 'K'; there are CL, HOH, NA",
        ),
        (
            "pqeq.pt",
            {"coupling": "fragment", "fragment_charges": {"NA": 1}},
            "fragment_charges: they add up to 1 e, and total_charge is 0 e",
        ),
        (
            "pqeq.pt",
            {"fragment_charges": {"NA": 1}},
            'fragment_charges: expected None with coupling="shell"',
        ),
        ("pqeq.pt", {"electrodes": [([0, 1], 0.0)]}, "fragments: atoms 2, 3, 4, 5, 6"),
        (
            "pqeq.pt",
            {"coupling": "fragment", "fragments": [[0, 99]]},
            r"fragments\[0\]: expected indices from 0 to 7, got 99",
        ),
        (
            "pqeq.pt",
            {"coupling": "full", "field": (0.0, 0.0, 0.1)},
            'field: coupling="full" moves charge along the field, which has no meaning along',
        ),
        *(
            ("d3.pt", settings, f"{name}: this potential has no charges")
            for name, settings in (
                ("total_charge", {"total_charge": 1}),
                ("field", {"field": (0.0, 0.1, 0.0)}),
                ("fragments", {"coupling": "fragment", "fragments": [[0, 1]]}),
                ("fragment_charges", {"coupling": "fragment", "fragment_charges": {"NA": 1}}),
                ("electrodes", {"electrodes": [([0], 0.0)]}),
            )
        ),
    ],
)
def test_refusals_have_the_same_words(door, model, settings, message):
    with pytest.raises(ValueError, match=message):
        door(model, "brine.extxyz", settings)


def test_a_file_may_say_its_charge(folder):
    """`read_structure` keeps it on the topology; a number that is given wins."""
    from openmm_pqeq.topology.facts import StructureFacts

    topology, positions = read_structure(folder / "salt.extxyz")
    topology.pq_facts = StructureFacts(total_charge=1.0)
    path = folder / "pqeq.pt"
    for settings, total in (({}, 1), ({"total_charge": 0}, 0), ({"total_charge": -1}, -1)):
        charges = observed(
            topology, positions, create_system(path, topology, **BACKEND, **settings)
        )
        assert charges.sum() == pytest.approx(total, abs=1e-9)
    force = create_force(path, topology, atoms=[0], **BACKEND)  # of all atoms, and not of this one
    assert force.getName() == "openmm_pqeq"
    create_force(folder / "d3.pt", topology, **BACKEND)  # which has no charges to answer


def test_options_of_openmm_ml_are_those_of_create_force():
    assert {"fragments", "fragment_charges", "electrodes", "total_charge", "periodic"} <= {*OPTIONS}
    assert not {"potential", "topology", "atoms"} & {*OPTIONS}


def test_a_run_understands_tables(folder):
    common = {"structure": "a.cif", "model": "m", "output": "o", "time": "1ps"}
    by_tables = common | {
        "coupling": "fragment",
        "fragments": [[0, 1, 2], "3-5"],
        "fragment_charges": {"NA": 1, "CL": -1},
        "electrodes": [{"atoms": "0-39", "voltage": 0.5}, {"atoms": [40, 41], "voltage": -1}],
    }
    by_words = common | {
        "coupling": "fragment",
        "fragments": ["0,1,2", "3-5"],
        "fragment_charges": ["NA=1", "CL=-1"],
        "electrodes": ["0-39:0.5", "40,41:-1.0"],
    }
    assert run_config(by_tables) == run_config(by_words)
    config = run_config(common | {"fragment_charges": {}})
    (folder / "empty.toml").write_text(write_toml(config))
    assert run_config(read_toml(folder / "empty.toml")).fragment_charges == ()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"fragments": ["0-x"]}, r"fragments\[0\]: expected atoms such as"),
        ({"fragments": ["5-2"]}, r"fragments\[0\]: expected atoms such as"),
        ({"fragments": 3}, "fragments: expected lists of atoms"),
        ({"fragment_charges": ["NA=1", "2"]}, "fragment_charges: expected all charges with names"),
        ({"fragment_charges": ["NA=one"]}, "fragment_charges: expected a number, got 'one'"),
        ({"electrodes": ["0-3"]}, r"electrodes\[0\]: expected atoms and a voltage"),
        ({"electrodes": ["0-3:x"]}, r"electrodes\[0\]: expected a number"),
        ({"electrodes": [{"atoms": "0-3"}]}, r"electrodes\[0\]: expected atoms and voltage"),
        ({"coupling": "strong"}, "coupling: expected one of shell, full, fragment"),
    ],
)
def test_words_that_mean_nothing_are_named(settings, message):
    with pytest.raises(ValueError, match=message):
        run_config({"structure": "a", "model": "m", "output": "o", "steps": 1, **settings})
