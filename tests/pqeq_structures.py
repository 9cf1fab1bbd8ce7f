"""Small structures for tests of PQEq, and potentials that are nothing but PQEq."""

import torch

from openmm_pqeq.potential import build
from openmm_pqeq.structure import Structure, structure_of


def tensor(values) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


TIGHT = 1e-10
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


def potential_of(protocol: str, coupling: str = "shell", **settings):
    if protocol != "reaxnet":
        settings = {"tolerance": TIGHT, **settings}
    return build({"pqeq": {"protocol": protocol, "coupling": coupling, **settings}})


def energy_of(potential, structure: Structure) -> float:
    with torch.no_grad():
        return float(potential(structure).energy.sum())


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
