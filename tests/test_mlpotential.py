"""openmm-ml: the same energies and forces as without it, in mixed Systems too, and options that
mean what they say."""

import importlib
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import h5py
import numpy as np
import openmm
import pytest
from openmm import app, unit

from openmm_pqeq import versions
from openmm_pqeq.force.create import create_system
from openmm_pqeq.mlpotential import (
    PQEqPotentialFactory,
    PQEqPotentialImpl,
    bonds_among,
    require_openmm,
)
from openmm_pqeq.potential import build
from openmm_pqeq.reporters import ChargeReporter
from openmm_pqeq.reporters.observer import Observer

pytestmark = pytest.mark.python_route

ENERGY = 1e-6  # kJ/mol: the same module in double precision, charges solved to 1e-10 eV/e
FORCE = 1e-4  # kJ/mol/nm, the same
MM_ENERGY = 1e-3  # kJ/mol of 1500: the Reference platform's PME at its default tolerance, in another order of summation
FIELD = (0.0, 0.01, -0.02)  # V/Å

openmmml = pytest.mark.skipif(
    versions.installed("openmmml") is None,
    reason="openmmml is not installed (it needs OpenMM 8.6.1)",
)


@pytest.fixture(scope="module")
def potential():
    return build({"pqeq": {"protocol": "ewald", "parameters": "pqeq1", "tolerance": 1e-10}})


@pytest.fixture(scope="module")
def ml_potential(potential):
    """MLPotential("openmm-pqeq", ...), with options."""
    from openmmml import MLPotential

    if (
        "openmm-pqeq" not in MLPotential._implFactories
    ):  # the package is on the path and not installed
        MLPotential.registerImplFactory("openmm-pqeq", PQEqPotentialFactory())
    return lambda **options: MLPotential("openmm-pqeq", **{"modelPath": potential, **options})


@pytest.fixture(scope="module")
def water_box():
    """Topology, positions and Amber System of waters in a box of 1.9 nm."""
    forcefield = app.ForceField("amber14/tip3pfb.xml")
    modeller = app.Modeller(app.Topology(), [] * unit.nanometer)
    modeller.addSolvent(forcefield, boxSize=openmm.Vec3(1.9, 1.9, 1.9) * unit.nanometer)
    system = forcefield.createSystem(
        modeller.topology, nonbondedMethod=app.PME, nonbondedCutoff=0.8 * unit.nanometer
    )
    return modeller.topology, modeller.positions, system


def water(cell=True):
    """Topology and positions (3, 3) nm of one water, with its bonds."""
    topology = app.Topology()
    residue = topology.addResidue("HOH", topology.addChain())
    oxygen, *hydrogens = (
        topology.addAtom(name, app.Element.getBySymbol(name[0]), residue)
        for name in ("O", "H1", "H2")
    )
    for hydrogen in hydrogens:
        topology.addBond(oxygen, hydrogen)
    if cell:
        topology.setUnitCellDimensions(openmm.Vec3(1.9, 1.9, 1.9) * unit.nanometer)
    return topology, np.array([[0.5, 0.5, 0.5], [0.5957, 0.5, 0.5], [0.476, 0.5927, 0.5]])


def evaluated(system, positions, groups=-1, parameters=()):
    """Energy (kJ/mol) and forces (n, 3) (kJ/mol/nm)."""
    context = openmm.Context(
        system, openmm.VerletIntegrator(0.001), openmm.Platform.getPlatformByName("Reference")
    )
    context.setPositions(positions)
    for name, value in parameters:
        context.setParameter(name, value)
    state = context.getState(energy=True, forces=True, groups=groups)
    forces = state.getForces(asNumpy=True).value_in_unit(unit.kilojoule_per_mole / unit.nanometer)
    return state.getPotentialEnergy().value_in_unit(unit.kilojoule_per_mole), np.array(forces)


# Alone


