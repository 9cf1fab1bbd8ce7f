"""Residues and names that fit the fixed columns of a PDB file.

A name of an atom has at most four characters, and within a residue there is one of each: O1, O2, ...
or O where there is only one. What needs more names than that, a crystal, a network, a long chain,
becomes several residues of the same name. The numbers of residues, four digits, begin anew in
another chain.
"""

from collections import Counter
from collections.abc import Sequence

import numpy as np
from openmm import app

from openmm_pqeq.topology.molecules import Molecules

LONGEST_NAME = 4
MOST_RESIDUES = 9999
"""Of one chain."""


def topology_of(symbols: Sequence[str], molecules: Molecules) -> app.Topology:
    """A residue or several for each molecule, in as few chains as can be, and the bonds."""
    topology = app.Topology()
    chain = topology.addChain()
    atoms: dict[int, app.topology.Atom] = {}
    for members, name in zip(molecules.members, molecules.names):
        for part in named_parts(members, symbols):
            if len(chain) == MOST_RESIDUES:
                chain = topology.addChain()
            residue = topology.addResidue(name, chain)
            for atom, label in part.items():
                element = _element(symbols[atom])
                atoms[atom] = topology.addAtom(label, element, residue)
    for i, j in molecules.bonds:
        topology.addBond(atoms[i], atoms[j])
    return topology


def named_parts(members: np.ndarray, symbols: Sequence[str]) -> list[dict[int, str]]:
    """Names by atom; a new part begins where the next name would be too long."""
    parts: list[dict[int, str]] = [{}]
    count = Counter[str]()
    for atom in members.tolist():
        symbol = symbols[atom]
        if len(f"{symbol}{count[symbol] + 1}") > LONGEST_NAME:
            parts.append({})
            count.clear()
        count[symbol] += 1
        parts[-1][atom] = f"{symbol}{count[symbol]}"
    return [_lone_names(part, symbols) for part in parts]


def _lone_names(part: dict[int, str], symbols: Sequence[str]) -> dict[int, str]:
    """The names of a part without the number where an element has one atom only."""
    total = Counter(symbols[atom] for atom in part)
    return {
        atom: symbols[atom] if total[symbols[atom]] == 1 else label for atom, label in part.items()
    }


def repeated_cells(n_atoms: int, n_cells: int) -> Molecules:
    """A crystal without molecules: a residue for each repetition of the file's cell."""
    cells = np.split(np.arange(n_atoms), n_cells)
    return Molecules(list(cells), ["STR"] * n_cells, [])


def _element(symbol: str) -> app.Element:
    """OpenMM's element; it has none for the heaviest."""
    try:
        return app.Element.getBySymbol(symbol)
    except KeyError:
        raise ValueError(f"expected elements that OpenMM has, got {symbol}") from None
