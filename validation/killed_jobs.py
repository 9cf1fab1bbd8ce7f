"""The jobs that kills.py kills, and what they read."""

import shutil
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import ase.io
import numpy as np
import torch
from ase.build import bulk, molecule

import openmm_pqeq as pq
from openmm_pqeq.response import response
from openmm_pqeq.structure import structure_of

STEPS = 42
"""Of each run."""
NETWORK = {"species": ["Mg", "O"], "hidden_irreps": "4x0e + 2x1o", "sh_irreps": "1x0e + 1x1o"}
NETWORK |= {"layers": 1, "r_max": 3.0, "n_basis": 4, "radial_hidden": [4]}
NPT = "--ensemble NPT --barostat-interval 3 --pressure 1GPa"
TOML = """
[data]
files = ["frames.extxyz"]
validation = 2
held_out = { seed = 0, n = 2 }
[potential.pqeq]
protocol = "reaxnet"
[potential.gnn]
species = ["Mg", "O"]
hidden_irreps = "4x0e + 2x1o"
sh_irreps = "1x0e + 1x1o"
layers = 1
r_max = 3.0
n_basis = 4
radial_hidden = [4]
[training]
epochs = 8
batch_size = 2
seed = 3
"""


DISTILLATION = """
[teacher]
model = "teacher.pt"
[structures]
files = ["MgO.extxyz"]
atoms = 8
rattled = [0.02, 0.05]
temperatures = [300, 600]
frames = 4
interval = 5
[held_out]
rattled = [0.03]
temperatures = [450]
[student]
channels = 4
layers = 1
cutoff = 3.0
basis = 4
[training]
epochs = 6
threads = 1
"""
STUDY = f"""
output = "out"
[run]
structure = "MgO.extxyz"
timestep = 0.2
table_interval = 1
trajectory_interval = 2
charges_interval = 3
restart_interval = 7
threads = 1
steps = {STEPS}
precision = "double"
model = "bare.pt"
seed = 5
[vary]
temperature = [300, 600]
[where]
workers = 2
"""


class Job(NamedTuple):
    """A job of the command line.

    command : without its output
    kind : of the comparison: "run", "NPT", "training", "fit", "distillation" or "campaign"
    output : the folder or file that it writes
    folder : where it keeps what it goes on from
    """

    command: str
    kind: str = "run"
    output: str = "out"
    folder: str = "out"

    @property
    def arguments(self) -> list[str]:
        return self.command.split()

    @property
    def begin(self) -> list[str]:
        return (
            self.arguments
            if self.kind == "campaign"
            else [*self.arguments, "--output", self.output]
        )

    @property
    def resume(self) -> list[str]:
        if self.kind == "campaign":
            return self.begin
        return [*(["run", self.folder] if self.arguments[0] == "run" else self.begin), "--resume"]


def dynamics(more: str = "", model: str = "bare.pt", kind: str = "run") -> Job:
    """A short run of eight atoms."""
    settings = "run MgO.extxyz --timestep 0.2 --temperature 600 --seed 5 --table-interval 1 "
    settings += "--trajectory-interval 2 --charges-interval 3 --restart-interval 7 --threads 1 "
    settings += f"--steps {STEPS} --precision double --model {model} "
    return Job(settings + more, kind)


JOBS = {
    "NVT, DCD": dynamics(),
    "NVT, network": dynamics(model="network.pt"),
    "NVT, XTC": dynamics("--trajectory-format xtc"),
    "NVT, Nosé-Hoover": dynamics("--thermostat nose-hoover"),
    "NVT, PythonForce, Reference": dynamics("--backend python --platform Reference"),
    "NVT, equilibrated": dynamics("--equilibrate 4fs --minimize"),
    "NVT, charges solved": dynamics("--tolerance 1e-10", model="solved.pt"),
    "NVE, by bonds, field": dynamics(
        "--ensemble NVE --field 0 0 0.02*sin(2*pi*t/0.01) --tolerance 1e-10", model="bonds.pt"
    ),
    "NPT isotropic, DCD": dynamics(NPT, kind="NPT"),
    "NPT anisotropic, XTC": dynamics(
        f"{NPT} --barostat anisotropic --trajectory-format xtc", kind="NPT"
    ),
    "NPT flexible": dynamics(f"{NPT} --barostat flexible", kind="NPT"),
    "NPT membrane": dynamics(f"{NPT} --barostat membrane", kind="NPT"),
    "train": Job("train train.toml", "training"),
    "finetune": Job(
        "finetune network.pt frames.extxyz --train all --epochs 8 --seed 2 --batch-size 2 "
        "--loss energy+force",
        "training",
        "out.pt",
    ),
    "fit-pqeq": Job("fit-pqeq response.extxyz --held-out 1 --iterations 12", "fit"),
    "fit-pqeq, molecules": Job(
        "fit-pqeq molecules.extxyz --target polarizability --target dipole=dipole:eA --cluster "
        "--held-out 1 --iterations 12",
        "fit",
    ),
    "fit-pqeq, crystals": Job("fit-pqeq crystals.toml", "fit"),
    "distill": Job("distill distill.toml", "distillation"),
}
if find_spec("distributed"):  # the extra `campaign`
    JOBS["campaign"] = Job("campaign study.toml", "campaign")


