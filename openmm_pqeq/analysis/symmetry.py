"""What spglib knows of a crystal: symmetry-independent atoms, and the rotations of its point group."""

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]


def symmetry_of(
    cell: ArrayLike, positions: ArrayLike, numbers: Sequence[int], precision: float, name: str
) -> Any:
    """spglib's dataset.

    cell : (3, 3) Å, rows
    positions : (n_atoms, 3) Å
    precision : Å
    name : of the argument that a message is about

    Raises ImportError where spglib is not installed, ValueError where it finds no symmetry.
    """
    try:
        import spglib
        import spglib.error
    except ImportError:
        raise ImportError(
            f"{name}: finding the symmetry of a crystal needs spglib (pip install spglib)"
        ) from None
    rows = np.asarray(cell, dtype=float)
    fractions = np.asarray(positions, dtype=float) @ np.linalg.inv(rows)
    crystal = (rows.tolist(), fractions.tolist(), [int(number) for number in numbers])
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore", DeprecationWarning
        )  # of spglib, about how it will report errors
        try:
            found = spglib.get_symmetry_dataset(crystal, symprec=precision)
        except spglib.error.SpglibError:  # phonopy makes it raise where it otherwise returns None
            found = None
    if found is None:
        raise ValueError(
            f"cell: spglib finds no symmetry within {precision:g} Å; are atoms at the same place?"
        )
    return found


def rotations_of(
    cell: ArrayLike, positions: ArrayLike, numbers: Sequence[int], precision: float = 1e-3
) -> Array:
    """(n, 3, 3) the rotations of the point group, of Cartesian vectors (columns).

    cell, positions, numbers, precision : as for `symmetry_of`
    """
    found = symmetry_of(cell, positions, numbers, precision, "symmetry_precision")
    columns = np.asarray(cell, dtype=float).T
    unique = np.unique(np.asarray(found.rotations), axis=0)
    return np.asarray(columns @ unique @ np.linalg.inv(columns))
