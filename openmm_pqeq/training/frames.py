"""Frames: structures with their reference labels, and where the labels stand in what a file gives.

Units: eV, eV/Å, eV/Å³. Stress is σ = (1/V) ∂E/∂ε, ASE sign.
"""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import NamedTuple, Sequence

import ase
import numpy as np
import torch
from ase.stress import voigt_6_to_full_3x3_stress
from torch import Tensor

from openmm_pqeq.reference_charges.given import reference_charges_of
from openmm_pqeq.reference_charges.like_bonds import like_bonds
from openmm_pqeq.structure import SYMBOLS, Structure, structure_of
from openmm_pqeq.training.formats import read_images
from openmm_pqeq.training.settings import AUTO, NONE, DataSettings

USUAL = {
    "energy": ("energy", "total_energy", "REF_energy", "dft_energy", "free_energy"),
    "forces": ("forces", "REF_forces", "dft_forces", "force"),
    "stress": ("stress", "REF_stress", "dft_stress"),
}
LARGEST_LABEL = 1e12
"""eV, eV/Å, eV/Å³: more than any computation gives, and few enough to be squared."""


class Labels(NamedTuple):
    """Reference labels of one structure (float64).

    energy : () eV, NaN where energies are not used
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


def read_frames(
    files: Sequence[str], settings: DataSettings, folder: str | Path = "."
) -> list[Frame]:
    """All frames of all files with their reference labels; raises FileNotFoundError or
    ValueError."""
    frames = []
    for file in files:
        path = Path(folder) / file
        if not path.exists():
            path = Path(file)
        if not path.exists():
            raise FileNotFoundError(
                f"data.files: no file {file}, neither in {Path(folder).resolve()} nor in the "
                "working directory"
            )
        images = read_images(path, settings.type_map)
        frames += [
            frame_of(atoms, settings, f"{path.name} frame {index}")
            for index, atoms in enumerate(images)
        ]
    if not frames:
        raise ValueError(
            f"data.files: expected at least one frame, got none from {', '.join(files)}"
        )
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
    stress = _label(
        atoms, "stress", settings.stress_key, name, required=settings.stress_key != AUTO
    )
    if forces is None:
        raise ValueError(f"{name}: forces are needed; their key cannot be {NONE!r}")
    energy = np.array(np.nan) if energy is None else energy
    if energy.size != 1:
        raise ValueError(
            f"{name}: energy: expected one number, got an array of shape {energy.shape}"
        )
    if forces.shape != (len(atoms), 3):
        raise ValueError(f"{name}: forces: expected shape ({len(atoms)}, 3), got {forces.shape}")
    full = np.full((3, 3), np.nan)
    if stress is not None and np.all(atoms.pbc):
        if stress.size not in (6, 9):
            raise ValueError(
                f"{name}: stress: expected 6 or 9 numbers, got an array of shape {stress.shape}"
            )
        full = (
            voigt_6_to_full_3x3_stress(stress.ravel()) if stress.size == 6 else stress.reshape(3, 3)
        )
        full = settings.stress_sign * 0.5 * (full + full.T)
    return Frame(
        structure,
        Labels(torch.tensor(energy.reshape(())), torch.tensor(forces), torch.tensor(full)),
        name,
    )


def with_reference_charges(
    frames: Sequence[Frame],
    given: Mapping[str, float] | None = None,
    own: Mapping[str, float] | None = None,
) -> list[Frame]:
    """Frames with the reference charges that charges by bonds flow from.

    given : e, by element
    own : e, by element, of the potential where none are given; else for each frame the oxidation
        states of its composition, which add up to its total charge

    Raises ValueError that names the frame, or an element that no frame has.
    """
    elements = [[SYMBOLS[int(z)] for z in frame.structure.numbers] for frame in frames]
    given = given or {}
    if unknown := sorted(set(given) - {element for one in elements for element in one}):
        raise ValueError(f"reference_charges: no frame has an atom of {', '.join(unknown)}")
    given = given or own or {}
    found: list[Frame] = []
    for frame, here in zip(frames, elements):
        charges = {element: given[element] for element in given if element in here}
        total = float(frame.structure.total_charge[0])
        try:
            reference = reference_charges_of(
                charges or None, here, [], total, None, partial(_like_bonds, frame.structure)
            )
        except ValueError as error:
            raise ValueError(f"{frame.name}: {error}") from None
        of_atoms = torch.tensor(reference, dtype=torch.float64)
        found.append(frame._replace(structure=frame.structure._replace(reference_charges=of_atoms)))
    return found


def _like_bonds(structure: Structure) -> list[float]:
    """Of a frame's atoms, see reference_charges/like_bonds.py."""
    cell, pbc = structure.cell[0].numpy(), structure.pbc[0].numpy()
    return like_bonds(structure.numbers.numpy(), structure.positions.numpy(), cell, pbc)


def _label(
    atoms: ase.Atoms, what: str, key: str, name: str, required: bool = True
) -> np.ndarray | None:
    """The label `what` from info, arrays or the calculator, float64; None where it is not wanted or
    not there."""
    if key == NONE:
        return None
    results = atoms.calc.results if atoms.calc is not None else {}
    places = {**atoms.arrays, **atoms.info, **results}
    for candidate in USUAL[what] if key == AUTO else (key,):
        if candidate in places:
            value = np.array(places[candidate], dtype=np.float64)
            if not np.all(np.isfinite(value)):
                raise ValueError(
                    f"{name}: {candidate}: expected finite numbers, got NaN or infinity; remove "
                    "the frame"
                )
            if value.size and np.abs(value).max() > LARGEST_LABEL:
                raise ValueError(
                    f"{name}: {candidate}: expected numbers up to {LARGEST_LABEL:g}, got "
                    f"{np.abs(value).max():g}; correct its units, or remove the frame"
                )
            return value
    if required:
        there = ", ".join(sorted(set(places) - {"numbers", "positions"})) or "nothing"
        wanted = " or ".join(USUAL[what]) if key == AUTO else repr(key)
        raise ValueError(
            f"{name}: no {what}: expected {wanted}, got {there}; name it with {what}_key in [data]"
        )
    return None
