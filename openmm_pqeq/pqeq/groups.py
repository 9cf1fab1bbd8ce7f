"""Atoms that share their charge: fragments of fixed charge, and electrodes at a voltage.

    Σ_{i in f} q_i = Q_f  for every fragment f;    Ω = E − Σ_e V_e Q_e  with electrodes e at voltages V_e

All electrodes together are one group: charge flows between them, through the source that holds the
voltages, until the potential of each is what it was told to be, ∂E/∂q_i = V_e + const. Ω, the
electric enthalpy, is the energy of electrodes with their source, and forces are its gradient. Only
differences of voltages matter. e, V.
"""

from collections.abc import Iterable, Mapping, Sequence
from numbers import Integral, Real
from typing import Any, NamedTuple

import torch
from torch import Tensor

from openmm_pqeq.structure import Structure


class Groups(NamedTuple):
    """Groups of the atoms of one structure; empty where all of its atoms share their charge.

    fragment : (n_atoms,) int64, the group an atom belongs to
    charge : (n_groups,) e
    first : (n_groups,) int64, the first atom of each group
    voltage : (n_atoms,) V, zero where there is no electrode
    metal : (n_atoms,) bool, for charges by bonds: atoms of electrodes and of metals that float, the
        last groups; all others are bonded
    """

    fragment: Tensor
    charge: Tensor
    first: Tensor
    voltage: Tensor
    metal: Tensor


def at_voltage(electronegativity: Tensor, groups: Groups) -> Tensor:
    """χ − V, (n_atoms,) eV: the electrode term of Ω."""
    return electronegativity - groups.voltage.to(electronegativity.dtype)


def in_metal(structure: Structure, groups: Groups) -> Tensor:
    """(n_atoms,) bool, atoms that share their charge where others have bonds."""
    if groups.fragment.size(0) == 0:
        return torch.zeros_like(structure.numbers, dtype=torch.bool)
    return groups.metal


def shared_by_metal(reference: Tensor, structure: Structure, groups: Groups) -> Tensor:
    """Reference charges (n_atoms,) e, with those of metal atoms equal within each metal: a metal that
    floats has its charge, and the last group, the electrodes, what is left of the total charge."""
    metal = in_metal(structure, groups)
    if groups.fragment.size(0) == 0 or not bool(metal.any()):
        return reference
    count = torch.zeros_like(groups.charge).index_add(
        0, groups.fragment, groups.charge.new_ones(metal.size(0))
    )
    share = (groups.charge / count)[groups.fragment].to(reference.dtype)
    last = groups.fragment == groups.charge.size(0) - 1
    known = torch.where(metal, share, reference)
    known = torch.where(last, torch.zeros_like(known), known)
    rest = (structure.total_charge[0] - known.sum()) / last.sum()
    return torch.where(last, rest.to(reference.dtype), known)


def groups_of(
    n_atoms: int,
    fragments: Sequence[Sequence[int]] | None,
    fragment_charges: Sequence[float] | None = None,
    electrodes: Sequence[tuple[Sequence[int], float]] | None = None,
    total_charge: float = 0.0,
    metals: int = 0,
) -> Groups:
    """Groups from lists of atoms.

    Parameters
    ----------
    fragments : atoms of each fragment; every atom in one of them, or in an electrode. None:
        electrodes alone
    fragment_charges : e, one for each fragment; default: zero
    electrodes : (atoms, voltage) of each; their common charge is what the fragments leave of the
        total
    total_charge : e
    metals : how many of the fragments, the last ones, are metals that float beside charges by bonds

    Raises ValueError where atoms are missing, shared or unknown, or charges do not add up, naming
    them.
    """
    lists = [
        _atoms(f"fragments[{k}]", atoms, n_atoms) for k, atoms in enumerate(fragments_of(fragments))
    ]
    plates = electrodes_of(electrodes, n_atoms)
    charges = _charges(fragment_charges, len(lists))
    groups = lists + ([[atom for atoms, _ in plates for atom in atoms]] if plates else [])
    names = [f"fragments[{k}]" for k in range(len(lists))] + ["electrodes"]
    owner = [-1] * n_atoms
    for number, atoms in enumerate(groups):
        for atom in atoms:
            if owner[atom] >= 0:
                raise ValueError(
                    f"{names[number]}: atom {atom} is in {names[owner[atom]]} too; an atom belongs "
                    "to one group"
                )
            owner[atom] = number
    missing = [atom for atom in range(n_atoms) if owner[atom] < 0]
    if missing:
        raise ValueError(
            "fragments: atoms "
            f"{', '.join(map(str, missing[:10]))}{' ...' if len(missing) > 10 else ''} are in no "
            "fragment"
            f"{' and no electrode' if plates else ''}; every atom needs one"
        )
    if plates:
        charges.append(total_charge - sum(charges))
    elif abs(sum(charges) - total_charge) > 1e-9:
        raise ValueError(
            f"fragment_charges: they add up to {sum(charges):g} e, and total_charge is "
            f"{total_charge:g} e; correct one"
        )
    voltage = torch.zeros(n_atoms, dtype=torch.float64)
    for atoms, value in plates:
        voltage[torch.tensor(atoms)] = value
    first = torch.tensor([min(atoms) for atoms in groups])
    fragment = torch.tensor(owner)
    charge = torch.tensor(charges, dtype=torch.float64)
    return Groups(fragment, charge, first, voltage, fragment >= len(lists) - metals)


