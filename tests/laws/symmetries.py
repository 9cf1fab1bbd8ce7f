"""Laws of symmetry: translation, rotation, inversion, permutation, images."""

import torch
from torch import Tensor

from laws.ingredients import ENERGY, FORCE, Energy, close, forces_of, random_rotation
from openmm_pqeq.structure import Structure


def assert_translation(
    energy: Energy,
    structure: Structure,
    tolerance: float = ENERGY,
    force: float = FORCE,
    push: Tensor | None = None,
) -> None:
    """A translation changes neither energy nor forces, and forces sum to zero, but for a push."""
    moved = structure._replace(
        positions=structure.positions
        + torch.tensor([0.37, -1.2, 2.9], dtype=structure.positions.dtype)
    )
    close(
        energy(moved),
        energy(structure),
        tolerance * len(structure.positions),
        "energy of a translated structure",
    )
    forces = forces_of(energy, structure)
    close(forces_of(energy, moved), forces, force, "forces of a translated structure")
    pushed = torch.zeros_like(forces) if push is None else push
    close(forces.sum(0), pushed.sum(0), force * len(forces), "sum of the forces")


def assert_rotation(
    energy: Energy, structure: Structure, tolerance: float = ENERGY, force: float = FORCE
) -> None:
    """A rotation of positions, cell and field keeps the energy and rotates the forces."""
    rotation = random_rotation().to(structure.positions.dtype)
    turned = structure._replace(
        positions=structure.positions @ rotation,
        cell=structure.cell @ rotation,
        field=structure.field @ rotation,
    )
    close(
        energy(turned),
        energy(structure),
        tolerance * len(structure.positions),
        "energy of a rotated structure",
    )
    close(
        forces_of(energy, turned),
        forces_of(energy, structure) @ rotation,
        force,
        "forces of a rotated structure",
    )


def assert_inversion(energy: Energy, structure: Structure, tolerance: float = ENERGY) -> None:
    """The mirror image has the same energy. Not a law for models whose irreps say otherwise."""
    mirrored = structure._replace(
        positions=-structure.positions, cell=-structure.cell, field=-structure.field
    )
    close(
        energy(mirrored),
        energy(structure),
        tolerance * len(structure.positions),
        "energy of the inverted structure",
    )


def assert_permutation(
    energy: Energy, structure: Structure, tolerance: float = ENERGY, force: float = FORCE
) -> None:
    """The order of the atoms does not matter. One structure only."""
    order = torch.randperm(len(structure.positions), generator=torch.Generator().manual_seed(0))
    shuffled = structure._replace(
        positions=structure.positions[order], numbers=structure.numbers[order]
    )
    close(energy(shuffled), energy(structure), tolerance * len(order), "energy of permuted atoms")
    close(
        forces_of(energy, shuffled),
        forces_of(energy, structure)[order],
        force,
        "forces of permuted atoms",
    )


def assert_any_image(
    energy: Energy, structure: Structure, tolerance: float = ENERGY, force: float = FORCE
) -> None:
    """Atoms given in another cell have the same energy and forces. One structure, periodic."""
    generator = torch.Generator().manual_seed(0)
    shifts = torch.randint(-2, 3, structure.positions.shape, generator=generator).to(
        structure.positions.dtype
    )
    shifts = shifts * structure.pbc[0]
    moved = structure._replace(positions=structure.positions + shifts @ structure.cell[0])
    close(
        energy(moved),
        energy(structure),
        tolerance * len(shifts),
        "energy with atoms in other images",
    )
    close(
        forces_of(energy, moved),
        forces_of(energy, structure),
        force,
        "forces with atoms in other images",
    )
