"""The laws that every term of the potential obeys, as assertions.

Each takes ``energy``, a function of a `Structure` that returns the energies of its structures,
(n_structures,) eV, and that autograd can follow. For a term this is one line::

    search = NeighborSearch(term.cutoff)
    energy = lambda structure: per_structure(term(structure, search(structure)), structure)

Tolerances are absolute and physical: eV/atom, eV/Å, eV/Å³; the defaults suit float64. Nothing is
relative to a total energy. Tests import this file as ``import laws``.

A field pushes charges with a force that is no gradient (+qF of the coupling `shell`): its value in
the energy is zero. Laws that compare forces with energies take it as ``push`` (n_atoms, 3) eV/Å.
"""

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from openmm_pqeq.structure import Structure, collate, structure_of

Energy = Callable[[Structure], Tensor]

ENERGY = 1e-9  # eV/atom; what is exact in exact arithmetic
FORCE = 1e-8  # eV/Å; the same for forces
FINITE_FORCE = 1e-5  # eV/Å; central differences with the step below
FINITE_STRESS = 1e-6  # eV/Å³
STEP = 1e-4  # Å, and strain: the error of a central difference is of order step² E''' ~ 1e-8 E'''


# Ingredients


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


# Symmetries


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


# Derivatives


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


# Extensivity


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
