"""A small network in the layout of SevenNet, imported, and frames that the same network with other
readout and linear maps has labelled."""

from pathlib import Path

import ase.io
import torch
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from known_network import silent
from sevennet import Network

import openmm_pqeq as pq
from openmm_pqeq.structure import structure_of
from openmm_pqeq.training import parts
from openmm_pqeq.training.config import config_of
from openmm_pqeq.training.prepare import prepare
from openmm_pqeq.training.samples import join

N_FRAMES = 8


def write_files(folder: Path) -> Path:
    """model.pt, an imported network of O, H, Ba and Ti, and frames.traj of Ba, Ti and O, labelled
    by what it should become, in a folder."""
    Network("like SevenNet-0").write(folder / "checkpoint.pth")
    pq.convert_sevennet(folder / "checkpoint.pth", folder / "model.pt")
    changed = pq.load(folder / "model.pt")
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name in parts.select(changed.gnn, "maps"):
            weight = changed.gnn.get_parameter(name)
            noise = torch.randn(weight.shape, generator=generator, dtype=torch.float64)
            weight += 0.1 * noise
    changed.gnn.shift += 2.0
    ase.io.write(folder / "frames.traj", [labelled(changed, seed) for seed in range(N_FRAMES)])
    return folder


def labelled(potential: pq.Potential, seed: int) -> Atoms:
    atoms = Atoms("BaTiO3", cell=[4.0, 4.0, 4.0], pbc=True)
    atoms.set_scaled_positions([[0.5, 0.5, 0.5], [0, 0, 0], [0.5, 0, 0], [0, 0.5, 0], [0, 0, 0.5]])
    atoms.rattle(0.1, seed=seed)
    structure = structure_of(
        torch.tensor(atoms.positions), torch.tensor(atoms.numbers), torch.tensor(atoms.cell.array)
    )
    result = potential.evaluate(structure, stress=True)
    labels = {
        "energy": float(result.energy[0]),
        "forces": result.forces.numpy(),
        "stress": result.stress[0].numpy()[[0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]],
    }
    atoms.calc = SinglePointCalculator(atoms, **labels)
    return atoms


def config(files: Path, start: dict | None = None, **training):
    settings = {
        "epochs": 2,
        "learning_rate": 0.01,
        "stress_weight": 0.0,
        "dtype": "float64",
        "threads": 1,
        "warmup": 0,
        "batch_size": 3,
        "ema": 0.5,
    }
    return config_of(
        {
            "data": {"files": [str(files / "frames.traj")], "held_out": {"n": 2}},
            "start": {"model": str(files / "model.pt"), "train": "maps"} | (start or {}),
            "training": settings | training,
        }
    )


def batch(files: Path, dtype: torch.dtype = torch.float64):
    """Three frames laid end to end."""
    ready = prepare(config(files, dtype=str(dtype).removeprefix("torch.")), silent)
    return join(ready.part("train")[:3])


def network(files: Path, train: str = "maps", dtype: torch.dtype = torch.float64):
    gnn = pq.load(files / "model.pt").gnn.to(dtype)
    gnn.shift.zero_()
    parts.freeze(gnn, parts.select(gnn, train))
    return gnn
