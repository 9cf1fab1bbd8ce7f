"""Any cell as OpenMM's periodic box: lower triangular and reduced.

    a = (a_x, 0, 0),  b = (b_x, b_y, 0),  c = (c_x, c_y, c_z),   a_x, b_y, c_z > 0,   |b_x|, |c_x| ≤ a_x/2,  |c_y| ≤ b_y/2

A cell A (rows) is rotated into that form, A = L Q with L lower triangular, and reduced by adding
lattice vectors to others. Every vector of the crystal turns with it, v_box = Q v, and tensors as Q
T Qᵀ. Q is a proper rotation always: the third vector of a left-handed cell is reversed first, which
leaves the lattice as it is.
"""

import numpy as np

SMALLEST_VOLUME = 1e-4
"""Least volume of a cell, relative to the product of its edges; less is taken for a mistake."""


def reduced_box(cell: np.ndarray, pbc: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Box and rotation of a cell.

    Parameters
    ----------
    cell : (3, 3), rows; any unit of length
    pbc : (3,) bool, which vectors are periodic

    Returns
    -------
    box : (3, 3), rows, in the same unit
    rotation : (3, 3), v_box = rotation @ v_cell

    Raises
    ------
    ValueError
        for a singular cell, or one whose reduction would mix a direction that is not periodic into
        one that is
    """
    edges = np.linalg.norm(cell, axis=1)
    volume = np.linalg.det(cell)
    if not abs(volume) > SMALLEST_VOLUME * edges.prod():
        raise ValueError(
            "cell: expected three independent lattice vectors, got a singular cell, "
            f"{np.round(cell, 6).tolist()}"
        )
    lattice = cell * np.array([[1.0], [1.0], [np.sign(volume)]])
    orthogonal, upper = np.linalg.qr(lattice.T)
    signs = np.sign(np.diag(upper))
    rotation = (orthogonal * signs).T
    box = np.tril((upper * signs[:, None]).T)
    for row, by in ((2, 1), (2, 0), (1, 0)):
        images = np.round(box[row, by] / box[by, by])
        if images and pbc[row] and not pbc[by]:
            raise ValueError(
                f"cell: vector {'abc'[row]} is periodic and vector {'abc'[by]} is not, and "
                "OpenMM's reduced form would mix them; "
                "list the periodic vectors first"
            )
        box[row] -= images * box[by]
        box[row, by] = np.clip(box[row, by], -0.5 * box[by, by], 0.5 * box[by, by])
    return box + 0.0, rotation + 0.0  # no negative zeros
