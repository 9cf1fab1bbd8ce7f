"""A model, and frames that one with another readout and other element shifts has labelled, so that
the right answer of a fine-tuning is known."""

from pathlib import Path

import ase.io
import numpy as np
import torch
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator

import openmm_pqeq as pq
from openmm_pqeq.structure import structure_of
from openmm_pqeq.training.config import config_of

GNN = {
    "species": ["O", "Na", "Mg"],
    "hidden_irreps": "8x0e + 4x1o",
    "sh_irreps": "1x0e + 1x1o",
    "layers": 2,
    "r_max": 3.5,
    "scale": 0.5,
    "n_basis": 4,
    "radial_hidden": [8],
    "avg_neighbors": 10.0,
    "shift": [-432.0, -10.0, -20.0],
    "seed": 7,
}
PQEQ = {"protocol": "ewald", "tolerance": 1e-9}
N_FRAMES = 12


def model() -> pq.Potential:
    """The model that is fine-tuned."""
    return pq.build({"gnn": GNN, "pqeq": PQEQ})


def other_readout() -> pq.Potential:
    """The same with another readout and energies of reference that are 3, −2 and 1 eV higher for O,
    Na and Mg."""
    made = model()
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for weight in made.gnn.readout.parameters():
            weight += 0.7 * torch.randn(weight.shape, generator=generator, dtype=torch.float64)
    made.gnn.shift += torch.tensor([3.0, -2.0, 1.0], dtype=torch.float64)
    return made


def write_frames(path: Path, known: pq.Potential, stress: bool = True) -> Path:
    """Distorted cells of three compositions with the labels of `known`."""
    random = np.random.default_rng(3)
    images = []
    for index in range(N_FRAMES):
        metals = [["Mg", "Mg"], ["Mg", "Na"], ["Na", "Na"]][index % 3]
        atoms = Atoms(
            [metals[0], "O", metals[1], "O"][: 4 if index % 2 else 3],
            cell=[4.0, 4.0, 3.2],
            pbc=True,
        )
        atoms.set_scaled_positions(
            [[0, 0, 0], [0.5, 0, 0.1], [0.5, 0.5, 0.5], [0, 0.5, 0.6]][: len(atoms)]
        )
        atoms.positions += random.normal(scale=0.1, size=(len(atoms), 3))
        structure = structure_of(
            torch.tensor(atoms.positions),
            torch.tensor(atoms.numbers),
            torch.tensor(np.asarray(atoms.cell)),
        )
        result = known.evaluate(structure, stress=True)
        labels = {"energy": float(result.energy[0]), "forces": result.forces.numpy()}
        if stress:
            labels["stress"] = result.stress[0].numpy()[[0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]]
        atoms.calc = SinglePointCalculator(atoms, **labels)
        images.append(atoms)
    ase.io.write(path, images)
    return path


def write_files(folder: Path) -> Path:
    """model.pt and frames.traj, labelled by `other_readout`, in a folder."""
    pq.save(model(), folder / "model.pt", card={"title": "before"})
    write_frames(folder / "frames.traj", other_readout())
    return folder


def config(
    files: Path,
    start: dict | None = None,
    data: str = "frames.traj",
    data_settings: dict | None = None,
    **training,
):
    settings = {
        "epochs": 2,
        "learning_rate": 0.03,
        "energy_weight": 0.0,
        "stress_weight": 0.0,
        "dtype": "float64",
        "threads": 1,
    }
    return config_of(
        {
            "data": {"files": [str(files / data)], "held_out": {"seed": 0, "n": 3}}
            | (data_settings or {}),
            "start": {"model": str(files / "model.pt")} | (start or {}),
            "training": settings
            | {"warmup": 2, "batch_size": 3, "ema": 0.5, "measure_every": 100}
            | training,
        }
    )
