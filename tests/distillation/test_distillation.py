"""Settings of a distillation: what is refused, and the file that is written."""

import pytest
from distillations import EMT, do, table

from openmm_pqeq.distillation.config import distillation_of, write_toml
from openmm_pqeq.jobs.settings import read_toml

pytest.importorskip("lightning", reason="training needs the extra `train`")


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
