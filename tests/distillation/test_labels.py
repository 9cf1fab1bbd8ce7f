"""Labels: asked for once, kept whatever happens, the teacher's own; what a teacher may do."""

import ase.db
import ase.io
import numpy as np
import pytest
from ase.build import bulk
from counting_teacher import Counting
from distillations import COUNTING, N_HELD_OUT, N_TRAINING, do, positions, rows, table

import openmm_pqeq as pq
from openmm_pqeq.distillation import teacher
from openmm_pqeq.distillation.labels import Labels
from openmm_pqeq.distillation.settings import TeacherSettings
from openmm_pqeq.distillation.structures import Made
from openmm_pqeq.distillation.teacher import teacher_of
from openmm_pqeq.jobs.failure import RunFailure
from openmm_pqeq.jobs.files import sha256

pytest.importorskip("lightning", reason="training needs the extra `train`")


def test_a_label_is_read_with_its_total_charge(tmp_path):
    made = Made(bulk("Cu", cubic=True), "Cu", "as given", "training")
    made.atoms.info["charge"] = 1.0
    labels = Labels(tmp_path / "labels.db", teacher_of(TeacherSettings(calculator=COUNTING)))
    labels.label(made, "sha256:request", 0.0)
    assert labels.known("sha256:request").info["charge"] == 1.0


def test_nothing_is_labelled_twice_and_more_may_be_asked_for(tmp_path):
    content = table(tmp_path)
    do(content, tmp_path)
    first = Counting.calls
    assert len(rows(tmp_path / "out" / "labels.db")) == N_TRAINING + N_HELD_OUT
    do(content, tmp_path, resume=True)
    assert Counting.calls == first
    content["structures"]["rattled"] = [0.1, 0.2]
    do(content, tmp_path, resume=True)
    assert Counting.calls == first + 2  # one for training, one held out
    do(content, tmp_path, output="new")
    assert np.array_equal(positions(tmp_path), positions(tmp_path, "new"))


def test_a_stopped_labelling_goes_on_as_if_it_had_not_been_stopped(tmp_path):
    """In the middle of dynamics: positions and forces are those of a run in one go, to the last
    bit."""
    content = table(tmp_path)
    do(content, tmp_path, output="whole")
    Counting.most = Counting.calls + 30
    with pytest.raises(
        RunFailure,
        match=r"after label \d+: .*No space left[^\n]*\n.*labels.db with: the same command with --resume",
    ):
        do(content, tmp_path)
    Counting.most = 10**9
    assert 0 < len(rows(tmp_path / "out" / "labels.db")) < N_TRAINING + N_HELD_OUT
    do(content, tmp_path, resume=True)
    whole, parts = (
        {r.request: r for r in rows(tmp_path / f / "labels.db")} for f in ("whole", "out")
    )
    assert set(whole) == set(parts)
    for request, row in whole.items():
        assert np.array_equal(row.forces, parts[request].forces)
        assert row.structure == parts[request].structure


def test_a_driver_moves_the_atoms_and_the_teacher_labels_them(tmp_path):
    """Dynamics costs the teacher a call a frame; its positions are the driver's, and other ones with
    another driver; labels are the teacher's."""
    gnn = {"species": ["Cu"], "hidden_irreps": "4x0e + 2x1o", "layers": 1, "r_max": 3.5}
    for seed in (0, 1):
        pq.save(pq.build({"gnn": gnn | {"seed": seed}}), tmp_path / f"driver{seed}.pt")
    content = table(tmp_path, driver=str(tmp_path / "driver0.pt"))
    do(content, tmp_path)
    assert Counting.calls == len(rows(tmp_path / "out" / "labels.db")) == N_TRAINING + N_HELD_OUT
    for row in rows(tmp_path / "out" / "labels.db"):
        atoms = row.toatoms()
        atoms.calc = Counting()
        assert np.allclose(row.forces, atoms.get_forces(), rtol=0, atol=1e-9)
    before, driven = Counting.calls, positions(tmp_path)
    content["structures"]["driver"] = str(tmp_path / "driver1.pt")
    do(content, tmp_path, resume=True)
    assert Counting.calls == before + 2 * 2 + 2  # all dynamics, and no structure without
    assert not np.allclose(positions(tmp_path), driven, rtol=0, atol=1e-6)
    content["structures"]["driver"] = "none"
    content["held_out"] |= {"driver": str(tmp_path / "driver1.pt")}
    before = Counting.calls
    do(content, tmp_path, resume=True)
    assert Counting.calls > before + 4 * 2  # the teacher moves again, but for what is held out


def test_labels_are_the_teachers_and_tell_the_phase(tmp_path):
    do(table(tmp_path), tmp_path)
    for row in rows(tmp_path / "out" / "labels.db"):
        atoms = row.toatoms()
        atoms.calc = Counting()
        assert row.energy == pytest.approx(atoms.get_potential_energy(), rel=0, abs=1e-9)
        assert np.allclose(row.stress, atoms.get_stress(), rtol=0, atol=1e-9)
        assert row.made.startswith("Cu: ")
    held_out = ase.io.read(tmp_path / "out" / "held_out.traj", ":")
    assert {a.info["how"] for a in held_out} == {
        "rattled 0.1 Å",
        "strained 0.02",
        "scaled 1.03",
        "heated 600 K",
    }


def test_another_teacher_is_refused(tmp_path):
    content = table(tmp_path)
    do(content, tmp_path)
    content["teacher"]["options"] = {"asap_cutoff": True}
    with pytest.raises(ValueError, match="another one, counting_teacher:Counting; choose another"):
        do(content, tmp_path, resume=True)


