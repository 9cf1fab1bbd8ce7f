"""Laws of extent: supercells, structures far apart, batches."""

import math
from collections.abc import Sequence

import torch

from laws.ingredients import (
    ENERGY,
    FORCE,
    Energy,
    close,
    forces_of,
    supercell_of,
)
from openmm_pqeq.structure import Structure, collate, structure_of


def assert_supercell(
    energy: Energy,
    structure: Structure,
    repeats: Sequence[int] = (2, 1, 1),
    tolerance: float = 1e-8,
    force: float = FORCE,
) -> None:
    """A supercell has the same energy per atom and the same forces."""
    n_atoms, factor = len(structure.positions), math.prod(repeats)
    large = supercell_of(structure, repeats)
    close(
        energy(large) / factor,
        energy(structure),
        tolerance * n_atoms,
        f"energy of a {repeats} supercell",
    )
    close(
        forces_of(energy, large),
        forces_of(energy, structure).repeat(factor, 1),
        force,
        f"forces of a {repeats} supercell",
    )


def assert_size_consistency(
    energy: Energy,
    first: Structure,
    second: Structure,
    distance: float = 200.0,
    tolerance: float = ENERGY,
) -> None:
    """Two structures without a cell, `distance` Å apart, have the sum of their energies.

    A law for short-range terms; charges move between far fragments where only the total charge is
    kept.
    """
    away = torch.tensor([distance, 0.0, 0.0], dtype=first.positions.dtype)
    both = structure_of(
        torch.cat([first.positions, second.positions + away]),
        torch.cat([first.numbers, second.numbers]),
        total_charge=float(first.total_charge[0] + second.total_charge[0]),
    )
    n_atoms = len(both.positions)
    close(
        energy(both),
        energy(first) + energy(second),
        tolerance * n_atoms,
        "energy of two far structures",
    )


def assert_batch(
    energy: Energy, structures: Sequence[Structure], tolerance: float = ENERGY, force: float = FORCE
) -> None:
    """A batch has the energies and forces that its structures have one by one."""
    batch = collate(structures)
    n_atoms = max(len(s.positions) for s in structures)
    close(
        energy(batch),
        torch.cat([energy(s) for s in structures]),
        tolerance * n_atoms,
        "energies of a batch",
    )
    close(
        forces_of(energy, batch),
        torch.cat([forces_of(energy, s) for s in structures]),
        force,
        "forces of a batch",
    )
