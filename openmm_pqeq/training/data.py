"""Labels: from files that ASE reads to what the network has to learn.

    label = reference − PQEq − D3        (energy, forces, stress)

and the network's energy is Σ_i (shift of the element) + the part that is trained, the shifts being the least-squares solution of
E_label = Σ_elements (count · shift); of minimum norm where the compositions do not determine it, as with a single composition.
Units: eV, eV/Å, eV/Å³. Stress is σ = (1/V) ∂E/∂ε, ASE sign.
"""

import hashlib
import json
from pathlib import Path
from typing import Any, NamedTuple, Sequence

import ase
import ase.io
import numpy as np
import torch
from ase.data import chemical_symbols
from ase.stress import voigt_6_to_full_3x3_stress
from rich.progress import track
from torch import Tensor

from openmm_pqeq.neighbors import NeighborSearch
from openmm_pqeq.potential import Potential
from openmm_pqeq.structure import Structure, structure_of
from openmm_pqeq.training.config import AUTO, NONE, DataSettings

USUAL = {
    "energy": ("energy", "total_energy", "REF_energy", "dft_energy", "free_energy"),
    "forces": ("forces", "REF_forces", "dft_forces", "force"),
    "stress": ("stress", "REF_stress", "dft_stress"),
}


class Labels(NamedTuple):
    """What is known or to be learned about one structure (float64).

    energy : () eV
    forces : (n_atoms, 3) eV/Å
    stress : (3, 3) eV/Å³, NaN where there is none
    """

    energy: Tensor
    forces: Tensor
    stress: Tensor


class Frame(NamedTuple):
    """One structure of the data and its labels."""

    structure: Structure
    labels: Labels
    name: str


class Split(NamedTuple):
    """Indices of frames: disjoint, and together all of them."""

    train: list[int]
    validation: list[int]
    held_out: list[int]


class Edges(NamedTuple):
    """Frames laid end to end with their pairs, in the dtype of the network: all that a training step reads.

    numbers : (n_atoms,)
    batch : (n_atoms,) the frame of each atom
    centers, neighbors : (n_pairs,)
    vectors : (n_pairs, 3) Å
    counts : (n_frames,) atoms per frame
    volume : (n_frames,) Å³, 0 without a cell
    energy : (n_frames,) eV, less the elements' shifts
    forces : (n_atoms, 3) eV/Å
    stress : (n_frames, 3, 3) eV/Å³, NaN where there is none
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


def read_frames(files: Sequence[str], settings: DataSettings, folder: str | Path = ".") -> list[Frame]:
    """All frames of all files with their reference labels; raises FileNotFoundError or ValueError."""
    frames = []
    for file in files:
        path = Path(folder) / file
        if not path.exists():
            path = Path(file)
        if not path.exists():
            raise FileNotFoundError(f"data.files: no file {file}, neither in {Path(folder).resolve()} nor in the working directory")
        try:
            images = ase.io.read(path, index=":")
        except Exception as error:
            raise ValueError(f"data.files: ASE cannot read {path}: {error}") from error
        frames += [frame_of(atoms, settings, f"{path.name} frame {index}") for index, atoms in enumerate(images)]
    if not frames:
        raise ValueError(f"data.files: expected at least one frame, got none from {', '.join(files)}")
    return frames


def frame_of(atoms: ase.Atoms, settings: DataSettings, name: str) -> Frame:
    """A frame from ASE's atoms."""
    periodic = bool(np.any(atoms.pbc))
    structure = structure_of(
        torch.tensor(atoms.positions, dtype=torch.float64),
        torch.tensor(atoms.numbers),
        torch.tensor(np.asarray(atoms.cell), dtype=torch.float64) if periodic else None,
        torch.tensor(np.asarray(atoms.pbc)) if periodic else None,
        total_charge=float(atoms.info.get(settings.charge_key, 0.0)),
    )
    energy = _label(atoms, "energy", settings.energy_key, name)
    forces = _label(atoms, "forces", settings.forces_key, name)
    stress = _label(atoms, "stress", settings.stress_key, name, required=settings.stress_key != AUTO)
    if energy is None or forces is None:
        raise ValueError(f"{name}: energy and forces are needed; their keys cannot be {NONE!r}")
    if energy.size != 1:
        raise ValueError(f"{name}: energy: expected one number, got an array of shape {energy.shape}")
    if forces.shape != (len(atoms), 3):
        raise ValueError(f"{name}: forces: expected shape ({len(atoms)}, 3), got {forces.shape}")
    full = np.full((3, 3), np.nan)
    if stress is not None and np.all(atoms.pbc):
        if stress.size not in (6, 9):
            raise ValueError(f"{name}: stress: expected 6 or 9 numbers, got an array of shape {stress.shape}")
        full = voigt_6_to_full_3x3_stress(stress.ravel()) if stress.size == 6 else stress.reshape(3, 3)
        full = settings.stress_sign * 0.5 * (full + full.T)
    return Frame(structure, Labels(torch.tensor(energy.reshape(())), torch.tensor(forces), torch.tensor(full)), name)


def _label(atoms: ase.Atoms, what: str, key: str, name: str, required: bool = True) -> np.ndarray | None:
    """The label `what` from info, arrays or the calculator, float64; None where it is not wanted or not there."""
    if key == NONE:
        return None
    results = atoms.calc.results if atoms.calc is not None else {}
    places = {**atoms.arrays, **atoms.info, **results}
    for candidate in USUAL[what] if key == AUTO else (key,):
        if candidate in places:
            value = np.array(places[candidate], dtype=np.float64)
            if not np.all(np.isfinite(value)):
                raise ValueError(f"{name}: {candidate}: expected finite numbers, got NaN or infinity; remove the frame")
            return value
    if required:
        there = ", ".join(sorted(set(places) - {"numbers", "positions"})) or "nothing"
        wanted = " or ".join(USUAL[what]) if key == AUTO else repr(key)
        raise ValueError(f"{name}: no {what}: expected {wanted}, got {there}; name it with {what}_key in [data]")
    return None


