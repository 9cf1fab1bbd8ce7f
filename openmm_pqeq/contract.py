"""What the potential asks of each of its terms, and what it gets.

    term(structure, pairs, unstrained) → Contribution,    E = Σ_terms energy

A term is an `nn.Module` that TorchScript takes, with the members of `Term`. Energies in eV, charges
in e, lengths in Å.
"""

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol, Self, TypeVar

import torch
from torch import Tensor

from openmm_pqeq.neighbors.pairs import Pairs
from openmm_pqeq.structure import Structure

Made = TypeVar("Made")


class Contribution(NamedTuple):
    """energy (n_structures,) eV; atomic_energies (n_atoms,) eV, zero where energies are of no atom;
    charges (n_atoms,) e; shells (n_atoms, 3) Å; dipole (n_structures, 3) e Å."""

    energy: Tensor
    atomic_energies: Tensor
    charges: Tensor
    shells: Tensor
    dipole: Tensor


class Term(Protocol):
    """A part of the potential's energy.

    A term that reaches much farther than the others may have a module `search(structure)` of its
    own beside a `model(structure, what that found)` of atomic energies; the two are timed apart.

    label : what it is called where times are listed
    species : element symbols it knows
    cutoff : Å, of the pairs it is to be given; 0: none
    settings : what it was made from; kept in files
    """

    label: str
    species: list[str]
    cutoff: float
    settings: dict[str, Any]

    @classmethod
    def from_settings(cls, settings: Mapping[str, Any], species: list[str] | None) -> Self:
        """The term of a config's settings; ValueError for those that it cannot be made from.

        species : elements of the network beside it, which knows no others; None without one
        """
        ...

    def __call__(self, structure: Structure, pairs: Pairs, unstrained: Tensor) -> Contribution:
        """Energies and charges of a batch, in the dtype of the positions, differentiable in
        positions, cell and field.

        pairs : within at least the cutoff
        unstrained : (n_atoms, 3) Å, positions without the strain that stress is a derivative in
        """
        ...

    def in_precision(self, precision: str) -> Self:
        """Itself, cast to "double", "mixed" or "single"."""
        ...

    def for_inference(self, skin: float) -> Self:
        """The fastest form for dynamics, made of this one, which is not to be used any more.

        skin : Å, of its own lists of neighbours
        """
        ...


def of_atoms(atomic_energies: Tensor, structure: Structure) -> Contribution:
    """The contribution of a term that is a sum over atoms (n_atoms,) and has no charges."""
    atomic = atomic_energies.to(structure.positions.dtype)
    none = structure.positions.new_zeros([structure.cell.size(0)])
    return Contribution(
        none.index_add(0, structure.batch, atomic),
        atomic,
        torch.zeros_like(atomic),
        torch.zeros_like(structure.positions),
        torch.zeros_like(structure.field),
    )


def made_of(
    name: str, kind: Callable[..., Made], settings: Mapping[str, Any], besides: Sequence[str] = ()
) -> Made:
    """kind(**settings); ValueError for a setting that it does not have.

    besides : settings that are not for `kind`
    """
    keys = [*inspect.signature(kind).parameters, *besides]
    if unknown := [key for key in settings if key not in keys]:
        raise ValueError(
            f"config[{name!r}]: unknown key {unknown[0]!r}; the keys are {', '.join(keys)}"
        )
    return kind(**{key: value for key, value in settings.items() if key not in besides})


def dtype_of(precision: str) -> torch.dtype:
    """The dtype of kernels: in "mixed" they are float32 and the rest is float64."""
    return torch.float64 if precision == "double" else torch.float32


def check_choice(name: str, value: str | None, known: tuple[str, ...]) -> None:
    """ValueError for a value that is none of the known ones; None: it was not given."""
    if value is not None and value not in known:
        raise ValueError(f"{name}: expected one of {', '.join(known)}; got {value!r}")
