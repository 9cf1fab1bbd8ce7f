"""Fine-tuning: what is trained and what is not, shifts, PQEq parameters, files that stay as they
are, with and without long range.

The data are labelled by a known model whose readout, element shifts or PQEq parameters differ from
those of the model that is fine-tuned, so that the right answer is known.
"""

import json
import shutil
from pathlib import Path

import ase.io
import numpy as np
import pytest
import torch
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator

import openmm_pqeq as pq
from openmm_pqeq.cli import main
from openmm_pqeq.structure import structure_of

pytest.importorskip("lightning", reason="training needs the extra `train`")

from openmm_pqeq.training import ablate, finetune, parts
from openmm_pqeq.training.config import config_of
from openmm_pqeq.training.prepare import fit_shifts, prepare

SPECIES = ["O", "Na", "Mg"]
GNN = {
    "species": SPECIES,
    "hidden_irreps": "8x0e + 4x1o",
    "sh_irreps": "1x0e + 1x1o",
    "layers": 2,
    "r_max": 3.5,
    "scale": 0.5,
}
GNN |= {
    "n_basis": 4,
    "radial_hidden": [8],
    "avg_neighbors": 10.0,
    "shift": [-432.0, -10.0, -20.0],
    "seed": 7,
}
PQEQ = {"protocol": "ewald", "tolerance": 1e-9}
N_FRAMES = 12


def silent(line: str) -> None:
    pass


def model() -> pq.Potential:
    """The model that is fine-tuned."""
    return pq.build({"gnn": GNN, "pqeq": PQEQ})


def other_readout() -> pq.Potential:
    """The same with another readout and energies of reference that are 3, −2 and 1 eV higher for O,
    Na and Mg."""
    made = model()
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for weight in made.gnn.readout.parameters():
            weight += 0.7 * torch.randn(weight.shape, generator=generator, dtype=torch.float64)
    made.gnn.shift += torch.tensor([3.0, -2.0, 1.0], dtype=torch.float64)
    return made


