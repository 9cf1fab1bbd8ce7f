"""A run whose files were changed, or are in use, before it is resumed."""

import json
import os
import shutil
import zipfile

import h5py
import pytest
from described import STEPS, description, stop_at

from openmm_pqeq.checkpoint import load, save
from openmm_pqeq.cli import main
from openmm_pqeq.jobs.facts import WITHOUT_CARD, read_facts
from openmm_pqeq.jobs.files import sha256
from openmm_pqeq.jobs.lock import locked
from openmm_pqeq.md.resume import resumed_config
from openmm_pqeq.md.run import run
from openmm_pqeq.potential import build

# tapered charges without a repulsion heat their cell
pytestmark = [
    pytest.mark.python_route,
    pytest.mark.filterwarnings("ignore:the temperature is .* was set:UserWarning"),
]


@pytest.fixture(scope="module")
def stopped(folder):
    run(description(folder, "stopped"), watch=stop_at(10))
    return folder / "stopped"


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def cut(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def edit_charges(path):
    with h5py.File(path, "a") as file:
        file["step"][0] = 3


def edit_settings(path):
    path.write_text(path.read_text().replace("y_interval = 3", "y_interval = 1"))


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        (
            "table.csv",
            cut,
            r"table\.csv should have at least [567] frames at step 1\d, and has only",
        ),
        ("table.csv", os.remove, r"table\.csv should have .* and is not there any more"),
        ("trajectory.dcd", cut, r"trajectory\.dcd should have at least"),
        ("trajectory.dcd", os.remove, r"trajectory\.dcd should have .* is not there"),
        ("charges.h5", edit_charges, r"charges\.h5 should have at least [23] frames .* has only 0"),
        ("charges.h5", os.remove, r"charges\.h5 should have .* is not there"),
        ("restart.zip", cut, r"restart\.zip is not a restart file"),
        ("restart.zip", os.remove, r"there is no restart file"),
        ("facts.json", cut, r"facts\.json: not a file of facts"),
        (
            "run.toml",
            edit_settings,
            r"resume: trajectory_interval: .*began with trajectory_interval = 3",
        ),
        (
            "input-MgO.cif",
            lambda path: path.write_text(path.read_text() + " "),
            r"resume: structure",
        ),
    ],
)
def test_files_that_changed_in_between_are_named_and_nothing_is_cut(
    stopped, tmp_path, name, change, message
):
    shutil.copytree(stopped, tmp_path / "run")
    shutil.copyfile(stopped.parent / "model.pt", tmp_path / "model.pt")
    change(tmp_path / "run" / name)
    before = contents(tmp_path / "run")
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        run(resumed_config(tmp_path / "run", {}), resume=True)
    assert contents(tmp_path / "run") == before


def test_a_model_with_another_card_continues_a_run(stopped, tmp_path):
    """The numbers are the same; the card says what they are for."""
    shutil.copytree(stopped, tmp_path / "run")
    same = load(stopped.parent / "model.pt")
    save(same, tmp_path / "model.pt", {"title": "the same, described"})
    assert sha256(tmp_path / "model.pt") != sha256(stopped.parent / "model.pt")
    settings = {"model": str(tmp_path / "model.pt")}
    assert run(resumed_config(tmp_path / "run", settings), resume=True).step == STEPS
    settings = {"model": str(stopped.parent / "model.pt")}
    resumed_config(tmp_path / "run", settings)  # named elsewhere, with its first card


def test_a_restart_file_of_an_earlier_version_knows_the_whole_file(stopped, tmp_path, edited):
    """It has no checksum of a model without its card."""
    shutil.copytree(stopped, tmp_path / "run")
    shutil.copyfile(stopped.parent / "model.pt", tmp_path / "model.pt")
    edited(tmp_path / "run" / "restart.zip")
    assert run(resumed_config(tmp_path / "run", {}), resume=True).step == STEPS
    shutil.rmtree(tmp_path / "run")
    shutil.copytree(stopped, tmp_path / "run")
    edited(tmp_path / "run" / "restart.zip")
    save(load(tmp_path / "model.pt"), tmp_path / "model.pt", {"title": "described"})
    with pytest.raises(ValueError, match="resume: model: the run in .* began with another file"):
        run(resumed_config(tmp_path / "run", {}), resume=True)


