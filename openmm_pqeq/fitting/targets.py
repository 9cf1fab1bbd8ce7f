"""Response labels: from files that ASE reads to what a fit of PQEq parameters compares with.

    born_charge      (n_atoms, 3, 3) e, [atom, field, force]
    dielectric       (3, 3) ε∞ = 1 + 4π k_e α/V of a crystal; given as such, or as a polarizability α (e²Å²/eV) in a periodic cell
    polarizability   (3, 3) e²Å²/eV, without a cell; isotropic: a third of its trace
    dipole           (3,) e Å, of a neutral structure without a cell
    charge           (n_atoms,) e
    forces           (n_atoms, 3) eV/Å of the whole energy, PQEq's being a part of it

`born_charge`, `polarizability`, `dielectric` and `charge` are found in the data by name; other keys
and units, dipoles and forces are named by the user. Forces with a large scale keep PQEq's part from
growing beyond what a network has to take back.
"""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import ase
import ase.io
import numpy as np
import torch

from openmm_pqeq.fitting.response import Answer
from openmm_pqeq.jobs import phrases
from openmm_pqeq.structure import SYMBOLS, Structure, structure_of
from openmm_pqeq.units import BOHR, COULOMB, DEBYE

UNITS: dict[str, dict[str, float]] = {
    "born_charge": {"e": 1.0},
    "dielectric": {"1": 1.0},
    "polarizability": {"e2A2/eV": 1.0, "bohr3": BOHR**3 / COULOMB, "A3": 1.0 / COULOMB},
    "isotropic": {"e2A2/eV": 1.0, "bohr3": BOHR**3 / COULOMB, "A3": 1.0 / COULOMB},
    "dipole": {"eA": 1.0, "debye": DEBYE, "au": BOHR},
    "charge": {"e": 1.0},
    "forces": {"eV/A": 1.0},
}
"""Targets, and factors to e, e²Å²/eV, e Å."""
USUAL_KEYS = {
    "born_charge": ("born_charge", "born_charges"),
    "dielectric": ("dielectric", "epsilon_inf"),
    "polarizability": ("polarizability",),
    "charge": ("charge_per_atom", "charges", "initial_charges"),
}
SCALES = {
    "born_charge": 0.1,
    "dielectric": 0.1,
    "polarizability": 0.01,
    "isotropic": 0.01,
    "dipole": 0.05,
    "charge": 0.05,
    "forces": 1.0,
}
"""Errors that count as one in the loss: e, 1, e²Å²/eV (about 1 bohr³), e Å, e, eV/Å."""
SHAPES = {
    "born_charge": (3, 3),
    "dielectric": (3, 3),
    "polarizability": (3, 3),
    "isotropic": (),
    "dipole": (3,),
    "charge": (),
    "forces": (3,),
}
PER_ATOM = ("born_charge", "charge", "forces")
HEADINGS = {
    "born_charge": "Born charges, e",
    "dielectric": "ε∞",
    "polarizability": "polarizability, e²Å²/eV",
    "isotropic": "isotropic polarizability, e²Å²/eV",
    "dipole": "dipole, e Å",
    "charge": "charges, e",
    "forces": "forces, eV/Å",
}


class Target(NamedTuple):
    """A quantity of the data: what it is, its key, and the factor to the units above."""

    name: str
    key: str
    factor: float


class ResponseFrame(NamedTuple):
    """One structure and its labels by target."""

    structure: Structure
    labels: dict[str, np.ndarray]
    name: str


def parse_target(text: str) -> list[Target]:
    """Targets from "born_charge", "polarizability=alpha", "polarizability=pol:bohr3"."""
    name, key, unit = phrases.target("target", text)
    if name not in UNITS:
        raise ValueError(f"target: expected one of {', '.join(UNITS)}, got {name!r}")
    if unit and unit not in UNITS[name]:
        raise ValueError(
            f"target: {name}: expected a unit among {', '.join(UNITS[name])}, got {unit!r}"
        )
    if name == "dipole" and not unit:
        raise ValueError(
            "target: dipoles need their key and unit, such as dipole=mu:debye; units are "
            f"{', '.join(UNITS['dipole'])}"
        )
    factor = UNITS[name][unit] if unit else 1.0
    return [
        Target(name, candidate, factor)
        for candidate in ([key] if key else USUAL_KEYS.get(name, (name,)))
    ]


