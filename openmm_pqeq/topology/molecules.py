"""Molecules of a structure, from distances.

Two non-metals are bonded if |r_ij| < R_i + R_j + 0.3 Å, with the covalent radii R of Cordero et
al., Dalton Trans. 2008, 2832, doi:10.1039/b801115j. Bonds to metals are left out: an ion and the
water around it are not one molecule. Å throughout.
"""

from collections import Counter, deque
from typing import NamedTuple

import numpy as np
from ase.data import chemical_symbols, covalent_radii
from ase.neighborlist import primitive_neighbor_list

SLACK = 0.3
"""Å by which a bond may exceed the sum of covalent radii: between the longest bonds (H2: 0.12) and
hydrogen bonds (O-H: 0.5)."""

BONDING = ("H", "B", "C", "N", "O", "F", "Si", "P", "S", "Cl", "As", "Se", "Br", "Te", "I")

IN_FORMULAE = ("B", "Si", "C", "As", "P", "N", "H", "Te", "Se", "S", "I", "Br", "Cl", "O", "F")
"""The order of elements in formulae of non-metals: IUPAC, Nomenclature of Inorganic Chemistry 2005,
table VI."""

URANIUM = 92

LONGEST_NAME = 3
"""Characters of a residue's name in a PDB file."""

NETWORK = "NET"
"""Name of a covalent network that runs through the crystal."""


class Molecules(NamedTuple):
    """Atoms in groups; indices are those of the structure.

    members : for each group its atoms, ascending; the groups are sorted by their first atoms
    names : for each group a residue name
    bonds : pairs of bonded atoms, none in networks that run through the crystal
    """

    members: list[np.ndarray]
    names: list[str]
    bonds: list[tuple[int, int]]


def find_molecules(
    positions: np.ndarray, numbers: np.ndarray, cell: np.ndarray, pbc: np.ndarray
) -> tuple[Molecules, np.ndarray]:
    """Molecules, and positions (n_atoms, 3) in which each of them is whole.

    Parameters
    ----------
    positions : (n_atoms, 3) Å
    numbers : (n_atoms,) atomic numbers
    cell : (3, 3) Å, rows
    pbc : (3,) bool
    """
    centers, neighbors, shifts = _bonds(positions, numbers, cell, pbc)
    starts = np.searchsorted(centers, np.arange(len(positions) + 1))
    whole = positions.copy()
    images = np.zeros((len(positions), 3), dtype=int)
    seen = np.zeros(len(positions), dtype=bool)
    members: list[np.ndarray] = []
    endless: list[bool] = []
    for first in range(len(positions)):
        if seen[first]:
            continue
        group, queue, network = [first], deque([first]), False
        seen[first] = True
        while queue:
            atom = queue.popleft()
            for k in range(starts[atom], starts[atom + 1]):
                other, image = neighbors[k], images[atom] + shifts[k]
                if not seen[other]:
                    seen[other] = True
                    images[other] = image
                    group.append(int(other))
                    queue.append(int(other))
                elif (images[other] != image).any():
                    network = True
        members.append(np.sort(group))
        endless.append(network)
        if not network:
            whole[group] = positions[group] + images[group] @ cell
    of_network = np.zeros(len(positions), dtype=bool)
    for atoms, network in zip(members, endless):
        of_network[atoms] = network
    keep = (centers < neighbors) & ~of_network[centers]
    bonds = [(int(i), int(j)) for i, j in zip(centers[keep], neighbors[keep])]
    return Molecules(members, _names(members, endless, numbers), bonds), whole


def _bonds(
    positions: np.ndarray, numbers: np.ndarray, cell: np.ndarray, pbc: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Directed bonds (i, j, shift), sorted by i."""
    radii = covalent_radii[numbers] + 0.5 * SLACK
    i, j, shifts = primitive_neighbor_list("ijS", pbc, cell, positions, list(radii))
    bonding = np.isin(numbers, [chemical_symbols.index(symbol) for symbol in BONDING])
    keep = bonding[i] & bonding[j]
    i, j, shifts = i[keep], j[keep], shifts[keep]
    order = np.argsort(i, kind="stable")
    return i[order], j[order], shifts[order]


def _names(members: list[np.ndarray], endless: list[bool], numbers: np.ndarray) -> list[str]:
    """Residue names: the element for single atoms, NET for networks, HOH for water, for others the
    formula where it fits, such as CO2, PF6 or OH, else M01, M02, ..."""
    known = {"H2O": "HOH", "HO": "OH"}
    names = []
    for group, network in zip(members, endless):
        if network:
            names.append(NETWORK)
        elif len(group) == 1:
            names.append(chemical_symbols[numbers[group[0]]].upper())
        else:
            formula = _formula(Counter(chemical_symbols[number] for number in numbers[group]))
            if formula not in known:
                numbered = sum(name.startswith("M") for name in known.values())
                known[formula] = _fitting(formula) or f"M{numbered + 1:02d}"
            names.append(known[formula])
    return names


def _formula(count: Counter[str]) -> str:
    """Elements in the order of `IN_FORMULAE`, with their numbers."""
    return "".join(
        f"{symbol}{count[symbol] if count[symbol] > 1 else ''}"
        for symbol in sorted(count, key=IN_FORMULAE.index)
    )


def _fitting(formula: str) -> str | None:
    """The formula in capitals as the name of a residue; None where it is too long for a PDB file, or
    reads as an element, as carbon monoxide does as cobalt."""
    name = formula.upper()
    element = name.capitalize() in chemical_symbols[: URANIUM + 1]
    return None if len(name) > LONGEST_NAME or element else name
