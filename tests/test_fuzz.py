"""Files with damage of many kinds: a result or a message, never another exception.

OPENMM_PQEQ_FUZZ=20000 tries as many of each kind (default 60), from the seeds 0, 1, 2, ...
"""

import io
import json
import os
import random
import tomllib
import zipfile

import ase.io
import numpy as np
import pytest
import torch
from ase.build import bulk

from openmm_pqeq import checkpoint
from openmm_pqeq.md.config import read_toml, run_config
from openmm_pqeq.md.restart import Restart, read_restart, write_restart
from openmm_pqeq.md.resume import Origin
from openmm_pqeq.md.state import state_from
from openmm_pqeq.potential import build
from openmm_pqeq.pqeq.parameters import resolve_parameters
from openmm_pqeq.reporters import PolarizationSum
from openmm_pqeq.topology.read import read_structure

CASES = int(os.environ.get("OPENMM_PQEQ_FUZZ", "60"))
ODD = [None, True, -1, 0, 10**30, 1e400, float("nan"), "", "é", "x" * 1000, [], {}, [[]], {"a": 1}]
CELLS = ["", "nan", "1e999", "-1", "x", "é", '"', ",", "\n", "\0", "1e5,1", "Xx", "H"]


def damaged(data, draw):
    """Bytes changed, cut, doubled, or put together anew."""
    how = draw.random()
    data = bytearray(data)
    if how < 0.4:
        for _ in range(draw.randint(1, 20)):
            data[draw.randrange(len(data))] = draw.randrange(256)
    elif how < 0.6:
        del data[draw.randrange(len(data)) :]
    elif how < 0.8:
        at = draw.randrange(len(data))
        data[at : at + draw.randint(1, 50)] = draw.randbytes(draw.randint(0, 50))
    else:
        data = bytearray(draw.randbytes(draw.randint(0, 400)))
    return bytes(data)


def odd_tree(tree, draw):
    """A tree of dictionaries and lists with one value that is odd."""
    if isinstance(tree, dict) and tree and draw.random() < 0.8:
        name = draw.choice(list(tree))
        if draw.random() < 0.1:
            return {key: value for key, value in tree.items() if key != name}
        return tree | {name: odd_tree(tree[name], draw)}
    if isinstance(tree, list) and tree and draw.random() < 0.7:
        at = draw.randrange(len(tree))
        return [*tree[:at], odd_tree(tree[at], draw), *tree[at + 1 :]]
    return draw.choice(ODD)


def odd_table(text, draw):
    """A table with an odd cell, a short or a long row."""
    lines = [line.split(",") for line in text.splitlines()]
    row = draw.choice(lines)
    how = draw.random()
    if how < 0.6:
        row[draw.randrange(len(row))] = draw.choice(CELLS)
    elif how < 0.8:
        del row[draw.randrange(len(row)) :]
    else:
        row += draw.choices(CELLS, k=2)
    return "\n".join(map(",".join, lines))


def message_or_result(seed, read, *given):
    """Read; any exception but these two, or one without a message, fails with the seed."""
    message = None
    try:
        read(*given)
    except (ValueError, FileNotFoundError) as error:
        message = str(error)
    except Exception as error:
        raise AssertionError(f"seed {seed}: {type(error).__name__}: {error}") from error
    if message == "":
        pytest.fail(f"seed {seed}: no message")


def test_parameter_tables(tmp_path):
    path = tmp_path / "table.csv"
    whole = "element,pol,chi,eta,Z,R_core,K2\nMg,1,3,12,1,1.5,300\nO,1,8,14,1,0.8,400\n"
    for seed in range(CASES):
        draw = random.Random(seed)
        data = odd_table(whole, draw).encode() if seed % 3 else damaged(whole.encode(), draw)
        path.write_bytes(data)
        message_or_result(seed, resolve_parameters, str(path))


def test_run_descriptions(tmp_path):
    path = tmp_path / "run.toml"
    whole = (
        'structure = "a.cif"\nmodel = "batio3"\noutput = "out"\ntime = "1ps"\n'
        'field = [0, 0, "0.02*sin(2*pi*t/10)"]\nsupercell = [2, 1, 1]\nbonds = true\n'
        'fragment_charges = {NA = 1, CL = -1}\nelectrodes = [{atoms = "0-3", voltage = 1.5}]\n'
    )
    tree = tomllib.loads(whole)
    for seed in range(CASES):
        draw = random.Random(seed)
        path.write_bytes(damaged(whole.encode(), draw))
        message_or_result(seed, lambda: run_config(read_toml(path)))
        odd = odd_tree(tree, draw)
        message_or_result(seed, run_config, odd if isinstance(odd, dict) else {})


