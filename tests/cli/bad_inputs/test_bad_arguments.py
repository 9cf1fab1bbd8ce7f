"""Settings and arguments that mean nothing: each is refused by its name."""

import math
import tomllib
from pathlib import Path

import ase.io
import numpy as np
import pytest
from openmm import app
from smallest_network import GNN

import openmm_pqeq as pq
from openmm_pqeq.cli import main
from openmm_pqeq.force.create import create_energy
from openmm_pqeq.jobs.settings import settings_of
from openmm_pqeq.md.config import read_toml
from openmm_pqeq.md.settings import RunConfig
from openmm_pqeq.topology.file import read_atoms

TRAIN = ["train", "data.toml", "-o", "new"]
TYPED = {"inf": "inf", "nan": "nan", "list": "[1, 2]", "table": "{ a = 1 }", "date": "1979-05-27"}
TYPED |= {"long": "9" * 300, "nested": "[[1], [2]]", "control": '"\\u0000"', "minus": "-1.5"}


def test_a_setting_of_another_type_is_refused_by_its_name():
    """Or it is understood; nothing else than a ValueError comes of it."""
    said = []
    for name, one in settings_of(RunConfig).items():
        for value in (tomllib.loads(f"a = {text}")["a"] for text in TYPED.values()):
            try:
                one.metadata["parse"](name, value)
            except ValueError as error:
                said.append((name, str(error)))
    assert len(said) > 100
    assert all(message.startswith(name) for name, message in said)


@pytest.mark.parametrize("kind", TYPED)
@pytest.mark.parametrize(
    ("term", "key"),
    [
        *(("gnn", key) for key in ("species", "hidden_irreps", "layers", "r_max", "n_basis")),
        *(
            ("gnn", key)
            for key in ("radial_hidden", "readout_hidden", "nonlinearities", "envelope")
        ),
        *(("pqeq", key) for key in ("protocol", "parameters", "tolerance", "cutoff")),
        *(("d3", key) for key in ("damping", "functional", "cutoff")),
    ],
)
def test_a_term_refuses_settings_of_another_type(term, key, kind):
    value = tomllib.loads(f"a = {TYPED[kind]}")["a"]
    if (key, kind) in {("radial_hidden", "list"), ("parameters", "control")}:
        value = {"list": [-1, 4], "control": "no such set"}[kind]
    made = {"gnn": GNN, "pqeq": {"protocol": "ewald"}, "d3": {"functional": "pbe"}}[term]
    with pytest.raises(ValueError, match=key):
        pq.build({term: made | {key: value}})


def test_tables_that_are_none_are_refused_whatever_the_flags(here, capsys):
    pytest.importorskip("lightning", reason="training needs the extra `train`")
    for text in TYPED.values():
        Path("data.toml").write_text(
            f'training = {text}\n[data]\nfiles = ["frames.extxyz"]\n[potential.gnn]\n'
        )
        assert main([*TRAIN, "--epochs", "1"]) == 2
        assert "training" in capsys.readouterr().err


JUNK = {"nan": math.nan, "inf": math.inf, "long": 10**400, "bytes": b"ab", "object": object()}
JUNK |= {"nested": [[1], [2, 3]], "array": np.zeros((2, 3)), "complex": 1j, "-1": -1, "set": {1}}


def topology():
    made = app.Topology()
    residue = made.addResidue("X", made.addChain())
    for symbol in ("Mg", "O"):
        made.addAtom(symbol, app.Element.getBySymbol(symbol), residue)
    made.setPeriodicBoxVectors(np.diag([0.3, 0.3, 0.42]).tolist())
    return made


