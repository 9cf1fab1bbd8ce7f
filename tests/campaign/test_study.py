"""What a study file says: which runs, under which names, and what makes another run of one."""

import re

import pytest
from campaign_studies import STEPS, write_study

from openmm_pqeq.campaign import study
from openmm_pqeq.campaign.study import read_study
from openmm_pqeq.checkpoint import load, save
from openmm_pqeq.jobs.files import sha256
from openmm_pqeq.potential import build

VARY = """
[vary]
temperature = [100, 200]
field = [[0, 0, 0], [0, 0, "0.01*sin(2*pi*t)"]]
seed = [1, 2, 3]
"""


def names(file):
    return [run.name for run in read_study(file).runs]


def test_all_combinations_have_readable_names_of_their_own(tmp_path):
    study = read_study(write_study(tmp_path, VARY))
    assert len(study.runs) == 12
    assert len({run.name for run in study.runs}) == 12
    first, last = study.runs[0], study.runs[-1]
    assert re.fullmatch(r"100K_field0,0,0_seed1_[0-9a-f]{12}", first.name)
    assert re.fullmatch(r"200K_field0,0,0.01-sin-2-pi-t_seed3_[0-9a-f]{12}", last.name)
    assert (last.config.temperature, last.config.seed) == (200, 3)
    assert last.folder == tmp_path / "study" / "runs" / last.name
    assert last.config.structure == str(tmp_path / "MgO.cif")


def test_a_run_is_known_by_its_settings_and_by_what_its_files_contain(tmp_path):
    file = write_study(tmp_path, VARY)
    before, text = names(file), file.read_text()
    file.write_text(text.replace("[1, 2, 3]", "[1, 2, 3, 4]"))
    assert set(before) < set(names(file))
    file.write_text(text.replace("timestep = 0.2", "timestep = 0.1"))
    assert not set(before) & set(names(file))
    file.write_text(text.replace(f"steps = {STEPS}", "steps = 500"))  # as a resumed run may
    assert names(file) == before
    file.write_text(text)
    crystal = tmp_path / "MgO.cif"
    crystal.write_text(crystal.read_text().replace("4.2", "4.3"))
    assert not set(before) & set(names(file))


def test_a_run_that_is_there_keeps_its_name(tmp_path):
    file = write_study(tmp_path, "[vary]\ntemperature = [100, 200]\n")
    first, second = read_study(file).runs
    first.folder.mkdir(parents=True)
    file.write_text(file.read_text() + "ensemble = ['NVT', 'NVE']\n")
    study = read_study(file)
    assert study.runs[0].name == first.name
    assert study.runs[0].folder == first.folder
    assert study.runs[2].name == second.name.replace("200K", "200K_NVT")


def test_another_card_makes_no_other_run(tmp_path):
    file, model = write_study(tmp_path, VARY), tmp_path / "model.pt"
    before = names(file)
    save(load(model), model, {"description": "the same, described better"})
    assert names(file) == before


def test_a_run_that_is_there_by_the_key_of_an_earlier_version_goes_on(tmp_path, monkeypatch):
    """Its key counted the model's card in, and its seed is made of its key."""
    file = write_study(tmp_path, "[vary]\ntemperature = [100, 200]\n")
    with monkeypatch.context() as earlier:
        earlier.setattr(study, "fingerprint", sha256)
        before = read_study(file).runs
    assert [run.name for run in before] != names(file)
    before[0].folder.mkdir(parents=True)
    first, second = read_study(file).runs
    assert first == before[0]
    assert first.config.seed == before[0].config.seed
    assert second.key != before[1].key
    second.folder.mkdir(parents=True)  # and beside the one of now it is another
    before[1].folder.mkdir(parents=True)
    assert read_study(file).runs[1] == second


def test_the_names_stay_where_the_folder_moves(tmp_path):
    before = names(write_study(tmp_path / "here", VARY))
    assert names(write_study(tmp_path / "there", VARY)) == before


def test_seeds_that_nobody_gives_are_of_the_settings(tmp_path):
    file = write_study(tmp_path, "[vary]\ntemperature = [100, 200]\n")
    first, second = (run.config.seed for run in read_study(file).runs)
    assert first != second
    assert [run.config.seed for run in read_study(file).runs] == [first, second]


