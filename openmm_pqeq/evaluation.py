"""A model against labelled structures: errors by element and by the size of the force, and its
slope.

    slope = Σ F_model·F_reference / Σ F_reference²,     below 1 where the model is too soft

Energies are compared per atom, once as they are and once without the elements' shifts (the least
squares of E_model − E_reference in the composition), because levels of theory and programs differ
in these alone. Shifts are fitted to the structures compared, and where there are as many
compositions as elements they take everything: read them with the number of structures in mind. eV,
eV/Å, eV/Å³.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import torch

from openmm_pqeq.conditions import needs_reference_charges, own_reference_charges
from openmm_pqeq.potential import Potential
from openmm_pqeq.structure import SYMBOLS
from openmm_pqeq.training.frames import Frame, with_reference_charges

FORCE_LEVELS = (0.0, 0.1, 0.3, 1.0, 3.0, math.inf)
"""eV/Å, of the reference force on an atom."""


class Compared(NamedTuple):
    """Reference and model, laid end to end.

    numbers : (n_atoms,) atomic numbers
    counts : (n_frames,) atoms of each structure
    energies : (2, n_frames) eV, reference and model; NaN where there is no label
    forces : (2, n_atoms, 3) eV/Å
    stress : (2, n_frames, 3, 3) eV/Å³; NaN where there is no label
    """

    numbers: np.ndarray
    counts: np.ndarray
    energies: np.ndarray
    forces: np.ndarray
    stress: np.ndarray


class ForceError(NamedTuple):
    """Force errors of some atoms: how many, RMS of the reference components, MAE and RMSE of the
    components (meV/Å), and the slope."""

    n_atoms: int
    rms: float
    mae: float
    rmse: float
    slope: float


class Errors(NamedTuple):
    """energy_mae, energy_rmse: meV/atom; shifted_mae, shifted_rmse: the same without the elements'
    shifts; stress_mae, stress_rmse: eV/Å³; NaN where there are no labels. forces: of all atoms;
    by_element: symbol → errors; by_level: (lowest, highest) reference force in eV/Å → errors."""

    n_frames: int
    energy_mae: float
    energy_rmse: float
    shifted_mae: float
    shifted_rmse: float
    stress_mae: float
    stress_rmse: float
    forces: ForceError
    by_element: dict[str, ForceError]
    by_level: dict[tuple[float, float], ForceError]


def compared(
    potential: Potential,
    frames: Sequence[Frame],
    reference_charges: Mapping[str, float] | None = None,
) -> Iterator[Compared]:
    """The model on one structure after the other; `joined` lays them end to end.

    reference_charges : e, of charges by bonds, by element; None: the potential's own, or
        else oxidation states of each structure

    Raises ValueError that names the structure whose elements the model does not know, before
    anything is computed.
    """
    for frame in frames:
        try:
            potential.check_elements(frame.structure.numbers.tolist())
        except ValueError as error:
            raise ValueError(f"{frame.name}: {error}") from None
    if needs_reference_charges(potential):
        own = own_reference_charges(potential)
        frames = with_reference_charges(frames, reference_charges, own)
    compiled = potential.compile_for_inference()
    for frame in frames:
        crystal = bool(frame.structure.pbc.all())
        try:
            found = compiled.evaluate(frame.structure._replace(only_energy=True), stress=crystal)
        except (ValueError, RuntimeError) as error:
            raise type(error)(f"{frame.name}: {error}") from error
        stress = np.full((3, 3), np.nan) if found.stress is None else _array(found.stress[0])
        if found.forces is None:
            raise RuntimeError(f"{frame.name}: the model gave no forces")
        labels = frame.labels
        yield Compared(
            frame.structure.numbers.numpy(),
            np.array([len(frame.structure.numbers)]),
            np.array([[float(labels.energy)], [float(found.energy[0])]]),
            np.stack([_array(labels.forces), _array(found.forces)]),
            np.stack([_array(labels.stress)[None], stress[None]]),
        )


def joined(parts: Sequence[Compared]) -> Compared:
    """Many structures as one."""
    return Compared(
        np.concatenate([part.numbers for part in parts]),
        np.concatenate([part.counts for part in parts]),
        np.concatenate([part.energies for part in parts], axis=1),
        np.concatenate([part.forces for part in parts], axis=1),
        np.concatenate([part.stress for part in parts], axis=1),
    )


def errors_of(all_frames: Compared) -> Errors:
    """All errors."""
    numbers, forces = all_frames.numbers, all_frames.forces
    labelled = np.isfinite(all_frames.energies[0])
    difference = (all_frames.energies[1] - all_frames.energies[0])[labelled]
    counts = all_frames.counts[labelled]
    remainder = difference - composition_part(all_frames, difference, labelled)
    stress = all_frames.stress[1] - all_frames.stress[0]
    size = np.linalg.norm(forces[0], axis=1)
    levels = list(pairwise(FORCE_LEVELS))
    inside = {level: (size >= level[0]) & (size < level[1]) for level in levels}
    return Errors(
        len(all_frames.counts),
        *_mae_rmse(1000.0 * difference / counts),
        *_mae_rmse(1000.0 * remainder / counts),
        *_mae_rmse(stress[np.isfinite(stress)]),
        force_error(forces),
        {
            SYMBOLS[number]: force_error(forces[:, numbers == number])
            for number in np.unique(numbers)
        },
        {level: force_error(forces[:, atoms]) for level, atoms in inside.items() if atoms.any()},
    )


def composition_part(
    all_frames: Compared, difference: np.ndarray, labelled: np.ndarray
) -> np.ndarray:
    """The least-squares part of energies (n_labelled,) eV that is a sum over the elements."""
    kinds = np.unique(all_frames.numbers)
    frame_of = np.repeat(np.arange(len(all_frames.counts)), all_frames.counts)
    composition = np.zeros((len(all_frames.counts), len(kinds)))
    np.add.at(composition, (frame_of, np.searchsorted(kinds, all_frames.numbers)), 1.0)
    composition = composition[labelled]
    if not len(difference):
        return difference
    return composition @ np.linalg.lstsq(composition, difference, rcond=None)[0]


def force_error(forces: np.ndarray) -> ForceError:
    """Errors of forces (2, n_atoms, 3) eV/Å, reference and model."""
    reference, model = forces
    square = float((reference**2).sum())
    mae, rmse = _mae_rmse(1000.0 * (model - reference))
    slope = float((reference * model).sum()) / square if square > 0 else math.nan
    rms = 1000.0 * math.sqrt(square / max(reference.size, 1))
    return ForceError(len(reference), rms, mae, rmse, slope)


def _mae_rmse(difference: np.ndarray) -> tuple[float, float]:
    if not difference.size:
        return math.nan, math.nan
    return float(np.abs(difference).mean()), float(np.sqrt((difference**2).mean()))


def _array(tensor: torch.Tensor) -> np.ndarray:
    return tensor.detach().to(device="cpu", dtype=torch.float64).numpy()
