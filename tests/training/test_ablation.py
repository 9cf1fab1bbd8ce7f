"""The same fine-tuning with and without long range: the same frames, as many epochs, and nothing is
overwritten."""

import json
import shutil

import pytest
from known_network import silent
from tuned_readout import config, model, write_frames

import openmm_pqeq as pq

pytest.importorskip("lightning", reason="training needs the extra `train`")

from openmm_pqeq.training import ablate, finetune


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
