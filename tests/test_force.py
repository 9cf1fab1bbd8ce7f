"""OpenMM sees the potential's own energy and forces, by both routes, and refuses what it cannot mean."""

import copy
import io
import pickle
import subprocess
import sys

import numpy as np
import openmm
import pytest
import torch
from openmm import app, unit

from openmm_pqeq import versions
from openmm_pqeq.force import create_force, create_system
from openmm_pqeq.potential import build
from openmm_pqeq.structure import structure_of
from openmm_pqeq.units import KJ_PER_MOL_NM_PER_EV_PER_ANGSTROM, KJ_PER_MOL_PER_EV

pytestmark = pytest.mark.python_route

ENERGY = 1e-8  # eV/atom; both routes run the very module that `evaluate` runs, in float64
FORCE = 1e-8  # eV/Å
STEP = 1e-4  # V/Å for central differences of the energy

torchforce = pytest.mark.skipif(
    bool(versions.problems("torchscript")), reason="TorchForce needs its own versions of torch and OpenMM"
)
BACKENDS = [pytest.param("torchscript", marks=torchforce), "python"]
both_routes = pytest.mark.parametrize("backend", BACKENDS)


def topology_of(symbols, box=None, bonds=()):
    """Topology of one residue; a symbol "X" is a particle without an element. box : (3, 3) Å."""
    topology = app.Topology()
    residue = topology.addResidue("STR", topology.addChain())
    for k, symbol in enumerate(symbols):
        element = None if symbol == "X" else app.Element.getBySymbol(symbol)
        topology.addAtom(f"{symbol}{k + 1}", element, residue)
    atoms = list(topology.atoms())
    for i, j in bonds:
        topology.addBond(atoms[i], atoms[j])
    if box is not None:
        topology.setPeriodicBoxVectors([openmm.Vec3(*row) for row in (0.1 * np.asarray(box)).tolist()] * unit.nanometer)
    return topology


@pytest.fixture(scope="module")
def ewald():
    return build({"pqeq": {"protocol": "ewald", "tolerance": 1e-10}})


@pytest.fixture(scope="module")
def direct():
    return build({"pqeq": {"protocol": "direct", "tolerance": 1e-10}, "d3": D3})


@pytest.fixture(scope="module")
def sweeps():
    return build({"pqeq": {"protocol": "reaxnet", "cutoff": 5.0}})


@pytest.fixture(scope="module")
def network():
    """A cheap smooth potential, where all that matters is what OpenMM does with it."""
    torch.manual_seed(0)
    return build({"gnn": {"species": ["H", "O", "Na", "Cl"], "hidden_irreps": "4x0e + 2x1o", "layers": 1, "r_max": 4.0}})


D3 = {"damping": "bj", "functional": "pbe", "cutoff": 7.0, "cn_cutoff": 5.0}
SALT = ["Na", "Na", "Cl", "Cl"]
BOX = np.array([[5.6, 0, 0], [0.4, 5.5, 0], [-0.3, 0.8, 4.2]])  # Å, triclinic
FIELD = (0.01, -0.02, 0.03)


def salt_positions():
    """Four ions of a triclinic crystal, (4, 3) Å."""
    fractions = np.array([[0, 0, 0], [0.5, 0.5, 0.02], [0.5, 0.03, 0.48], [0.04, 0.5, 0.5]])
    return fractions @ BOX


WATER = ["O", "H", "H"]


def water_positions():
    """One water molecule, (3, 3) Å."""
    return np.array([[0.0, 0.0, 0.1], [0.76, 0.0, -0.48], [-0.76, 0.1, -0.48]])


def context_of(system, positions, platform="Reference", integrator=None):
    integrator = integrator or openmm.VerletIntegrator(0.5 * unit.femtosecond)
    context = openmm.Context(system, integrator, openmm.Platform.getPlatformByName(platform))
    context.setPositions(0.1 * np.asarray(positions))
    return context


