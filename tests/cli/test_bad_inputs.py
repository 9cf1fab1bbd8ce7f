"""Inputs that mean nothing: each command ends with one message that names the argument or the file,
and exit code 2; each public function raises an error that names its argument."""

import json
import math
import shutil
import tomllib
from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from openmm import app
from run_folders import write_run

import openmm_pqeq as pq
from openmm_pqeq.cli import main
from openmm_pqeq.force.create import create_energy
from openmm_pqeq.jobs.settings import settings_of
from openmm_pqeq.md.config import read_toml
from openmm_pqeq.md.settings import RunConfig
from openmm_pqeq.topology.file import read_atoms

pytestmark = pytest.mark.python_route

MG = dict(zip(("electronegativity", "hardness", "core_charge", "radius"), (3.9, 8.0, 1.0, 1.4)))
OXYGEN = dict(zip(("electronegativity", "hardness", "core_charge", "radius"), (8.7, 8.6, 1.0, 0.7)))
GNN = {"species": ["O", "Mg"], "hidden_irreps": "4x0e", "sh_irreps": "1x0e", "layers": 1}
GNN |= {"r_max": 3.0, "n_basis": 2, "radial_hidden": [4]}
TABLE = (
    "time_ps,dipole_x_eA,dipole_y_eA,dipole_z_eA,field_x_V_per_A,field_y_V_per_A,field_z_V_per_A"
)


