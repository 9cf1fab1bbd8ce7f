"""Structures with labels of their response, made with known parameters."""

import numpy as np
from structures import perovskite, water

from openmm_pqeq.fitting.residuals import measure
from openmm_pqeq.fitting.targets import ResponseFrame
from openmm_pqeq.pqeq import resolve_parameters
from openmm_pqeq.pqeq.derivatives.adjoint import PARAMETERS

# an earlier fit to response (2 PBE frames): Ti with a negative electronegativity gives O its
# anisotropic Born charges
BATIO3 = {
    "Ba": [2.75877709, 6.589, 1.0, 0.933, 222.165],
    "O": [8.30811, 8.63, 1.0, 0.829, 37.773],
    "Ti": [-4.75408665, 10.543, 1.0, 0.53, 1064.244],
}


def batio3():
    return resolve_parameters(
        {symbol: dict(zip(PARAMETERS, row)) for symbol, row in BATIO3.items()}
    )


CASES = {
    "crystal": (perovskite, "ewald", batio3),
    "molecule": (water, "direct", lambda: resolve_parameters("reaxnet")),
}


def frame_of(structure, parameters, names) -> ResponseFrame:
    """A frame whose labels are what PQEq gives with `parameters`."""
    empty = ResponseFrame(structure, dict.fromkeys(names, np.zeros(0)), "frame 0")
    (measured,) = measure(parameters, [empty], 1e-6)
    return ResponseFrame(structure, measured.values, "frame 0")