def evaluated(context):
    """Energy (eV) and forces (eV/Å)."""
    state = context.getState(energy=True, forces=True)
    energy = state.getPotentialEnergy().value_in_unit(unit.kilojoule_per_mole) / KJ_PER_MOL_PER_EV
    forces = state.getForces(asNumpy=True).value_in_unit(unit.kilojoule_per_mole / unit.nanometer)
    return energy, forces / KJ_PER_MOL_NM_PER_EV_PER_ANGSTROM


def expected(potential, symbols, positions, box=None, total_charge=0.0, field=(0, 0, 0), coupling="shell"):
    """The same from the potential itself."""
    numbers = torch.tensor([app.Element.getBySymbol(symbol).atomic_number for symbol in symbols])
    structure = structure_of(
        torch.tensor(positions, dtype=torch.float64),
        numbers,
        cell=None if box is None else torch.tensor(box, dtype=torch.float64),
        total_charge=total_charge,
        field=torch.tensor(field, dtype=torch.float64),
    )
    evaluation = potential.configured(coupling=coupling).evaluate(structure)
    return float(evaluation.energy), evaluation.forces.numpy(), evaluation


def assert_same(got, wanted, energy=ENERGY, force=FORCE):
    assert abs(got[0] - wanted[0]) < energy * len(wanted[1])
    assert np.abs(got[1] - wanted[1]).max() < force


# The numbers


@both_routes
@pytest.mark.parametrize("platform", ["Reference", "CPU"])
def test_a_crystal_in_a_field(ewald, backend, platform):
    system = create_system(ewald, topology_of(SALT, BOX), field=FIELD, total_charge=0.5, backend=backend, precision="double")
    context = context_of(system, salt_positions(), platform)
    assert_same(evaluated(context), expected(ewald, SALT, salt_positions(), BOX, 0.5, FIELD))


@both_routes
def test_a_crystal_that_moves(sweeps, backend):
    # TorchScript compiles again during the first calls, from what it has seen
    context = context_of(
        create_system(sweeps, topology_of(SALT, BOX), field=FIELD, backend=backend, precision="double"), salt_positions()
    )
    for move in range(4):
        positions = salt_positions() + 0.05 * move * np.array([[1, 0, 0], [0, 1, -1], [0, 0, 1], [1, -1, 0]])
        context.setPositions(0.1 * positions)
        assert_same(evaluated(context), expected(sweeps, SALT, positions, BOX, field=FIELD))


@both_routes
@pytest.mark.parametrize("coupling", ["shell", "full"])
def test_a_molecule_without_a_cell(direct, backend, coupling):
    system = create_system(direct, topology_of(WATER), field=FIELD, coupling=coupling, backend=backend, precision="double")
    assert not system.usesPeriodicBoundaryConditions()
    context = context_of(system, water_positions())
    assert_same(evaluated(context), expected(direct, WATER, water_positions(), field=FIELD, coupling=coupling))


@both_routes
@pytest.mark.parametrize("stop_gradient", [False, True])
def test_two_sweeps_with_either_gradient(backend, stop_gradient):
    # what OpenMM's plugin does to a module (freezing) must not touch what is held fixed in a gradient.
    potential = build({"pqeq": {"protocol": "reaxnet", "cutoff": 8.0, "stop_gradient": stop_gradient}})
    system = create_system(potential, topology_of(SALT, BOX), field=FIELD, backend=backend, precision="double")
    context = context_of(system, salt_positions())
    assert_same(evaluated(context), expected(potential, SALT, salt_positions(), BOX, field=FIELD))


@both_routes
@pytest.mark.parametrize("precision", ["mixed", "single"])
def test_lower_precision_is_close(direct, backend, precision):
    system = create_system(direct, topology_of(WATER), backend=backend, precision=precision, tolerance=1e-5)
    context = context_of(system, water_positions())
    got, wanted = evaluated(context), expected(direct, WATER, water_positions())
    assert_same(got, wanted, energy=1e-4, force=1e-3)  # float32 has 7 digits of some 10 eV and of some 10 eV/Å
    assert abs(got[0] - wanted[0]) > 1e-9  # and it is not float64


@both_routes
def test_a_network_alone(network, backend):
    system = create_system(network, topology_of(SALT, BOX), backend=backend, precision="double")
    context = context_of(system, salt_positions())
    assert_same(evaluated(context), expected(network.configured(precision="double"), SALT, salt_positions(), BOX))


