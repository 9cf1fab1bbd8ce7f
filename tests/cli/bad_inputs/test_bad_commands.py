"""Inputs that mean nothing: each command ends with one message that names the argument or the file,
and exit code 2."""

import pytest

from openmm_pqeq.cli import main

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
    "ends in .png": [*EVALUATE, "--plot", "parity.svg"],
    "flow freely": [*EVALUATE, "--reference-charges", "Mg=2,O=-2"],
    "data: expected names of files, got 3": ["fit-pqeq", "three.toml", "-o", "new"],
    "base_url: expected an address": [
        "models",
        "download",
        "reaxnet-mp",
        "--base-url",
        "http://[::1",
    ],
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
