"""The command import-reaxnet."""

import pickle

import pytest
from published import (
    tree_of,
)

import openmm_pqeq as pq
from openmm_pqeq.cli import main

pytestmark = pytest.mark.python_route


def run(capsys, *arguments):
    code = main(["import-reaxnet", *map(str, arguments)])
    captured = capsys.readouterr()
    return code, " ".join(captured.out.split()), " ".join(captured.err.split())


def test_command_line(published, structure, tmp_path, capsys):
    files, output = published("odd irreps")[0], tmp_path / "model.pt"
    code, out, err = run(
        capsys, *files, "-o", output, "--edge-sign", "notebook", "--d3", "--no-stop-gradient"
    )
    assert (code, err) == (0, "")
    for fact in (
        "6: H Li N O P La",
        "layers 3",
        "8x0e+4x0o+4x1e+4x1o",
        "receiver − sender",
        "minus the gradient of the energy",
        "D3, zero damping, PBE",
    ):
        assert fact in out.replace(" + ", "+"), fact
    potential = pq.load(output)
    assert potential.config["gnn"]["edge_sign"] == "notebook"
    assert not potential.config["pqeq"]["stop_gradient"]
    assert potential.evaluate(structure).terms["d3"] < 0
    before = output.read_bytes()
    code, _, err = run(capsys, *files, "-o", output)
    assert code == 2
    assert "exists. Choose another name, or replace it with --overwrite" in err
    assert output.read_bytes() == before
    assert run(capsys, *files, "-o", output, "--overwrite")[0] == 0
    assert pq.load(output).config["pqeq"]["stop_gradient"] is True


def test_command_line_with_wrong_files(published, tmp_path, capsys):
    files, output = published("odd irreps")[0], tmp_path / "model.pt"
    assert run(capsys, "nothing.pickle", *files[1:], "-o", output)[0] == 2
    assert "there is no folder" in run(capsys, *files, "-o", tmp_path / "nowhere" / "model.pt")[2]
    evil = tmp_path / "evil.pickle"
    evil.write_bytes(
        pickle.dumps(tree_of(published("odd irreps")[1]))[:-1]
        + b"0cos\nsystem\n(Vtouch executed\ntR."
    )
    code, _, err = run(capsys, evil, *files[1:], "-o", output)
    assert code == 2
    assert "refused, because it would import os.system" in err
    assert not output.exists()