@both_routes
def test_any_image_of_an_atom_gives_the_same_forces(ewald, backend):
    context = context_of(create_system(ewald, topology_of(SALT, BOX), field=FIELD, backend=backend), salt_positions())
    here = evaluated(context)
    context.setPositions(0.1 * (salt_positions() + np.array([[1, 0, 0], [0, -2, 1], [0, 0, 0], [3, 1, 1]]) @ BOX))
    assert_same(evaluated(context), here, energy=1e-6, force=1e-6)  # the charge solution is converged to 1e-5 here, kernels float32


@both_routes
def test_the_box_is_the_contexts(sweeps, backend):
    context = context_of(create_system(sweeps, topology_of(SALT, BOX), backend=backend, precision="double"), salt_positions())
    context.setPeriodicBoxVectors(*(0.1 * 1.05 * BOX))
    context.setPositions(0.1 * 1.05 * salt_positions())
    assert_same(evaluated(context), expected(sweeps, SALT, 1.05 * salt_positions(), 1.05 * BOX))


@both_routes
def test_periodic_false_ignores_the_box(direct, backend):
    force_field = create_system(
        direct, topology_of(WATER, 30 * np.eye(3)), periodic=(False,) * 3, backend=backend, precision="double"
    )
    assert_same(evaluated(context_of(force_field, water_positions())), expected(direct, WATER, water_positions()))


# The field as a parameter


@both_routes
def test_the_field_is_a_parameter(sweeps, backend):
    context = context_of(create_system(sweeps, topology_of(SALT, BOX), backend=backend, precision="double"), salt_positions())
    for name, value in zip(("field_x", "field_y", "field_z"), FIELD):
        context.setParameter(name, value)
    assert_same(evaluated(context), expected(sweeps, SALT, salt_positions(), BOX, field=FIELD))


@both_routes
@pytest.mark.parametrize("coupling", ["shell", "full"])
def test_the_total_force_is_charge_times_field(direct, backend, coupling):
    system = create_system(direct, topology_of(WATER), total_charge=1, coupling=coupling, backend=backend, precision="double")
    context = context_of(system, water_positions())
    assert np.abs(evaluated(context)[1].sum(0)).max() < FORCE
    context.setParameter("field_z", 0.02)
    assert np.abs(evaluated(context)[1].sum(0) - [0, 0, 0.02]).max() < FORCE


@both_routes
def test_an_ion_by_itself_feels_its_charge(direct, backend):
    context = context_of(create_system(direct, topology_of(["Na"]), 1, FIELD, backend=backend, precision="double"), [[1, 2, 3]])
    assert np.abs(evaluated(context)[1] - [FIELD]).max() < FORCE


@torchforce
def test_the_derivative_by_a_parameter_is_minus_the_dipole(ewald):
    system = create_system(ewald, topology_of(SALT, BOX), field=FIELD, precision="double")
    context = context_of(system, salt_positions())
    derivatives = context.getState(parameterDerivatives=True).getEnergyParameterDerivatives()
    dipole = expected(ewald, SALT, salt_positions(), BOX, field=FIELD)[2].dipole[0].numpy()
    got = -np.array([derivatives[f"field_{axis}"] for axis in "xyz"]) / KJ_PER_MOL_PER_EV
    assert np.abs(got - dipole).max() < 1e-7  # e Å


@torchforce
def test_the_derivative_by_a_parameter_is_that_of_a_variational_energy(direct):
    context = context_of(create_system(direct, topology_of(WATER), coupling="full", precision="double"), water_positions())
    derivatives = context.getState(parameterDerivatives=True).getEnergyParameterDerivatives()
    for axis in "xyz":
        energies = []
        for value in (STEP, -STEP):
            context.setParameter(f"field_{axis}", value)
            energies.append(evaluated(context)[0])
        context.setParameter(f"field_{axis}", 0.0)
        slope = (energies[0] - energies[1]) / (2 * STEP)
        assert abs(derivatives[f"field_{axis}"] / KJ_PER_MOL_PER_EV - slope) < 1e-5  # e Å; energies are converged to 1e-10 eV