@openmmml
def test_a_system_is_that_of_create_system(potential, ml_potential):
    topology, positions = water()
    options = {"field": FIELD, "total_charge": 1, "precision": "double"}
    theirs = ml_potential().createSystem(topology, **options)
    ours = create_system(potential, topology, backend="python", **options)
    (energy, forces), (right, right_forces) = (
        evaluated(system, positions) for system in (theirs, ours)
    )
    assert abs(energy - right) < ENERGY
    assert np.abs(forces - right_forces).max() < FORCE
    assert (
        abs(right - evaluated(create_system(potential, topology, backend="python"), positions)[0])
        > 10
    )  # kJ/mol, an ion


@openmmml
def test_options_of_the_potential_hold_for_its_systems_unless_those_have_their_own(ml_potential):
    topology, positions = water()
    made = ml_potential(total_charge=1, precision="double")
    for options, total in (
        ({}, 1),
        ({"total_charge": 0}, 0),
        ({"total_charge": -1 * unit.elementary_charge}, -1),
    ):
        simulation = app.Simulation(
            topology, made.createSystem(topology, **options), openmm.VerletIntegrator(0.001)
        )
        simulation.context.setPositions(positions)
        assert (
            abs(Observer.of(simulation).observe(simulation).charges.sum() - total) < 1e-8
        )  # e, the constraint is exact


@openmmml
def test_the_field_is_a_parameter_and_the_coupling_is_passed_on(potential, ml_potential):
    topology, positions = water(cell=False)
    for coupling in ("shell", "full"):
        theirs = ml_potential(coupling=coupling).createSystem(
            topology, field=FIELD, precision="double"
        )
        ours = create_system(
            potential,
            topology,
            field=FIELD,
            coupling=coupling,
            backend="python",
            precision="double",
        )
        assert abs(evaluated(theirs, positions)[0] - evaluated(ours, positions)[0]) < ENERGY
        no_field = [(f"field_{axis}", 0.0) for axis in "xyz"]
        assert (
            abs(
                evaluated(theirs, positions)[0]
                - evaluated(theirs, positions, parameters=no_field)[0]
            )
            > 1e-3
        )


def bare_system(topology):
    """What openmmml hands to `addForces`."""
    system = openmm.System()
    for atom in topology.atoms():
        system.addParticle(atom.element.mass)
    system.setDefaultPeriodicBoxVectors(*topology.getPeriodicBoxVectors())
    return system


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_barostat_that_would_scale_the_vacuum_of_a_slab_is_refused(potential, when):
    """A System of openmm-ml is a plain one until the potential is in it."""
    topology, _ = water()
    topology.pq_pbc = (True, True, False)
    system = bare_system(topology)
    one = PQEqPotentialImpl(potential, {})
    steps = [
        lambda: one.addForces(topology, system, None, 0),
        lambda: system.addForce(openmm.MonteCarloBarostat(1, 300)),
    ]
    first, second = steps if when == "after" else steps[::-1]
    first()
    before = system.getNumForces()
    with pytest.raises(
        ValueError, match="barostat: MonteCarloBarostat would scale the box along c"
    ):
        second()
    assert system.getNumForces() == before


def test_a_barostat_that_leaves_the_vacuum_alone_is_taken(potential):
    topology, _ = water()
    topology.pq_pbc = (True, True, False)
    system = bare_system(topology)
    PQEqPotentialImpl(potential, {}).addForces(topology, system, None, 0)
    system.addForce(openmm.MonteCarloAnisotropicBarostat([1, 1, 1], 300, True, True, False))


@openmmml
def test_a_slab_of_openmm_ml_refuses_an_isotropic_barostat(ml_potential):
    system = ml_potential(periodic=(True, True, False)).createSystem(water()[0])
    with pytest.raises(ValueError, match="barostat: MonteCarloBarostat would scale"):
        system.addForce(openmm.MonteCarloBarostat(1, 300))