def prepare(data: str) -> None:
    """Structure, models and labelled frames, in the working folder."""
    crystal = bulk("MgO", "rocksalt", a=4.2, cubic=True)
    ase.io.write("MgO.extxyz", crystal)
    by_bonds = {"protocol": "ewald", "charge_flow": "bonds", "parameters": "response"}
    for name, terms in {
        "network.pt": {"pqeq": {"protocol": "reaxnet"}, "gnn": NETWORK | {"seed": 1}},
        "bare.pt": {"pqeq": {"protocol": "reaxnet"}, "zbl": {}},
        "solved.pt": {"pqeq": {"protocol": "ewald"}, "zbl": {}},
        "bonds.pt": {"pqeq": by_bonds, "zbl": {}},
        "teacher.pt": {"pqeq": {"protocol": "reaxnet"}, "gnn": NETWORK | {"seed": 9}},
    }.items():
        pq.save(pq.build(terms), name)
    Path("train.toml").write_text(TOML, encoding="utf-8")
    Path("crystals.toml").write_text(
        'crystals = ["dielectric.extxyz"]\nleast = 1\niterations = 8\nheld_out = 0.0\n'
    )
    frames = []
    for seed in range(10):
        moved = crystal.copy()
        moved.rattle(0.05, seed=seed)
        moved.calc = pq.PQEqCalculator("teacher.pt")
        moved.get_forces()
        frames.append(moved)
    if data == "none":
        ase.io.write("frames.extxyz", frames)
    else:
        shutil.copyfile(data, "frames.extxyz")
    label_responses(frames[:4])
    label_molecules()
    Path("distill.toml").write_text(DISTILLATION, encoding="utf-8")
    Path("study.toml").write_text(STUDY, encoding="utf-8")


def label_responses(frames: list[ase.Atoms]) -> None:
    """Frames with Born charges of another set of parameters, and crystals with ε∞ too."""
    published = pq.build({"pqeq": {"protocol": "ewald", "parameters": "response-free"}})
    unit, labelled = np.eye(3), []
    for atoms in frames:
        places, numbers = torch.as_tensor(atoms.positions), torch.as_tensor(atoms.numbers)
        structure = structure_of(places, numbers, torch.as_tensor(atoms.cell.array.copy()))
        _, born = response(published, structure)
        bare = ase.Atoms(atoms.numbers, atoms.positions, cell=atoms.cell, pbc=True)
        bare.arrays["born_charge"] = born.reshape(len(atoms), 9).numpy()
        labelled.append(bare)
    ase.io.write("response.extxyz", labelled)
    crystals = []
    for edge in (4.1, 4.2, 4.3):
        cell = bulk("MgO", "rocksalt", a=edge)
        signs = np.where(cell.numbers == 12, 1.0, -1.0)
        cell.arrays["born_charge"] = (2.0 * signs[:, None, None] * unit).reshape(2, 9)
        cell.info["dielectric"] = 3.0 * unit
        crystals.append(cell)
    ase.io.write("dielectric.extxyz", crystals)


def label_molecules() -> None:
    """Water, bent and stretched, with dipoles and polarizabilities of parameters that a fit does not
    start from."""
    published = pq.build({"pqeq": {"protocol": "direct", "parameters": "response-free"}})
    labelled = []
    for seed in range(4):
        water = molecule("H2O")
        water.rattle(0.03, seed=seed)
        places, numbers = torch.as_tensor(water.positions), torch.as_tensor(water.numbers)
        alone = structure_of(places, numbers)
        bare = ase.Atoms(water.numbers, water.positions)
        bare.info["polarizability"] = response(published, alone)[0].numpy()
        bare.info["dipole"] = published.evaluate(alone).dipole[0].detach().numpy()
        labelled.append(bare)
    ase.io.write("molecules.extxyz", labelled)


def clear(job: Job) -> None:
    """Remove all that a job has left."""
    shutil.rmtree(job.folder, ignore_errors=True)
    Path(job.output).unlink(missing_ok=True) if job.output != job.folder else None
