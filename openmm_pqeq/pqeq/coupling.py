"""How a field enters the charge solution, by the name of its coupling.

Units: V/Å, Å.
"""

from torch import Tensor

COUPLINGS = ("shell", "full", "fragment")

PERIODIC_FIELD = 1e-6
"""A field is along a lattice vector if more than this part of it is; float32 cells are not exact."""


def along_periodic(
    field: Tensor, cell: Tensor, periodic: Tensor, part: float = PERIODIC_FIELD
) -> bool:
    """Whether a field (3,) V/Å has a component along a periodic row of the cell (3, 3) Å.

    periodic : (3,) bool
    part : of the field, below which a component is rounding
    """
    vectors = cell[periodic]
    along = (vectors @ field).abs() > part * vectors.norm(2, dim=1) * field.norm(2)
    return bool(along.any())
