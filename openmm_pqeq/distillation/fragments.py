"""How far the residual reaches: two copies of a structure without a cell, pulled apart along x.

    gap = x of the nearest atoms of both;    force = |Σ_i F_i| over the atoms of one copy

A copy alone has no net force, so that what is left at gaps beyond the network's cutoff is what the
network cannot learn: of the labels, and of the residual, labels − Σ terms but the network.
"""

from typing import NamedTuple

import ase
import numpy as np

from openmm_pqeq.calculator import PQEqCalculator
from openmm_pqeq.distillation.teacher import Teacher, asked, label_of
from openmm_pqeq.potential import Potential

GAPS = (3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 12.0)
"""Å."""


class Pull(NamedTuple):
    """Gap, Å; force of the label and of the residual, eV/Å."""

    gap: float
    label: float
    residual: float


def pulled_apart(
    piece: ase.Atoms,
    teacher: Teacher,
    terms: Potential | None,
    reference_charges: dict[str, float],
) -> list[Pull]:
    """The forces between two copies of a piece at every gap; `terms` are those that the labels have
    been freed of, None where there are none.

    Raises RuntimeError where the teacher fails, as programs do that need a cell.
    """
    own = None
    if terms is not None:
        charges = {s: q for s, q in reference_charges.items() if s in piece.get_chemical_symbols()}
        own = PQEqCalculator(terms, reference_charges=charges or None)
    pulls = []
    for gap in GAPS:
        pair = two_of(piece, gap)
        with asked(teacher, f"two copies {gap:g} Å apart, without a cell"):
            label = label_of(pair, teacher)["forces"][: len(piece)].sum(axis=0)
        known = np.zeros(3)
        if own is not None:
            pair.calc = own
            known = pair.get_forces()[: len(piece)].sum(axis=0)
        pulls.append(Pull(gap, float(np.linalg.norm(label)), float(np.linalg.norm(label - known))))
    return pulls


def two_of(piece: ase.Atoms, gap: float) -> ase.Atoms:
    """A piece without its cell, and a copy of it beyond a gap along x; with both their charges."""
    one = ase.Atoms(piece.numbers, piece.positions)
    other = one.copy()
    width = float(np.ptp(one.positions[:, 0]))
    other.positions[:, 0] += width + gap
    pair = one + other
    if "charge" in piece.info:
        pair.info["charge"] = 2.0 * piece.info["charge"]
    return pair
