"""What is wrong with a command is said before a published model is fetched for it."""

import ase.io
import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.singlepoint import SinglePointCalculator

from openmm_pqeq.cli import main
from openmm_pqeq.published import download
from openmm_pqeq.published.sevennet import models

DISTILLATION = """
output = "out"
[teacher]
model = "sevennet-0"
[structures]
files = ["{structure}"]
driver = "{driver}"
[student]
start = "{start}"
"""


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder with a structure, labelled frames and nothing fetched; fetching ends the test."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for module, name in ((models, "model_file"), (download, "list_files")):
        monkeypatch.setattr(module, name, lambda *_, **__: pytest.fail("fetched"))
    crystal = bulk("MgO", "rocksalt", a=4.2, cubic=True)
    crystal.write("MgO.cif")
    crystal.calc = SinglePointCalculator(crystal, energy=0.0, forces=np.zeros((8, 3)))
    ase.io.write("frames.traj", [crystal] * 5)
    (tmp_path / "empty.txt").write_text("nothing")
    for name, wrong in {
        "structure": {"structure": "none.cif"},
        "driver": {"driver": "none.pt"},
        "start": {"start": "none.pt"},
    }.items():
        right = {"structure": "MgO.cif", "driver": "none", "start": "none"}
        (tmp_path / f"{name}.toml").write_text(DISTILLATION.format(**right | wrong))
    return tmp_path


pytest.importorskip("lightning", reason="training needs the extra `train`")

RUN = "run {} --model sevennet-0 --steps 2 --output out"


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (RUN.format("none.cif"), "none.cif"),
        (RUN.format("empty.txt"), "empty.txt"),
        (f"{RUN.format('MgO.cif')} --committee none.pt", "model 'none.pt'"),
        (f"{RUN.format('MgO.cif')} --inner-model none.pt", "model 'none.pt'"),
        (f"{RUN.format('MgO.cif')} --platform Abacus", "platform: expected one of"),
        (f"{RUN.format('MgO.cif')} --protocol Abacus", "protocol: expected one of"),
        ("energy none.cif --model sevennet-0", "none.cif"),
        ("energy MgO.cif --model sevennet-0 --protocol x", "protocol: expected one of"),
        ("relax none.cif --model sevennet-0 -o out", "none.cif"),
        ("evaluate frames.traj --model sevennet-0 none.pt", "model 'none.pt'"),
        ("evaluate frames.traj --model sevennet-0 --protocol x", "protocol: expected one of"),
        ("finetune sevennet-0 none.traj -o out.pt", "no file none.traj"),
        ("finetune sevennet-0 MgO.cif -o out.pt", "no energy"),
        ("finetune sevennet-0 frames.traj -o out.pt --test none.traj", "no file none.traj"),
        ("finetune sevennet-0 frames.traj -o out.pt --held-out 100%", "expected fewer than the 5"),
        ("distill structure.toml", "no file none.cif"),
        ("distill driver.toml", "model 'none.pt'"),
        ("distill start.toml", "model 'none.pt'"),
        ("bench none.cif --model sevennet-0", "none.cif"),
        ("bench --model sevennet-0 --threads 0", "threads: expected"),
        ("analyze phonons none.cif --model sevennet-0", "none.cif"),
        ("models download reaxnet-mp --edge-sign x", "argument --edge-sign: invalid choice"),
        ("models download reaxnet-mp --base-url ftp://x", "base_url: expected an address"),
    ],
)
def test_what_is_wrong_is_said_before_a_model_is_fetched(place, command, message, capsys):
    try:
        code = main(command.split())
    except SystemExit as end:
        code = end.code
    assert code == 2
    assert message in capsys.readouterr().err
    assert not (place / "out").exists()