def test_models(tmp_path):
    path = tmp_path / "model.pt"
    config = {"pqeq": {"protocol": "reaxnet"}, "d3": {"functional": "pbe"}, "zbl": {}}
    gnn = {"species": ["Mg", "O"], "hidden_irreps": "2x0e+2x1o", "layers": 1, "r_max": 3.0}
    config["gnn"] = gnn | {"radial_hidden": [4], "seed": 3}
    checkpoint.save(build(config), path, {"title": "small"})
    whole = path.read_bytes()
    content = torch.load(path, weights_only=True)
    for seed in range(CASES):
        draw = random.Random(seed)
        if seed % 3:
            torch.save(odd_tree(content, draw), path)
        else:
            path.write_bytes(damaged(whole, draw))
        message_or_result(seed, checkpoint.load, path)
        message_or_result(seed, checkpoint.card, path)


STATE = (
    '<State openmmVersion="8.5.2" stepCount="4" time="0.1" type="State" version="1">'
    '<PeriodicBoxVectors><A x="1" y="0" z="0"/><B x="0" y="1" z="0"/><C x="0" y="0" z="1"/>'
    '</PeriodicBoxVectors><Parameters a="1"/><Positions><Position x="0" y="1" z="2"/></Positions>'
    '<Velocities><Velocity x="0" y="1" z="2"/></Velocities><IntegratorParameters version="1">'
    '<Chain><Bead position="1" velocity="2"/></Chain></IntegratorParameters></State>'
)


def test_restart_files(tmp_path):
    path = tmp_path / "restart.zip"
    sums = {"offset": np.zeros(3), "change": np.zeros(3), "positions": np.zeros((1, 3))}
    sums |= {"cell": np.eye(3), "charges": np.zeros(1), "shell_dipole": np.zeros(3)}
    origin = Origin({"temperature": 300.0}, {"model": "0" * 64})
    write_restart(Restart("produce", 4, "8.5.2", "CPU", STATE, b"\1" * 90, sums, origin), path)
    whole = path.read_bytes()
    with zipfile.ZipFile(path) as archive:
        content = {name: archive.read(name) for name in archive.namelist()}

    def read():
        restart = read_restart(path)
        PolarizationSum().restore(restart.sums)
        state_from(restart.state)

    for seed in range(CASES):
        draw = random.Random(seed)
        data = damaged(whole, draw)
        if seed % 3:
            name = draw.choice(list(content))
            part = damaged(content[name], draw)
            if name == "run.json" and seed % 2:
                part = json.dumps(odd_tree(json.loads(content[name]), draw)).encode()
            out = io.BytesIO()
            with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
                for one, before in content.items():
                    archive.writestr(one, part if one == name else before)
            data = out.getvalue()
        path.write_bytes(data)
        message_or_result(seed, read)


def structures(folder):
    """A crystal in files of four kinds."""
    cell = bulk("MgO", "rocksalt", a=4.2, cubic=True)
    cell.set_velocities(np.full((8, 3), 0.01))
    cell.info["charge"] = 1
    names = ("one.cif", "one.extxyz", "POSCAR", "one.pdb")
    for name, kind in zip(names, ("cif", "extxyz", "vasp", "proteindatabank")):
        ase.io.write(folder / name, cell, format=kind)
    return {name: (folder / name).read_bytes() for name in names}


@pytest.mark.filterwarnings("ignore")  # ASE's, about what it does not understand
def test_structures(tmp_path):
    for name, whole in structures(tmp_path).items():
        for seed in range(CASES // 2):
            draw = random.Random(seed)
            data = damaged(whole, draw)
            if seed % 2:
                lines = whole.split(b"\n")
                row = draw.randrange(len(lines))
                words = lines[row].split(b" ")
                words[draw.randrange(len(words))] = draw.choice(CELLS).encode()
                lines[row] = b" ".join(words)
                data = b"\n".join(lines)
            (tmp_path / name).write_bytes(data)
            message_or_result(seed, read_structure, tmp_path / name, -1, seed % 3 == 0)