def test_fields_with_units(direct):
    def default(field):
        force = create_force(direct, topology_of(WATER), field=field, backend="python")
        return [force.getGlobalParameters()[f"field_{axis}"] for axis in "xyz"]

    volt, molar = unit.volt / unit.angstrom, unit.kilojoule_per_mole / unit.nanometer / unit.elementary_charge
    assert default(np.array([0.1, 0, 0.2])) == [0.1, 0, 0.2]
    assert default([0, 0, 1] * unit.volt / unit.nanometer) == pytest.approx([0, 0, 0.1], abs=1e-12)
    assert default((0, 0, 0.3 * volt)) == pytest.approx([0, 0, 0.3], abs=1e-12)
    assert default(np.array([0, 0, KJ_PER_MOL_NM_PER_EV_PER_ANGSTROM]) * molar) == pytest.approx([0, 0, 1], abs=1e-12)


# A System as any other


@both_routes
def test_xml_and_copies(sweeps, backend):
    system = create_system(sweeps, topology_of(SALT, BOX), field=FIELD, backend=backend, precision="double")
    wanted = evaluated(context_of(system, salt_positions()))
    copies = [openmm.XmlSerializer.deserialize(openmm.XmlSerializer.serialize(system)), copy.deepcopy(system)]
    for again in [*copies, pickle.loads(pickle.dumps(system))]:
        context = context_of(again, salt_positions())
        assert context.getParameter("field_y") == FIELD[1]
        assert_same(evaluated(context), wanted, energy=1e-12, force=1e-12)


@both_routes
def test_xml_is_read_by_another_process_whatever_is_imported_first(network, backend, tmp_path):
    system = create_system(network, topology_of(SALT, BOX), backend=backend)
    (tmp_path / "system.xml").write_text(openmm.XmlSerializer.serialize(system))
    script = (
        "import openmm, openmm_pqeq, sys\n"  # openmm before torch: its plugins for torch fail to load, and are loaded later
        "system = openmm.XmlSerializer.deserialize(open(sys.argv[1]).read())\n"
        "platform = openmm.Platform.getPlatformByName('CPU')\n"
        "context = openmm.Context(system, openmm.VerletIntegrator(0.001), platform)\n"
        f"context.setPositions({(0.1 * salt_positions()).tolist()})\n"
        "print(context.getState(energy=True).getPotentialEnergy()._value)\n"
    )
    result = subprocess.run([sys.executable, "-c", script, tmp_path / "system.xml"], capture_output=True, text=True, check=True)
    assert "simtk" not in result.stderr
    energy = evaluated(context_of(system, salt_positions()))[0]
    assert float(result.stdout) / KJ_PER_MOL_PER_EV == pytest.approx(energy, abs=1e-6)


def simulation_of(potential, backend, integrator=None, **options):
    topology = topology_of(SALT, BOX)
    system = create_system(potential, topology, backend=backend, **options)
    integrator = integrator or openmm.VerletIntegrator(0.5 * unit.femtosecond)
    simulation = app.Simulation(topology, system, integrator, openmm.Platform.getPlatformByName("Reference"))
    simulation.context.setPositions(0.1 * salt_positions())
    return simulation


@both_routes
def test_a_run_continues_from_a_checkpoint_and_from_a_state(network, backend, tmp_path):
    simulation = simulation_of(network, backend, precision="double")
    simulation.context.setParameter("field_z", 0.01)
    simulation.step(2)
    simulation.saveCheckpoint(str(tmp_path / "run.chk"))
    simulation.saveState(str(tmp_path / "run.xml"))
    simulation.step(3)
    wanted = simulation.context.getState(positions=True).getPositions(asNumpy=True)._value
    for load, name in (("loadCheckpoint", "run.chk"), ("loadState", "run.xml")):
        other = simulation_of(network, backend, precision="double")
        getattr(other, load)(str(tmp_path / name))
        assert other.context.getParameter("field_z") == 0.01
        other.step(3)
        got = other.context.getState(positions=True).getPositions(asNumpy=True)._value
        assert np.abs(got - wanted).max() < 1e-9  # nm


