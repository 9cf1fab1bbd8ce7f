"""Atoms at random in a triclinic cell, and the reach of the searches that find their pairs."""

import torch

from openmm_pqeq.structure import Structure, structure_of

CUTOFF, SKIN = 4.0, 1.0
CELL = torch.tensor([[6.1, 0.0, 0.0], [0.8, 6.6, 0.0], [-1.2, 1.0, 5.8]], dtype=torch.float64)


def random(*shape: int, seed: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def crystal(
    n: int = 24, pbc: tuple[bool, bool, bool] = (True, True, True), cell: torch.Tensor = CELL
) -> Structure:
    generator = torch.Generator().manual_seed(n)
    return structure_of(
        torch.rand(n, 3, generator=generator, dtype=torch.float64) @ cell,
        torch.ones(n),
        cell,
        torch.tensor(pbc),
    )
