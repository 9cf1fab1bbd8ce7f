"""Slabs: a crystal cut along a plane, with the composition of the crystal.

The cut is where the fewest of the bonds that are to remain would be broken and, of those places, in
the widest gap between planes of atoms; or at a termination that is asked for. The normal is z, and
the first surface vector x. ASE's `surface` finds the surface vectors. Å.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import ase
import numpy as np
from ase.build import surface
from ase.neighborlist import neighbor_list
from numpy.typing import NDArray

SAME_PLANE = 0.1
"""Å; atoms nearer than this along the normal are of one plane."""


class Slab(NamedTuple):
    """atoms, periodic along x and y and (without vacuum) along z; bonds cut on each side; number of
    terminations to choose from."""

    atoms: ase.Atoms
    broken: int
    terminations: int


def slab(
    crystal: ase.Atoms,
    miller: Sequence[int],
    thickness: float,
    vacuum: float = 0.0,
    unbroken: Mapping[tuple[str, str], float] | None = None,
    termination: int | None = None,
) -> Slab:
    """Cut a slab.

    Parameters
    ----------
    crystal : its conventional cell, for Miller indices as they are written
    miller : (3,) of the surface
    thickness : Å, at least; whole layers of the crystal are taken
    vacuum : Å above the slab; 0: the next image follows after a plane's distance
    unbroken : bonds that the cut should spare, their lengths (Å) by two elements, such as {("P",
        "S"): 2.6}
    termination : which plane is the lowest, from 0 to `terminations` − 1; None: chosen
    """
    if len(miller) != 3 or not any(miller):
        raise ValueError(f"miller: expected three integers, not all zero, got {tuple(miller)}")
    if not crystal.pbc.all():
        raise ValueError("crystal: expected a crystal, periodic along all three directions")
    for name, value in (("thickness", thickness), ("vacuum", vacuum)):
        if not 0 <= value < np.inf or (name == "thickness" and value == 0):
            raise ValueError(f"{name}: expected a length (Å), got {value!r}")
    for pair in unbroken or {}:
        if others := sorted({*pair} - {*crystal.symbols}):
            present = ", ".join(sorted({*crystal.symbols}))
            raise ValueError(
                f"unbroken (--spare): expected elements of {present}, got {others[0]!r}"
            )
    single = surface(crystal, tuple(int(each) for each in miller), 1, periodic=True)
    height = float(single.cell[2, 2])
    layers = max(1, int(np.ceil(thickness / height - 1e-6)))
    stack = surface(crystal, tuple(int(each) for each in miller), layers + 2, periodic=True)
    z = stack.positions[:, 2] - stack.positions[:, 2].min()
    planes = _planes(z, height)
    cuts = planes - 0.5 * SAME_PLANE
    gaps = np.round(np.diff(np.concatenate([[planes[-1] - height], planes])), 6)
    broken = _broken(stack, z, cuts + height, unbroken or {})
    if termination is None:
        choice = min(range(len(planes)), key=lambda k: (broken[k], -float(gaps[k]), k))
    elif 0 <= termination < len(planes):
        choice = termination
    else:
        raise ValueError(f"termination: expected 0 to {len(planes) - 1}, got {termination!r}")
    inside = (z >= cuts[choice]) & (z < cuts[choice] + layers * height - 1e-9)
    found = stack[inside]
    found.positions[:, 2] = z[inside] - planes[choice]
    length = layers * height if vacuum == 0 else float(np.ptp(found.positions[:, 2])) + vacuum
    found.set_cell([*stack.cell.array[:2], [0.0, 0.0, length]])
    found.pbc = (True, True, vacuum == 0)
    found.positions[:, 2] += 0.5 * (length - np.ptp(found.positions[:, 2]))
    found.info = {}
    return Slab(found, int(broken[choice]), len(planes))


def _planes(z: NDArray[np.float64], height: float) -> NDArray[np.float64]:
    """Å, of the planes of atoms in one layer, ascending."""
    heights = np.sort(z[z < height - SAME_PLANE / 2])
    return heights[np.concatenate([[True], np.diff(heights) > SAME_PLANE])]


def _broken(
    stack: ase.Atoms,
    z: NDArray[np.float64],
    cuts: NDArray[np.float64],
    unbroken: Mapping[tuple[str, str], float],
) -> list[int]:
    """How many bonds of each kind that is to remain pass through each height."""
    if not unbroken:
        return [0] * len(cuts)
    periodic = stack.copy()
    periodic.pbc = (True, True, False)
    first, second = neighbor_list("ij", periodic, dict(unbroken))
    low, high = np.minimum(z[first], z[second]), np.maximum(z[first], z[second])
    return [int(((low < cut) & (high >= cut)).sum()) // 2 for cut in cuts]