def write_frames(path: Path, known: pq.Potential, stress: bool = True) -> Path:
    """Distorted cells of three compositions with the labels of `known`."""
    random = np.random.default_rng(3)
    images = []
    for index in range(N_FRAMES):
        metals = [["Mg", "Mg"], ["Mg", "Na"], ["Na", "Na"]][index % 3]
        atoms = Atoms(
            [metals[0], "O", metals[1], "O"][: 4 if index % 2 else 3],
            cell=[4.0, 4.0, 3.2],
            pbc=True,
        )
        atoms.set_scaled_positions(
            [[0, 0, 0], [0.5, 0, 0.1], [0.5, 0.5, 0.5], [0, 0.5, 0.6]][: len(atoms)]
        )
        atoms.positions += random.normal(scale=0.1, size=(len(atoms), 3))
        structure = structure_of(
            torch.tensor(atoms.positions),
            torch.tensor(atoms.numbers),
            torch.tensor(np.asarray(atoms.cell)),
        )
        result = known.evaluate(structure, stress=True)
        labels = {"energy": float(result.energy[0]), "forces": result.forces.numpy()}
        if stress:
            labels["stress"] = result.stress[0].numpy()[[0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]]
        atoms.calc = SinglePointCalculator(atoms, **labels)
        images.append(atoms)
    ase.io.write(path, images)
    return path


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with model.pt and frames.traj, labelled by `other_readout`."""
    folder = tmp_path_factory.mktemp("finetune")
    pq.save(model(), folder / "model.pt", card={"title": "before"})
    write_frames(folder / "frames.traj", other_readout())
    return folder


def config(
    files: Path,
    start: dict | None = None,
    data: str = "frames.traj",
    data_settings: dict | None = None,
    **training,
):
    settings = {
        "epochs": 2,
        "learning_rate": 0.03,
        "energy_weight": 0.0,
        "stress_weight": 0.0,
        "dtype": "float64",
        "threads": 1,
    }
    return config_of(
        {
            "data": {"files": [str(files / data)], "held_out": {"seed": 0, "n": 3}}
            | (data_settings or {}),
            "start": {"model": str(files / "model.pt")} | (start or {}),
            "training": settings
            | {"warmup": 2, "batch_size": 3, "ema": 0.5, "measure_every": 100}
            | training,
        }
    )


# --- laws ---


def test_a_readout_is_recovered_and_nothing_else_moves(files, tmp_path):
    """The labels differ by the readout alone: held-out force errors fall to a fiftieth, energies to
    1 meV/atom (refitted shifts)."""
    before = (files / "model.pt").read_bytes()
    result = finetune(config(files, epochs=150, learning_rate=0.1), tmp_path / "new.pt", say=silent)
    written = json.loads((tmp_path / "new" / "errors.json").read_text())
    assert (
        written["errors"]["held out"]["force_rmse"]
        < 0.02 * written["errors_before"]["held out"]["force_rmse"]
    )
    assert (
        written["errors"]["held out"]["energy_rmse"]
        < 0.02 * written["errors_before"]["held out"]["energy_rmse"]
    )
    assert written["trained_parameters"] == 8 * 4 + 4
    old, new = (pq.load(path).gnn.state_dict() for path in (files / "model.pt", result.model))
    for name in old:
        assert torch.equal(old[name], new[name]) == (
            not name.startswith("readout") and name != "shift"
        ), name
    assert result.model == tmp_path / "new.pt"
    assert (files / "model.pt").read_bytes() == before
    assert pq.checkpoint.card(result.model)["fine_tuned_from"]["card"] == {"title": "before"}
    assert (tmp_path / "new" / "parity.png").stat().st_size > 10_000
    assert "before" in (tmp_path / "new" / "errors.txt").read_text()


def test_the_new_model_has_the_errors_of_its_report(files, tmp_path):
    """Of the whole potential, on the held-out frames: to 1e-6 of a force of 1 eV/Å."""
    result = finetune(config(files), tmp_path / "new.pt", say=silent)
    potential = pq.load(result.model)
    images = ase.io.read(files / "frames.traj", index=":")
    differences, energies = [], []
    for index in sorted(np.random.default_rng(0).permutation(N_FRAMES)[:3]):
        atoms = images[index]
        found = pq.PQEqCalculator(potential, tolerance=1e-9)
        differences.append((found.get_forces(atoms) - atoms.get_forces()).ravel())
        energies.append(
            (found.get_potential_energy(atoms) - atoms.get_potential_energy()) / len(atoms)
        )
    errors = result.errors["held out"]
    assert 1000 * np.sqrt(np.mean(np.concatenate(differences) ** 2)) == pytest.approx(
        errors.force_rmse, abs=1e-3
    )
    assert 1000 * np.sqrt(np.mean(np.square(energies))) == pytest.approx(
        errors.energy_rmse, abs=1e-3
    )


def test_what_is_not_trained_keeps_every_digit(files, tmp_path):
    """In float32 as well: only the readout of a model in float64 is rounded."""
    result = finetune(config(files, epochs=1, dtype="float32"), tmp_path / "new.pt", say=silent)
    old, new = (pq.load(path).gnn.state_dict() for path in (files / "model.pt", result.model))
    for name in old:
        assert torch.equal(old[name], new[name]) == (
            not name.startswith("readout") and name != "shift"
        ), name


def test_energies_of_reference_are_fitted(tmp_path):
    """Labels of the model itself with other element energies: 3, −2, 1 eV are found to 1e-6, and no
    error is left."""
    shifted = model()
    shifted.gnn.shift += torch.tensor([3.0, -2.0, 1.0], dtype=torch.float64)
    pq.save(model(), tmp_path / "model.pt")
    write_frames(tmp_path / "frames.traj", shifted)
    said: list[str] = []
    ready = prepare(config(tmp_path), said.append)
    expected = torch.tensor([-429.0, -12.0, -19.0], dtype=torch.float64)
    torch.testing.assert_close(ready.shifts, expected, rtol=0, atol=1e-6)
    assert any("O +3.000, Na -2.000, Mg +1.000" in line for line in said)
    again = fit_shifts(ready, ready.model, silent)
    torch.testing.assert_close(again.shifts, ready.shifts, rtol=0, atol=1e-8)
    kept = prepare(config(tmp_path, start={"shifts": "keep"}), silent)
    torch.testing.assert_close(kept.shifts, model().gnn.shift, rtol=0, atol=0)


def test_a_smaller_subset_is_part_of_a_larger_one_and_measured_on_the_same_frames(files):
    ready = []
    for subset in ("34%", "67%", "100%"):
        settings = config(files)
        table = {
            "files": list(settings.data.files),
            "held_out": {"seed": 4, "n": "25%"},
            "subset": subset,
        }
        ready.append(
            prepare(
                config_of({"data": table, "start": {"model": str(files / "model.pt")}}), silent
            ).split
        )
    assert [len(split.train) for split in ready] == [3, 6, 9]
    assert set(ready[0].train) < set(ready[1].train) < set(ready[2].train)
    assert (
        ready[0].held_out
        == ready[1].held_out
        == ready[2].held_out
        == sorted(np.random.default_rng(4).permutation(12)[:3].tolist())
    )


def test_with_and_without_long_range_see_the_same_frames(files, tmp_path):
    """The labels hold PQEq, so the model without it cannot reach the errors of the one with it:
    forces a little, energies a lot."""
    results = ablate(
        config(files, epochs=20, learning_rate=0.1), tmp_path / "both", False, False, silent
    )
    with_, without = results["with-long-range"], results["without-long-range"]
    assert with_.errors["held out"].energy_rmse < 0.2 * without.errors["held out"].energy_rmse
    facts = [json.loads((result.folder / "errors.json").read_text()) for result in (with_, without)]
    for name in ("held_out_frames", "training_frames", "seed", "steps"):
        assert facts[0][name] == facts[1][name]
    assert pq.load(without.model).pqeq is None
    assert pq.load(with_.model).pqeq is not None
    assert "with long range" in (tmp_path / "both" / "ablation.txt").read_text()
    assert (tmp_path / "both" / "ablation.png").stat().st_size > 5_000


@pytest.mark.parametrize(
    "length",
    [{"epochs": 50, "max_time": "3s"}, {"epochs": 3}, {"epochs": 30, "patience": 1}],
    ids=str,
)
def test_as_many_epochs_without_long_range_as_with_it(files, tmp_path, length, monkeypatch):
    from matplotlib.axes import Axes

    from openmm_pqeq.training import ablation

    drawn = []
    plot = Axes.plot
    monkeypatch.setattr(
        Axes, "plot", lambda self, *a, **k: drawn.extend(lines := plot(self, *a, **k)) or lines
    )
    settings = config(files, data_settings={"validation": 2}, **length)
    results = ablate(settings, tmp_path / "both", False, False, silent)
    with_, without = (results[name] for name in (ablation.WITH, ablation.WITHOUT))
    steps = [json.loads((r.folder / "errors.json").read_text())["steps"] for r in (with_, without)]
    assert with_.epochs == without.epochs
    assert steps[0] == steps[1]
    curves = [line for line in drawn if str(line.get_label()).endswith("long range")]
    assert len(curves) == 2
    assert all(line.get_marker() not in ("", "None", None) for line in curves)


def test_trainings_of_unequal_length_are_not_compared(files, tmp_path):
    from openmm_pqeq.training import ablation

    results = ablate(config(files, epochs=1), tmp_path / "both", False, False, silent)
    (tmp_path / "both" / "ablation.txt").unlink()
    results[ablation.WITHOUT] = results[ablation.WITHOUT]._replace(epochs=2)
    lines: list[str] = []
    ablation._compare(results, tmp_path / "both", lines.append)
    assert lines == [line for line in lines if "nothing is compared: 1 epochs" in line] != []
    assert not (tmp_path / "both" / "ablation.txt").exists()


def test_the_model_without_long_range_overwrites_nothing(files, tmp_path):
    """It is written beside the other one, where a file of that name may be, or the very model that
    both come from."""
    beside = tmp_path / "new-without-long-range.pt"
    shutil.copyfile(files / "model.pt", beside)
    with pytest.raises(FileExistsError, match=r"new-without-long-range\.pt exists"):
        finetune(config(files), tmp_path / "new.pt", without_long_range_too=True, say=silent)
    with pytest.raises(FileExistsError, match="would overwrite the model it comes from"):
        finetune(
            config(files, {"model": str(beside)}),
            tmp_path / "new.pt",
            True,
            without_long_range_too=True,
            say=silent,
        )
    assert beside.read_bytes() == (files / "model.pt").read_bytes()


def test_errors_without_stress_are_json_and_nothing_is_resumed_that_has_not_begun(tmp_path):
    pq.save(model(), tmp_path / "model.pt")
    write_frames(tmp_path / "frames.traj", model(), stress=False)
    settings = config(tmp_path, epochs=1)
    with pytest.raises(FileNotFoundError, match="resume: there is no ablation in"):
        ablate(settings, tmp_path / "both", False, True, silent)
    ablate(settings, tmp_path / "both", False, False, silent)
    content = json.loads(
        (tmp_path / "both" / "ablation.json").read_text(), parse_constant=pytest.fail
    )
    assert content["with-long-range"]["held out"]["stress_rmse"] is None


# --- parts ---


def test_parts_of_the_network_by_name():
    gnn = model().gnn
    every = [name for name, _ in gnn.named_parameters()]
    assert parts.select(gnn, "all") == every
    assert parts.select(gnn, "none") == []
    assert parts.select(gnn, "readout") == ["readout.0.weight", "readout.1.weight"]
    assert all(name.startswith("interactions.1.") for name in parts.select(gnn, "layer.1"))
    assert set(parts.select(gnn, "layer.0,layer.1")) == {
        name for name in every if name.startswith("interactions.")
    }
    assert {name.split(".")[2] for name in parts.select(gnn, "radial, self-connection")} == {
        "radial",
        "self_connection",
    }
    assert parts.select(gnn, r"readout\.1") == ["readout.1.weight"]
    named = parts.part_names(gnn)
    assert {"readout", "layer.0", "layer.1", "all"} <= set(named)
    assert "layer.2" not in named
    for wrong in ("layer.2", "head", "", "("):
        with pytest.raises(
            ValueError,
            match=r"expected some of readout, layer\.0, layer\.1, radial, self-connection",
        ):
            parts.select(gnn, wrong)


# --- the command ---


def run(files: Path, *more: str) -> list[str]:
    return [
        "finetune",
        str(files / "model.pt"),
        str(files / "frames.traj"),
        "--epochs",
        "1",
        "--threads",
        "1",
        *more,
    ]


def test_the_command_writes_a_model_and_shows_before_and_after(
    files, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    assert (
        main(
            run(
                files,
                "-o",
                "new.pt",
                "--subset",
                "50%",
                "--loss",
                "energy+force+stress",
                "--train",
                "all",
            )
        )
        == 0
    )
    shown = capsys.readouterr().out
    for words in ("before", "after", "change", "force RMSE, meV/Å", "element shifts", "new.pt"):
        assert words in shown
    assert pq.load("new.pt").species == model().species
    assert main(run(files, "-o", "new.pt")) == 2
    assert "new.pt exists" in capsys.readouterr().err
    assert main(run(files, "-o", str(files / "model.pt"), "--overwrite")) == 2
    assert "would overwrite the model it comes from" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--train", "head"], "expected some of readout, layer.0"),
        (["--train-pqeq", "charge"], "expected some of electronegativity, hardness"),
        (["--train", "none"], "got neither"),
        (["--bounds", "200%"], "start.bounds"),
        (["--subset", "half"], "such as '20%'"),
        (["--subset", "0%"], "data.subset"),
        (["--time", "soon"], "10min"),
    ],
)
def test_what_the_command_refuses(files, tmp_path, monkeypatch, capsys, flags, message):
    monkeypatch.chdir(tmp_path)
    assert main(run(files, "-o", "new.pt", *flags)) == 2
    assert message in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_elements_that_the_model_does_not_know_are_refused(files, tmp_path):
    atoms = Atoms("LiO", positions=[[0, 0, 0], [0, 0, 2.0]], cell=[4, 4, 4], pbc=True)
    atoms.calc = SinglePointCalculator(atoms, energy=0.0, forces=np.zeros((2, 3)))
    ase.io.write(tmp_path / "li.traj", [atoms] * 5)
    with pytest.raises(ValueError, match=r"Li is not in the model .*model\.pt"):
        finetune(
            config_of(
                {
                    "data": {"files": [str(tmp_path / "li.traj")]},
                    "start": {"model": str(files / "model.pt")},
                }
            ),
            tmp_path / "new.pt",
            say=silent,
        )


def test_an_interrupted_fine_tuning_goes_on(files, tmp_path):
    """To the same weights, to the last bit."""
    whole = finetune(config(files, epochs=3), tmp_path / "whole.pt", say=silent)

    def interrupt(line: str) -> None:
        if line.startswith("epoch    1"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        finetune(config(files, epochs=3), tmp_path / "parts.pt", say=interrupt)
    assert not (tmp_path / "parts.pt").exists()
    parted = finetune(config(files, epochs=3), tmp_path / "parts.pt", resume=True, say=silent)
    one, two = (pq.load(result.model).gnn.state_dict() for result in (whole, parted))
    for name in one:
        assert torch.equal(one[name], two[name]), name
