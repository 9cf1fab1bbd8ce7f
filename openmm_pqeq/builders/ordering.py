"""Ordered arrangements of crystals with partial occupation.

    E = ½ Σ_ij q_i q_j M_ij                         Ewald sum of point charges, M from pymatgen
    n_s = Σ occupancy of a species over its kind of sites, rounded so that all sites are counted

Species and vacancies are put on the sites of a supercell at random, as many as the occupancies say,
and exchanged within each kind of site, hot first and then cold (Metropolis), towards a low
electrostatic energy; sites that are too near to be occupied together (the split sites of lithium in
garnets) repel strongly. Repeated with other random numbers it gives several arrangements, the lowest
first. Charges are formal ones: the order is a guess of the real one. Å, e, eV.
"""

import os
import warnings
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import ase
import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Integers = NDArray[np.int64]

VACANCY = ""
PENALTY = 50.0
"""eV, of two atoms nearer than they may be."""
HOT, COLD = 2.0, 0.01
"""eV, kT at the beginning and at the end."""
SWEEPS = 300
"""Exchanges tried for each site that can change."""


class Ordered(NamedTuple):
    """An arrangement: atoms, its electrostatic energy (eV, of point charges; differences mean
    something), and how many pairs are nearer than allowed."""

    atoms: ase.Atoms
    energy: float
    too_near: int


class Kind(NamedTuple):
    """Sites of one kind: indices, and what is to be put on them, as often."""

    sites: Integers
    species: list[str]


def ordered(
    file: str | os.PathLike[str],
    charges: Mapping[str, float],
    seed: int,
    supercell: Sequence[int] = (1, 1, 1),
    number: int = 1,
    closest: float = 1.5,
) -> list[Ordered]:
    """Arrangements of a CIF with partial occupation, the lowest energy first.

    Parameters
    ----------
    file : CIF
    charges : formal charge by element, e
    seed : of the random numbers
    supercell : repeats along the cell vectors; larger ones come nearer to the occupancies
    number : how many, each from its own start
    closest : Å, nearer sites are not occupied together

    Raises ImportError without pymatgen, ValueError where the arrangement has a charge.
    """
    structure = _read(file, supercell)
    elements = sorted({str(e.symbol) for site in structure for e in site.species.elements})
    if missing := [element for element in elements if element not in charges]:
        raise ValueError(f"charges: expected one of each of {', '.join(elements)}; {missing[0]} has none")  # fmt: skip
    kinds = kinds_of(structure)
    total = sum(charges[each] for kind in kinds for each in kind.species if each != VACANCY)
    if abs(total) > 1e-6:
        raise ValueError(
            f"charges: this arrangement has {total:+g} e, from {_counts(kinds)}; another supercell "
            "comes nearer to the occupancies, or the charges are not those of this crystal"
        )
    near = (structure.distance_matrix < closest) & ~np.eye(len(structure), dtype=bool)
    attraction = _interaction(structure)
    random = np.random.default_rng(seed)
    found = [
        _anneal(kinds, attraction, PENALTY * near, charges, random) for _ in range(max(1, number))
    ]
    results = []
    for species, energy in sorted(found, key=lambda each: each[1]):
        occupied = [k for k, each in enumerate(species) if each != VACANCY]
        too_near = int(near[np.ix_(occupied, occupied)].sum()) // 2
        atoms = ase.Atoms(
            [species[k] for k in occupied],
            positions=structure.cart_coords[occupied],
            cell=structure.lattice.matrix,
            pbc=True,
        )
        results.append(Ordered(atoms[np.argsort(atoms.numbers, kind="stable")], energy, too_near))
    return results


def _read(file: str | os.PathLike[str], supercell: Sequence[int]) -> Any:
    """pymatgen's Structure, repeated."""
    try:
        from pymatgen.core import Structure
    except ImportError:
        raise ImportError(
            "ordered: partial occupation needs pymatgen (pip install openmm-pqeq[analysis])"
        ) from None
    if not os.path.isfile(file):
        raise FileNotFoundError(f"file: {file} does not exist; expected a CIF")
    if len(supercell) != 3 or min(supercell) < 1:
        raise ValueError(f"supercell: expected three numbers above zero, got {tuple(supercell)}")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of pymatgen, about rounding and labels of the file
        try:
            structure = Structure.from_file(str(file), occupancy_tolerance=1.05)
        except Exception as error:  # of any kind, from a parser of text
            raise ValueError(f"file: {file} cannot be read as CIF ({error})") from None
    structure.remove_oxidation_states()
    structure.make_supercell([int(each) for each in supercell])
    return structure


