"""What laws are made of: tolerances, forces and strains of an energy, other structures of the same atoms."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from openmm_pqeq.structure import Structure, structure_of

Energy = Callable[[Structure], Tensor]

ENERGY = 1e-9  # eV/atom; what is exact in exact arithmetic
FORCE = 1e-8  # eV/Å; the same for forces
FINITE_FORCE = 1e-5  # eV/Å; central differences with the step below
FINITE_STRESS = 1e-6  # eV/Å³
STEP = 1e-4  # Å, and strain: the error of a central difference is of order step² E''' ~ 1e-8 E'''


def per_structure(atomic_energies: Tensor, structure: Structure) -> Tensor:
    """Energies of the structures (n_structures,) from those of the atoms (n_atoms,)."""
    total = torch.zeros(
        len(structure.cell), dtype=atomic_energies.dtype, device=atomic_energies.device
    )
    return total.index_add(0, structure.batch, atomic_energies)


def forces_of(energy: Energy, structure: Structure) -> Tensor:
    """−∂E/∂r by autograd, (n_atoms, 3) eV/Å."""
    positions = structure.positions.detach().clone().requires_grad_(True)
    (gradient,) = torch.autograd.grad(
        energy(structure._replace(positions=positions)).sum(), positions
    )
    return -gradient


def strained(structure: Structure, strain: Tensor) -> Structure:
    """Positions and cell multiplied by 1 + ε; `strain` is (3, 3)."""
    deformation = torch.eye(3, dtype=strain.dtype) + strain
    return structure._replace(
        positions=structure.positions @ deformation, cell=structure.cell @ deformation
    )


def virial_of(energy: Energy, structure: Structure) -> Tensor:
    """∂E/∂ε at ε = 0 by autograd, (3, 3) eV; divided by the volume it is the stress."""
    strain = torch.zeros(3, 3, dtype=structure.positions.dtype, requires_grad=True)
    (gradient,) = torch.autograd.grad(energy(strained(structure, strain)).sum(), strain)
    return gradient


def random_rotation(seed: int = 0) -> Tensor:
    """A proper rotation, (3, 3)."""
    orthogonal, _ = torch.linalg.qr(
        torch.randn(3, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    )
    return orthogonal * torch.sign(torch.linalg.det(orthogonal))


def supercell_of(structure: Structure, repeats: Sequence[int]) -> Structure:
    """The same crystal in a cell `repeats` times as large; charges grow with it. One structure
    only."""
    cell = structure.cell[0]
    images = [
        torch.tensor([a, b, c], dtype=cell.dtype) @ cell
        for a in range(repeats[0])
        for b in range(repeats[1])
        for c in range(repeats[2])
    ]
    return structure_of(
        torch.cat([structure.positions + image for image in images]),
        structure.numbers.repeat(len(images)),
        torch.tensor(repeats, dtype=cell.dtype)[:, None] * cell,
        structure.pbc[0],
        total_charge=float(structure.total_charge[0]) * len(images),
        field=structure.field[0],
    )


def close(actual: Tensor, expected: Tensor, tolerance: float, what: str) -> None:
    """|actual − expected| ≤ tolerance everywhere, and finite."""
    assert bool(torch.isfinite(actual).all()), f"{what}: not finite"
    worst = float((actual.detach() - expected.detach()).abs().max()) if actual.numel() else 0.0
    assert worst <= tolerance, f"{what}: off by {worst:.3e}, allowed {tolerance:.1e}"
