"""Restart files: nothing in them runs, and what is damaged is named before anything changes."""

import dataclasses
import io
import json
import os
import zipfile

import numpy as np
import openmm
import pytest

from openmm_pqeq.checkpoint import save
from openmm_pqeq.md.config import run_config
from openmm_pqeq.md.restart import read_restart, write_restart
from openmm_pqeq.md.resume import resumed_config
from openmm_pqeq.md.run import run
from openmm_pqeq.md.state import state_from
from openmm_pqeq.potential import build

pytestmark = pytest.mark.python_route


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A run of 4 steps that may become longer."""
    folder = tmp_path_factory.mktemp("restart")
    save(build({"pqeq": {"protocol": "reaxnet", "cutoff": 4.0}}), folder / "model.pt")
    from ase.build import bulk

    bulk("MgO", "rocksalt", a=4.2, cubic=True).write(folder / "MgO.cif")
    settings = {"structure": str(folder / "MgO.cif"), "model": str(folder / "model.pt")}
    settings |= {"output": str(folder / "run"), "steps": 4, "timestep": 0.2, "seed": 3}
    settings |= {"table_interval": 2, "trajectory_interval": 2, "charges_interval": 2}
    settings |= {"backend": "python", "platform": "Reference", "precision": "double"}
    run(run_config(settings))
    return folder / "run"


@pytest.fixture
def edit(folder):
    """Replaces parts of the restart file, and brings it back afterwards."""
    path = folder / "restart.zip"
    whole = path.read_bytes()

    def replace(**parts):
        with zipfile.ZipFile(io.BytesIO(whole)) as archive:
            content = {name: archive.read(name) for name in archive.namelist()}
        for name, change in parts.items():
            full = next(one for one in content if one.startswith(name))
            content[full] = change(content[full])
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, data in content.items():
                archive.writestr(name, data)

    yield replace
    path.write_bytes(whole)


def resume(folder):
    return run(resumed_config(folder, {"steps": 6}), resume=True)


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


TRACE = "OPENMM_PQEQ_TEST_TRACE"


class Trap:
    """Leaves a trace where its pickle is read."""

    def __reduce__(self):
        return exec, (f"import os; os.environ[{TRACE!r}] = 'ran'",)

    def __call__(self, state):
        return 0.0, np.zeros((1, 3))


def system_with_a_trap(root="System"):
    system = openmm.System()
    system.addParticle(1.0)
    system.addForce(openmm.PythonForce(Trap()))
    xml = openmm.XmlSerializer.serialize(system)
    os.environ.pop(TRACE, None)
    return xml.replace("<System", f"<{root}").replace("</System", f"</{root}")


@pytest.mark.parametrize(
    "xml",
    [
        lambda: system_with_a_trap(),
        lambda: system_with_a_trap("State"),  # OpenMM goes by the type, not by the tag
        lambda: '<State type="State" version="1">' + system_with_a_trap()[22:] + "</State>",
    ],
)
def test_no_code_runs_from_a_restart_file(folder, edit, xml):
    edit(state=lambda _: xml().encode())
    before = contents(folder)
    with pytest.raises(ValueError, match=r"restart\.zip: not of this run, or damaged"):
        resume(folder)
    assert TRACE not in os.environ
    assert contents(folder) == before


def test_the_trap_is_one():
    openmm.XmlSerializer.deserialize(system_with_a_trap())
    assert os.environ.pop(TRACE) == "ran"


def arrays(**changes):
    def change(data):
        with np.load(io.BytesIO(data)) as kept:
            content = dict(kept) | changes
        out = io.BytesIO()
        np.savez(out, **content)
        return out.getvalue()

    return change


@pytest.mark.parametrize(
    "parts",
    [
        {"state": lambda data: data.replace(b"<Position ", b"<Position w='1' ", 1)[:-20]},
        {"state": lambda data: data.replace(b'x="', b'x="nan', 1)},
        {"state": lambda data: b"<!DOCTYPE a [<!ENTITY b 'c'>]>" + data},
        {"state": lambda data: data.replace(b"<Position ", b"<Velocity ", 1)},
        {"state": lambda data: data.replace(b" time=", b" tame=", 1)},
        {"state": lambda data: b"<a>" * 5000},
        {"state": lambda data: b" " * 100_000_000},
        {"run": lambda data: b"[]"},
        {"run": lambda data: b"[" * 100_000},
        {"run": lambda data: json.dumps(json.loads(data) | {"step": 10**30}).encode()},
        {"sums": arrays(offset=np.zeros(2))},
        {"sums": arrays(change=np.full(3, np.nan))},
        {"sums": arrays(charges=np.zeros(5), positions=np.zeros((5, 3)))},
        {"sums": lambda data: data[:100]},
    ],
)
def test_damage_is_named_and_nothing_changes(folder, edit, parts):
    edit(**parts)
    before = contents(folder)
    with pytest.raises(ValueError, match=r"resume: .*restart\.zip"):
        resume(folder)
    assert contents(folder) == before


@pytest.mark.parametrize(
    "garbage",
    [
        lambda data: data[:25] + b"\xff\xff\xff\x7f" + data[29:],  # the length of a name
        lambda data: b"\xff" * 300,
        lambda data: data[:-5000][:700],
        lambda data: data[:400] + bytes(100) + data[500:],  # positions
        lambda data: b"",
    ],
)
def test_a_foreign_checkpoint_never_reaches_openmm(folder, edit, garbage, tmp_path):
    """OpenMM would end Python with one of these."""
    before = contents(folder)
    edit(checkpoint=garbage)
    with pytest.warns(UserWarning, match="new random numbers"):
        assert resume(folder).step == 6
    for name, data in before.items():
        (folder / name).write_bytes(data)


def test_a_checkpoint_of_another_moment_is_refused(folder, tmp_path):
    config = resumed_config(folder, {"platform": "CPU"})
    config = dataclasses.replace(config, output=str(tmp_path / "run"))
    path = run(config).files.restart
    restart = read_restart(path)
    moved = restart.checkpoint[:400] + bytes(100) + restart.checkpoint[500:]
    write_restart(restart._replace(checkpoint=moved), path)
    with pytest.raises(ValueError, match=r"checkpoint\.bin is not of the moment of its state\.xml"):
        resume(tmp_path / "run")


def test_a_state_is_read_as_it_was(folder):
    with zipfile.ZipFile(folder / "restart.zip") as archive:
        text = archive.read("state.xml").decode()
    again = openmm.XmlSerializer.serialize(state_from(text))
    assert again == text


def test_a_damaged_deflate_stream_is_named(folder, edit):
    path = folder / "restart.zip"
    data = bytearray(path.read_bytes())
    data[100:140] = bytes(40)
    path.write_bytes(bytes(data))
    with pytest.raises(ValueError, match=r"restart\.zip is not a restart file of a run, or a dam"):
        resume(folder)