def kinds_of(structure: Any) -> list[Kind]:
    """Sites with the same occupation together, and what is to be put on them: the occupancies times
    their number, rounded by largest remainder."""
    groups: dict[tuple[tuple[str, float], ...], list[int]] = {}
    for index, site in enumerate(structure):
        parts = {str(e.symbol): 0.0 for e in site.species.elements}
        for element, part in site.species.items():
            parts[str(element.symbol)] += float(part)
        groups.setdefault(tuple(sorted((s, round(x, 4)) for s, x in parts.items())), []).append(index)  # fmt: skip
    kinds = []
    for occupation, sites in groups.items():
        names = [name for name, _ in occupation] + [VACANCY]
        parts_ = np.array([part for _, part in occupation])
        exact = len(sites) * np.append(parts_, max(0.0, 1 - parts_.sum()))
        exact *= len(sites) / exact.sum()
        whole = np.floor(exact + 1e-6).astype(int)
        for k in np.argsort(whole - exact, kind="stable")[: len(sites) - whole.sum()]:
            whole[k] += 1
        species = [name for name, times in zip(names, whole) for _ in range(times)]
        kinds.append(Kind(np.array(sites), species))
    return kinds


def _counts(kinds: Sequence[Kind]) -> str:
    every = [each for kind in kinds for each in kind.species if each != VACANCY]
    return " ".join(f"{name}{every.count(name)}" for name in sorted(set(every)))


def _interaction(structure: Any) -> Array:
    """(n, n) eV/e²: M, of which ½ Σ q M q is the energy of any charges on these sites."""
    from pymatgen.analysis.ewald import EwaldSummation
    from pymatgen.core import Structure

    unit = Structure(structure.lattice, ["H+"] * len(structure), structure.frac_coords)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a charged cell: its background is the same for all orders
        return 2 * np.asarray(EwaldSummation(unit).total_energy_matrix)


def _anneal(
    kinds: Sequence[Kind],
    attraction: Array,
    penalty: Array,
    charges: Mapping[str, float],
    random: np.random.Generator,
) -> tuple[list[str], float]:
    """Species of all sites at a low energy, and the electrostatic part of it.

    attraction : (n, n) eV/e² between charges
    penalty : (n, n) eV between atoms of any kind
    """
    species = [VACANCY] * len(attraction)
    movable: list[Integers] = []
    for kind in kinds:
        for site, name in zip(kind.sites, random.permutation(np.array(kind.species, dtype=object))):
            species[site] = name
        if len(set(kind.species)) > 1:
            movable.append(kind.sites)
    charge = np.array([0.0 if name == VACANCY else charges[name] for name in species])
    presence = np.array([float(name != VACANCY) for name in species])
    parts = [(attraction, charge, attraction @ charge), (penalty, presence, penalty @ presence)]
    n_steps = SWEEPS * sum(len(sites) for sites in movable)
    weights = np.array([len(sites) for sites in movable], dtype=float)
    for step in range(n_steps):
        sites = movable[random.choice(len(movable), p=weights / weights.sum())]
        i, j = random.choice(sites, 2, replace=False)
        if species[i] == species[j]:
            continue
        cost = sum(_cost(matrix, value, potential, i, j) for matrix, value, potential in parts)
        kt = HOT * (COLD / HOT) ** (step / n_steps)
        if cost <= 0 or random.random() < np.exp(-cost / kt):
            species[i], species[j] = species[j], species[i]
            for matrix, value, potential in parts:
                potential += (value[j] - value[i]) * (matrix[:, i] - matrix[:, j])
                value[i], value[j] = value[j], value[i]
    return species, float(0.5 * charge @ attraction @ charge)


def _cost(matrix: Array, value: Array, potential: Array, i: int, j: int) -> float:
    """Change of ½ v·M·v where the values of two sites are exchanged; potential = M·v."""
    change = value[j] - value[i]
    curvature = matrix[i, i] + matrix[j, j] - 2 * matrix[i, j]
    return float(change * (potential[i] - potential[j]) + 0.5 * change**2 * curvature)
