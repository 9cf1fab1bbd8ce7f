"""Polarization along a trajectory.

The dipole of a crystal, Σ (q r − Z s), depends on which image of each atom is taken and jumps when
an atom is wrapped. Its change does not:

    dμ = Σ_i Z*_i · dr_i = Σ_i q_i dr_i − d(Σ_i Z_i s_i) ,      dP = dμ / V

where Z* is the Born charge ∂(force)/∂F, for which the second form is exact (coupling `shell`). Of
charges by bonds it is Σ_i Q⁰_i dr_i + d(Σ_b p_b d_b − Σ_i Z_i s_i), exact too. So
the change is summed from frame to frame, with the mean charge of both frames and the nearest image
of each displacement: no atom may move by half a cell vector between two frames. Displacements are
those at constant cell (the proper polarization): a strain by itself moves no atom.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


class Frame(NamedTuple):
    """Positions, charges, shells and cell of one frame, from which changes of the dipole are made.

    positions : (n_atoms, 3) Å, any images
    cell : (3, 3) Å, rows; zero rows where nothing is periodic
    charges : (n_atoms,) e; of charges by bonds reference charges
    shell_dipole : (3,) e Å, −Σ Z s, of charges by bonds also Σ_b p_b d_b
    """

    positions: Array
    cell: Array
    charges: Array
    shell_dipole: Array


def displacements(before: Frame, after: Frame) -> Array:
    """(n_atoms, 3) Å: how the atoms moved from one frame to the next, nearest images, at constant
    cell.

    Without a cell it is the difference of the positions.
    """
    if not before.cell.any():
        return after.positions - before.positions
    moved = after.positions @ _inverse(after.cell) - before.positions @ _inverse(before.cell)
    periodic = before.cell.any(axis=1)
    moved[:, periodic] -= np.round(moved[:, periodic])
    return moved @ (0.5 * (_filled(before.cell) + _filled(after.cell)))


def dipole_change(before: Frame, after: Frame) -> Array:
    """(3,) e Å: the change of the dipole from one frame to the next."""
    charges = 0.5 * (before.charges + after.charges)
    return charges @ displacements(before, after) + after.shell_dipole - before.shell_dipole


def _filled(cell: Array) -> Array:
    """The cell with unit vectors in place of missing rows, so that it can be inverted."""
    filled = cell.copy()
    for row in np.nonzero(~cell.any(axis=1))[0]:
        present = filled[filled.any(axis=1)]
        direction = np.linalg.svd(present)[2][-1]
        filled[row] = direction
    return filled


def _inverse(cell: Array) -> Array:
    return np.asarray(np.linalg.inv(_filled(cell)))