def read_response_frames(
    files: Sequence[str | Path], targets: Sequence[str] = (), cluster: bool = False
) -> list[ResponseFrame]:
    """All frames of all files that have at least one of the targets.

    Parameters
    ----------
    files : anything ASE reads
    targets : as for `parse_target`; nothing: all that are found by their usual names
    cluster : leave out the cells, which are only boxes around molecules
    """
    wanted = [target for text in (targets or USUAL_KEYS) for target in parse_target(text)]
    frames: list[ResponseFrame] = []
    for file in files:
        if not Path(file).is_file():
            raise FileNotFoundError(f"data: no file {file}")
        try:
            images = ase.io.read(file, index=":")
        except Exception as error:
            raise ValueError(
                f"data: ASE cannot read {file}: {error or type(error).__name__}"
            ) from error
        frames += [
            _frame(atoms, wanted, cluster, f"{Path(file).name} frame {index}")
            for index, atoms in enumerate(images)
        ]
    labelled = [frame for frame in frames if frame.labels]
    if not labelled:
        keys = ", ".join(sorted({target.key for target in wanted}))
        raise ValueError(
            f"data: no frame has a target: expected keys among {keys}; name yours, such as "
            "--target polarizability=pol:bohr3"
        )
    for text in targets:
        name = phrases.target("target", text).name
        if not any(_kind(name, frame) in frame.labels for frame in labelled):
            raise ValueError(f"target: {text!r} is in no frame of {', '.join(map(str, files))}")
    return labelled


def _kind(name: str, frame: ResponseFrame) -> str:
    return "dielectric" if name == "polarizability" and bool(frame.structure.pbc.any()) else name


def _frame(atoms: ase.Atoms, targets: Sequence[Target], cluster: bool, name: str) -> ResponseFrame:
    pbc = np.zeros(3, dtype=bool) if cluster else np.asarray(atoms.pbc)
    if pbc.any() and not pbc.all():
        raise ValueError(
            f"{name}: expected three periodic directions or none, got pbc {pbc.tolist()}; "
            "--cluster leaves the cell out"
        )
    structure = structure_of(
        torch.tensor(atoms.positions, dtype=torch.float64),
        torch.tensor(atoms.numbers),
        torch.tensor(np.asarray(atoms.cell), dtype=torch.float64) if pbc.all() else None,
        total_charge=float(atoms.info.get("charge", 0.0))
        if np.ndim(atoms.info.get("charge", 0.0)) == 0
        else 0.0,
    )
    results = atoms.calc.results if atoms.calc is not None else {}
    places: Mapping[str, object] = {**results, **atoms.info, **atoms.arrays}
    labels: dict[str, np.ndarray] = {}
    for target in targets:
        if target.key in places and target.name not in labels:
            value = np.asarray(places[target.key], dtype=np.float64)
            if target.name == "isotropic" and value.size == 9:
                value = np.array(np.trace(value.reshape(3, 3)) / 3.0)
            shape = ((len(atoms),) if target.name in PER_ATOM else ()) + SHAPES[target.name]
            if value.size != math.prod(shape):
                raise ValueError(f"{name}: {target.key}: expected shape {shape}, got {value.shape}")
            if not np.isfinite(value).all():
                raise ValueError(
                    f"{name}: {target.key}: expected finite numbers, got NaN or infinity; remove "
                    "the frame"
                )
            labels[target.name] = target.factor * value.reshape(shape)
    if pbc.all():
        labels.pop("dipole", None)
        labels.pop("isotropic", None)
        if "polarizability" in labels:
            alpha = labels.pop("polarizability")
            labels.setdefault("dielectric", np.eye(3) + _four_pi(structure) * alpha)
    else:
        labels.pop("dielectric", None)
    return ResponseFrame(structure, labels, name)


def _four_pi(structure: Structure) -> float:
    """4π k_e/V of a cell, eV/(e²Å²)."""
    return 4.0 * math.pi * COULOMB / abs(float(torch.linalg.det(structure.cell[0])))


def predicted(frame: ResponseFrame, answer: Answer) -> dict[str, np.ndarray]:
    """Predictions of PQEq for each label of a frame."""
    values = _quantities(frame, answer)
    if "dielectric" in values:
        values["dielectric"] = values["dielectric"] + np.eye(3)
    return values


def predicted_slopes(frame: ResponseFrame, slopes: Answer) -> dict[str, np.ndarray]:
    """Its derivatives in the parameters, with a leading axis of n_parameters."""
    return _quantities(frame, slopes)


def _quantities(frame: ResponseFrame, answer: Answer) -> dict[str, np.ndarray]:
    alpha = answer.polarizability
    values = {"polarizability": alpha, "dipole": answer.dipole, "charge": answer.charges}
    values["isotropic"] = alpha.diagonal(dim1=-2, dim2=-1).mean(dim=-1)
    if answer.born is not None:
        values["born_charge"] = answer.born
    if answer.forces is not None:
        values["forces"] = answer.forces
    if "dielectric" in frame.labels:
        values["dielectric"] = alpha * _four_pi(frame.structure)
    return {name: values[name].detach().numpy() for name in frame.labels}


def elements_of(frames: Sequence[ResponseFrame]) -> list[str]:
    """Element symbols by atomic number."""
    return [
        SYMBOLS[z] for z in sorted({int(z) for frame in frames for z in frame.structure.numbers})
    ]
