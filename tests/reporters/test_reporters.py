"""Reporters write what the running potential has: the same charges by both routes, a polarization
without jumps, files that stay whole."""

import h5py
import numpy as np
import openmm
import pytest
from openmm import app, unit
from simulations import EDGE, FIELD, mgo, rows_of, simulation_of
from through_openmm import both_routes

from openmm_pqeq.analysis.polarization import Frame, dipole_change, displacements
from openmm_pqeq.calculator import PQEqCalculator
from openmm_pqeq.potential import build
from openmm_pqeq.reporters import ChargeReporter, DipoleReporter, PolarizationSum
from openmm_pqeq.reporters.observer import Observer
from openmm_pqeq.units import E_PER_SQUARE_ANGSTROM_IN_MICROCOULOMB_PER_SQUARE_CM

pytestmark = pytest.mark.python_route

CHARGE = 1e-8  # e and e Å: both sides solve to 1e-10 eV/e with hardnesses of several eV


@pytest.fixture(scope="module")
def potential():
    return build({"pqeq": {"protocol": "ewald", "tolerance": 1e-10}})


@pytest.fixture(scope="module")
def shared(potential):
    return simulation_of(potential)


@pytest.fixture
def simulation(shared):
    """The same Simulation for many tests, as it was in the beginning: TorchScript takes seconds to
    warm up."""
    shared.reporters.clear()
    shared.currentStep = 0
    shared.context.setTime(0)
    shared.context.setPositions(mgo()[1] / 10)
    for name, value in zip(("field_x", "field_y", "field_z"), FIELD):
        shared.context.setParameter(name, value)
    yield shared
    shared.reporters.clear()


def expected(potential, cell=True, positions=None):
    """Charges, shells and dipole from the ASE calculator."""
    from ase import Atoms

    symbols, start = mgo()
    atoms = Atoms(
        symbols,
        start if positions is None else positions,
        cell=np.eye(3) * EDGE if cell else None,
        pbc=cell,
    )
    calculator = PQEqCalculator(potential, field=FIELD)
    calculator.calculate(atoms, ["energy"])
    return calculator.results


# Charges


@both_routes
def test_the_observer_has_the_charges_of_the_calculator(potential, backend):
    now, right = (
        Observer.of(simulation := simulation_of(potential, backend)).observe(simulation),
        expected(potential),
    )
    for name in ("charges", "shells", "dipole"):
        assert np.abs(getattr(now, name) - right[name]).max() < CHARGE, name
    assert np.abs(now.field - FIELD).max() == 0
    assert abs(now.volume - EDGE**3) < 1e-9  # Å³, float64 arithmetic


@both_routes
def test_a_system_read_from_xml_reports_the_same(potential, backend):
    simulation = simulation_of(potential, backend)
    copy = openmm.XmlSerializer.deserialize(openmm.XmlSerializer.serialize(simulation.system))
    again = app.Simulation(
        simulation.topology, copy, openmm.CustomIntegrator(0.001), simulation.context.getPlatform()
    )
    again.context.setPositions(simulation.context.getState(positions=True).getPositions())
    one, two = (Observer(s.system).observe(s) for s in (simulation, again))
    assert np.abs(one.charges - two.charges).max() < CHARGE


def test_without_a_cell_the_charges_are_those_of_a_cluster(potential):
    now = Observer.of(simulation := simulation_of(potential, cell=False)).observe(simulation)
    right = expected(potential, cell=False)
    assert np.abs(now.charges - right["charges"]).max() < CHARGE
    assert now.volume == 0


def test_the_charges_of_some_atoms_know_which_particles_they_belong_to(potential, tmp_path):
    simulation = simulation_of(potential, atoms=range(2, 10), extra=2)
    simulation.reporters.append(ChargeReporter(tmp_path / "charges.h5", 1))
    simulation.step(1)
    with h5py.File(tmp_path / "charges.h5") as file:
        assert file["particles"][:].tolist() == list(range(2, 10))
        assert np.abs(file["charges"][0] - expected(potential)["charges"]).max() < CHARGE


def test_a_changed_field_is_seen(simulation):
    before = Observer.of(simulation).observe(simulation)
    simulation.context.setParameter("field_z", 0.0)
    after = Observer.of(simulation).observe(simulation)
    assert (
        np.abs(before.shells - after.shells).max() > 1e-4
    )  # Å; the field of 0.03 V/Å moves shells by more
    assert after.field[2] == 0


