"""Bonds between atoms of one element, from distances: what a composition does not say of its anions.

    |r_ij| < 1.1 (R_i + R_j)      one pair of electrons; two in nitrogen below 0.9 (R_i + R_j)

with the covalent radii R of Cordero et al. (covalent_radii.py), and 0.73 Å for oxygen, half the bond
of a peroxide. Between the bonds of polyanions (1.05 and less) and the contacts of ions (1.2 and more,
in three thousand crystals) is a gap. Å.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch

from openmm_pqeq.covalent_radii import covalent_radii
from openmm_pqeq.neighbors.search import NeighborSearch
from openmm_pqeq.reference_charges.oxidation import OCTET
from openmm_pqeq.structure import ATOMIC_NUMBERS, structure_of

LONGEST, LONGEST_DOUBLE = 1.1, 0.9
"""Of a bond, in sums of radii."""
PEROXIDE = 0.73
"""Å, half of the bond in H2O2 and in the peroxides of metals (1.45 to 1.50 Å)."""


class LikeBonds(NamedTuple):
    """Bonds between atoms of one element, each in both directions.

    n_atoms : of the structure
    atoms : (n_bonds,) one of the two
    shifts : (n_bonds, 3) cells between them
    orders : (n_bonds,)
    """

    n_atoms: int
    atoms: np.ndarray
    shifts: np.ndarray
    orders: np.ndarray

    def counted(self, periodic: Sequence[bool]) -> list[float]:
        """For each atom the orders of its bonds, added up, without those across faces that are not
        `periodic`."""
        there = ~self.shifts[:, ~np.asarray(periodic, dtype=bool)].any(axis=1)
        found = np.zeros(self.n_atoms)
        np.add.at(found, self.atoms[there], self.orders[there])
        return found.tolist()


def like_bonds(
    numbers: Sequence[int] | np.ndarray,
    positions: np.ndarray,
    cell: np.ndarray | None,
    pbc: Sequence[bool] | np.ndarray,
) -> list[float]:
    """For each atom the orders of its bonds to its own element, added up; of the elements in `OCTET`.

    numbers : (n_atoms,) atomic numbers; positions : (n_atoms, 3) Å
    cell : (3, 3) Å, rows, or None; pbc : which rows are periodic
    """
    return find_like_bonds(numbers, positions, cell, pbc).counted([True] * 3)


def find_like_bonds(
    numbers: Sequence[int] | np.ndarray,
    positions: np.ndarray,
    cell: np.ndarray | None,
    pbc: Sequence[bool] | np.ndarray,
) -> LikeBonds:
    """The bonds that `like_bonds` counts."""
    numbers = np.asarray(numbers)
    radii = covalent_radii().numpy().copy()
    radii[ATOMIC_NUMBERS["O"]] = PEROXIDE
    chosen = np.flatnonzero(np.isin(numbers, [ATOMIC_NUMBERS[element] for element in OCTET]))
    if not len(chosen):
        return LikeBonds(len(numbers), chosen, np.zeros((0, 3)), np.zeros(0))
    kinds = numbers[chosen]
    periodic = cell is not None and bool(np.any(pbc))
    here = structure_of(
        torch.tensor(np.asarray(positions, dtype=float)[chosen]),
        torch.tensor(kinds),
        torch.tensor(np.asarray(cell, dtype=float)) if periodic else None,
        torch.tensor(np.asarray(pbc, dtype=bool)) if periodic else None,
    )
    pairs = NeighborSearch(2 * LONGEST * float(radii[kinds].max()))(here)
    i, j = pairs.centers.numpy(), pairs.neighbors.numpy()
    x = pairs.distances.numpy() / (radii[kinds[i]] + radii[kinds[j]])
    bonded = (kinds[i] == kinds[j]) & (x < LONGEST)
    double = (kinds[i] == ATOMIC_NUMBERS["N"]) & (x < LONGEST_DOUBLE)
    orders = np.where(double, 2.0, 1.0)[bonded]
    return LikeBonds(len(numbers), chosen[i[bonded]], pairs.shifts.numpy()[bonded], orders)
