"""Distillation: structures and their laws, labels that are asked for once, the student, the report,
what is refused. The teacher is ASE's effective medium theory, or a known potential of the package."""

import json
from pathlib import Path

import ase.db
import ase.io
import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk
from ase.calculators.singlepoint import SinglePointCalculator
from counting_teacher import Counting

import openmm_pqeq as pq
from openmm_pqeq.cli import main
from openmm_pqeq.distillation.config import distillation_of, network_of, write_toml
from openmm_pqeq.distillation.fragments import pulled_apart
from openmm_pqeq.distillation.labels import Labels
from openmm_pqeq.distillation.report import compare
from openmm_pqeq.distillation.settings import StructureSettings, StudentSettings, TeacherSettings
from openmm_pqeq.distillation.start import restricted_to
from openmm_pqeq.distillation.structures import Made, read_phases, replaced, varied
from openmm_pqeq.distillation.teacher import teacher_of
from openmm_pqeq.jobs.failure import RunFailure
from openmm_pqeq.jobs.settings import read_toml

pytest.importorskip("lightning", reason="training needs the extra `train`")

from openmm_pqeq.distillation.run import about_teacher, distilled

FEW = {"rattled": [0.1], "strained": [0.02], "scaled": [1.03], "copies": 1}
FEW |= {"temperatures": [300, 900], "frames": 2, "interval": 20, "timestep": 5}
COUNTING, EMT = "counting_teacher:Counting", "ase.calculators.emt:EMT"
ONE_MORE = {"Na": 1.0, "Cl": -1.0, "K": 1.0}
"""e; of an element that some frames do not have."""
N_TRAINING, N_HELD_OUT = 4 + 2 * 2, 3 + 2


def table(folder: Path, **structures) -> dict:
    """The content of a file; the structures are made in the folder."""
    ase.io.write(folder / "Cu.xyz", bulk("Cu", cubic=True), format="extxyz")
    return {
        "output": str(folder / "out"),
        "teacher": {"calculator": COUNTING},
        "structures": {"files": ["Cu.xyz"]} | FEW | structures,
        "held_out": {"temperatures": [600]},
        "student": {"channels": 4, "layers": 1, "cutoff": 4.0, "basis": 4},
        "training": {"epochs": 1, "threads": 1},
    }


@pytest.fixture(autouse=True)
def counted():
    Counting.calls, Counting.most, Counting.failing = 0, 10**9, "none"


def labelled(atoms: Atoms, teacher) -> Atoms:
    """With the teacher's energy and forces."""
    found = atoms.copy()
    found.calc = teacher.calculator
    found.calc = SinglePointCalculator(
        found, energy=found.get_potential_energy(), forces=found.get_forces()
    )
    return found


def do(table: dict, folder: Path, output: str = "out", **how):
    settings = distillation_of(table, folder)
    arguments = {"overwrite": False, "resume": False, "labels_only": True, "say": lambda line: None}
    return distilled(settings, folder / output, **(arguments | how))


def rows(path: Path) -> list:
    return list(ase.db.connect(path).select())


def positions(folder: Path, output: str = "out") -> np.ndarray:
    return np.array([a.positions for a in ase.io.read(folder / output / "training.traj", ":")])


# --- structures ---


def test_atoms_are_moved_and_cells_strained_by_as_much_as_is_said(tmp_path):
    """Of 500 atoms: the standard deviation of normal moves is known to 2 %."""
    big = bulk("Cu", cubic=True).repeat(5)
    settings = StructureSettings(rattled=(0.1,), strained=(), scaled=(1.1,), copies=1)
    given, rattled, scaled = (made.atoms for made in varied("Cu", [big], settings, "training"))
    assert np.array_equal(given.positions, big.positions)
    assert float((rattled.positions - big.positions).std()) == pytest.approx(0.1, rel=0.06)
    assert np.allclose(scaled.cell.array, 1.1 * big.cell.array, rtol=0, atol=1e-12)


def test_what_is_made_does_not_depend_on_what_else_is_made():
    cell = [bulk("Cu", cubic=True)]
    few = StructureSettings(rattled=(0.1,), strained=(0.02,), scaled=(), copies=2)
    more = StructureSettings(rattled=(0.1, 0.2), strained=(0.01, 0.02), scaled=(0.9,), copies=3)
    many = [made.atoms.positions.tolist() for made in varied("Cu", cell, more, "training")]
    assert all(
        made.atoms.positions.tolist() in many for made in varied("Cu", cell, few, "training")
    )
    other = [made.atoms.positions.tolist() for made in varied("other", cell, few, "training")]
    assert sum(one in many for one in other) == 1  # the one as given


def test_a_share_of_an_element_is_replaced():
    cell = bulk("NaCl", "rocksalt", 5.6, cubic=True).repeat(2)
    mixed = replaced(cell, "Na", "Li", 0.25, np.random.default_rng(0))
    assert mixed.get_chemical_formula("metal") == "Li8Na24Cl32"


def test_crystals_are_built_of_elements_and_need_no_files(tmp_path):
    content = table(tmp_path, files=[], crystals=3, elements=["Cu", "Au"], largest_force=1e3)
    do(content, tmp_path)
    images = ase.io.read(tmp_path / "out" / "training.traj", ":")
    assert len(images) == 3 * 8
    assert {a.info["phase"] for a in images} == {"prototypes"}
    held_out = ase.io.read(tmp_path / "out" / "held_out.traj", ":")
    assert all(not np.array_equal(a.positions, b.positions) for a, b in zip(images, held_out))


