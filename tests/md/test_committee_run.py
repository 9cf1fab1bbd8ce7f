"""`run` with a committee: what it leaves, how it ends, how it is resumed; and models that are named by
relative paths."""

import shutil

import ase.io
import pytest
from ase.build import bulk

from openmm_pqeq.checkpoint import save
from openmm_pqeq.jobs.failure import RunFailure
from openmm_pqeq.md.config import run_config
from openmm_pqeq.md.plot import read_table
from openmm_pqeq.md.resume import resumed_config
from openmm_pqeq.md.run import run
from openmm_pqeq.potential import build

SPREAD = "force_spread_max_eV_per_A"
BROKEN = 6


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("committee")
    for name, outer in {"a": 2.2, "b": 2.6, "c": 3.0}.items():
        save(build({"zbl": {"outer": outer}}), folder / f"{name}.pt")
    crystal = bulk("MgO", "rocksalt", a=4.2, cubic=True)
    crystal.rattle(0.1, seed=1)
    crystal.write(folder / "MgO.extxyz")
    return folder


def config(folder, output, **settings):
    described = {"structure": "MgO.extxyz", "model": "a.pt", "committee": ["b.pt", "c.pt"]}
    described |= {"output": str(folder / output), "steps": 10, "timestep": 1.0, "seed": 3}
    described |= {"committee_interval": 2, "charges_interval": 0, "restart_interval": 100}
    described |= {"backend": "python", "platform": "Reference", "precision": "double"}
    described |= {"temperature": 600}
    return run_config(described | settings)


def texts(folder):
    return [(folder / name).read_text() for name in ("committee.csv", "uncertain.extxyz")]


@pytest.fixture(scope="module")
def limit(folder):
    """Where half of the frames are above."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        run(config(folder, "first"))
    spreads = sorted(read_table(folder / "first" / "committee.csv")[SPREAD])
    assert not (folder / "first" / "uncertain.extxyz").exists()
    assert len(spreads) == 5
    return (spreads[1] + spreads[2]) / 2


def test_a_killed_run_ends_as_the_unbroken_one(folder, limit, monkeypatch):
    """Frames that the restart file does not know are written once; and the folder may be resumed
    from elsewhere, though all models were named by relative paths."""
    monkeypatch.chdir(folder)

    def watch(news):
        if news.stage == "produce" and news.step >= BROKEN and not (folder / "copy").exists():
            ignored = shutil.ignore_patterns("job.lock")
            shutil.copytree(folder / "whole", folder / "copy", ignore=ignored)

    run(config(folder, "whole", committee_save_above=limit, inner_model="b.pt"), watch=watch)
    frames = ase.io.read(folder / "whole" / "uncertain.extxyz", ":")
    table = read_table(folder / "whole" / "committee.csv")
    above = table["step"][table[SPREAD] > limit]
    assert [frame.info["step"] for frame in frames] == above.tolist()
    assert len(above) == 3
    monkeypatch.chdir(folder.parent)
    run(resumed_config(folder / "copy", {}), resume=True)
    assert texts(folder / "copy") == texts(folder / "whole")


def test_a_run_ends_where_the_models_disagree_and_may_go_on(folder, limit, monkeypatch):
    monkeypatch.chdir(folder)
    with pytest.raises(RunFailure, match="committee: at step .* models disagree"):
        run(config(folder, "ended", committee_save_above=limit, committee_stop_above=limit))
    assert "models disagree" in (folder / "ended" / "run.log").read_text()
    changed = resumed_config(folder / "ended", {"committee_stop_above": 1e3})
    run(changed, resume=True)
    whole = config(folder, "not-ended", committee_save_above=limit)
    run(whole)
    assert texts(folder / "ended") == texts(folder / "not-ended")


def test_another_committee_is_another_run(folder, monkeypatch):
    monkeypatch.chdir(folder)
    run(config(folder, "other"))
    with pytest.raises(ValueError, match="committee: the run in .* has"):
        resumed_config(folder / "other", {"committee": ["b.pt"], "steps": 12})
    for seed, model in enumerate("bac"):  # as trainings leave them, each in a folder of its own
        (folder / f"seed-{seed}").mkdir()
        shutil.copy(folder / f"{model}.pt", folder / f"seed-{seed}" / "c.pt")
    with pytest.raises(ValueError, match="committee: the run in .* has"):
        resumed_config(folder / "other", {"committee": ["seed-0/c.pt", "seed-1/c.pt"]})
    resumed_config(folder / "other", {"committee": ["seed-0/c.pt", "seed-2/c.pt"]})
    toml = folder / "other" / "run.toml"
    save(build({"zbl": {"outer": 1.7}}), folder / "d.pt")
    toml.write_text(toml.read_text().replace("c.pt", "d.pt"))
    with pytest.raises(ValueError, match=r"committee\[1\]: the run .* began with another file"):
        run(resumed_config(folder / "other", {"steps": 12}), resume=True)


def test_bad_committees_are_named(folder, monkeypatch):
    monkeypatch.chdir(folder)
    with pytest.raises(ValueError, match="committee_stop_above: needs a committee"):
        config(folder, "none", committee=[], committee_stop_above=1.0)
    with pytest.raises(ValueError, match=r"committee_save_above: expected a .*got -1"):
        config(folder, "none", committee_save_above=-1.0)
    with pytest.raises(FileNotFoundError, match="no.pt"):
        run(config(folder, "none", committee=["no.pt"]))
    save(build({"gnn": {"species": ["Na"], "hidden_irreps": "2x0e"}}), folder / "sodium.pt")
    with pytest.raises(ValueError, match=r"got the same weights for model and committee\[1\]"):
        run(config(folder, "none", committee=["b.pt", "a.pt"]))
    with pytest.raises(ValueError, match="committee: sodium.pt: .*(Mg|O)"):
        run(config(folder, "none", committee=["sodium.pt"]))
    assert not (folder / "none").exists()
