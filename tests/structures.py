"""The small structures of the tests: of the package, and of ASE."""

import numpy as np
import torch
from ase import Atoms
from ase.build import molecule

from openmm_pqeq.structure import Structure, structure_of


def tensor(values) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


CELL = [[4.03, 0.0, 0.0], [0.3, 4.2, 0.0], [-0.5, 0.4, 4.1]]
FRACTIONS = [
    [0.02, 0.01, 0.0],
    [0.5, 0.52, 0.49],
    [0.5, 0.5, 0.03],
    [0.48, 0.0, 0.5],
    [0.0, 0.51, 0.5],
]
FIELD = tensor([0.02, -0.01, 0.03])


def perovskite(charge: float = 0.0, field: torch.Tensor | None = None) -> Structure:
    """Five atoms, Ba Ti O O O, in a triclinic cell smaller than any cutoff."""
    cell = tensor(CELL)
    numbers = torch.tensor([56, 22, 8, 8, 8])
    return structure_of(tensor(FRACTIONS) @ cell, numbers, cell, total_charge=charge, field=field)


def water(charge: float = 0.0, field: torch.Tensor | None = None) -> Structure:
    positions = tensor([[0.0, 0.0, 0.0], [0.96, 0.0, 0.0], [-0.24, 0.93, 0.1]])
    return structure_of(positions, torch.tensor([8, 1, 1]), total_charge=charge, field=field)


def periodic_along(structure: Structure, directions: tuple[bool, bool, bool]) -> Structure:
    """The structure without its images along some lattice vectors."""
    return structure._replace(pbc=torch.tensor([directions]))


def salt(field: tuple[float, float, float] = (0.0, 0.0, 0.0)) -> Structure:
    """Eight atoms of displaced rock salt in a sheared cell, so soft that some shells are
    clipped."""
    corners = tensor([[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]])
    cell = tensor([[5.1, 0.0, 0.0], [0.4, 5.0, 0.0], [0.0, 0.3, 5.2]])
    noise = torch.randn(8, 3, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    positions = torch.cat([corners, corners + tensor([0.5, 0, 0])]) @ cell + 0.12 * noise
    return structure_of(
        positions,
        torch.tensor([11] * 4 + [17] * 4),
        cell,
        total_charge=0.4,
        field=tensor(list(field)),
    )


def rock_salt(numbers: tuple[int, int], side: float, seed: int = 1, repeat: int = 2) -> Structure:
    """A rattled cube of rock salt, repeated."""
    corners = tensor([[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]])
    sites = torch.cat([corners, corners + tensor([0.5, 0, 0])])
    cells = torch.cartesian_prod(*[torch.arange(repeat, dtype=torch.float64)] * 3)
    positions = side * (sites[None] + cells[:, None]).reshape(-1, 3)
    noise = torch.randn(
        positions.shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64
    )
    elements = torch.tensor([numbers[0]] * 4 + [numbers[1]] * 4).repeat(repeat**3)
    return structure_of(
        positions + 0.08 * noise,
        elements,
        repeat * side * torch.eye(3, dtype=torch.float64),
        field=FIELD,
    )


def waters() -> Structure:
    """Eight waters in a box of liquid density, turned at random."""
    generator = torch.Generator().manual_seed(3)
    molecule = tensor([[0.0, 0.0, 0.0], [0.76, 0.59, 0.0], [-0.76, 0.59, 0.0]])
    places = 3.1 * torch.cartesian_prod(*[torch.arange(2, dtype=torch.float64)] * 3)
    turned = [
        molecule @ torch.linalg.qr(torch.randn(3, 3, generator=generator, dtype=torch.float64))[0]
        for _ in places
    ]
    positions = torch.cat([place + m for place, m in zip(places, turned)])
    return structure_of(
        positions, torch.tensor([8, 1, 1] * 8), 6.2 * torch.eye(3, dtype=torch.float64)
    )


# Of ASE


def structure_from(atoms: Atoms) -> Structure:
    cell = torch.tensor(np.array(atoms.cell)) if atoms.pbc.any() else None
    return structure_of(
        torch.tensor(atoms.positions), torch.tensor(atoms.numbers), cell, torch.tensor(atoms.pbc)
    )


def rattled(atoms: Atoms) -> Atoms:
    atoms.rattle(0.08, seed=3)
    return atoms


def ethanol() -> Atoms:
    return rattled(molecule("CH3CH2OH"))


def quartz_like() -> Atoms:
    """A skewed cell, shorter than the cutoff, with elements between their references."""
    cell = [[3.1, 0.0, 0.0], [0.7, 3.4, 0.0], [-0.5, 0.9, 4.2]]
    return Atoms(
        "SiOC", cell=cell, scaled_positions=[(0, 0, 0), (0.4, 0.45, 0.3), (0.7, 0.2, 0.7)], pbc=True
    )
