"""Slabs and wires in a field: what is said where an answer would not be what it looks like.

| a field across | is | said |
|---|---|---|
| what is partly periodic, charges flow freely | unscreened (`shell`), or screened as by a metal (`full`) | use charges by bonds |
| vacuum in a cell periodic in all directions | the average over matter and vacuum, not what is applied | say what is periodic |

A direction has vacuum where the atoms, projected on it, leave a gap wider than `WIDE_GAP`; atoms
that have gaps along all directions are molecules, for which the difference is small. A field is
across what it has a component outside of, the span of the periodic, or filled, lattice vectors. Å,
V/Å.
"""

import warnings
from collections.abc import Sequence

import numpy as np

WIDE_GAP = 8.0
"""Å; a crystal has no such gap, a slab in a periodic cell has a wider one."""
PART = 1e-6
"""Of a field; a smaller component is rounding."""

BY_BONDS = (
    "use a model whose charges flow along bonds (charge_flow='bonds'), which screen as they should"
)


def is_across(field: Sequence[float], rows: np.ndarray) -> bool:
    """Whether a field (3,) has a component outside the span of some rows of a cell (n, 3)."""
    vector = np.asarray(field, dtype=float)
    outside = vector - np.linalg.pinv(rows) @ (rows @ vector) if len(rows) else vector
    return bool(np.linalg.norm(outside) > PART * np.linalg.norm(vector))


def warn_of_free_flow(
    coupling: str, field: Sequence[float], cell: np.ndarray | None, periodic: Sequence[bool]
) -> None:
    """Of charges that flow freely, with coupling "shell" or "full", in a field across a slab or
    wire."""
    if cell is None or not any(periodic) or all(periodic) or coupling not in ("shell", "full"):
        return
    if not is_across(field, cell[np.asarray(periodic)]):
        return
    how = {
        "shell": "all of its layers feel the field as if nothing screened it",
        "full": "charge flows through it, and it screens as a metal would",
    }[coupling]
    warnings.warn(
        f'field: across a slab or wire of an insulator coupling="{coupling}" gives wrong charges '
        f"and forces: {how}. {BY_BONDS[0].upper()}{BY_BONDS[1:]}; fields along periodic directions "
        "are not concerned",
        stacklevel=3,
    )


def gaps(positions: np.ndarray, cell: np.ndarray) -> np.ndarray:
    """(3,) Å, the widest gaps that atoms (n, 3) Å leave between the planes of a cell's two other
    vectors."""
    inverse = np.linalg.inv(cell)
    places = np.sort((positions @ inverse) % 1.0, axis=0)
    between = np.diff(np.concatenate([places, places[:1] + 1.0]), axis=0)
    return np.asarray(between.max(axis=0) / np.linalg.norm(inverse, axis=0))


def warn_of_vacuum(
    field: Sequence[float],
    positions: np.ndarray,
    cell: np.ndarray | None,
    periodic: Sequence[bool],
) -> None:
    """Of a field across the vacuum of a cell that is periodic in all directions."""
    if cell is None or not all(periodic) or not any(field):
        return
    widths = gaps(positions, cell)
    empty = widths > WIDE_GAP
    if empty.all() or not empty.any() or not is_across(field, cell[~empty]):
        return
    axis = int(widths.argmax())
    warnings.warn(
        f"field: along cell vector {axis} there are {widths[axis]:.1f} Å of vacuum in a cell that is "
        "periodic in all directions. There the field is the average over matter and vacuum, not the "
        "one applied, and matter feels a multiple of what it should. Say that this direction is not "
        f"periodic: periodic={[not bool(value) for value in empty]} (--periodic, or atoms.pbc)",
        stacklevel=3,
    )
