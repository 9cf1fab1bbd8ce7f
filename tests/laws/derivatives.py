"""Laws of derivatives: forces, stress and Hessians are those of the energy, which has no jumps."""

from collections.abc import Callable

import torch
from torch import Tensor

from laws.ingredients import (
    FINITE_FORCE,
    FINITE_STRESS,
    STEP,
    Energy,
    close,
    forces_of,
    strained,
    virial_of,
)
from openmm_pqeq.structure import Structure


def assert_forces(
    energy: Energy,
    structure: Structure,
    forces: Tensor | None = None,
    tolerance: float = FINITE_FORCE,
    step: float = STEP,
    samples: int = 9,
    push: Tensor | None = None,
) -> None:
    """Forces (autograd's, or those given) equal −dE/dr by central differences, plus the push, for
    `samples` components."""
    given = forces_of(energy, structure) if forces is None else forces.detach()
    n_components = structure.positions.numel()
    chosen = torch.randperm(n_components, generator=torch.Generator().manual_seed(0))[:samples]
    for component in chosen.tolist():
        atom, axis = divmod(component, 3)
        shifted = torch.zeros_like(structure.positions)
        shifted[atom, axis] = step
        up = energy(structure._replace(positions=structure.positions + shifted)).detach().sum()
        down = energy(structure._replace(positions=structure.positions - shifted)).detach().sum()
        close(
            given[atom, axis] - (0.0 if push is None else push[atom, axis]),
            -(up - down) / (2 * step),
            tolerance,
            f"force on atom {atom} along {'xyz'[axis]}",
        )


def assert_stress(
    energy: Energy,
    structure: Structure,
    stress: Tensor | None = None,
    tolerance: float = FINITE_STRESS,
    step: float = STEP,
) -> None:
    """The stress (autograd's, or the (3, 3) given) equals dE/dε/V by central differences, and is
    symmetric. One structure."""
    volume = structure.cell[0].det().abs()
    given = virial_of(energy, structure) / volume if stress is None else stress.detach()
    close(given, given.T, tolerance, "symmetry of the stress")
    for a in range(3):
        for b in range(a, 3):
            strain = torch.zeros(3, 3, dtype=structure.positions.dtype)
            strain[a, b] += step / 2
            strain[b, a] += step / 2
            difference = (
                energy(strained(structure, strain)).detach().sum()
                - energy(strained(structure, -strain)).detach().sum()
            )
            close(
                given[a, b],
                difference / (2 * step) / volume,
                tolerance,
                f"stress {'xyz'[a]}{'xyz'[b]}",
            )


def assert_second_derivatives(
    energy: Energy, structure: Structure, tolerance: float = 1e-5, step: float = STEP
) -> None:
    """Hessian–vector products by autograd equal central differences of the forces (eV/Å² for a unit
    direction)."""
    direction = torch.randn(
        structure.positions.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1)
    )
    direction = (direction / direction.norm()).to(structure.positions.dtype)
    positions = structure.positions.detach().clone().requires_grad_(True)
    total = energy(structure._replace(positions=positions)).sum()
    (gradient,) = torch.autograd.grad(total, positions, create_graph=True)
    (product,) = torch.autograd.grad((gradient * direction).sum(), positions)
    up = forces_of(energy, structure._replace(positions=structure.positions + step * direction))
    down = forces_of(energy, structure._replace(positions=structure.positions - step * direction))
    close(product, -(up - down) / (2 * step), tolerance, "Hessian times a direction")


def assert_continuous(
    energy: Energy,
    structure_at: Callable[[float], Structure],
    distance: float,
    tolerance: float = 1e-7,
    force: float = 1e-6,
    step: float = 1e-7,
) -> None:
    """Energy (eV) and forces (eV/Å) have no jump where `structure_at(d)` passes d = `distance`."""
    before, after = structure_at(distance - step), structure_at(distance + step)
    close(energy(after), energy(before), tolerance, f"energy across {distance} Å")
    close(forces_of(energy, after), forces_of(energy, before), force, f"forces across {distance} Å")
