"""Crystals of many elements, built from simple prototypes: what a foundation model is asked about
while it learns something else.

The shortest distance is that of the covalent radii (Cordero et al., Dalton Trans. 2008, 2832,
https://doi.org/10.1039/b801115j, as ASE has them). Å.
"""

from typing import NamedTuple, Sequence

import ase
import numpy as np
from ase.data import atomic_numbers, covalent_radii

ANIONS = frozenset(["H", "N", "O", "F", "P", "S", "Cl", "As", "Se", "Br", "Te", "I"])


class Prototype(NamedTuple):
    """A cubic structure.

    sites : (kind, x, y, z), the kind counting the elements, in fractions of the cell
    shortest : over the edge of the cell, the distance between the two kinds of `bond`
    anion : the kind that is an anion in an ionic crystal; −1: none
    """

    sites: tuple[tuple[int, float, float, float], ...]
    shortest: float
    bond: tuple[int, int]
    anion: int


def _centred(
    kind: int, x: float, y: float, z: float
) -> tuple[tuple[int, float, float, float], ...]:
    """A site and its three copies in a face-centred cell."""
    moves = ((0.0, 0.0, 0.0), (0.0, 0.5, 0.5), (0.5, 0.0, 0.5), (0.5, 0.5, 0.0))
    return tuple((kind, (x + a) % 1, (y + b) % 1, (z + c) % 1) for a, b, c in moves)


PROTOTYPES = {
    "fcc": Prototype(_centred(0, 0, 0, 0), 0.5**0.5, (0, 0), -1),
    "bcc": Prototype(((0, 0, 0, 0), (0, 0.5, 0.5, 0.5)), 0.75**0.5, (0, 0), -1),
    "CsCl": Prototype(((0, 0, 0, 0), (1, 0.5, 0.5, 0.5)), 0.75**0.5, (0, 1), 1),
    "rock salt": Prototype((*_centred(0, 0, 0, 0), *_centred(1, 0.5, 0, 0)), 0.5, (0, 1), 1),
    "zinc blende": Prototype(
        (*_centred(0, 0, 0, 0), *_centred(1, 0.25, 0.25, 0.25)), 3**0.5 / 4, (0, 1), 1
    ),
    "fluorite": Prototype(
        (*_centred(0, 0, 0, 0), *_centred(1, 0.25, 0.25, 0.25), *_centred(1, 0.75, 0.75, 0.75)),
        3**0.5 / 4,
        (0, 1),
        1,
    ),
    "perovskite": Prototype(
        ((0, 0.5, 0.5, 0.5), (1, 0, 0, 0), (2, 0.5, 0, 0), (2, 0, 0.5, 0), (2, 0, 0, 0.5)),
        0.5,
        (1, 2),
        2,
    ),
}


def varied_crystals(
    species: Sequence[str], n: int, known: Sequence[str], seed: int
) -> list[ase.Atoms]:
    """`n` crystals of elements among `species`, each with one at least that is not in `known`.

    Half of those whose prototype has an anion are salts, as far as `species` allows: one of
    `ANIONS` in its place, and none elsewhere. Raises ValueError where `known` leaves no element.
    """
    if set(species) <= set(known):
        raise ValueError(
            "start.replay: expected a model with elements that the data do not have, got none but "
            f"{', '.join(species)}; name structures with start.replay_files"
        )
    random = np.random.default_rng(seed)
    prototypes = list(PROTOTYPES.values())
    ions = 0 < len(ANIONS & set(species)) < len(set(species))
    crystals = []
    for index in range(n):
        turn, which = divmod(index, len(prototypes))
        salt = ions and turn % 2 == 0 and prototypes[which].anion >= 0
        chosen = _elements(prototypes[which], species, known, salt, random)
        crystals.append(crystal(prototypes[which], chosen))
    return crystals


def crystal(prototype: Prototype, elements: Sequence[str]) -> ase.Atoms:
    """A cell with an element for each kind, whose bond is the sum of the covalent radii."""
    radii = [covalent_radii[atomic_numbers[symbol]] for symbol in elements]
    edge = sum(radii[kind] for kind in prototype.bond) / prototype.shortest
    return ase.Atoms(
        [elements[kind] for kind, *_ in prototype.sites],
        scaled_positions=[place for _, *place in prototype.sites],
        cell=[edge] * 3,
        pbc=True,
    )


def _elements(
    prototype: Prototype,
    species: Sequence[str],
    known: Sequence[str],
    salt: bool,
    random: np.random.Generator,
) -> list[str]:
    """Drawn until they are what is asked for."""
    kinds = range(1 + max(kind for kind, *_ in prototype.sites))
    while True:
        chosen = [str(symbol) for symbol in random.choice(list(species), len(kinds))]
        fits = all((chosen[kind] in ANIONS) == (kind == prototype.anion) for kind in kinds)
        if (fits or not salt) and not set(chosen) <= set(known):
            return chosen
