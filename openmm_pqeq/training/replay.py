"""Replay: frames that the model has labelled itself before it is trained, mixed into every batch, so
that it does not forget what it knows of other elements.

Crystals of many elements (crystals.py) at the volume where the model has them, or structures from
files; atoms and cells are moved at random, so that there are forces. A fifth of them is never
trained on: its errors are how far the model has gone from where it was. Energies are without the
elements' shifts, which follow the data.

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

N_CRYSTALS = 300
"""Crystals that are built where no files are named."""
MOVED, STRAINED = 0.1, 0.02
"""Standard deviations of the random moves of atoms, Å, and of the strain's components."""
SIZES = (0.9, 1.0, 1.1, 1.2, 1.3, 1.4, 1.5, 1.6)
"""Edges of a crystal that are tried, over that of its covalent radii."""
STRONGEST = 3.0
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
    random, search = np.random.default_rng(seed), NeighborSearch(cutoff)
    if files:
        images = [image for file in files for image in structures_of(file, species)]
    else:
        crystals = varied_crystals(species, N_CRYSTALS, known, seed)
        images = [at_rest(model, crystal, search) for crystal in crystals]
    labelled = [labelled_by(model, moved(image, random), search) for image in images]
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


def moved(
    image: ase.Atoms,
    random: np.random.Generator,
    distance: float = MOVED,
    strained: float = STRAINED,
) -> ase.Atoms:
    """The structure, its cell strained (where it has one) and its atoms moved at random; standard
    deviations of the moves (Å) and of the strain's components."""
    result = image.copy()
    if result.pbc.all():
        strain = np.eye(3) + random.normal(scale=strained, size=(3, 3))
        result.set_cell(result.cell.array @ (0.5 * (strain + strain.T)), scale_atoms=True)
    result.positions += random.normal(scale=distance, size=(len(result), 3))
    return result


def at_rest(model: nn.Module, image: ase.Atoms, search: NeighborSearch) -> ase.Atoms:
    """The crystal with the edge, of `SIZES`, that has the lowest energy."""
    cells = [image.copy() for _ in SIZES]
    for cell, size in zip(cells, SIZES):
        cell.set_cell(size * image.cell.array, scale_atoms=True)
    energies = [float(labelled_by(model, cell, search).energy) for cell in cells]
    return cells[int(np.argmin(energies))]


def labelled_by(model: nn.Module, image: ase.Atoms, search: NeighborSearch) -> Samples:
    """The structure with the labels that `model` gives it, in its dtype."""
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
    dtype = next(model.parameters()).dtype
    frame = sample_of(Frame(structure, labels, "replay"), search, no_shifts, dtype)
    energy, forces, stress = predict_all(model, [frame])
    return frame._replace(energy=energy, forces=forces, stress=stress)