@both_routes
@pytest.mark.parametrize(
    "integrator",
    [
        openmm.LangevinMiddleIntegrator(300, 1, 0.0005),
        openmm.NoseHooverIntegrator(300, 1, 0.0005),
        openmm.BrownianIntegrator(300, 100, 0.0005),
        openmm.VariableVerletIntegrator(1e-4),
    ],
    ids=lambda integrator: type(integrator).__name__,
)
def test_integrators(network, backend, integrator):
    simulation = simulation_of(network, backend, copy.deepcopy(integrator))
    simulation.context.setVelocitiesToTemperature(300, 1)
    simulation.step(3)
    assert np.isfinite(evaluated(simulation.context)[0])


@both_routes
def test_energy_is_conserved(network, backend):
    simulation = simulation_of(network, backend, openmm.VerletIntegrator(0.0005), precision="double")
    simulation.context.setVelocitiesToTemperature(300, 1)

    def total():
        state = simulation.context.getState(energy=True)
        return (state.getPotentialEnergy() + state.getKineticEnergy())._value / KJ_PER_MOL_PER_EV

    simulation.step(1)
    start, before = total(), evaluated(simulation.context)[0]
    simulation.step(40)
    moved = abs(evaluated(simulation.context)[0] - before)
    assert moved > 1e-4  # eV went from one form to the other,
    assert abs(total() - start) < 0.01 * moved  # and the sum stayed


@both_routes
def test_the_minimizer_lowers_the_energy(sweeps, backend):
    simulation = simulation_of(sweeps, backend)
    before = evaluated(simulation.context)[0]
    simulation.minimizeEnergy(maxIterations=3)
    assert evaluated(simulation.context)[0] < before


BAROSTATS = [
    openmm.MonteCarloBarostat(1e4, 300, 1),
    openmm.MonteCarloAnisotropicBarostat(openmm.Vec3(1e4, 1e4, 1e4), 300, True, True, True, 1),
    openmm.MonteCarloFlexibleBarostat(1e4, 300, 1, False),
]


@both_routes
@pytest.mark.parametrize("barostat", BAROSTATS, ids=lambda barostat: type(barostat).__name__)
def test_barostats(network, backend, barostat):
    topology = topology_of(SALT, BOX)
    system = create_system(network, topology, backend=backend)
    barostat = copy.deepcopy(barostat)
    barostat.setRandomNumberSeed(1)
    system.addForce(barostat)
    context = context_of(system, salt_positions(), integrator=openmm.LangevinMiddleIntegrator(300, 1, 0.0005))
    before = context.getState().getPeriodicBoxVolume()._value
    context.getIntegrator().step(10)
    state = context.getState(energy=True)
    assert state.getPeriodicBoxVolume()._value != before
    assert np.isfinite(state.getPotentialEnergy()._value)


@both_routes
def test_reporters(network, backend, tmp_path):
    simulation = simulation_of(network, backend)
    table = io.StringIO()
    columns = {"step": True, "potentialEnergy": True, "temperature": True, "volume": True, "density": True}
    simulation.reporters += [
        app.DCDReporter(str(tmp_path / "run.dcd"), 1),
        app.XTCReporter(str(tmp_path / "run.xtc"), 1),
        app.PDBReporter(str(tmp_path / "run.pdb"), 1),
        app.CheckpointReporter(str(tmp_path / "run.chk"), 1),
        app.StateDataReporter(table, 1, **columns),
    ]
    simulation.step(2)
    simulation.reporters.clear()  # closes the files
    assert all((tmp_path / f"run.{ending}").stat().st_size > 0 for ending in ("dcd", "xtc", "pdb", "chk"))
    assert len(table.getvalue().strip().splitlines()) == 3


# Some of the particles