@pytest.fixture
def edited():
    """Makes of a restart file what an earlier version wrote."""

    def edit(path):
        with zipfile.ZipFile(path) as archive:
            parts = {name: archive.read(name) for name in archive.namelist()}
        about = json.loads(parts["run.json"])
        sums = about["origin"]["sha256"]
        assert sums.pop("model" + WITHOUT_CARD)
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in (parts | {"run.json": json.dumps(about)}).items():
                archive.writestr(name, content)

    return edit


def test_a_finished_run_says_that_it_was_finished(folder, tmp_path, capsys):
    config = description(folder, tmp_path / "done")
    run(config)
    before = read_facts(tmp_path / "done")
    result = run(resumed_config(tmp_path / "done", {}), resume=True)
    assert (result.step, result.ns_per_day) == (STEPS, 0.0)
    assert read_facts(tmp_path / "done") == before  # its speed stays
    said = (tmp_path / "done" / "run.log").read_text().splitlines()[-1]
    assert said.endswith(f"was finished before at step {STEPS} of {STEPS}")
    assert main(["run", str(tmp_path / "done"), "--resume"]) == 0
    said = capsys.readouterr().out
    assert f"It was finished: {STEPS} steps are done, and {STEPS} wanted" in said
    assert "ns/day" not in said


def test_another_model_of_the_same_name_does_not_continue_a_run(stopped, tmp_path):
    shutil.copytree(stopped, tmp_path / "run")
    other = build({"pqeq": {"protocol": "reaxnet", "cutoff": 4.1}})
    save(other, tmp_path / "model.pt")
    with pytest.raises(ValueError, match="resume: model: the run in .* began with another file"):
        run(resumed_config(tmp_path / "run", {}), resume=True)
    shutil.copyfile(stopped.parent / "model.pt", tmp_path / "model.pt")
    run(resumed_config(tmp_path / "run", {}), resume=True)
    facts = json.loads((tmp_path / "run" / "facts.json").read_text())
    assert (facts["job"], len(facts["resumed"]), facts["seed"]) == ("run", 1, 11)


def test_a_run_whose_charges_were_lost_goes_on_without_them(stopped, tmp_path):
    shutil.copytree(stopped, tmp_path / "run")
    shutil.copyfile(stopped.parent / "model.pt", tmp_path / "model.pt")
    cut(tmp_path / "run" / "charges.h5")
    with pytest.raises(ValueError, match="charges.h5 .*--charges-interval 0"):
        run(resumed_config(tmp_path / "run", {}), resume=True)
    with pytest.raises(ValueError, match="charges_interval: the run in .* has 4"):
        resumed_config(tmp_path / "run", {"charges_interval": 5})
    again = run(resumed_config(tmp_path / "run", {"charges_interval": "0"}), resume=True)
    assert again.step == STEPS


def test_a_live_run_is_not_touched_by_another(stopped, tmp_path):
    """Neither --resume nor --overwrite changes a byte while somebody owns the folder."""
    shutil.copytree(stopped, tmp_path / "run")
    shutil.copyfile(stopped.parent / "model.pt", tmp_path / "model.pt")
    with locked(tmp_path / "run", "run"):
        before = contents(tmp_path / "run")
        for how in ("resume", "overwrite"):
            config = resumed_config(tmp_path / "run", {})
            with pytest.raises(FileExistsError, match=f"in use by a run, process {os.getpid()}"):
                run(config, **{how: True})
        assert contents(tmp_path / "run") == before
