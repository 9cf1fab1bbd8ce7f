"""The surroundings of all atoms, as every layer of the network reads them.

The neighbours of an atom lie side by side, and every atom has the same number of places: as many as
the atom with most neighbours needs. A sum over neighbours is then a product of matrices, the same
on every run. In an empty place basis and harmonics are zero, and so is what it adds.
"""

from typing import NamedTuple

import torch
from torch import Tensor


class Neighborhood(NamedTuple):
    """Neighbours of all atoms, n_places = n_atoms · (places of one atom).

    neighbors : (n_places,) int64; 0 in an empty place
    basis : (n_places, n_basis), radial
    harmonics : (n_places, n_harmonics)
    """

    neighbors: Tensor
    basis: Tensor
    harmonics: Tensor


class Species(NamedTuple):
    """Atoms sorted by species.

    order : (n_atoms,) int64, the atoms, species by species
    rank : (n_atoms,) int64, the place of an atom in `order`
    counts : atoms of each species
    """

    order: Tensor
    rank: Tensor
    counts: list[int]


def neighborhood(
    n_atoms: int, centers: Tensor, neighbors: Tensor, basis: Tensor, harmonics: Tensor
) -> Neighborhood:
    """Lay out pairs, sorted by `centers`, atom by atom."""
    counts = torch.bincount(centers, minlength=n_atoms)
    places = max(int(counts.max()), 1)
    before = torch.cumsum(counts, 0) - counts
    rank = torch.arange(centers.size(0), device=centers.device) - before[centers]
    place = centers * places + rank
    n_places = n_atoms * places
    return Neighborhood(
        neighbors.new_zeros(n_places).index_copy(0, place, neighbors),
        basis.new_zeros(n_places, basis.size(1)).index_copy(0, place, basis),
        harmonics.new_zeros(n_places, harmonics.size(1)).index_copy(0, place, harmonics),
    )


def by_species(index: Tensor, n_species: int) -> Species:
    """Sort atoms by their species `index` (n_atoms,)."""
    order = torch.argsort(index, stable=True)
    counts: list[int] = torch.bincount(index, minlength=n_species).tolist()
    return Species(order, torch.argsort(order), counts)


def species_index(numbers: Tensor, index_of: Tensor, species: list[str]) -> Tensor:
    """Position in `species` of each atomic number (n_atoms,); raises for one that is not there.

    index_of : position by atomic number, −1 for an unknown element; the last entry is for numbers
        beyond the table
    """
    index = index_of[numbers.clamp(0, index_of.size(0) - 1)]
    unknown = numbers[index < 0]
    if unknown.numel() > 0:
        raise ValueError(
            f"the network knows the elements {species} and not atomic number {int(unknown[0])}; "
            "use a model trained for it"
        )
    return index
