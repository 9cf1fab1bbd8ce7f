"""A box of molecules and ions: a start for liquids and solutions.

Places are those of a cubic grid with at least as many points as molecules, chosen at random; each
molecule is put there in the orientation, of some at random, in which it is farthest from what is
there already. A solute in the middle takes the grid points near it away. Nothing here is in
equilibrium: minimise, then equilibrate. Å, g/cm³.
"""

from collections.abc import Sequence
from typing import NamedTuple

import ase
import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from openmm_pqeq.units import AMU_PER_CUBIC_ANGSTROM_IN_G_PER_CM3

Array = NDArray[np.float64]

ORIENTATIONS = 20
"""Tried for each molecule."""


class Component(NamedTuple):
    """A molecule or ion, and how many of it."""

    molecule: ase.Atoms
    number: int


def cubic_edge(components: Sequence[Component], density: float) -> float:
    """Å: edge of the cube in which these have a density in g/cm³."""
    if not 0 < density < 100:
        raise ValueError(f"density: expected 0 to 100 g/cm³, got {density!r}")
    mass = sum(each.number * float(each.molecule.get_masses().sum()) for each in components)
    return float((mass * AMU_PER_CUBIC_ANGSTROM_IN_G_PER_CM3 / density) ** (1 / 3))


def solution(
    components: Sequence[Component],
    box: Sequence[float],
    seed: int,
    solute: ase.Atoms | None = None,
    closest: float = 1.2,
) -> ase.Atoms:
    """Fill a box.

    Parameters
    ----------
    components : molecules and ions, such as Component(molecule("H2O"), 500), Component(Atoms("Na"), 9)
    box : (3,) Å, edges of a rectangular cell
    seed : of places and orientations
    solute : put into the middle as it is; its atoms come first
    closest : Å, no two atoms of different molecules may be nearer

    Raises ValueError where they do not fit.
    """
    edges = np.asarray(box, dtype=float)
    if edges.shape != (3,) or not ((edges > 0) & np.isfinite(edges)).all():
        raise ValueError(f"box: expected three lengths (Å), got {box!r}")
    if any(each.number < 0 for each in components):
        raise ValueError("components: expected counts of zero or above")
    random = np.random.default_rng(seed)
    atoms = ase.Atoms(cell=np.diag(edges), pbc=True)
    if solute is not None:
        middle = solute.copy()
        middle.positions += 0.5 * edges - middle.positions.mean(axis=0)
        atoms += ase.Atoms(middle.numbers, middle.positions)
    total = sum(each.number for each in components)
    places = random.permutation(_places(edges, total, atoms.positions, closest))[:total]
    order = np.repeat(np.arange(len(components)), [each.number for each in components])
    kinds = random.permutation(order)
    positions = [atoms.positions]
    filled: list[list[tuple[Array, ase.Atoms]]] = [[] for _ in components]
    for place, kind in zip(places, kinds):
        molecule = components[kind].molecule
        there = np.concatenate(positions)
        put, nearest = _oriented(molecule, place, there, edges, random)
        if nearest < closest:
            raise ValueError(
                f"box: {total} molecules do not fit into {np.round(edges, 2).tolist()} Å: two atoms "
                f"are {nearest:.2f} Å from each other; take a larger box, or closest below "
                f"{closest:g} Å"
            )
        positions.append(put)
        filled[kind].append((put, molecule))
    for group in filled:
        for put, molecule in group:
            atoms += ase.Atoms(molecule.numbers, put)
    return atoms


def _places(edges: Array, total: int, taken: Array, closest: float) -> Array:
    """(n, 3) Å, at least `total` points of a grid, none near what is there."""
    spacing = float((edges.prod() / max(total, 1)) ** (1 / 3))
    for _ in range(60):
        numbers = np.maximum(1, np.floor(edges / spacing + 1e-9)).astype(int)
        axes = [(np.arange(n) + 0.5) * edge / n for n, edge in zip(numbers, edges)]
        grid = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
        if len(taken):
            free = [_nearest(point[None], taken, edges) > closest + 1.0 for point in grid]
            grid = grid[np.array(free)]
        if len(grid) >= total:
            return grid
        spacing *= 0.97
    raise ValueError(f"box: no room for {total} molecules beside the solute; take a larger box")


def _oriented(
    molecule: ase.Atoms, place: Array, there: Array, edges: Array, random: np.random.Generator
) -> tuple[Array, float]:
    """Positions of a molecule at a place, farthest from what is there, and how far."""
    centered = molecule.positions - molecule.get_center_of_mass()
    tries = ORIENTATIONS if len(molecule) > 1 and len(there) else 1
    found = [place + centered @ Rotation.random(random_state=random).as_matrix() for _ in range(tries)]  # fmt: skip
    if not len(there):
        return found[0], np.inf
    near = np.abs(_nearest_images(there - place, edges)).max(axis=1) < 6.0 + np.ptp(centered)
    around = there[near]
    if not len(around):
        return found[0], np.inf
    distances = [_nearest(each, around, edges) for each in found]
    best = int(np.argmax(distances))
    return found[best], distances[best]


def _nearest(points: Array, others: Array, edges: Array) -> float:
    """Å: the shortest distance between two sets of points, nearest images."""
    apart = _nearest_images(points[:, None] - others[None], edges)
    return float(np.sqrt((apart**2).sum(axis=2).min()))


def _nearest_images(apart: Array, edges: Array) -> Array:
    return np.asarray(apart - edges * np.round(apart / edges))