def test_a_system_without_our_force_is_refused(tmp_path):
    topology = app.Topology()
    topology.addAtom("H", app.element.hydrogen, topology.addResidue("H", topology.addChain()))
    system = openmm.System()
    system.addParticle(1.0)
    simulation = app.Simulation(
        topology,
        system,
        openmm.VerletIntegrator(0.001),
        openmm.Platform.getPlatformByName("Reference"),
    )
    simulation.context.setPositions([openmm.Vec3(0, 0, 0)])
    simulation.reporters.append(ChargeReporter(tmp_path / "charges.h5", 1))
    with pytest.raises(ValueError, match="create_force"):
        simulation.step(1)


def test_a_potential_without_charges_is_refused(tmp_path):
    simulation = simulation_of(
        build({"d3": {"damping": "zero", "functional": "pbe"}}), field=(0, 0, 0)
    )
    simulation.reporters.append(ChargeReporter(tmp_path / "charges.h5", 1))
    with pytest.raises(ValueError, match="no charges"):
        simulation.step(1)


# Files


def test_charge_file_has_every_frame_and_can_be_continued(simulation, potential, tmp_path):
    path = tmp_path / "charges.h5"
    simulation.reporters.append(ChargeReporter(path, 2))
    simulation.step(5)
    with h5py.File(path) as file:  # open beside the writer: whole after each frame
        assert file["step"][:].tolist() == [2, 4]
    simulation.reporters.pop().close()
    simulation.reporters.append(ChargeReporter(path, 2, append=True))
    simulation.step(2)
    simulation.reporters.pop().close()
    with h5py.File(path) as file:
        assert file["step"][:].tolist() == [2, 4, 6]
        assert file["charges"].shape == (3, 8)
        assert file["shells"].shape == (3, 8, 3)
        assert file["numbers"][:].tolist() == [12, 8, 8, 12, 8, 12, 12, 8]
        assert [
            file[name].attrs["units"] for name in ("time", "charges", "shells", "dipole", "field")
        ] == [
            "ps",
            "e",
            "Å",
            "e Å",
            "V/Å",
        ]
        assert np.abs(file["charges"][2] - expected(potential)["charges"]).max() < CHARGE


def test_charge_file_of_other_atoms_is_not_continued(simulation, potential, tmp_path):
    path = tmp_path / "charges.h5"
    simulation.reporters.append(ChargeReporter(path, 1))
    simulation.step(1)
    simulation.reporters.pop().close()
    other = simulation_of(potential, atoms=range(1, 8))  # fails before it solves anything
    other.reporters.append(ChargeReporter(path, 1, append=True))
    with pytest.raises(ValueError, match="other atoms"):
        other.step(1)


def test_dipole_file_has_its_columns_and_can_be_continued_after_a_kill(
    simulation, potential, tmp_path
):
    path = tmp_path / "dipole.csv"
    simulation.reporters.append(DipoleReporter(path, 1))
    simulation.step(1)
    move(simulation, 0.05)
    simulation.step(1)
    simulation.reporters.pop().close()
    last = rows_of(path)[-1]
    with path.open("a") as file:
        file.write("3,0.003,0.0")  # half a row
    simulation.reporters.append(DipoleReporter(path, 1, append=True))
    simulation.step(1)
    simulation.reporters.pop().close()
    rows = rows_of(path)
    assert [row["step"] for row in rows] == ["1", "2", "3"]
    for axis in "xyz":  # nothing has moved since
        assert (
            abs(
                float(rows[-1][f"polarization_{axis}_uC_per_cm2"])
                - float(last[f"polarization_{axis}_uC_per_cm2"])
            )
            < 1e-6
        )
    dipole = [float(rows[0][f"dipole_{axis}_eA"]) for axis in "xyz"]
    assert np.abs(np.array(dipole) - expected(potential)["dipole"]).max() < CHARGE
    assert abs(float(last["polarization_x_uC_per_cm2"])) > 0.1  # µC/cm²


def test_dipole_file_of_a_cluster_has_no_polarization(potential, tmp_path):
    simulation = simulation_of(potential, cell=False)
    simulation.reporters.append(DipoleReporter(tmp_path / "dipole.csv", 1))
    simulation.step(1)
    header = (tmp_path / "dipole.csv").read_text().splitlines()[0]
    assert "dipole_z_eA" in header
    assert "polarization" not in header


@pytest.mark.parametrize("reporter", [ChargeReporter, DipoleReporter])
def test_a_file_to_continue_must_exist_and_an_interval_be_positive(reporter, tmp_path):
    with pytest.raises(FileNotFoundError, match="append=False"):
        reporter(tmp_path / "missing", 1, append=True)
    for interval in (0, 1.5, True, float("nan"), float("inf"), "ten", None):
        with pytest.raises(ValueError, match="interval: expected a positive number of steps, got"):
            reporter(tmp_path / "x", interval)
    assert not (tmp_path / "x").exists()