def test_small_crystals_are_repeated_and_shared_sites_refused(tmp_path):
    table(tmp_path)
    settings = StructureSettings(files=("Cu.xyz",), atoms=10)
    assert len(read_phases(settings, tmp_path)["Cu"][0]) == 16
    text = "data_x\n" + "".join(
        f"_cell_length_{x} 4\n_cell_angle_{y} 90\n"
        for x, y in zip("abc", ("alpha", "beta", "gamma"))
    )
    text += "_symmetry_space_group_name_H-M 'P 1'\nloop_\n_atom_site_label\n_atom_site_fract_x\n"
    text += "_atom_site_fract_y\n_atom_site_fract_z\n_atom_site_occupancy\nNa 0 0 0 0.5\n"
    (tmp_path / "half.cif").write_text(text)
    with pytest.raises(ValueError, match="half.cif has sites that several species share"):
        read_phases(StructureSettings(files=("half.cif",)), tmp_path)


@pytest.mark.parametrize("key", ["charge", "total_charge"])
def test_total_charges_come_with_the_structures(tmp_path, key):
    """Under either of their names, and those of cells with the cells."""
    cell = bulk("NaCl", "rocksalt", 5.6)
    cell.info[key] = 1.0
    ase.io.write(tmp_path / "NaCl.xyz", cell, format="extxyz")
    settings = StructureSettings(files=("NaCl.xyz",), atoms=8)
    (read,) = read_phases(settings, tmp_path)["NaCl"]
    assert (len(read), read.info) == (8, {"charge": 4.0})
    for made in varied("NaCl", [read], settings, "training"):
        assert made.atoms.info["charge"] == 4.0


# --- labels ---


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


# --- the student ---


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


# --- what is refused ---


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"teacher": {}}, "either a model or a calculator, got neither"),
        ({"teacher": {"model": "a", "calculator": "b:c"}}, "a calculator, got both"),
        ({"teacher": {"model": "no.pt"}}, "neither a model that ships"),
        ({"teacher": {"model": "batio3", "options": {"a": 1}}}, "none beside teacher.model"),
        ({"teacher": {"calculator": "ase.calculators.emt"}}, "expected module:callable"),
        ({"teacher": {"calculator": "no_such:Thing"}}, "no_such cannot be imported"),
        ({"teacher": {"calculator": "math:pi"}}, "math has no callable 'pi'"),
        ({"teacher": {"calculator": "builtins:dict"}}, "which makes dict"),
        ({"teacher": {"calculator": "math:cos"}}, "math:cos refuses them"),
        ({"teacher": {"modell": "universal"}}, "did you mean 'model'"),
        ({"structures": {}}, "structures.files: expected at least one file, or crystals"),
        ({"structures": {"crystals": 3}}, "elements: expected those of structures.crystals"),
        ({"structures": {"crystals": 3, "elements": "Cu,Xx"}}, "Xx is no element"),
        ({"structures": {"files": "no.cif"}}, "no file no.cif"),
        ({"structures": {"files": ["Cu.xyz", "./Cu.xyz"]}}, "got Cu twice"),
        ({"structures": {"files": "Cu.xyz", "alloys": ["Cu"]}}, 'such as "Cu=Au"'),
        ({"structures": {"files": "Cu.xyz", "alloys": ["Cu=Xx"]}}, "Xx is no element"),
        ({"structures": {"files": "Cu.xyz", "temperatures": [-1]}}, "from 0 to 100000 K"),
        ({"structures": {"files": "Cu.xyz", "driver": "no.pt"}}, "model 'no.pt': neither"),
        ({"held_out": {"frames": -1}}, "held_out.frames"),
        ({"student": {"charges": "free"}}, "student.charges: expected one of none, field, bonds"),
        ({"student": {"start": "batio3", "charges": "field"}}, "none beside student.start"),
        ({"training": {"epoch": 3}}, "training.epoch: not a setting"),
        ({"data": {"files": "a"}}, "data.files: not a setting; expected one of reference_charges"),
        ({"data": {"reference_charges": 3}}, "data.reference_charges: expected a table"),
        ({"data": 3}, r"\[data\]: expected a table, got 3"),
        ({"training": 3}, r"\[training\]: expected a table, got 3"),
        ({"card": "MIT"}, r"\[card\]: expected a table, got 'MIT'"),
        ({"teacher": {"calculator": EMT, "dispersion": "pbeee"}}, "pbeee"),
        ({"teacher": {"calculator": "strange_teachers:unlicensed"}}, "fails: KeyError: 'licence'"),
        ({"teacher": {"calculator": "strange_teachers_that_die:x"}}, "imported: ZeroDivisionError"),
        ({"teacher": {"model": "batio3"}}, "there is Cu, which the teacher batio3 does not know"),
        ({"structures": {"files": "Cu.xyz", "alloys": ["Zn=Au"]}}, "replaces Zn, which no structure"),
        ({"structures": {"files": "Cu.xyz", "alloys": ["Cu=Cu"]}}, "expected two elements, got"),
        ({"student": {"start": "no.pt"}}, "model 'no.pt': neither a model that ships"),
        ({"student": {"start": "batio3"}}, "student.start: expected a model that knows Cu"),
        ({"wrong": {}}, "wrong: not a setting"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named(change, message, tmp_path):
    content = table(tmp_path) | change
    with pytest.raises((ValueError, FileNotFoundError, ImportError), match=message):
        do(content, tmp_path)
    assert not (tmp_path / "out").exists()


def test_the_file_that_is_written_says_the_same(tmp_path):
    settings = distillation_of(table(tmp_path), tmp_path)
    (tmp_path / "again.toml").write_text(write_toml(settings))
    again = distillation_of(read_toml(tmp_path / "again.toml"), tmp_path)
    assert (again.structures, again.held_out, again.student) == (
        settings.structures,
        settings.held_out,
        settings.student,
    )
    assert again.training == settings.training
