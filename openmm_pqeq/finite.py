"""A number that is not finite is an error, and an error names its atom (TorchScript).

NaN spreads: one atom's makes the energy NaN, and one step later all positions. Said where it first
appears, it can be looked into.
"""

import torch
from torch import Tensor

from openmm_pqeq import ops
from openmm_pqeq.structure import SYMBOLS

FORCES = (
    "forces: not finite, first that on {}. Are atoms very close, is the model damaged, or is the time "
    "step too long?"
)


def not_finite(values: Tensor) -> int:
    """The first atom whose values (n_atoms, ...) are not all finite; −1: none."""
    if bool(torch.isfinite(values).all()):
        return -1
    bad = ~torch.isfinite(values.reshape(values.size(0), -1)).all(dim=1)
    return int(torch.nonzero(bad)[0])


def named(atom: int, number: int, symbols: str = " ".join(SYMBOLS)) -> str:
    """Index and element of an atom with this atomic number."""
    return f"atom {atom} ({symbols.split(' ')[number]})"


def check_energy(
    energy: Tensor, parts: list[Tensor], numbers: Tensor, indices: Tensor | None = None
) -> None:
    """RuntimeError where energies are not finite.

    Parameters
    ----------
    energy : of any shape
    parts : (n_atoms, ...) each, such as atomic energies and charges; they tell which atom it is
    numbers : (n_atoms,) atomic numbers
    indices : (n_atoms,) what the atoms are called; default: their places
    """
    if bool(torch.isfinite(energy).all()):
        return
    where = ""
    for part in parts:
        atom = not_finite(part)
        if atom >= 0 and where == "":
            name = atom if indices is None else int(indices[atom])
            where = f", first that of {named(name, int(numbers[atom]))}"
    raise RuntimeError(
        f"energy: not finite{where}. Are atoms very close, is the model damaged, or is the time "
        "step too long?"
    )


def check_forces(
    forces: Tensor, numbers: Tensor, indices: Tensor | None = None, message: str = FORCES
) -> None:
    """RuntimeError where forces (n_atoms, 3) on atoms of these atomic numbers are not finite."""
    atom = not_finite(forces)
    if atom >= 0:
        name = atom if indices is None else int(indices[atom])
        raise RuntimeError(message.format(named(name, int(numbers[atom]))))


def finite_gradient_reference(positions: Tensor, numbers: Tensor, indices: Tensor) -> Tensor:
    """The positions as they are: torch's own operations cannot look at a gradient on its way."""
    return positions


def finite_gradient_native(
    positions: Tensor,
    numbers: Tensor,
    indices: Tensor,
    symbols: str = " ".join(SYMBOLS),
    message: str = FORCES,
) -> Tensor:
    """`finite_gradient_reference`, whose gradient has to be finite: going backward, in C++ too, raises
    what `check_forces` raises. Differentiable any number of times.

    Parameters
    ----------
    positions : (n_atoms, 3)
    numbers, indices : (n_atoms,) atomic numbers, and what the atoms are called
    """
    result: Tensor = torch.ops.openmm_pqeq.finite_gradient(
        positions, numbers, indices, symbols, message
    )
    return result


finite_gradient = ops.pick("finite_gradient", finite_gradient_native, finite_gradient_reference)