@openmmml
def test_a_barostat_finds_the_molecules(ml_potential):
    topology, _ = water()
    context = openmm.Context(ml_potential().createSystem(topology), openmm.VerletIntegrator(0.001))
    assert [list(molecule) for molecule in context.getMolecules()] == [[0, 1, 2]]


# Mixed


@openmmml
def test_the_potentials_part_of_a_mixed_system_is_the_potential_of_these_atoms(
    potential, ml_potential, water_box
):
    topology, positions, amber = water_box
    mixed = ml_potential().createMixedSystem(
        topology, amber, [3, 4, 5], forceGroup=7, precision="double"
    )
    energy, forces = evaluated(mixed, positions, groups={7})
    alone = water()[0]
    right, right_forces = evaluated(
        create_system(potential, alone, backend="python", precision="double"), positions[3:6]
    )
    assert abs(energy - right) < ENERGY
    assert np.abs(forces[3:6] - right_forces).max() < FORCE
    assert np.abs(np.delete(forces, [3, 4, 5], axis=0)).max() == 0
    assert mixed.getNumConstraints() == amber.getNumConstraints() - 3


@openmmml
def test_a_mixed_system_goes_over_into_the_force_field(ml_potential, water_box):
    topology, positions, amber = water_box
    made = ml_potential(precision="double")
    mixed = made.createMixedSystem(topology, amber, [3, 4, 5])
    both = made.createMixedSystem(topology, amber, [3, 4, 5], interpolate=True)
    for weight, right in ((0, amber), (1, mixed)):
        found, expected = (
            evaluated(both, positions, parameters=[("lambda_interpolate", weight)]),
            evaluated(right, positions),
        )
        assert abs(found[0] - expected[0]) < MM_ENERGY
        assert np.abs(found[1] - expected[1]).max() < 1.0  # kJ/mol/nm of 1e4; PME again


@openmmml
def test_a_mixed_system_runs_and_reports_its_charges(ml_potential, water_box, tmp_path):
    topology, positions, amber = water_box
    mixed = ml_potential().createMixedSystem(
        topology, amber, [0, 1, 2], field=FIELD, precision="double"
    )
    simulation = app.Simulation(topology, mixed, openmm.LangevinMiddleIntegrator(300, 1, 0.0002))
    simulation.context.setPositions(positions)
    simulation.reporters.append(ChargeReporter(tmp_path / "charges.h5", 2))
    simulation.step(2)
    simulation.reporters.pop().close()
    with h5py.File(tmp_path / "charges.h5") as file:
        assert file["particles"][:].tolist() == [0, 1, 2]
        assert abs(file["charges"][0].sum()) < 1e-6
        assert file["charges"][0, 0] < -0.3  # e, oxygen
    assert np.isfinite(
        simulation.context.getState(energy=True)
        .getPotentialEnergy()
        .value_in_unit(unit.kilojoule_per_mole)
    )


@openmmml
@pytest.mark.parametrize(
    ("protocol", "periodic", "long"),
    [("ewald", None, True), ("direct", None, False), ("ewald", [False] * 3, False)],
)
def test_the_embedding_learns_whether_images_count(ml_potential, protocol, periodic, long):
    assert ml_potential(protocol=protocol, periodic=periodic)._impl.getMLLongRange() is long


@openmmml
def test_a_cluster_in_a_periodic_force_field(potential, ml_potential, water_box):
    topology, positions, amber = water_box
    mixed = ml_potential(periodic=[False] * 3).createMixedSystem(
        topology, amber, [3, 4, 5], forceGroup=7, precision="double"
    )
    alone = create_system(potential, water(cell=False)[0], backend="python", precision="double")
    assert (
        abs(evaluated(mixed, positions, groups={7})[0] - evaluated(alone, positions[3:6])[0])
        < ENERGY
    )


@openmmml
def test_a_charged_region_is_told_from_a_neutral_one(ml_potential, water_box):
    topology, _, amber = water_box
    with pytest.warns(UserWarning, match="total_charge"):
        ml_potential(total_charge=1).createMixedSystem(topology, amber, [0, 1, 2])


