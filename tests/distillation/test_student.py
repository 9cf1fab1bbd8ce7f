"""The student and its report: sizes, starts, what is taken off the labels and given back."""

import json
from pathlib import Path

import ase.db
import ase.io
import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk
from distillations import (
    N_HELD_OUT,
    N_TRAINING,
    ONE_MORE,
    do,
    labelled,
    table,
)

import openmm_pqeq as pq
from openmm_pqeq.cli import main
from openmm_pqeq.distillation.config import distillation_of, network_of, write_toml
from openmm_pqeq.distillation.fragments import pulled_apart
from openmm_pqeq.distillation.report import compare
from openmm_pqeq.distillation.settings import StudentSettings, TeacherSettings
from openmm_pqeq.distillation.start import restricted_to
from openmm_pqeq.distillation.structures import Made
from openmm_pqeq.distillation.teacher import teacher_of

pytest.importorskip("lightning", reason="training needs the extra `train`")

from openmm_pqeq.distillation import run
from openmm_pqeq.distillation.run import about_teacher
from openmm_pqeq.jobs.failure import RunFailure


def test_a_student_and_its_report_from_the_command_line(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("cu.toml").write_text(write_toml(distillation_of(table(tmp_path), tmp_path)))
    assert main(["distill", "cu.toml", "-o", "out", "--channels", "6"]) == 0, (
        capsys.readouterr().err
    )
    assert "two copies of one structure, pulled apart" in capsys.readouterr().out
    found = json.loads(Path("out/report.json").read_text())
    assert found["held out"]["all"]["n_frames"] == N_HELD_OUT
    assert found["held out"]["never trained on"] == []
    assert found["cost"]["student"] > 0
    assert (found["labels"], found["epochs"]) == (N_TRAINING + N_HELD_OUT, 1)
    assert found["seconds of labels"] > 0
    potential = pq.load("out/model.pt")
    assert potential.config["gnn"]["hidden_irreps"] == "6x0e + 3x1o"
    images = ase.io.read("out/held_out.traj", ":")
    differences = [pq.PQEqCalculator(potential).get_forces(a) - a.get_forces() for a in images]
    rmse = 1000 * float(np.sqrt(np.square(np.concatenate(differences)).mean()))
    assert found["held out"]["all"]["forces"]["rmse"] == pytest.approx(rmse, rel=1e-5)
    for name in ("parity.png", "course.png", "report.txt", "distill.toml"):
        assert Path("out", name).stat().st_size > 100
    assert main(["distill", "out/distill.toml", "-o", "out", "--resume"]) == 0
    assert main(["distill", "cu.toml", "-o", "out"]) == 2
    assert "replace it with --overwrite" in capsys.readouterr().err


def test_sizes_of_a_student():
    sizes = network_of(StudentSettings(channels=16, l_max=2, layers=3, cutoff=4.5))
    assert sizes["hidden_irreps"] == "16x0e + 8x1o + 4x2e"
    assert (sizes["sh_irreps"], sizes["layers"], sizes["r_max"]) == ("1x0e + 1x1o + 1x2e", 3, 4.5)


def test_a_student_may_start_from_a_model(tmp_path):
    """It knows the elements of the labels alone, and does with them what the model did; trained for
    no step that matters, it is that model. Resumed, it goes on."""
    gnn = {"species": ["Au", "Cu"], "hidden_irreps": "4x0e + 2x1o", "layers": 1, "r_max": 4.0}
    known = pq.build({"gnn": gnn | {"n_basis": 4, "scale": [0.5, 0.7], "shift": [1.0, 2.0]}})
    pq.save(known, tmp_path / "start.pt", {"title": "before"})
    content = table(tmp_path)
    content["student"] = {"start": str(tmp_path / "start.pt"), "train": "all"}
    content["training"] |= {"learning_rate": 1e-12}
    do(content, tmp_path, labels_only=False)
    student = pq.load(tmp_path / "out" / "model.pt")
    assert student.species == ["Cu"]
    atoms = bulk("Cu", cubic=True)
    atoms.rattle(0.1, seed=1)
    forces = [pq.PQEqCalculator(one).get_forces(atoms) for one in (known, student)]
    assert abs(forces[0]).max() > 1e-3
    assert np.allclose(*forces, rtol=0, atol=1e-6)
    before = {"model": "start.pt", "card": {"title": "before"}}
    assert pq.checkpoint.card(tmp_path / "out" / "model.pt")["fine_tuned_from"] == before
    begun = (tmp_path / "out" / "student" / "facts.json").read_text()
    do(content, tmp_path, labels_only=False, resume=True)
    facts = json.loads((tmp_path / "out" / "student" / "facts.json").read_text())
    assert (facts["begun"], len(facts["resumed"])) == (json.loads(begun)["begun"], 1)


def test_a_model_for_fewer_elements_gives_the_same_numbers():
    gnn = {"species": ["H", "O", "Na"], "hidden_irreps": "4x0e + 2x1o", "layers": 2, "r_max": 4.0}
    known = pq.build({"gnn": gnn | {"scale": [0.5, 0.7, 0.9], "shift": [1.0, 2.0, 3.0]}})
    less = restricted_to(["Na", "O"], known)
    atoms = Atoms("NaO", [[0, 0, 0], [1.5, 0.8, 0.2]])
    energies = [pq.PQEqCalculator(one).get_potential_energy(atoms) for one in (known, less)]
    assert energies[0] == pytest.approx(energies[1], rel=0, abs=1e-12)
    as_many = restricted_to(["Na", "O", "H"], known)
    assert as_many.gnn.species == ["H", "O", "Na"]
    assert pq.PQEqCalculator(as_many).get_potential_energy(atoms) == energies[0]
    with pytest.raises(ValueError, match="a model that knows Cl"):
        restricted_to(["Na", "Cl"], known)
    with pytest.raises(ValueError, match="a model with a network"):
        restricted_to(["Na"], pq.build({"pqeq": {"protocol": "ewald"}}))


def test_charges_are_taken_off_the_labels_and_their_range_with_them(tmp_path):
    """Labels of a network and charges by bonds: what is left of the force between two pieces beyond
    the network's cutoff is rounding (float32 forces of the teacher), while the label's is not."""
    settings = {"student": {"charges": "bonds"}, "teacher": {"model": str(tmp_path / "known.pt")}}
    files = {"files": ["x.xyz"]}
    config = distillation_of(settings | {"structures": files}, tmp_path)
    terms = config.terms()
    gnn = {"species": ["Na", "Cl"], "hidden_irreps": "4x0e + 2x1o", "layers": 1, "r_max": 3.5}
    known = pq.build({"gnn": gnn | {"seed": 3}, **terms})
    pq.save(known, tmp_path / "known.pt", {"licence": "of the known"})
    teacher = teacher_of(TeacherSettings(model=str(tmp_path / "known.pt")))
    assert about_teacher(teacher)["teacher"]["licence"] == "of the known"
    piece = Atoms("NaCl", [[0, 0, 0], [1.9, 1.4, 0]])
    pulls = pulled_apart(piece, teacher, pq.build(terms), {"Na": 1.0, "Cl": -1.0})
    far = [pull for pull in pulls if pull.gap > 3.5]
    assert min(pull.label for pull in far) > 2e-3
    assert max(pull.residual for pull in far) < 2e-5
    assert pulls[0].residual > 1e-4
    ion = Atoms("ClNaCl", [[0, -2.3, 0], [0, 0, 0], [0, 2.3, 0]], info={"charge": -1.0})
    pulls = pulled_apart(ion, teacher, pq.build(terms), {"Na": 1.0, "Cl": -1.0})
    last, charges, y = pulls[-1], np.array([-1.0, 1.0, -1.0]), ion.positions[:, 1]
    r = np.sqrt(last.gap**2 + np.subtract.outer(y, y) ** 2)
    points = 14.4 * abs(charges @ (last.gap / r**3) @ charges)  # eV/Å, without polarization
    assert last.label == pytest.approx(points, rel=0.05)
    assert last.residual < 2e-5
    compare(known, [Made(labelled(piece, teacher), "x", "y", "held out")], ONE_MORE)
    field = distillation_of(settings | {"structures": files, "student": {"charges": "field"}}, ".")
    assert field.terms()["pqeq"]["energy"] == "field"


def test_dispersion_of_the_labels_is_a_term(tmp_path):
    content = table(tmp_path)
    content["teacher"]["dispersion"] = "pbe"
    do(content, tmp_path, labels_only=False)
    potential = pq.load(tmp_path / "out" / "model.pt")
    d3 = potential.config["d3"]
    assert (d3["damping"], d3["functional"]) == ("bj", "pbe")
    images = ase.io.read(tmp_path / "out" / "training.traj", ":1")
    terms = pq.PQEqCalculator(potential)
    terms.calculate(images[0])
    assert abs(terms.results["energy_terms"]["d3"]) > 0.1
    kept = torch.load(tmp_path / "out" / "student" / "long_range.pt", weights_only=True)
    assert float(kept["labels"][0][0]) == pytest.approx(
        terms.results["energy_terms"]["d3"], abs=1e-6
    )


def test_a_training_that_fails_goes_on_with_the_labels(tmp_path, monkeypatch):
    """A training alone would be begun anew, which here throws the labels away."""

    def full(*_, **__):
        raise RunFailure(
            "the training failed after epoch 1: No space left\nstart anew: --overwrite"
        )

    with monkeypatch.context() as on_a_full_disk:
        on_a_full_disk.setattr(run, "fit", full)
        with pytest.raises(RunFailure, match=r"(?s)epoch 1: No space left\n.*labels.db.*--resume"):
            do(table(tmp_path), tmp_path, labels_only=False)
    do(table(tmp_path), tmp_path, labels_only=False, resume=True)


def test_parts_that_the_student_does_not_have_are_named_before_the_labels(tmp_path):
    oxide = bulk("BaO", "rocksalt", 5.5)
    ase.io.write(tmp_path / "BaO.xyz", oxide, format="extxyz")
    content = table(tmp_path, files=["BaO.xyz"])
    content["student"] = {"start": "batio3", "train": "nothing"}
    with pytest.raises(ValueError, match="train: 'nothing' meets no weight"):
        do(content, tmp_path)
    assert not (tmp_path / "out").exists()


def test_a_teacher_that_needs_a_cell_leaves_the_range_out(tmp_path):
    content = table(tmp_path)
    content["teacher"] = {"calculator": "strange_teachers:OfCrystals"}
    result = do(content, tmp_path, labels_only=False)
    assert result.model is not None
    text = (tmp_path / "out" / "report.txt").read_text()
    assert "pulled apart: not measured (teacher strange_teachers:OfCrystals at two copies" in text