FUNCTIONS = {
    "energy": (
        lambda **given: create_energy("model.pt", topology(), compiled=False, **given),
        ("field", "coupling", "precision", "fragments", "electrodes", "periodic", "atoms"),
    ),
    "calculator": (
        lambda **given: pq.PQEqCalculator("model.pt", **given),
        ("field", "coupling", "device", "dtype", "tolerance"),
    ),
    "read": (lambda **given: pq.read_structure(**({"path": "MgO.extxyz"} | given)), ("path", "supercell")),
    "profile": (
        lambda **given: pq.ProfileReporter(**({"file": "new.h5", "interval": 1} | given)),
        ("file", "interval", "axis", "n_points", "width"),
    ),
    "charges": (
        lambda **given: pq.ChargeReporter(**({"file": "new.h5", "interval": 1} | given)),
        ("file", "interval"),
    ),
    "save": (lambda **given: pq.save(**({"potential": pq.load("model.pt"), "path": "x.pt"} | given)), ("potential", "path", "card")),
    "schedule": (lambda **given: pq.FieldSchedule(**({"field": (0, 0, 0)} | given)), ("field", "interval")),
    "load": (lambda model: pq.load(model), ("model",)),
    "read atoms": (lambda path: read_atoms(path), ("path",)),
    "read toml": (lambda path: read_toml(path), ("path",)),
    "import sevennet": (
        lambda **given: pq.convert_sevennet(**({"checkpoint_file": "model.pt", "output": "x.pt"} | given)),
        ("checkpoint_file", "output"),
    ),
    "import reaxnet": (
        lambda **given: pq.convert_reaxnet(**({"parameters": "model.pt", "model_config": "good.csv", "mapping": "good.csv", "output": "x.pt"} | given)),
        ("parameters", "model_config", "mapping", "output"),
    ),
    "build": (lambda config: pq.build(config), ("config",)),
}  # fmt: skip
UNDERSTOOD = {("tolerance", "-1"): False, ("atoms", "set"): True, ("device", "bytes"): False}


@pytest.mark.parametrize(
    ("function", "argument"),
    [(name, argument) for name, (_, arguments) in FUNCTIONS.items() for argument in arguments],
)
def test_a_function_names_the_argument_that_it_does_not_understand(here, function, argument):
    call = FUNCTIONS[function][0]
    for kind, value in JUNK.items():
        if UNDERSTOOD.get((argument, kind)):
            continue
        with pytest.raises((ValueError, FileNotFoundError)) as refused:
            call(**{argument: value})
        assert argument in str(refused.value), kind


ABSURD = {"10**30": 10**30, "-10**30": -(10**30), "1e300": 1e300, "1e-300": 1e-300, "inf": math.inf}
ABSURD |= {"array": np.zeros((2, 2)), "long": "x" * 10_000, "complex": 1j, "bytes": b"ab"}
NUMBERS = {
    "gnn": ("layers", "r_max", "n_basis", "radial_hidden"),
    "pqeq": ("cutoff", "sweeps", "max_shell", "mesh_spacing", "protocol", "parameters", "energy"),
    "d3": ("cutoff", "cn_cutoff", "s6", "s8", "a1", "a2"),
    "zbl": ("inner", "outer"),
}
NEAR_ENOUGH_TO_ZERO = {("d3", "s6"), ("d3", "s8"), ("d3", "a1"), ("d3", "a2"), ("zbl", "inner")}


@pytest.mark.parametrize(("term", "key"), [(t, key) for t, keys in NUMBERS.items() for key in keys])
def test_an_absurd_number_is_refused_at_once(term, key):
    """Before memory or time goes into it."""
    made = {"gnn": GNN, "pqeq": {"protocol": "reaxnet" if key == "sweeps" else "ewald"}}
    made |= {"d3": {"functional": "pbe"}, "zbl": {}}
    for kind, value in ABSURD.items():
        if kind == "1e-300" and (term, key) in NEAR_ENOUGH_TO_ZERO:
            continue
        with pytest.raises(ValueError, match=key if term != "d3" else f"{key}|smoothing_width"):
            pq.build({term: made[term] | {key: value}})


@pytest.mark.parametrize("value", ["x" * 5000, None, 5, [], "", "a\0b", "place.csv"], ids=repr)
def test_what_is_no_path_is_refused_by_the_name_of_its_argument(here, value):
    doors = {"path": (pq.read_structure, read_atoms, read_toml), "file": (pq.DipoleReporter,)}
    for name, functions in doors.items():
        for function in functions:
            given = (value, 1) if function is pq.DipoleReporter else (value,)
            with pytest.raises((ValueError, FileNotFoundError), match=f"{name}|place"):
                function(*given)


def test_a_short_row_of_parameters_is_named(here):
    with pytest.raises(ValueError, match="row 2, column eta: expected a number, got nothing"):
        pq.build({"pqeq": {"parameters": "row.csv"}})


def test_an_element_beyond_every_set_is_named(here):
    atoms = ase.io.read("og.extxyz")
    atoms.calc = pq.PQEqCalculator("model.pt")
    with pytest.raises(ValueError, match="Og"):
        atoms.get_potential_energy()
