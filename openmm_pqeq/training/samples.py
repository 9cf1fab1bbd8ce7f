"""Samples: frames with their pairs, and what of a label is left to learn.

The network's energy is Σ_i (shift of the element) + the part that is trained, the shifts being the
least-squares solution of E_label = Σ_elements (count · shift); of minimum norm where the compositions
do not determine it, as with a single composition. Units: eV, eV/Å, eV/Å³. Stress is σ = (1/V) ∂E/∂ε,
ASE sign.
"""

from typing import Callable, NamedTuple, Sequence

import numpy as np
import torch
from ase.data import chemical_symbols
from torch import Tensor

from openmm_pqeq.neighbors.pairs import check_distances
from openmm_pqeq.neighbors.search import NeighborSearch
from openmm_pqeq.training.config import share
from openmm_pqeq.training.frames import Frame
from openmm_pqeq.training.settings import DataSettings, TrainingSettings


class Split(NamedTuple):
    """Indices of frames: disjoint, and together all of them unless a subset was asked for."""

    train: list[int]
    validation: list[int]
    held_out: list[int]


class Samples(NamedTuple):
    """Frames laid end to end with their pairs, in the dtype of the network: all that a training
    step reads.

    numbers : (n_atoms,)
    batch : (n_atoms,) the frame of each atom
    centers, neighbors : (n_pairs,)
    vectors : (n_pairs, 3) Å
    counts : (n_frames,) atoms per frame
    volume : (n_frames,) Å³, 0 without a cell
    energy : (n_frames,) eV, less the elements' shifts; NaN where there is none
    forces : (n_atoms, 3) eV/Å
    stress : (n_frames, 3, 3) eV/Å³, NaN where there is none
    positions : (n_atoms, 3) Å, float64 as the cell and the charge: read where PQEq is trained too
    cell : (n_frames, 3, 3) Å
    pbc : (n_frames, 3) bool
    total_charge : (n_frames,) e
    reference_charges : (n_atoms,) e, NaN where nobody has said
    """

    numbers: Tensor
    batch: Tensor
    centers: Tensor
    neighbors: Tensor
    vectors: Tensor
    counts: Tensor
    volume: Tensor
    energy: Tensor
    forces: Tensor
    stress: Tensor
    positions: Tensor
    cell: Tensor
    pbc: Tensor
    total_charge: Tensor
    reference_charges: Tensor


def split_frames(n_frames: int, settings: DataSettings, n_held_out_files: int = 0) -> Split:
    """Which frames are for what.

    Held out are the first `n` of `numpy.random.default_rng(seed).permutation(n_frames)`, or the
    `n_held_out_files` frames that come last (those of the files of their own). Validation frames
    are the next of that permutation, and of the others the first `subset` are for training, so that
    a smaller subset is part of a larger one and measured on the same frames.
    """
    inside = n_frames - n_held_out_files
    order = np.random.default_rng(settings.held_out.seed).permutation(inside).tolist()
    n, v = (
        share("data.held_out.n", settings.held_out.n, inside),
        share("data.validation", settings.validation, inside),
    )
    if n + v >= inside:
        raise ValueError(
            f"data.held_out.n + data.validation: expected fewer than the {inside} frames, got {n} "
            f"+ {v}"
        )
    used = share("data.subset", settings.subset, inside - n - v)
    if not 0 < used <= inside - n - v:
        raise ValueError(
            f"data.subset: expected 1 to {inside - n - v}, the frames that are left for training, "
            f"got {used}"
        )
    train = order[n + v : n + v + used]
    return Split(
        sorted(train), sorted(order[n : n + v]), sorted(order[:n]) + list(range(inside, n_frames))
    )


def check_stress(
    training: Sequence[Frame], settings: TrainingSettings, say: Callable[[str], None]
) -> None:
    """A line where the loss has stress and no frame for training does; ValueError where it has nothing
    else, as nothing would be learnt."""
    if not settings.stress_weight or any(
        bool(torch.isfinite(frame.labels.stress).all()) for frame in training
    ):
        return
    if not (settings.energy_weight or settings.force_weight):
        raise ValueError(
            "training.stress_weight: expected stress in some frame for training, as it alone has a "
            "weight, got none in frames that are periodic in all directions; name it with "
            "data.stress_key, or give energies or forces a weight"
        )
    say("no frame for training has stress: its weight in the loss does nothing")


def species_of(frames: Sequence[Frame]) -> list[str]:
    """Element symbols of the frames, by atomic number."""
    return [
        chemical_symbols[z]
        for z in sorted({int(z) for frame in frames for z in frame.structure.numbers})
    ]


