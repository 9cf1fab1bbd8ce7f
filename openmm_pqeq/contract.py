"""What the potential asks of each of its terms, and what it gets.

    term(structure, pairs, unstrained) → Contribution,    E = Σ_terms energy

A term is an `nn.Module` that TorchScript takes, with the members of `Term`. Energies in eV, charges
in e, lengths in Å.
"""

import inspect
import numbers
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import NoneType, UnionType
from typing import Any, NamedTuple, Protocol, Self, TypeVar, Union, get_args, get_origin

import torch
from torch import Tensor

from openmm_pqeq.jobs.values import is_finite, shown
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
    """kind(**settings); ValueError for a setting that it does not have, or of another type than its
    signature says.

    besides : settings that are not for `kind`
    """
    hints = inspect.signature(kind, eval_str=True).parameters
    keys = [*hints, *besides]
    if unknown := [key for key in settings if key not in keys]:
        raise ValueError(
            f"config[{name!r}]: unknown key {unknown[0]!r}; the keys are {', '.join(keys)}"
        )
    given = {key: value for key, value in settings.items() if key not in besides}
    for key, value in given.items():
        if not _is_a(value, hints[key].annotation):
            expected = _in_words(hints[key].annotation)
            raise ValueError(f"config[{name!r}]: {key}: expected {expected}, got {shown(value)}")
    return kind(**given)


def _is_a(value: Any, hint: Any) -> bool:
    """Whether a setting has the type of its annotation; numbers are finite, true is no number."""
    origin, inner = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        return any(_is_a(value, one) for one in inner)
    if hint in (int, float):
        return is_finite(value) and isinstance(value, numbers.Integral if hint is int else object)
    if origin in (Mapping, dict):
        return isinstance(value, Mapping) and all(_is_a(one, inner[1]) for one in value.values())
    if origin in (Sequence, list):
        whole = isinstance(value, str | bytes | Mapping) or not isinstance(value, Iterable)
        return not whole and all(_is_a(one, inner[0]) for one in value)
    return isinstance(value, hint) if hint in (str, bool, NoneType) else True


def _in_words(hint: Any) -> str:
    """A type as people call it."""
    if get_origin(hint) in (Union, UnionType):
        return " or ".join(_in_words(one) for one in get_args(hint) if one is not NoneType)
    if get_origin(hint) in (Mapping, dict):
        return "a table"
    if get_origin(hint) in (Sequence, list):
        return f"a list, each item {_in_words(get_args(hint)[0])}"
    words = {int: "a whole number", float: "a number", str: "text", bool: "true or false"}
    return words.get(hint, "another value")


def dtype_of(precision: str) -> torch.dtype:
    """The dtype of kernels: in "mixed" they are float32 and the rest is float64."""
    return torch.float64 if precision == "double" else torch.float32
