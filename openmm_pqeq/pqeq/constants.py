"""Numbers that several modules of PQEq share. TorchScript reads them as attributes of this module;
those of one module stand there, as defaults of its functions."""

import math

from openmm_pqeq.units import COULOMB as COULOMB

TWO_OVER_SQRT_PI = 2.0 / math.sqrt(math.pi)
MESH_BLOCK = 2048
"""Points of a mesh that are spread or interpolated at once."""