def split_frames(n_frames: int, settings: DataSettings, n_held_out_files: int = 0) -> Split:
    """Which frames are for what.

    Held out are the first `n` of `numpy.random.default_rng(seed).permutation(n_frames)`, or the `n_held_out_files` frames that
    come last (those of the files of their own). Validation frames are the next of that permutation.
    """
    inside = n_frames - n_held_out_files
    order = np.random.default_rng(settings.held_out.seed).permutation(inside).tolist()
    n, v = settings.held_out.n, settings.validation
    if n + v >= inside:
        raise ValueError(f"data.held_out.n + data.validation: expected fewer than the {inside} frames, got {n} + {v}")
    return Split(sorted(order[n + v :]), sorted(order[n : n + v]), sorted(order[:n]) + list(range(inside, n_frames)))


def long_range_part(frames: Sequence[Frame], potential: Potential) -> list[Labels]:
    """Energy, forces and stress of `potential` (PQEq and D3, built without a network) for every frame, with a progress bar."""
    parts = []
    for frame in track(frames, description="long-range part"):
        known = potential.evaluate(frame.structure, forces=True, stress=bool(torch.isfinite(frame.labels.stress).all()))
        stress = torch.full((3, 3), torch.nan, dtype=torch.float64) if known.stress is None else known.stress[0]
        if known.forces is None or not (torch.isfinite(known.energy).all() and torch.isfinite(known.forces).all()):
            raise ValueError(
                f"{frame.name}: PQEq and D3: expected finite numbers, got {known.energy.tolist()} eV; remove the frame"
            )
        parts.append(Labels(known.energy[0], known.forces, stress))
    return parts


def subtract(frames: Sequence[Frame], parts: Sequence[Labels]) -> list[Frame]:
    """The frames with labels = reference − part."""
    return [
        frame._replace(labels=Labels(*(reference - known for reference, known in zip(frame.labels, part))))
        for frame, part in zip(frames, parts)
    ]


def fingerprint(frames: Sequence[Frame], config: Any) -> str:
    """A hash of all structures and of the config of the long-range part: says whether kept labels may be used again."""
    digest = hashlib.sha256(json.dumps(config, sort_keys=True, default=str).encode())
    for frame in frames:
        for values in frame.structure:
            digest.update(values.numpy().tobytes())
    return digest.hexdigest()


def species_of(frames: Sequence[Frame]) -> list[str]:
    """Element symbols of the frames, by atomic number."""
    return [chemical_symbols[z] for z in sorted({int(z) for frame in frames for z in frame.structure.numbers})]


def check_species(frames: Sequence[Frame], species: Sequence[str], term: str) -> None:
    """Raise ValueError for the first frame with an element that `term` does not know."""
    for frame in frames:
        missing = [symbol for symbol in species_of([frame]) if symbol not in species]
        if missing:
            raise ValueError(
                f"{frame.name}: {', '.join(missing)} is not in {term}: expected {', '.join(species)}; add it or remove the frame"
            )


def element_shifts(frames: Sequence[Frame], species: Sequence[str], given: dict[str, float] | None = None) -> Tensor:
    """(n_species,) eV: least squares of the labels' energies on the compositions, minimum norm; `given` elements are kept fixed."""
    given = given or {}
    check_species(frames, species, "the network")
    unknown = sorted(set(given) - set(species))
    if unknown:
        raise ValueError(f"data.atomic_energies: expected elements among {', '.join(species)}, got {', '.join(unknown)}")
    numbers = [chemical_symbols.index(symbol) for symbol in species]
    counts = np.array([[float((frame.structure.numbers == number).sum()) for number in numbers] for frame in frames])
    fixed = np.array([given.get(symbol, 0.0) for symbol in species])
    free = np.array([symbol not in given for symbol in species])
    energies = np.array([float(frame.labels.energy) for frame in frames]) - counts @ fixed
    shifts = fixed
    shifts[free] = np.linalg.lstsq(counts[:, free], energies, rcond=1e-10)[0]
    return torch.tensor(shifts)


def force_rms(frames: Sequence[Frame]) -> float:
    """Root mean square of the force components, eV/Å; 1 where all are zero."""
    squares = torch.cat([frame.labels.forces.ravel() for frame in frames]).square()
    return float(squares.mean().sqrt()) or 1.0


def edges_of(frame: Frame, search: NeighborSearch, shifts: dict[int, float], dtype: torch.dtype) -> Edges:
    """A frame with its pairs within the search's cutoff; `shifts` (eV by atomic number) are taken off the energy in float64."""
    structure, labels = frame.structure, frame.labels
    pairs = search(structure)
    volume = torch.linalg.det(structure.cell).abs() if bool(structure.pbc.all()) else torch.zeros(1, dtype=torch.float64)
    shift = sum(shifts[int(z)] for z in structure.numbers)
    return Edges(
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
    )


def join(items: Sequence[Edges]) -> Edges:
    """Frames laid end to end."""
    atoms = [0]
    for item in items:
        atoms.append(atoms[-1] + len(item.numbers))
    together = [torch.cat(list(parts)) for parts in zip(*items)]
    edges = Edges(*together)
    return edges._replace(
        batch=torch.repeat_interleave(torch.arange(len(items)), edges.counts),
        centers=torch.cat([item.centers + first for item, first in zip(items, atoms)]),
        neighbors=torch.cat([item.neighbors + first for item, first in zip(items, atoms)]),
    )
