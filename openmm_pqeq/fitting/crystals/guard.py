"""A guard on crystals that nobody fits: every structure given, strained by ±3 %, needs a solution
and an ε∞ that is no catastrophe.

A softness that suits the crystals of a fit may make another one nearly a metal. Every tenth
iteration all structures are looked at; those beyond a limit join the fit, with one residual,

    log(⅓ tr ε∞/limit)/0.1 above the limit, 0 below,     limit = 3 times the label, or 40

and a step that loses the solution of one costs as much as a lost crystal. No labels are needed.
"""

from collections.abc import Iterable, Sequence

import numpy as np
import torch

from openmm_pqeq.fitting.crystals.data import Crystal
from openmm_pqeq.fitting.crystals.problem import Problem, make_batches
from openmm_pqeq.fitting.crystals.table import rows_of

STRAIN = 0.03
AT_ONCE = 400
"""Strained crystals that are in memory together."""


class Guard:
    """Looks at strained crystals; those beyond a limit join the problem."""

    def __init__(self, problem: Problem, crystals: Sequence[Crystal]):
        self.problem = problem
        known = [c for c in crystals if min(rows_of(c, problem.kinds)) >= 0]
        self.crystals = [_strained(c, sign * STRAIN) for sign in (1, -1) for c in known]
        self.watched: set[int] = set()

    def __call__(self, x: np.ndarray) -> str:
        """Look at all of them at coordinates x; returns what was seen, in a line."""
        lost, beyond = 0, 0
        for first in range(0, len(self.crystals), AT_ONCE):
            part = self.crystals[first : first + AT_ONCE]
            for batch in make_batches(part, self.problem.kinds, guarded=True):
                seen = self.problem.response(batch, x).epsilon
                mean = seen.diagonal(dim1=1, dim2=2).mean(dim=1)
                gone = ~torch.isfinite(mean)
                over = gone | (mean > batch.limits)
                lost, beyond = lost + int(gone.sum()), beyond + int(over.sum())
                here = [batch.crystals[k] for k in torch.nonzero(over).flatten().tolist()]
                self.watched |= {first + index for index in here}
        self.watch(self.watched)
        return (
            f"guard: of {len(self.crystals)} strained crystals {lost} have no solution and "
            f"{beyond - lost} an ε∞ beyond its limit; {len(self.watched)} are watched"
        )

    def watch(self, watched: Iterable[int]) -> None:
        """Let these of the strained crystals join the problem, in place of those before; ValueError
        for numbers that none has."""
        self.watched = set(watched)
        if not self.watched <= set(range(len(self.crystals))):
            raise ValueError(f"watched: expected numbers below {len(self.crystals)}, got {watched}")
        self.problem.watch([self.crystals[index] for index in sorted(self.watched)])


def _strained(crystal: Crystal, strain: float) -> Crystal:
    atoms = crystal.atoms.copy()
    atoms.set_cell(atoms.cell * (1.0 + strain), scale_atoms=True)
    return crystal._replace(name=f"{crystal.name} {strain:+.0%}", atoms=atoms)
