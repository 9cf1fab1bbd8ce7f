"""Replay: frames that the model has labelled itself before it is trained, mixed into every batch, so
that it does not forget what it knows of other elements.

Crystals of many elements (crystals.py), or structures from files; atoms and cells are moved at
random, so that there are forces. A fifth of them is never trained on: its errors are how far the
model has gone from where it was. Energies are without the elements' shifts, which follow the data.

Robins, Connection Science 7, 123 (1995), https://doi.org/10.1080/09540099550039318
"""

from pathlib import Path
from typing import NamedTuple, Sequence

import ase
import numpy as np
import torch
from torch import nn

from openmm_pqeq.neighbors.search import NeighborSearch
from openmm_pqeq.structure import ATOMIC_NUMBERS, structure_of
from openmm_pqeq.training.crystals import varied_crystals
from openmm_pqeq.training.formats import read_images
from openmm_pqeq.training.frames import Frame, Labels
from openmm_pqeq.training.loss import predict_all
from openmm_pqeq.training.samples import Samples, sample_of

N_CRYSTALS = 500
"""Crystals that are built where no files are named."""
MOVED, STRAINED = 0.1, 0.02
"""Standard deviations of the random moves of atoms, Å, and of the strain's components."""
STRONGEST = 10.0
"""eV/Å: a frame with a larger force on an atom is left out, because it would weigh more than all
others."""


class Replay(NamedTuple):
    """Frames that are mixed in, and those that are only measured."""

    train: list[Samples]
    held_out: list[Samples]


NOTHING = Replay([], [])


def replay_of(
    model: nn.Module,
    species: Sequence[str],
    known: Sequence[str],
    cutoff: float,
    files: Sequence[Path],
    seed: int,
) -> Replay:
    """Structures with what `model`, made for training, says of them.

    Parameters
    ----------
    species : elements of the model
    known : those of the data; a crystal that is built has others, too
    cutoff : Å
    files : structures in the place of those that are built; their labels are not read
    """
    random = np.random.default_rng(seed)
    images = [image for file in files for image in structures_of(file, species)]
    images = images or varied_crystals(species, N_CRYSTALS, known, seed)
    search, dtype = NeighborSearch(cutoff), next(model.parameters()).dtype
    frames = [_sample(moved(image, random), search, dtype) for image in images]
    labelled = [labelled_by(model, frame) for frame in frames]
    kept = [one for one in labelled if float(one.forces.norm(dim=1).max()) < STRONGEST]
    if len(kept) < 2:
        raise ValueError(
            f"start.replay_files: expected two structures at least with forces below {STRONGEST:g} "
            f"eV/Å, got {len(kept)} of {len(images)}"
        )
    order = random.permutation(len(kept)).tolist()
    n_held_out = max(1, len(kept) // 5)
    return Replay([kept[i] for i in order[n_held_out:]], [kept[i] for i in order[:n_held_out]])


def structures_of(file: Path, species: Sequence[str]) -> list[ase.Atoms]:
    """The structures of a file; raises ValueError for an element that the model does not know."""
    images = read_images(file)
    for index, image in enumerate(images):
        unknown = sorted(set(image.get_chemical_symbols()) - set(species))
        if unknown:
            raise ValueError(
                f"start.replay_files: {file.name} frame {index}: {', '.join(unknown)} is not in "
                f"the model, which knows {', '.join(species)}; remove the frame"
            )
    return images


def moved(image: ase.Atoms, random: np.random.Generator) -> ase.Atoms:
    """The structure, its cell strained (where it has one) and its atoms moved at random."""
    result = image.copy()
    if result.pbc.all():
        strain = np.eye(3) + random.normal(scale=STRAINED, size=(3, 3))
        result.set_cell(result.cell.array @ (0.5 * (strain + strain.T)), scale_atoms=True)
    result.positions += random.normal(scale=MOVED, size=(len(result), 3))
    return result


def labelled_by(model: nn.Module, frame: Samples) -> Samples:
    """The frame with the labels that `model` gives it."""
    energy, forces, stress = predict_all(model, [frame])
    return frame._replace(energy=energy, forces=forces, stress=stress)


def _sample(image: ase.Atoms, search: NeighborSearch, dtype: torch.dtype) -> Samples:
    periodic = bool(image.pbc.any())
    structure = structure_of(
        torch.tensor(image.positions, dtype=torch.float64),
        torch.tensor(image.numbers),
        torch.tensor(image.cell.array) if periodic else None,
        torch.tensor(image.pbc) if periodic else None,
    )
    nothing = torch.tensor(torch.nan, dtype=torch.float64)
    labels = Labels(nothing, nothing.expand(len(image), 3), nothing.expand(3, 3))
    no_shifts = dict.fromkeys(ATOMIC_NUMBERS.values(), 0.0)
    return sample_of(Frame(structure, labels, "replay"), search, no_shifts, dtype)