def check_species(frames: Sequence[Frame], species: Sequence[str], term: str) -> None:
    """Raise ValueError for the first frame with an element that `term` does not know."""
    for frame in frames:
        missing = [symbol for symbol in species_of([frame]) if symbol not in species]
        if missing:
            raise ValueError(
                f"{frame.name}: {', '.join(missing)} is not in {term}: expected "
                f"{', '.join(species)}; add it or remove the frame"
            )


def element_shifts(
    frames: Sequence[Frame], species: Sequence[str], given: dict[str, float] | None = None
) -> Tensor:
    """(n_species,) eV: least squares of the labels' energies on the compositions, minimum norm;
    `given` elements are kept fixed.

    Frames without an energy are passed over.
    """
    given = given or {}
    check_species(frames, species, "the network")
    unknown = sorted(set(given) - set(species))
    if unknown:
        raise ValueError(
            f"data.atomic_energies: expected elements among {', '.join(species)}, got "
            f"{', '.join(unknown)}"
        )
    fixed = np.array([given.get(symbol, 0.0) for symbol in species])
    free = np.array([symbol not in given for symbol in species])
    counts = compositions([frame.structure.numbers for frame in frames], species)
    energies = np.array([float(frame.labels.energy) for frame in frames]) - counts @ fixed
    shifts = fixed
    shifts[free] = least_squares(counts[:, free], energies)
    return torch.tensor(shifts)


def compositions(numbers: Sequence[Tensor], species: Sequence[str]) -> np.ndarray:
    """(n_frames, n_species): atoms of each element in frames with these atomic numbers."""
    return np.array(
        [
            [float((z == chemical_symbols.index(symbol)).sum()) for symbol in species]
            for z in numbers
        ]
    )


def least_squares(counts: np.ndarray, energies: np.ndarray) -> np.ndarray:
    """(n_species,) eV: the energies (n_frames,) on the compositions, of minimum norm; zero where
    there are no energies."""
    known = np.isfinite(energies)
    if not known.any():
        return np.zeros(counts.shape[1])
    return np.linalg.lstsq(counts[known], energies[known], rcond=1e-10)[0]


def force_rms(frames: Sequence[Frame]) -> float:
    """Root mean square of the force components, eV/Å; 1 where all are zero."""
    squares = torch.cat([frame.labels.forces.ravel() for frame in frames]).square()
    return float(squares.mean().sqrt()) or 1.0


def sample_of(
    frame: Frame, search: NeighborSearch, shifts: dict[int, float], dtype: torch.dtype
) -> Samples:
    """A frame with its pairs within the search's cutoff; `shifts` (eV by atomic number) are taken
    off the energy in float64."""
    structure, labels = frame.structure, frame.labels
    pairs = search(structure)
    try:
        check_distances(pairs, structure.numbers)
    except ValueError as error:
        raise ValueError(f"{frame.name}: {error}") from None
    volume = (
        torch.linalg.det(structure.cell).abs()
        if bool(structure.pbc.all())
        else torch.zeros(1, dtype=torch.float64)
    )
    shift = sum(shifts[int(z)] for z in structure.numbers)
    reference = structure.reference_charges
    if reference is None:
        reference = torch.full_like(structure.positions[:, 0], torch.nan)
    return Samples(
        numbers=structure.numbers,
        batch=structure.batch,
        centers=pairs.centers,
        neighbors=pairs.neighbors,
        vectors=pairs.vectors.to(dtype),
        counts=torch.tensor([len(structure.numbers)]),
        volume=volume.to(dtype),
        energy=(labels.energy - shift).reshape(1).to(dtype),
        forces=labels.forces.to(dtype),
        stress=labels.stress.reshape(1, 3, 3).to(dtype),
        positions=structure.positions,
        cell=structure.cell,
        pbc=structure.pbc,
        total_charge=structure.total_charge,
        reference_charges=reference,
    )


def join(items: Sequence[Samples]) -> Samples:
    """Frames laid end to end."""
    atoms = [0]
    for item in items:
        atoms.append(atoms[-1] + len(item.numbers))
    together = [torch.cat(list(parts)) for parts in zip(*items)]
    samples = Samples(*together)
    return samples._replace(
        batch=torch.repeat_interleave(torch.arange(len(items)), samples.counts),
        centers=torch.cat([item.centers + first for item, first in zip(items, atoms)]),
        neighbors=torch.cat([item.neighbors + first for item, first in zip(items, atoms)]),
    )