@pytest.mark.parametrize("role", ["teacher", "driver"])
def test_another_card_of_a_model_is_no_other_model(role, tmp_path):
    gnn = {"species": ["Cu"], "hidden_irreps": "4x0e + 2x1o", "layers": 1, "r_max": 3.5, "seed": 1}
    model = tmp_path / "model.pt"
    pq.save(pq.build({"gnn": gnn}), model, {"licence": "unknown"})
    content = table(tmp_path, driver=str(model) if role == "driver" else "none")
    if role == "teacher":
        content["teacher"] = {"model": str(model)}
    do(content, tmp_path)
    labelled = len(rows(tmp_path / "out" / "labels.db"))
    pq.save(pq.load(model), model, {"licence": "MIT"})
    do(content, tmp_path, resume=True)
    assert len(rows(tmp_path / "out" / "labels.db")) == labelled


@pytest.mark.parametrize("role", ["teacher", "driver"])
def test_labels_of_an_earlier_version_are_gone_on_with(role, tmp_path, monkeypatch):
    """It knew a model by its whole file."""
    gnn = {"species": ["Cu"], "hidden_irreps": "4x0e + 2x1o", "layers": 1, "r_max": 3.5, "seed": 1}
    model = tmp_path / "model.pt"
    pq.save(pq.build({"gnn": gnn}), model)
    content = table(tmp_path, driver=str(model) if role == "driver" else "none")
    if role == "teacher":
        content["teacher"] = {"model": str(model)}
    with monkeypatch.context() as earlier:
        earlier.setattr(teacher, "fingerprint", sha256)
        do(content, tmp_path)
    labelled = len(rows(tmp_path / "out" / "labels.db"))
    do(content, tmp_path, resume=True)
    assert len(rows(tmp_path / "out" / "labels.db")) == labelled


def test_what_the_teacher_cannot_do_is_left_out(tmp_path):
    content = table(tmp_path, alloys=["Cu=Au"], shares=[0.5])
    Counting.failing = "Au"
    said = []
    do(content, tmp_path, say=said.append)
    assert len(ase.io.read(tmp_path / "out" / "training.traj", ":")) == N_TRAINING
    assert any("4 structures or dynamics were left out" in line for line in said)
    assert any("4: the teacher fails: not converged" in line for line in said)


@pytest.mark.parametrize("number", ["energy", "forces", "stress"])
def test_what_is_no_number_is_left_out_and_kept_nowhere(number, tmp_path):
    content = table(tmp_path, alloys=["Cu=Au"], shares=[0.5])
    content["teacher"] = {"calculator": "strange_teachers:Nan", "options": {"number": number}}
    said = []
    do(content, tmp_path, say=said.append)
    assert len(ase.io.read(tmp_path / "out" / "training.traj", ":")) == N_TRAINING
    assert any(f"4: the teacher fails: {number} with NaN" in line for line in said)
    assert len(rows(tmp_path / "out" / "labels.db")) == N_TRAINING + N_HELD_OUT


def test_dynamics_end_where_forces_are_no_numbers(tmp_path):
    """Atoms are not moved by them to places that are none, where a teacher may say anything."""
    content = table(tmp_path)
    content["teacher"] = {"calculator": "strange_teachers:Tired", "options": {"after": 5}}
    said = []
    do(content, tmp_path, say=said.append)
    images = ase.io.read(tmp_path / "out" / "training.traj", ":")
    assert 0 < len(images) < N_TRAINING
    assert all(np.isfinite(image.positions).all() for image in images)
    assert any("the teacher fails: forces with NaN" in line for line in said)


@pytest.mark.parametrize("kind", [KeyError, ZeroDivisionError, AssertionError, NotImplementedError])
def test_whatever_a_teacher_raises_names_it_and_the_structure(kind, tmp_path):
    content = table(tmp_path)
    content["teacher"] = {"calculator": "strange_teachers:Raising", "options": {"kind": kind}}
    message = (
        f"after label 0: teacher strange_teachers:Raising at Cu: as given: {kind.__name__}: .*no"
    )
    with pytest.raises(RunFailure, match=message):
        do(content, tmp_path)


def test_forces_of_another_number_of_atoms_are_refused(tmp_path):
    content = table(tmp_path)
    content["teacher"] = {"calculator": "strange_teachers:Short"}
    with pytest.raises(RunFailure, match=r"expected forces of shape \(4, 3\), got \(2, 3\)"):
        do(content, tmp_path)


def test_labels_that_are_damaged_are_named(tmp_path):
    content = table(tmp_path)
    do(content, tmp_path)
    place = tmp_path / "out" / "labels.db"
    whole = place.read_bytes()
    for damaged in (b"no database" * 500, whole[: len(whole) // 2]):
        place.write_bytes(damaged)
        with pytest.raises(ValueError, match="labels.db: not the labels of a distillation"):
            do(content, tmp_path, resume=True)
    place.unlink()
    ase.db.connect(place).write(bulk("Cu"))
    with pytest.raises(ValueError, match="labels.db: not the labels of a distillation"):
        do(content, tmp_path, resume=True)


def test_strong_forces_are_left_out(tmp_path):
    content = table(tmp_path, rattled=[0.01, 0.6], largest_force=5.0, temperatures=[])
    do(content, tmp_path)
    images = ase.io.read(tmp_path / "out" / "training.traj", ":")
    assert max(np.linalg.norm(a.get_forces(), axis=1).max() for a in images) < 5.0
    assert len(images) < len(rows(tmp_path / "out" / "labels.db"))
    content["structures"]["largest_force"] = 1e-12
    content["structures"]["rattled"] = [0.6]
    ase.io.write(tmp_path / "Cu.xyz", images[-1], format="extxyz")
    with pytest.raises(
        ValueError, match=r"label to train on, got none \(.*above largest_force, 1e-12"
    ):
        do(content, tmp_path, output="other")
