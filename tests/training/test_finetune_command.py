"""`openmm-pqeq finetune`: a model with its errors before and after, and what the command refuses."""

from pathlib import Path

import pytest
from tuned_readout import model

import openmm_pqeq as pq
from openmm_pqeq.cli import main

pytest.importorskip("lightning", reason="training needs the extra `train`")


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