# Refusals


@openmmml
def test_what_is_wrong_is_named(ml_potential, water_box):
    topology, _, amber = water_box
    with pytest.raises(ValueError, match="modelPath: expected the name of a model"):
        ml_potential(modelPath=None)
    with pytest.raises(FileNotFoundError, match="missing.pt"):
        ml_potential(modelPath="missing.pt")
    with pytest.raises(ValueError, match="did you mean total_charge"):
        ml_potential(charge=1)
    with pytest.raises(ValueError, match="temperature: no such option"):
        ml_potential().createSystem(topology, temperature=300)
    with pytest.raises(ValueError, match="did you mean total_charge"):
        ml_potential().createMixedSystem(topology, amber, [0, 1, 2], total_chrage=1)
    with pytest.raises(ValueError, match="periodic: in a mixed System"):
        ml_potential().createMixedSystem(topology, amber, [0, 1, 2], periodic=[False] * 3)


def test_an_openmm_that_is_too_old_is_refused_with_the_remedy():
    require_openmm("8.6.1")
    with pytest.raises(RuntimeError, match=r"openmm 8.5.2 is installed(.|\n)*pip install"):
        require_openmm("8.5.2")


@pytest.mark.skipif(
    versions.accepts(">=8.6.1", versions.installed("openmm")),
    reason="OpenMM is new enough for openmm-ml",
)
def test_the_environment_of_torchforce_is_refused():
    with pytest.raises(RuntimeError, match="environment of its own"):
        PQEqPotentialFactory().createImpl("openmm-pqeq", modelPath="batio3")


# How openmmml finds it


def test_the_entry_point_names_the_factory():
    project = tomllib.loads(
        (Path(__file__).parent.parent / "pyproject.toml").read_text(encoding="utf-8")
    )["project"]
    module, _, name = project["entry-points"]["openmmml.potentials"]["openmm-pqeq"].partition(":")
    assert getattr(importlib.import_module(module), name) is PQEqPotentialFactory


@openmmml
def test_the_interfaces_are_those_of_openmmml():
    from openmmml.mlpotential import MLPotentialImpl, MLPotentialImplFactory

    wanted = {name for name in vars(MLPotentialImpl) if name[0] != "_"} - {"createMixedSystem"}
    assert wanted == {name for name in vars(PQEqPotentialImpl) if name[0] != "_"}
    assert {name for name in vars(MLPotentialImplFactory) if name[0] != "_"} == {"createImpl"}


@openmmml
@pytest.mark.parametrize("first", ["openmmml", "openmm_pqeq.mlpotential"])
def test_openmmml_finds_the_potential_whichever_is_imported_first(first, tmp_path):
    installed = (
        tmp_path / "openmm_pqeq-0.dist-info"
    )  # what pip writes, where the tests run from the sources
    installed.mkdir()
    (installed / "METADATA").write_text("Name: openmm-pqeq\nVersion: 0\n")
    entry = "[openmmml.potentials]\nopenmm-pqeq = openmm_pqeq.mlpotential:PQEqPotentialFactory\n"
    (installed / "entry_points.txt").write_text(entry)
    code = f"import {first}, openmmml; openmmml.MLPotential('openmm-pqeq', modelPath='batio3')"
    path = os.pathsep.join([str(tmp_path), str(Path(__file__).parent.parent)])
    subprocess.run(
        [sys.executable, "-c", code],
        check=True,
        env={**os.environ, "PYTHONPATH": path},
        timeout=120,
    )


def test_bonds_are_those_within_the_region():
    topology, _ = water()
    assert bonds_among(topology, None).getNumBonds() == 2
    assert bonds_among(topology, [0, 2]).getNumBonds() == 1
    assert bonds_among(topology, [1, 2]).getNumBonds() == 0