@both_routes
def test_a_part_of_a_system_beside_other_forces(sweeps, backend):
    symbols, positions = ["Ar", *SALT, "X"], np.vstack([[[2.0, 1.0, 2.5]], salt_positions()[[2, 0, 3, 1]], [[1, 1, 1]]])
    atoms = [4, 2, 1, 3]  # the crystal in its own order, but for two equal ions
    topology = topology_of(symbols, BOX)
    for atom, symbol in zip(list(topology.atoms())[1:5], ("Cl", "Na", "Cl", "Na")):
        atom.element = app.Element.getBySymbol(symbol)
    system = create_system(sweeps, topology, atoms=atoms, field=FIELD, backend=backend, precision="double")
    other = openmm.CustomExternalForce("3*x + 2*periodicdistance(x, y, z, 0, 0, 0)^0")
    for k in range(len(symbols)):
        other.addParticle(k, [])
    system.addForce(other)
    energy, forces = evaluated(context_of(system, positions))
    wanted_energy, wanted, _ = expected(sweeps, SALT, positions[atoms], BOX, field=FIELD)
    push = -3 / KJ_PER_MOL_NM_PER_EV_PER_ANGSTROM
    other_energy = (3 * 0.1 * positions[:, 0].sum() + 2 * len(symbols)) / KJ_PER_MOL_PER_EV
    assert abs(energy - other_energy - wanted_energy) < 1e-6
    assert np.abs(forces[atoms] - wanted - [push, 0, 0]).max() < FORCE
    assert np.abs(forces[[0, 5]] - [push, 0, 0]).max() < FORCE


@both_routes
def test_a_topology_of_another_system(network, backend):
    system = openmm.System()
    for _ in range(5):
        system.addParticle(1.0)
    system.addForce(create_force(network, topology_of(SALT, BOX), backend=backend))
    with pytest.raises(openmm.OpenMMException, match=r"made for 4 particles, and the System has 5"):
        evaluated(context_of(system, np.arange(15).reshape(5, 3)))


# What a System has besides


def test_masses_and_centre_of_mass(ewald):
    system = create_system(ewald, topology_of(SALT, BOX), backend="python")
    assert system.getParticleMass(0)._value == pytest.approx(22.99, abs=0.01)
    assert system.getDefaultPeriodicBoxVectors()[1].x == pytest.approx(0.04)
    assert [type(force).__name__ for force in system.getForces()] == ["PythonForce", "CMMotionRemover"]
    assert create_system(ewald, topology_of(SALT, BOX), backend="python", removeCMMotion=False).getNumForces() == 1


def test_hydrogen_mass_moves_mass(direct):
    topology = topology_of(WATER, bonds=[(0, 1), (2, 0)])
    system = create_system(direct, topology, backend="python", hydrogenMass=3 * unit.amu)
    masses = [system.getParticleMass(k)._value for k in range(3)]
    assert masses == pytest.approx([15.99943 - 2 * (3 - 1.007947), 3, 3], abs=1e-5)
    with pytest.raises(ValueError, match=r"hydrogenMass: expected bonds for every hydrogen, got 2 without"):
        create_system(direct, topology_of(WATER), backend="python", hydrogenMass=3)
    with pytest.raises(ValueError, match="leaves nothing for O1"):
        create_system(direct, topology, backend="python", hydrogenMass=10)


def test_constraints(direct):
    def constraints(value, bonds=((0, 1), (2, 0))):
        system = create_system(direct, topology_of(WATER, bonds=bonds), backend="python", constraints=value)
        return [(i, j, round(d._value, 6)) for i, j, d in map(system.getConstraintParameters, range(system.getNumConstraints()))]

    assert constraints(None) == []
    assert constraints(app.HBonds) == [(0, 1, 0.097), (2, 0, 0.097)]  # Å 0.66 + 0.31, Cordero 2008
    assert constraints([(0, 1, 0.96 * unit.angstrom), (1, 2, 0.15)]) == [(0, 1, 0.096), (1, 2, 0.15)]
    with pytest.raises(ValueError, match=r"constraints: app\.HBonds needs bonds"):
        constraints(app.HBonds, bonds=())
    for wrong in (app.AllBonds, app.HAngles, "HBonds", [(0, 1)], [(0, 0, 0.1)], [(0, 7, 0.1)], [(0, 1, 0.1 * unit.kelvin)]):
        with pytest.raises(ValueError, match="constraints: expected"):
            constraints(wrong)