# Polarization


def move(simulation, amplitude, seed=1):
    """Displace every atom at random; returns the displacements (n, 3) Å."""
    positions = (
        simulation.context.getState(positions=True)
        .getPositions(asNumpy=True)
        .value_in_unit(unit.angstrom)
    )
    moved = np.random.default_rng(seed).normal(0, amplitude, positions.shape)
    simulation.context.setPositions((positions + moved) / 10)
    return moved


def test_the_dipole_changes_by_born_charges_times_displacements(simulation, potential):
    """dμ = Σ Z*·dr, to second order in displacements of 1e-3 Å: an error of 1e-5 e Å for charges of
    1 e."""
    from ase import Atoms

    symbols, positions = mgo()
    for name in ("field_x", "field_y", "field_z"):
        simulation.context.setParameter(name, 0.0)
    observer, total = Observer.of(simulation), PolarizationSum()
    total.add(observer.observe(simulation))
    moved = move(simulation, 1e-3)
    now = observer.observe(simulation)
    total.add(now)
    change = (
        total.microcoulomb_per_square_cm(now)
        * now.volume
        / E_PER_SQUARE_ANGSTROM_IN_MICROCOULOMB_PER_SQUARE_CM
    )
    middle = Atoms(symbols, positions + moved / 2, cell=np.eye(3) * EDGE, pbc=True)
    born = PQEqCalculator(potential, tolerance=1e-10).get_property("born_charges", middle)
    right = np.einsum("iab,ib->a", born, moved)
    assert np.abs(right).max() > 1e-3
    assert np.abs(change - right).max() < 1e-6


def test_the_polarization_does_not_jump_when_an_atom_is_wrapped(simulation):
    observer, total = Observer.of(simulation), PolarizationSum()
    total.add(observer.observe(simulation))
    positions = (
        simulation.context.getState(positions=True)
        .getPositions(asNumpy=True)
        .value_in_unit(unit.angstrom)
    )
    simulation.context.setPositions((positions + EDGE * np.eye(8, 3) * [1, -1, 2]) / 10)
    now = observer.observe(simulation)
    total.add(now)
    assert (
        np.abs(total.microcoulomb_per_square_cm(now)).max() < 1e-4
    )  # µC/cm²; the solution is converged to 1e-10


def test_without_a_cell_the_sum_is_the_change_of_the_dipole_where_charges_stay():
    rng = np.random.default_rng(2)
    charges = rng.normal(size=5)
    before, after = (
        Frame(rng.normal(size=(5, 3)), np.zeros((3, 3)), charges, rng.normal(size=3))
        for _ in range(2)
    )
    right = (
        charges @ (after.positions - before.positions) + after.shell_dipole - before.shell_dipole
    )
    assert np.abs(dipole_change(before, after) - right).max() < 1e-14


def test_a_strain_moves_no_atom_and_a_wrapped_atom_has_not_moved():
    rng = np.random.default_rng(3)
    cell = np.array([[5.0, 0, 0], [1, 6, 0], [0.5, -1, 7]])
    fractions = rng.random((4, 3))
    before = Frame(fractions @ cell, cell, np.ones(4), np.zeros(3))
    images = rng.integers(-2, 3, (4, 3))
    after = Frame((fractions + images) @ (1.1 * cell), 1.1 * cell, np.ones(4), np.zeros(3))
    assert np.abs(displacements(before, after)).max() < 1e-13  # Å


def test_only_periodic_directions_are_wrapped():
    cell = np.diag([4.0, 4.0, 0.0])
    before = Frame(np.zeros((1, 3)), cell, np.ones(1), np.zeros(3))
    after = Frame(np.array([[3.9, 0.1, 30.0]]), cell, np.ones(1), np.zeros(3))
    assert np.abs(displacements(before, after) - [[-0.1, 0.1, 30.0]]).max() < 1e-13


def test_a_sum_continues_from_its_state(simulation):
    observer, total, other = Observer.of(simulation), PolarizationSum(), PolarizationSum()
    total.add(observer.observe(simulation))
    other.restore(total.state())
    move(simulation, 0.05)
    now = observer.observe(simulation)
    for each in (total, other):
        each.add(now)
    assert np.abs(total.microcoulomb_per_square_cm(now)).max() > 0.1
    assert np.array_equal(
        total.microcoulomb_per_square_cm(now), other.microcoulomb_per_square_cm(now)
    )
