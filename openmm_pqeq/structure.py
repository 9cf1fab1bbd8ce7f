"""The data in flight, and its glossary.

A `Structure` is one structure or a batch of them laid end to end. All terms of the potential read
it and none writes to it.

n_atoms       atoms of all structures together
n_structures  structures in the batch; `batch` says for each atom which one it belongs to
cell          rows are lattice vectors; r_ij = r_j − r_i + S·cell for an image with integer shift S
field         electric field F; a fixed charge feels the force +q F
"""

from typing import NamedTuple, Sequence

import torch
from torch import Tensor

# fmt: off
SYMBOLS = [
    "X", "H", "He",
    "Li", "Be", "B", "C", "N", "O", "F", "Ne",
    "Na", "Mg", "Al", "Si", "P", "S", "Cl", "Ar",
    "K", "Ca", "Sc", "Ti", "V", "Cr", "Mn", "Fe", "Co", "Ni", "Cu", "Zn", "Ga", "Ge", "As", "Se", "Br", "Kr",
    "Rb", "Sr", "Y", "Zr", "Nb", "Mo", "Tc", "Ru", "Rh", "Pd", "Ag", "Cd", "In", "Sn", "Sb", "Te", "I", "Xe",
    "Cs", "Ba", "La", "Ce", "Pr", "Nd", "Pm", "Sm", "Eu", "Gd", "Tb", "Dy", "Ho", "Er", "Tm", "Yb",
    "Lu", "Hf", "Ta", "W", "Re", "Os", "Ir", "Pt", "Au", "Hg", "Tl", "Pb", "Bi", "Po", "At", "Rn",
    "Fr", "Ra", "Ac", "Th", "Pa", "U", "Np", "Pu", "Am", "Cm", "Bk", "Cf", "Es", "Fm", "Md", "No",
    "Lr", "Rf", "Db", "Sg", "Bh", "Hs", "Mt", "Ds", "Rg", "Cn", "Nh", "Fl", "Mc", "Lv", "Ts", "Og",
]
# fmt: on
"""Element symbols by atomic number; SYMBOLS[0] is no element."""

ATOMIC_NUMBERS = {symbol: number for number, symbol in enumerate(SYMBOLS) if number > 0}
"""Atomic numbers by element symbol."""

FARTHEST = 1e8
"""Å of a coordinate; those of larger ones are known to no more than 1e-8 Å in double precision."""


class Structure(NamedTuple):
    """Atoms in flight: tensors on one device.

    positions : (n_atoms, 3) Å
    numbers : (n_atoms,) int64, atomic numbers
    cell : (n_structures, 3, 3) Å, rows are lattice vectors; a row of a direction that is not
        periodic may be zero
    pbc : (n_structures, 3) bool, which lattice vectors are periodic
    batch : (n_atoms,) int64, ascending: the structure an atom belongs to
    total_charge : (n_structures,) e
    field : (n_structures, 3) V/Å
    only_energy : nothing but the energy and its gradients in positions and cell is wanted: a term
        may leave charges out that it needs none for
    reference_charges : (n_atoms,) e, Q⁰ of charges by bonds (pqeq/bonds.py), each structure's with
        the sum of its total charge; None where nobody has said
    """

    positions: Tensor
    numbers: Tensor
    cell: Tensor
    pbc: Tensor
    batch: Tensor
    total_charge: Tensor
    field: Tensor
    only_energy: bool = False
    reference_charges: Tensor | None = None


def structure_of(
    positions: Tensor,
    numbers: Tensor,
    cell: Tensor | None = None,
    pbc: Tensor | None = None,
    total_charge: float = 0.0,
    field: Tensor | None = None,
    reference_charges: Tensor | None = None,
) -> Structure:
    """One structure from its arrays; everything takes the dtype and device of `positions`.

    Parameters
    ----------
    positions : (n_atoms, 3) Å
    numbers : (n_atoms,) atomic numbers
    cell : (3, 3) Å, rows; without it nothing is periodic
    pbc : (3,) bool; default: all True where a cell is given
    total_charge : e
    field : (3,) V/Å
    reference_charges : (n_atoms,) e, of charges by bonds
    """
    device = positions.device
    if cell is None:
        cell, pbc = torch.zeros(3, 3), torch.zeros(3, dtype=torch.bool)
    if pbc is None:
        pbc = torch.ones(3, dtype=torch.bool)
    if field is None:
        field = torch.zeros(3)
    return Structure(
        positions=positions,
        numbers=numbers.to(device=device, dtype=torch.int64),
        cell=cell.to(positions).reshape(1, 3, 3),
        pbc=pbc.to(device).reshape(1, 3),
        batch=torch.zeros(len(positions), dtype=torch.int64, device=device),
        total_charge=torch.full((1,), float(total_charge), dtype=positions.dtype, device=device),
        field=field.to(positions).reshape(1, 3),
        reference_charges=None if reference_charges is None else reference_charges.to(positions),
    )


def collate(structures: Sequence[Structure]) -> Structure:
    """Lay structures end to end as one batch; it has reference charges if all of them have."""
    reference = [s.reference_charges for s in structures if s.reference_charges is not None]
    offsets = [0]
    for structure in structures:
        offsets.append(offsets[-1] + len(structure.cell))
    return Structure(
        positions=torch.cat([s.positions for s in structures]),
        numbers=torch.cat([s.numbers for s in structures]),
        cell=torch.cat([s.cell for s in structures]),
        pbc=torch.cat([s.pbc for s in structures]),
        batch=torch.cat([s.batch + offset for s, offset in zip(structures, offsets)]),
        total_charge=torch.cat([s.total_charge for s in structures]),
        field=torch.cat([s.field for s in structures]),
        reference_charges=torch.cat(reference) if len(reference) == len(structures) else None,
    )


def select_structure(structure: Structure, index: int) -> Structure:
    """Structure number `index` of a batch, by itself (TorchScript)."""
    atoms = structure.batch == index
    reference = structure.reference_charges
    return Structure(
        positions=structure.positions[atoms],
        numbers=structure.numbers[atoms],
        cell=structure.cell[index : index + 1],
        pbc=structure.pbc[index : index + 1],
        batch=torch.zeros_like(structure.batch[atoms]),
        total_charge=structure.total_charge[index : index + 1],
        field=structure.field[index : index + 1],
        only_energy=structure.only_energy,
        reference_charges=None if reference is None else reference[atoms],
    )


def deformed(structure: Structure, strain: Tensor) -> Structure:
    """The structure under a homogeneous strain (n_structures, 3, 3): every vector v becomes v(1 +
    ε)."""
    positions = structure.positions
    stretched = positions + torch.matmul(positions.unsqueeze(1), strain[structure.batch]).squeeze(1)
    cell = structure.cell + torch.matmul(structure.cell, strain)
    return Structure(
        stretched,
        structure.numbers,
        cell,
        structure.pbc,
        structure.batch,
        structure.total_charge,
        structure.field,
        structure.only_energy,
        structure.reference_charges,
    )
