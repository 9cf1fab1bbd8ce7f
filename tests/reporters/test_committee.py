"""How far models agree: the law on forces of the calculator, frames that are worth a label, the end
of a run, and what is refused."""

import ase.io
import numpy as np
import pytest
from ase import Atoms
from simulations import EDGE, FIELD, mgo, rows_of, simulation_of
from through_openmm import both_routes

import openmm_pqeq as pq
from openmm_pqeq.calculator import PQEqCalculator
from openmm_pqeq.potential import build
from openmm_pqeq.reporters.committee import keep_until, spread_of

pytestmark = pytest.mark.python_route

FORCE = 1e-6  # eV/Å; charges are solved to 1e-10 eV/e
REACHES = (2.2, 2.6, 3.0)
"""Å, of a repulsion: what the models differ in."""


def model(reach):
    return build({"pqeq": {"protocol": "ewald", "tolerance": 1e-10}, "zbl": {"outer": reach}})


def system(reach, backend="python", **settings):
    return simulation_of(model(reach), backend, **settings).system


def found_by_calculators():
    symbols, positions = mgo()
    atoms = Atoms(symbols, positions, cell=np.eye(3) * EDGE, pbc=True)
    result = []
    for reach in REACHES:
        atoms.calc = PQEqCalculator(model(reach), field=FIELD)
        result.append((atoms.get_potential_energy(), atoms.get_forces()))
    return result


def test_the_spread_of_known_forces():
    """Two models 2 eV/Å apart on one of two atoms: 1 eV/Å there, wherever it points."""
    forces = np.zeros((2, 2, 3))
    forces[1, 1] = [0.0, 1.2, -1.6]
    spread = spread_of([(3.0, forces[0]), (7.0, forces[1])])
    assert np.allclose(spread.forces, [0.0, 1.0], atol=1e-15)
    assert spread.energy == 2.0


@both_routes
def test_the_spread_is_that_of_the_models_forces(backend, tmp_path):
    simulation = simulation_of(model(REACHES[0]), backend)
    members = [system(reach, backend) for reach in REACHES[1:]]
    simulation.reporters.append(pq.CommitteeReporter(tmp_path / "committee.csv", 2, members))
    simulation.step(4)
    simulation.reporters.pop().close()
    rows = rows_of(tmp_path / "committee.csv")
    assert [row["step"] for row in rows] == ["2", "4"]
    energies, forces = zip(*found_by_calculators())
    each = np.linalg.norm(np.std(forces, axis=0), axis=1)
    assert each.max() > 0.1
    for row in rows:
        assert abs(float(row["force_spread_max_eV_per_A"]) - each.max()) < FORCE
        assert abs(float(row["force_spread_rms_eV_per_A"]) - np.sqrt((each**2).mean())) < FORCE
        assert abs(float(row["energy_spread_eV"]) - np.std(energies)) < FORCE
        assert int(row["atom"]) == each.argmax()


def test_models_that_are_alike_agree(tmp_path):
    simulation = simulation_of(model(2.6))
    simulation.reporters.append(
        pq.CommitteeReporter(tmp_path / "committee.csv", 1, [system(2.6), system(2.6)])
    )
    simulation.step(1)
    (row,) = rows_of(tmp_path / "committee.csv")
    assert float(row["force_spread_max_eV_per_A"]) < 1e-9


def test_atoms_that_the_potential_has_and_that_move(tmp_path):
    """The index is a particle's; an atom that is held does not count."""
    settings = {"atoms": range(2, 10), "extra": 2}
    simulation = simulation_of(model(2.2), **settings)
    each = np.linalg.norm(np.std([one[1] for one in found_by_calculators()[:2]], axis=0), axis=1)
    first, second = np.argsort(-each)[:2].tolist()
    simulation.system.setParticleMass(2 + first, 0.0)
    path = tmp_path / "committee.csv"
    simulation.reporters.append(pq.CommitteeReporter(path, 1, [system(2.6, **settings)]))
    simulation.step(1)
    (row,) = rows_of(path)
    assert int(row["atom"]) == 2 + second
    assert abs(float(row["force_spread_max_eV_per_A"]) - each[second]) < FORCE


def test_a_frame_is_saved_only_above_the_limit(tmp_path):
    largest = np.linalg.norm(np.std([one[1] for one in found_by_calculators()[:2]], axis=0), axis=1)
    for name, factor in {"above": 0.99, "below": 1.01}.items():
        simulation = simulation_of(model(2.2))
        simulation.reporters.append(
            pq.CommitteeReporter(
                tmp_path / f"{name}.csv",
                1,
                [system(2.6)],
                frames=tmp_path / f"{name}.extxyz",
                save_above=factor * largest.max(),
            )
        )
        simulation.step(2)
        simulation.reporters.pop().close()
    assert (tmp_path / "below.extxyz").read_text() == ""
    frames = ase.io.read(tmp_path / "above.extxyz", ":")
    assert [frame.info["step"] for frame in frames] == [1, 2]
    assert np.abs(frames[0].positions - mgo()[1]).max() < 1e-7
    assert np.abs(frames[0].cell[:] - np.eye(3) * EDGE).max() < 1e-7
    assert np.abs(frames[0].get_array("force_spread") - largest).max() < FORCE
    assert frames[0].info["field"].tolist() == list(FIELD)
    assert frames[0].calc is None  # nothing in it is a label


def test_it_ends_where_the_models_disagree_too_much(tmp_path):
    simulation = simulation_of(model(2.2))
    simulation.reporters.append(
        pq.CommitteeReporter(tmp_path / "committee.csv", 3, [system(2.6)], stop_above=1e-3)
    )
    with pytest.raises(RuntimeError, match=r"committee: at step 3 .* on atom \d \((Mg|O)\)"):
        simulation.step(5)
    assert [row["step"] for row in rows_of(tmp_path / "committee.csv")] == ["3"]


def test_frames_of_later_steps_and_halves_of_frames_are_cut_off(tmp_path):
    path = tmp_path / "frames.extxyz"
    simulation = simulation_of(model(2.2))
    reporter = pq.CommitteeReporter(tmp_path / "c.csv", 2, [system(2.6)], path, 1e-3)
    simulation.reporters.append(reporter)
    simulation.step(6)
    reporter.close()
    path.write_bytes(path.read_bytes()[:-20])
    keep_until(path, 99)
    assert [frame.info["step"] for frame in ase.io.read(path, ":")] == [2, 4]
    keep_until(path, 3)
    assert [frame.info["step"] for frame in ase.io.read(path, ":")] == [2]
    keep_until(path, 1)
    assert path.read_bytes() == b""
    path.write_text("step,time\n1,2\n")
    with pytest.raises(ValueError, match="not extended XYZ"):
        keep_until(path, 1)
    assert path.read_text() == "step,time\n1,2\n"


def test_what_has_no_meaning_is_refused(tmp_path):
    path = tmp_path / "committee.csv"
    with pytest.raises(ValueError, match="members: expected Systems"):
        pq.CommitteeReporter(path, 1, [])
    with pytest.raises(ValueError, match="frames, save_above: give both"):
        pq.CommitteeReporter(path, 1, [system(2.2)], save_above=0.1)
    with pytest.raises(ValueError, match="stop_above: expected a positive"):
        pq.CommitteeReporter(path, 1, [system(2.2)], stop_above=-1.0)
    simulation = simulation_of(model(2.2))
    simulation.reporters.append(
        pq.CommitteeReporter(path, 1, [system(2.6, cell=False, field=None)])
    )
    with pytest.raises(ValueError, match="members: System 0 is of 8 atoms"):
        simulation.step(1)