def test_a_barostat_on_molecules_without_bonds_warns(ewald):
    box = 6 * np.eye(3)
    system = create_system(ewald, topology_of(WATER, box), backend="python")
    with pytest.warns(UserWarning, match="moves every atom by itself"):
        system.addForce(openmm.MonteCarloBarostat(1, 300))
    create_system(ewald, topology_of(WATER, box, [(0, 1), (0, 2)]), backend="python").addForce(openmm.MonteCarloBarostat(1, 300))
    create_system(ewald, topology_of(SALT, BOX), backend="python").addForce(openmm.MonteCarloBarostat(1, 300))


def test_barostats_keep_bonded_molecules_rigid(network):
    topology = topology_of(WATER * 2, 8 * np.eye(3), [(0, 1), (0, 2), (3, 4), (3, 5)])
    system = create_system(network, topology, backend="python", removeCMMotion=False)
    barostat = openmm.MonteCarloBarostat(1e4, 300, 1)
    barostat.setRandomNumberSeed(1)
    system.addForce(barostat)
    positions = np.vstack([water_positions() + 1, water_positions() + np.array([4, 5, 4])])
    context = context_of(system, positions, integrator=openmm.VerletIntegrator(1e-9))
    assert [len(molecule) for molecule in context.getMolecules()] == [3, 3]
    context.getIntegrator().step(10)
    state = context.getState(positions=True)
    assert abs(state.getPeriodicBoxVolume()._value - 0.512) > 1e-4  # nm³
    moved = state.getPositions(asNumpy=True)._value * 10
    for first in (0, 3):
        assert np.abs((moved[first + 1] - moved[first]) - (water_positions()[1] - water_positions()[0])).max() < 1e-6


# Doors


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"total_charge": "one"}, "total_charge: expected a finite number in e, got 'one'"),
        ({"total_charge": float("nan")}, "total_charge: expected a finite number"),
        ({"total_charge": 1 * unit.kelvin}, "total_charge: expected a finite number in e"),
        ({"field": 0.1}, "field: expected three components"),
        ({"field": "xyz"}, "field: expected three components"),
        ({"field": (0, 0)}, "field: expected three finite numbers"),
        ({"field": (0, 0, float("nan"))}, "field: expected three finite numbers"),
        ({"field": (0, 0, "a")}, "field: expected three finite numbers"),
        ({"field": [0, 0, 1] * unit.volt}, "field: expected an electric field, got units of volt"),
        ({"field": (0, 0, 1 * unit.kilojoule_per_mole)}, "field: expected an electric field, got units of kilojoule/mole"),
        ({"field": (0, 0, 0.1), "coupling": "full"}, 'coupling="full" moves charge along the field'),
        ({"coupling": "fragments"}, "coupling: expected one of 'shell', 'full', 'fragment', got 'fragments'"),
        ({"fragments": [[0, 1]]}, "fragments: expected None"),
        ({"backend": "cuda"}, "backend: expected one of 'torchscript', 'python', got 'cuda'"),
        ({"precision": "half"}, "precision: expected one of 'double', 'mixed', 'single', got 'half'"),
        ({"tolerance": -1}, "tolerance: expected a positive number"),
        ({"tolerance": "small"}, "tolerance: expected a positive number"),
        ({"periodic": True}, "periodic: expected three booleans"),
        ({"periodic": (1, 1, 0)}, "periodic: expected three booleans"),
        ({"atoms": []}, "atoms: expected at least one index"),
        ({"atoms": [0, 9]}, r"atoms: expected indices from 0 to 3, got \[9\]"),
        ({"atoms": [-1]}, "atoms: expected indices from 0 to 3"),
        ({"atoms": [1, 1, 2]}, r"atoms: expected each index once, got more than once: \[1\]"),
        ({"atoms": [True, False]}, "atoms: expected integer indices, got True"),
        ({"atoms": 3}, "atoms: expected indices"),
    ],
)
def test_arguments_that_do_not_fit(ewald, arguments, message):
    with pytest.raises(ValueError, match=message):
        create_force(ewald, topology_of(SALT, BOX), **{"backend": "python", **arguments})


