"""Sites of a crystal that are no simulation's: shared by elements, partly empty, in no space.

An occupancy of ? or . is one that the file does not give, and means 1.
"""

import re
from collections import defaultdict
from numbers import Real
from typing import Any

import ase
import numpy as np
import torch
from ase.io.cif import parse_cif

from openmm_pqeq.neighbors.pairs import check_distances
from openmm_pqeq.neighbors.search import NeighborSearch
from openmm_pqeq.structure import structure_of

LEAST_VOLUME = 1.5
"""Å³ for an atom of a crystal. Diamond has 5.7; hydrogen, the densest, has this at 2.7 million bar by
the equation of state of P. Loubeyre et al., Nature 383, 702 (1996), doi:10.1038/383702a0."""

SEARCHED = 2.5
"""Å within which atoms at one place are looked for: coarse, for a grid of few cells."""

REMEDY = (
    "Choose one ordered arrangement, in a supercell if need be, and write that to a file: "
    "openmm-pqeq build order FILE.cif --charges ELEMENT=Z ... -o ordered.extxyz makes one"
)


def refuse_partial_sites(atoms: ase.Atoms) -> None:
    """ValueError for sites that several elements share, or that are partly empty."""
    table = atoms.info.get("occupancy")
    sites = (
        [site for site in table.values() if isinstance(site, dict)]
        if isinstance(table, dict)
        else []
    )
    shared = [site for site in sites if [_part(part) for part in site.values()] != [1.0]]
    if shared:
        words = [
            " + ".join(f"{_part(part):g} {symbol}" for symbol, part in site.items())
            for site in shared
        ]
        raise ValueError(
            f"expected every site fully occupied by one element, got {'; '.join(words[:5])}. "
            f"{REMEDY}"
        )


def _part(value: Any) -> float:
    """Occupancy as a number."""
    if isinstance(value, str):
        known = re.match(r"\d*\.?\d+", value)
        return float(known[0]) if known else 1.0
    return float(value) if isinstance(value, Real) else 1.0


def refuse_shared_sites_of_cif(text: Any, index: int) -> None:
    """ValueError where symmetry puts two elements on one site of the file's structure `index`; ASE
    keeps the first of them.

    text : an open file
    """
    try:
        blocks = [block for block in parse_cif(text) if block.has_structure()]
        sites, spacegroup = (
            blocks[index].get_unsymmetrized_structure(),
            blocks[index].get_spacegroup(True),
        )
        tags = spacegroup.tag_sites(sites.get_scaled_positions(wrap=True), symprec=1e-3)
    except Exception as error:  # ASE raises anything at all
        reason = str(error).strip() or type(error).__name__
        raise ValueError(
            "expected sites that symmetry tells apart, and ASE cannot say which are the same "
            f"({reason}). Correct the symmetry in the file, or write it without any"
        ) from error
    kinds: dict[int, set[tuple[str, float]]] = defaultdict(set)
    for tag, symbol, mass in zip(tags, sites.symbols, sites.get_masses()):
        kinds[int(tag)].add((symbol, float(mass)))
    shared = [sorted(kind) for kind in kinds.values() if len(kind) > 1]
    if shared:
        words = [" and ".join(symbol for symbol, _ in kind) for kind in shared]
        raise ValueError(
            f"expected one element on every site, got {'; '.join(words[:5])} on one, each as if "
            f"it were alone there. {REMEDY}"
        )


def refuse_singular(atoms: ase.Atoms) -> None:
    """ValueError for cell vectors of periodic directions that span nothing."""
    periodic = atoms.cell.array[atoms.pbc]
    lengths = np.linalg.norm(periodic, axis=1)
    if (lengths < 1e-3).any() or (
        len(periodic) and np.linalg.svd(periodic / lengths[:, None])[1].min() < 1e-3
    ):
        raise ValueError(
            "atoms.cell: singular; expected linearly independent vectors along the periodic "
            f"directions {atoms.pbc.tolist()}, got {atoms.cell.array.tolist()} (Å). Give a cell, or "
            "set atoms.pbc to what is periodic"
        )


def refuse_no_volume(atoms: ase.Atoms) -> None:
    """ValueError for a crystal with less volume for an atom than any matter has."""
    volume = abs(np.linalg.det(atoms.cell.array)) / len(atoms)
    if atoms.pbc.all() and 0 < volume < LEAST_VOLUME:
        raise ValueError(
            f"expected at least {LEAST_VOLUME} Å³ for an atom, got {volume:.3g} (cell edges "
            f"{np.round(atoms.cell.lengths(), 3).tolist()} Å for {len(atoms)} atoms). Are the "
            "lengths in Å? Are sites listed more than once? A structure without a cell must not "
            "give one"
        )


def refuse_coincident(atoms: ase.Atoms) -> None:
    """ValueError for two atoms, or images, at one place, which no potential takes: before it is
    compiled."""
    periodic = bool(atoms.pbc.any())
    structure = structure_of(
        torch.tensor(atoms.positions),
        torch.tensor(atoms.numbers),
        torch.tensor(atoms.cell.array) if periodic else None,
        torch.tensor(atoms.pbc) if periodic else None,
    )
    check_distances(NeighborSearch(SEARCHED)(structure), structure.numbers)