def rows(value="0.1", n=20):
    return "".join(f"{0.1 * index:.1f}" + f",{value}" * 6 + "\n" for index in range(n))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A model, a crystal, labelled frames, and files of every kind that are none."""
    folder = tmp_path_factory.mktemp("bad")
    parameters = {"Mg": MG, "O": OXYGEN}
    model = pq.build({"gnn": GNN, "pqeq": {"protocol": "ewald", "parameters": parameters}})
    pq.save(model, folder / "model.pt")
    crystal = Atoms("MgO", [[0, 0, 0], [0, 0, 2.1]], cell=[3.0, 3.0, 4.2], pbc=True)
    crystal.calc = SinglePointCalculator(crystal, energy=-1.0, forces=np.zeros((2, 3)))
    ase.io.write(folder / "MgO.extxyz", crystal)
    ase.io.write(folder / "frames.extxyz", [crystal] * 6)
    crystal.calc = SinglePointCalculator(crystal, energy=-1.0, forces=np.full((2, 3), 1e300))
    ase.io.write(folder / "huge.extxyz", crystal)
    crystal.calc = None
    for name, cell, place in (
        ("flat", [[3, 0, 0], [3, 0, 0], [0, 0, 4]], 2),
        ("far", [3, 3, 4], 1e12),
    ):
        crystal.set_cell(cell)
        crystal.positions[1, 2] = place
        ase.io.write(folder / f"{name}.extxyz", crystal)
    crystal.set_cell([3.0, 3.0, 4.2])
    crystal.symbols[0] = "Og"
    ase.io.write(folder / "og.extxyz", crystal)
    (folder / "distill.toml").write_text(
        '[teacher]\nmodel = "model.pt"\n[structures]\nfiles = ["MgO.extxyz"]\n'
    )
    (folder / "study.toml").write_text(
        '[run]\nmodel = "model.pt"\nstructure = "MgO.extxyz"\nsteps = 1\n'
    )
    (folder / "data.toml").write_text('[data]\nfiles = ["frames.extxyz"]\n[potential.gnn]\n')
    Atoms("OMg", [[0, 0, 0], [0, 0, 1.9]]).write(folder / "molecule.xyz")
    row = {"numbers": [12, 8], "frac": [[0, 0, 0], [0.5, 0.5, 0.5]], "cell": [[3, 0, 0], [0, 3, 0]]}
    row["cell"].append([0, 0, 3])
    (folder / "shapes.jsonl").write_text(json.dumps(row | {"born": [1.0, 2.0]}) + "\n")
    (folder / "crystals.toml").write_text('crystals = ["latin.jsonl"]\n')
    (folder / "shapes.toml").write_text('crystals = ["shapes.jsonl"]\n')
    for ending in ("cif", "extxyz", "pdb", "toml", "pt", "csv", "pth", "jsonl"):
        (folder / f"empty.{ending}").write_bytes(b"")
        (folder / f"latin.{ending}").write_bytes(b"caf\xe9 = \xe9\n" * 9)
        (folder / f"bytes.{ending}").write_bytes(np.random.default_rng(1).bytes(999))
        (folder / f"words.{ending}").write_text("1 2 3\nhello world\n")
        (folder / f"loop.{ending}").symlink_to(f"loop.{ending}")
        (folder / f"place.{ending}").mkdir()
    tables = {"short": TABLE + "\n" + rows() + "1,2\n", "word": TABLE + "\n" + rows("x")}
    tables |= {"columns": "time_ps,dipole_x_eA\n0,1\n", "inf": TABLE + "\n" + rows("inf")}
    tables |= {"header": TABLE + "\n", "still": TABLE + "\n" + ",".join("0" * 7) + "\n", "good": ""}
    tables["good"] = TABLE + "\n" + rows()
    for name, text in tables.items():
        (folder / f"{name}.csv").write_text(text)
    places = np.random.default_rng(0).random((6, 8, 3)) * 5
    write_run(folder / "motion", ["Na", "Cl"] * 4, places, 5.0 * np.eye(3))
    (folder / "row.csv").write_text("element,pol,chi,eta,Z,R_core,K2\nMg,1,3.9\n")
    return folder


@pytest.fixture
def here(folder, monkeypatch):
    monkeypatch.chdir(folder)
    monkeypatch.setenv("COLUMNS", "200")
    before = sorted(folder.iterdir())
    yield folder
    written = [path for path in folder.iterdir() if path not in before]
    for path in written:
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    assert not written


# --- commands ---

RUN = [
    "run",
    "MgO.extxyz",
    "--model",
    "model.pt",
    "--steps",
    "1",
    "--backend",
    "python",
    "-o",
    "new",
]
ENERGY = ["energy", "MgO.extxyz", "--model", "model.pt"]
TRAIN = ["train", "data.toml", "-o", "new"]
FIT = ["fit-pqeq", "frames.extxyz", "-o", "new"]
FINETUNE = ["finetune", "model.pt", "frames.extxyz", "-o", "new.pt"]
EVALUATE = ["evaluate", "frames.extxyz", "--model", "model.pt"]
RELAX = ["relax", "MgO.extxyz", "--model", "model.pt", "-o", "new"]
SLAB = [
    "build",
    "slab",
    "MgO.extxyz",
    "--miller",
    "0",
    "0",
    "1",
    "--thickness",
    "3",
    "-o",
    "new.cif",
]
RDF = ["analyze", "rdf", "motion", "--pair", "Na", "Cl"]
BENCH = ["bench", "MgO.extxyz", "--model", "model.pt", "-o", "new"]
INFRARED = ["analyze", "infrared", "good.csv", "--temperature", "300"]
DIELECTRIC = ["analyze", "dielectric", "good.csv", "--temperature", "300", "--volume", "100"]
DISTILL = ["distill", "distill.toml", "-o", "new"]
CAMPAIGN = ["campaign", "study.toml", "--dry-run"]

VALUES = [
    (RUN, "--timestep", ("nan", "inf", "1e300", "1e400fs", "-1", "0", "1 parsec", "")),
    (RUN, "--time", ("1e400ps", "inf", "1e30ns", "-1ps", "long")),
    (RUN, "--temperature", ("nan", "1e300", "-1", "hot")),
    (RUN, "--pressure", ("inf", "nan", "1e300GPa", "1e400")),
    (RUN, "--barostat-interval", ("1e18", "0", "-1", "1.5", "inf")),
    (RUN, "--supercell", ("100000", "0", "nan", "1e400", "x")),
    (RUN, "--field", ("min()", "max(t, )", "1e400", "nan", "1e30", "x", "(" * 500)),
    (RUN, "--seed", ("-1", "1e30", "nan", "0")),
    (RUN, "--friction", ("nan", "inf", "-1", "0")),
    (RUN, "--total-charge", ("nan", "inf", "1e300", "x")),
    (RUN, "--tolerance", ("nan", "0", "1e300")),
    (RUN, "--threads", ("0", "1e9", "-1")),
    (RUN, "--charges-interval", ("-1", "1e18")),
    (RUN, "--fragments", ("x", "5-1", "0-1e9")),
    (ENERGY, "--index", ("1e300", "1.5", "nan")),
    (ENERGY, "--supercell", ("100000", "-1", "x")),
    (ENERGY, "--total-charge", ("1e300", "nan")),
    (ENERGY, "--field", ("1e18", "nan", "min()")),
    (ENERGY, "--tolerance", ("1e300", "0", "nan")),
    (TRAIN, "--learning-rate", ("nan", "inf", "0", "-1", "1e300")),
    (TRAIN, "--gradient-clip", ("nan", "-1")),
    (TRAIN, "--seed", ("-1", "1e30", "nan")),
    (TRAIN, "--epochs", ("0", "1e30", "inf")),
    (TRAIN, "--max-time", ("inf", "1e300", "soon")),
    (TRAIN, "--ema", ("1", "nan")),
    (FINETUNE, "--pqeq-learning-rate", ("nan", "0")),
    (FINETUNE, "--bounds", ("nan", "2")),
    (FINETUNE, "--validation", ("200%", "-1", "x")),
    (FIT, "--prior", ("nan", "-1")),
    (FIT, "--iterations", ("0", "1e30")),
    (FIT, "--seed", ("-1", "inf")),
    (BENCH, "--steps", ("0", "1e30", "nan")),
    (BENCH, "--timestep", ("inf", "1e300")),
    (INFRARED, "--volume", ("nan", "1e300", "0")),
    (INFRARED, "--longest-lag", ("1e300", "nan", "0")),
    (INFRARED, "--window", ("x",)),
    (DIELECTRIC, "--eps-inf", ("nan", "1e300", "0")),
    (DIELECTRIC, "--blocks", ("0", "1e30")),
    (DIELECTRIC, "--skip", ("nan", "1e300")),
    (RUN, "--velocities", ("file", "x", "")),
    (RUN, "--inner-model", ("", "no.pt", "MgO.extxyz", "model.pt")),
    (RUN, "--inner-steps", ("0", "-1", "2.5", "1e30", "x", "8")),
    (DISTILL, "--temperatures", ("nan", "-1", "1e300", "300K")),
    (DISTILL, "--alloys", ("Mg", "Mg=Xx", "Mg=Mg", "Li=Na", "=")),
    (DISTILL, "--interval", ("0", "-1", "inf", "2 m")),
    (DISTILL, "--channels", ("0", "1e30", "x", "1.5")),
    (DISTILL, "--cutoff", ("0", "nan", "1e300", "5nm")),
    (DISTILL, "--elements", ("Xx", "1")),
    (DISTILL, "--start", ("no.pt", "MgO.extxyz", "")),
    (DISTILL, "--dispersion", ("b3lipp", "")),
    (DISTILL, "--largest-force", ("0", "nan")),
    (DISTILL, "--calculator", ("a:b", "")),
    (DISTILL, "--output", ("",)),
    (CAMPAIGN, "--workers", ("0", "1e30", "x")),
    (CAMPAIGN, "--scheduler", ("node1", "MgO.extxyz", "place.csv", "")),
    (CAMPAIGN, "--memory", ("much", "8", "-1GB", "")),
    (CAMPAIGN, "--walltime", ("long", "-1", "1:2", "nan")),
    (CAMPAIGN, "--cores", ("0", "nan")),
    (CAMPAIGN, "--cluster", ("lsf", "")),
    (EVALUATE, "--seed", ("-1", "nan", "x", "1.5")),
    (EVALUATE, "--frames", ("0", "1e300", "x")),
    (EVALUATE, "--json", ("place.csv", "no/where.json", "")),
    (EVALUATE, "--plot", ("place.csv", "no/where.png", "")),
    (ENERGY, "--index", ("-2", "-99", "99")),
    (RELAX, "--output", ("MgO.extxyz", "")),
    (RELAX, "--pressure", ("nan", "1e300")),
    (RELAX, "--cell", ("x", "")),
    (SLAB, "--output", ("new.nope", "new", "place.cif", "no/where.cif", "MgO.extxyz", "")),
    (SLAB, "--thickness", ("0", "nan", "1e300")),
    (SLAB, "--termination", ("99", "-1", "x")),
    (RDF, "--interval", ("1e300", "0", "nan")),
    (RDF, "--output", ("MgO.extxyz", "")),
    (RDF, "--blocks", ("0", "1e300")),
    (FINETUNE, "--epochs", ("", "0")),
]
KINDS = ("empty", "latin", "bytes", "words", "loop", "place", "missing")
FILES = [
    (["run", "FILE", *RUN[2:]], ("cif", "extxyz", "pdb", "toml")),
    (["energy", "FILE", "--model", "model.pt"], ("cif", "pdb")),
    (["energy", "MgO.extxyz", "--model", "FILE"], ("pt",)),
    (["train", "FILE", "-o", "new"], ("toml",)),
    (["finetune", "model.pt", "FILE", "-o", "new.pt"], ("extxyz",)),
    (["finetune", "FILE", "frames.extxyz", "-o", "new.pt"], ("pt",)),
    (["fit-pqeq", "FILE", "-o", "new"], ("extxyz",)),
    (["fit-pqeq", "frames.extxyz", "-o", "new", "--parameters", "FILE", "--target", "x"], ("csv",)),
    (["analyze", "infrared", "FILE"], ("csv",)),
    (["bench", "FILE", *BENCH[2:]], ("cif",)),
    (["models", "FILE"], ("pt",)),
    (["distill", "FILE", "-o", "new"], ("toml",)),
    (["campaign", "FILE", "--dry-run"], ("toml",)),
    (["report", "FILE"], ("pt",)),
    (["run", *RUN[1:], "--inner-model", "FILE"], ("pt",)),
    (["import-sevennet", "FILE", "-o", "new.pt"], ("pth",)),
    (["import-reaxnet", "model.pt", "FILE", "MgO.extxyz", "-o", "new.pt"], ("csv",)),
]


def repeated(command, flag, value):
    return [*command, flag, *[value] * (3 if flag in ("--supercell", "--field") else 1)]


CASES = {
    f"{command[0]} {flag} {value[:12]}": (repeated(command, flag, value), flag[2:])
    for command, flag, given in VALUES
    for value in given
}
CASES |= {
    f"{' '.join(command[:3])} {kind}.{ending}": (
        [word.replace("FILE", f"{kind}.{ending}") for word in command],
        "" if kind == "empty" and ending == "toml" else f"{kind}.{ending}",
    )
    for command, endings in FILES
    for ending in endings
    for kind in KINDS
    if "--parameters" not in command
}
CASES |= {
    f"analyze {name}": (["analyze", "infrared", f"{name}.csv", "--temperature", "9"], f"{name}.csv")
    for name in ("short", "word", "columns", "inf", "header", "still")
}
CASES |= {
    f"{command[0]} into {place!r}": ([*command[:-1], place], "output")
    for command in (RUN, TRAIN, FIT, BENCH)
    for place in ("MgO.extxyz", "MgO.extxyz/new", "\0")
}
CASES |= {
    f"models download {name}": (["models", "download", name], name)
    for name in ("other", "batio3", "place.pt")
}
CASES["lattice of no name"] = (["analyze", "lattice", ""], "run")
CASES["an element that no set has"] = (["run", "og.extxyz", *RUN[2:]], "Og")


@pytest.mark.parametrize("case", CASES)
def test_a_command_says_what_is_wrong(here, capsys, case):
    if case.split()[0] in ("train", "finetune", "distill"):
        pytest.importorskip("lightning", reason="training needs the extra `train`")
    arguments, name = CASES[case]
    assert main(arguments) == 2
    said = capsys.readouterr().err.replace("\n", " ")
    assert said.startswith("openmm-pqeq: error: ")
    assert name.replace("-", "_") in said.replace("-", "_")
    assert "Traceback" not in said


REFUSED = {
    "singular": ["build", "supercell", "flat.extxyz", "--atoms", "9", "-o", "new.cif"],
    "what the command reads": [*EVALUATE, "--json", "frames.extxyz", "--overwrite"],
    "another file than": [*EVALUATE, "--json", "new.out", "--plot", "new.out"],
    "up to 1e+12": ["evaluate", "huge.extxyz", "--model", "model.pt"],
    "up to 1e+08": ["energy", "far.extxyz", "--model", "model.pt"],
    "expected 0 for a cell that is fixed": [*RELAX, "--pressure", "1GPa"],
    "spare": [*SLAB, "--spare", "Xx", "O", "2"],
    "repeats": ["analyze", "lattice", "motion", "--repeats", "1000", "1", "1"],
    "pair": [*RDF[:4], "Xx", "Cl", "-o", "new"],
    "field": ["analyze", "conductivity", "motion", "--ions", "Na=1", "--field", "1e300", "0", "0"],
    "cell": ["relax", "molecule.xyz", "--model", "model.pt", "--cell", "free", "-o", "new"],
    "latin.jsonl": ["fit-pqeq", "crystals.toml", "-o", "new"],
    "born_charge": ["fit-pqeq", "shapes.toml", "-o", "new"],
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_command_refuses_what_does_not_fit(here, capsys, name):
    """And leaves no folder behind."""
    assert main(REFUSED[name]) == 2
    said = capsys.readouterr().err.replace("Born charges", "born_charge")
    assert name in said
    assert "Traceback" not in said


# --- values with a type, as TOML has them ---

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


# --- functions ---

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