def test_topologies_that_do_not_fit(ewald, direct):
    with pytest.raises(ValueError, match=r"1 particles have no element \(virtual sites, for example\): 3 \(X4 of STR 1\)"):
        create_force(direct, topology_of([*WATER, "X"]), backend="python")
    with pytest.raises(ValueError, match="expected at least one atom"):
        create_force(direct, app.Topology(), backend="python")
    with pytest.raises(ValueError, match="periodic: the topology has no box"):
        create_force(direct, topology_of(WATER), periodic=(True, True, True), backend="python")
    with pytest.raises(ValueError, match="'direct' has no images"):
        create_force(direct, topology_of(WATER, BOX), backend="python")
    few = build({"pqeq": {"protocol": "ewald", "parameters": "pqeq1"}})
    with pytest.raises(ValueError, match="does not know Na"):
        create_force(few, topology_of(SALT, BOX), backend="python")
    with pytest.raises(ValueError, match="potential: expected a Potential"):
        create_force(torch.nn.Linear(1, 1), topology_of(WATER), backend="python")


def test_charges_and_fields_that_nothing_would_feel(network):
    with pytest.raises(ValueError, match="total_charge: this potential has no charges"):
        create_force(network, topology_of(SALT, BOX), total_charge=1, backend="python")
    with pytest.raises(ValueError, match="field: this potential has no charges"):
        create_force(network, topology_of(SALT, BOX), field=FIELD, backend="python")


def test_a_partly_periodic_box_and_its_field():
    potential = build({"pqeq": {"protocol": "reaxnet", "cutoff": 8.0}})
    box = np.diag([5.6, 5.6, 30.0])
    topology = topology_of(SALT, box)
    topology.pq_pbc = (True, True, False)  # what read_structure notes
    system = create_system(potential, topology, field=(0, 0, 0.02), coupling="full", backend="python")
    context = context_of(system, salt_positions())
    evaluated(context)
    context.setParameter("field_x", 0.01)
    with pytest.raises(openmm.OpenMMException, match="a component along a periodic direction has no meaning"):
        evaluated(context)


def test_versions_that_do_not_fit(ewald, monkeypatch):
    found = {"torch": "2.13.0", "openmm": "8.6.1", "openmmtorch": None}
    monkeypatch.setattr(versions, "installed", found.get)
    with pytest.raises(RuntimeError) as error:
        create_force(ewald, topology_of(SALT, BOX))
    for words in ("torch 2.13.0 is installed", "==2.9.1", "8.5.2", "pip install", 'backend="python"'):
        assert words in str(error.value)
    found["openmm"] = "8.4.0"
    with pytest.raises(RuntimeError, match=r"openmm 8\.4\.0 is installed"):
        create_force(ewald, topology_of(SALT, BOX), backend="python")


# First evaluations that fail


@both_routes
@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda positions: positions[[0, 0, 2, 3]], "two atoms cannot be at the same place"),
        (
            lambda positions: positions[[0, 0, 2, 3]] + [[0, 0, 0], BOX[0], [0, 0, 0], [0, 0, 0]],
            "two atoms cannot be at the same place",
        ),
        (lambda positions: np.where(np.arange(4)[:, None] == 2, np.nan, positions), "NaN"),
    ],
)
def test_positions_that_cannot_be(sweeps, backend, spoil, message):
    context = context_of(create_system(sweeps, topology_of(SALT, BOX), backend=backend), salt_positions())
    context.setPositions(0.1 * spoil(salt_positions()))
    with pytest.raises(openmm.OpenMMException, match=message):
        evaluated(context)


@both_routes
def test_charges_that_do_not_converge(backend):
    soft = build({"pqeq": {"protocol": "direct", "parameters": "pqeq0"}})  # its H is softer than its own Gaussian
    context = context_of(create_system(soft, topology_of(["H", "H", "O"]), backend=backend), [[0, 0, 0], [0, 0, 0.4], [0, 0.4, 0]])
    with pytest.raises(openmm.OpenMMException, match="PQEq: the charge solution"):
        evaluated(context)