def fragments_of(fragments: Any) -> list[Any]:
    """The fragments as a list, empty for None; what each holds is not looked at."""
    return _entries(
        "fragments",
        fragments,
        "a list with the atoms of each fragment, such as [[0, 1, 2], [3, 4, 5]]",
    )


def electrodes_of(electrodes: Any, n_atoms: int) -> list[tuple[list[int], float]]:
    """Atoms and voltage (V) of each electrode, none for None; ValueError for anything else."""
    plates = _entries(
        "electrodes",
        electrodes,
        "a list with (atoms, voltage) of each, such as [([0, 1], 0.0), ([2, 3], 1.5)]",
    )
    return [_electrode(k, electrode, n_atoms) for k, electrode in enumerate(plates)]


def _entries(name: str, value: Any, expected: str) -> list[Any]:
    if value is None:
        return []
    if isinstance(value, Mapping | str) or not isinstance(value, Iterable):
        raise ValueError(f"{name}: expected {expected}, got {value!r}")
    return list(value)


def _atoms(name: str, atoms: Any, n_atoms: int) -> list[int]:
    if isinstance(atoms, str) or not isinstance(atoms, Iterable):
        raise ValueError(f"{name}: expected indices of atoms, got {atoms!r}")
    indices = list(atoms)
    wrong = [
        index
        for index in indices
        if isinstance(index, bool)
        or not isinstance(index, Integral)
        or not 0 <= int(index) < n_atoms
    ]
    if wrong or not indices:
        raise ValueError(
            f"{name}: expected indices from 0 to {n_atoms - 1}, got "
            f"{repr(wrong[0]) if wrong else 'none'}"
        )
    if len(set(indices)) < len(indices):
        raise ValueError(f"{name}: an atom is listed more than once: {sorted(indices)}")
    return [int(index) for index in indices]


def _electrode(number: int, electrode: Any, n_atoms: int) -> tuple[list[int], float]:
    name = f"electrodes[{number}]"
    if (
        isinstance(electrode, Mapping | str)
        or not isinstance(electrode, Sequence)
        or len(electrode) != 2
    ):
        raise ValueError(f"{name}: expected (atoms, voltage), got {electrode!r}")
    atoms, voltage = electrode
    if isinstance(voltage, bool) or not isinstance(voltage, Real) or not abs(float(voltage)) < 1e6:
        raise ValueError(f"{name}: expected a voltage in V, got {voltage!r}")
    return _atoms(f"{name} atoms", atoms, n_atoms), float(voltage)


def _charges(charges: Any, n_fragments: int) -> list[float]:
    if charges is None:
        return [0.0] * n_fragments
    values: list[Any] = (
        list(charges) if isinstance(charges, Iterable) and not isinstance(charges, str) else [None]
    )
    if len(values) != n_fragments or not all(
        isinstance(value, Real) and abs(float(value)) < 1e6 for value in values
    ):
        raise ValueError(
            f"fragment_charges: expected {n_fragments} numbers in e, one for each fragment; got "
            f"{charges!r}"
        )
    return [float(value) for value in values]