def test_structures_by_a_pattern(tmp_path):
    file = write_study(tmp_path, '[vary]\nstructure = ["*.cif"]\n')
    (tmp_path / "other.cif").write_text((tmp_path / "MgO.cif").read_text().replace("4.2", "4.3"))
    assert [name[:-13] for name in names(file)] == ["MgO", "other"]


def test_settings_that_go_together(tmp_path):
    more = """
[[vary.size]]
name = "small"
supercell = [1, 1, 1]
[[vary.size]]
name = "large"
supercell = [2, 2, 2]
time = "2 fs"
"""
    small, large = read_study(write_study(tmp_path, more)).runs
    assert (small.labels, large.labels) == ({"size": "small"}, {"size": "large"})
    assert large.config.supercell == (2, 2, 2)
    assert (small.config.n_steps, large.config.n_steps) == (STEPS, 10)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ("[vary]\ntemprature = [1]", "temprature: not a setting of a run; a name of your own"),
        ("[vary]\ntemperature = 300", "vary.temperature: expected a list of values, got 300"),
        ("[vary]\ntemperature = [-1]", "temperature: expected a number that is not negative"),
        ("[vary]\ntemperature = [100, 100]", "are the same run"),
        ('[vary]\nstructure = ["*.xyz"]', "no file is like"),
        ('[vary]\nstructure = ["other.cif"]', "structure: there is no file"),
        ('[vary]\noutput = ["a", "b"]', "output: runs of a study have folders of their own"),
        ("[vary]\nseed = [1, 2]\n[[vary.both]]\nseed = 3", "vary.both: seed is given by another"),
        ("[where]\nworkers = 0", "where.workers: expected a whole number above zero"),
        ("[wehre]\nworkers = 1", "did you mean 'where'?"),
        ("skip = 1", "not a setting"),
        ("[[vary.state]]\ntemperature = 1", "vary.state: a column of the results"),
        ('[vary]\ntemperature = [1]\n[plot]\nx = "pressure"', "plot.x: expected a setting that"),
        (
            '[plot]\ny = ["temperature"]',
            "plot.y: expected columns of a run's table, such as potent",
        ),
        ("[vary]\nthreads = [1, 2]", "a run is no other one by steps, time"),
        ('[where]\nscheduler = "node1"', "where.scheduler: expected an address such as"),
        ('[where]\nscheduler = "MgO.cif"', "where.scheduler: expected an address such as"),
        ('[vary]\ncommittee = [["model.pt"]]', "got the same weights for model and committee"),
        ('[where]\nmemory = "much"', "where.memory: expected a size such as 8GB"),
        ('[where]\nwalltime = "long"', "where.walltime: expected seconds"),
    ],
)
def test_what_is_wrong_is_named(tmp_path, more, message):
    file = write_study(tmp_path, more)
    with pytest.raises((ValueError, FileNotFoundError), match=re.escape(message)):
        read_study(file)


def test_a_file_that_is_no_scheduler_is_refused_before_anything_is_made(tmp_path):
    (tmp_path / "s.json").write_text("[]")
    file = write_study(tmp_path, f'[where]\nscheduler = "{tmp_path}/s.json"\n')
    with pytest.raises(ValueError, match="s.json is not the file of a Dask scheduler"):
        read_study(file)


def test_walltimes_are_those_that_queues_understand(tmp_path):
    file = write_study(tmp_path, '[where]\nwalltime = "36h"\n')
    assert read_study(file).settings.where.walltime == "36:00:00"


def test_the_inner_model_counts_from_the_study_and_by_what_it_contains(tmp_path):
    file = write_study(tmp_path, "")
    inner = tmp_path / "inner.pt"
    save(build({"zbl": {"species": ["Mg", "O"]}}), inner)
    file.write_text(file.read_text() + 'inner_model = "inner.pt"\n')
    (one,) = read_study(file).runs
    assert one.config.inner_model == str(inner)
    save(build({"zbl": {"inner": 1.2, "outer": 1.6, "species": ["Mg", "O"]}}), inner)
    (other,) = read_study(file).runs
    assert other.key != one.key
    inner.unlink()
    with pytest.raises(FileNotFoundError, match="run run: model .*inner.pt"):
        read_study(file)
