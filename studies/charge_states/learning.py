"""Three models learn the same labels, for as many epochs, from the same first weights.

network      sees no charge
with PQEq    learns what PQEq (`reaxnet`, untouched) of the frame's total charge leaves over
learnt PQEq  the same, and electronegativity, hardness and radius move with it (±40 %)
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import ase
import ase.io
import numpy as np
import study as studies
from ase.neighborlist import neighbor_list

import openmm_pqeq as pq
from openmm_pqeq.training.run import train

MODELS = {
    "network": ("s", studies.GREY, "long_range = false"),
    "with PQEq": ("o", studies.ORANGE, ""),
    "learnt PQEq": (
        "^",
        studies.BLUE,
        'train_pqeq = ["electronegativity", "hardness", "radius"]\nbounds = 0.4',
    ),
}
"""Marker, colour, and what [start] of the training says of them."""
LONG_RANGE = {"protocol": "ewald", "parameters": "reaxnet"}
R_MAX = 6.0  # Å, of each of two layers


class Learnt(NamedTuple):
    """Of frames: energies (n_frames,) eV and atoms of each, forces and charges (n, …) of all atoms;
    of a model, or of the labels."""

    energy: np.ndarray
    n_atoms: np.ndarray
    forces: np.ndarray
    charges: np.ndarray


def prepare(folder: Path, parts: dict[str, list[ase.Atoms]], seed: int) -> None:
    """The frames and the first weights, as files."""
    folder.mkdir(parents=True, exist_ok=True)
    for part, frames in parts.items():
        ase.io.write(folder / f"{part}.extxyz", frames)
    species = sorted({symbol for frame in parts["train"] for symbol in frame.symbols})
    neighbors = np.mean([len(neighbor_list("i", f, R_MAX)) / len(f) for f in parts["train"]])
    pq.save(first(species, round(float(neighbors), 1), seed), folder / "first.pt")


def first(species: list[str], neighbors: float, seed: int) -> pq.Potential:
    """Fresh weights and untouched PQEq, of all images where there is a cell."""
    network = {
        "species": species,
        "hidden_irreps": "16x0e + 8x1o + 4x2e",
        "layers": 2,
        "r_max": R_MAX,
        "radial_hidden": [32],
        "avg_neighbors": neighbors,
        "seed": seed,
    }
    return pq.build({"gnn": network, "pqeq": LONG_RANGE})


def learn(folder: Path, name: str, epochs: int, seed: int) -> pq.Potential:
    """A model that has learnt; one that is there is taken, one that was begun goes on."""
    output = folder / name.replace(" ", "_")
    if (output / "model.pt").is_file():
        return pq.load(output / "model.pt")
    text = f"""output = "{output.as_posix()}"
[data]
files = ["train.extxyz"]
held_out = {{ files = ["held_out.extxyz"] }}
[start]
model = "{(folder / "first.pt").as_posix()}"
train = "all"
{MODELS[name][2]}
[training]
epochs = {epochs}
batch_size = 4
learning_rate = 0.005
energy_weight = 10.0
ema = 0.98
seed = {seed}
threads = 1
"""
    file = folder / f"{output.name}.toml"
    file.write_text(text, encoding="utf-8")
    resume = (output / "checkpoint.ckpt").is_file()
    overwrite = output.exists() and not resume
    return pq.load(train(file, overwrite=overwrite, resume=resume, say=lambda line: None).model)


def untouched() -> pq.Potential:
    """PQEq alone."""
    return pq.build({"pqeq": LONG_RANGE})


def of_model(potential: pq.Potential, frames: Sequence[ase.Atoms]) -> Learnt:
    calculator = pq.PQEqCalculator(potential)
    energy, forces, charges = [], [], []
    for frame in frames:
        energy.append(calculator.get_property("energy", frame))
        forces.append(calculator.get_property("forces", frame))
        if "pqeq" in potential.config:
            charges.append(calculator.get_property("charges", frame))
    n_atoms = np.array([len(frame) for frame in frames])
    every = np.concatenate(charges) if charges else np.empty(0)
    return Learnt(np.array(energy), n_atoms, np.concatenate(forces), every)


def of_labels(frames: Sequence[ase.Atoms]) -> Learnt:
    return Learnt(
        np.array([frame.get_potential_energy() for frame in frames]),
        np.array([len(frame) for frame in frames]),
        np.concatenate([frame.get_forces() for frame in frames]),
        np.concatenate([frame.get_array("hirshfeld") for frame in frames]),
    )


def errors(model: Learnt, label: Learnt) -> list[float | None]:
    """RMS of energy (meV/atom), forces (meV/Å), charges (me); correlation of charges."""
    rms = [
        1000 * float(np.sqrt(np.mean(np.square(difference))))
        for difference in (
            (model.energy - label.energy) / label.n_atoms,
            model.forces - label.forces,
        )
    ]
    if not len(model.charges):
        return [*rms, None, None]
    difference = model.charges - label.charges
    correlation = float(np.corrcoef(model.charges, label.charges)[0, 1])
    return [*rms, 1000 * float(np.sqrt(np.mean(difference**2))), correlation]
