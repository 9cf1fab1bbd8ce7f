"""The minimum of a charge problem, whichever way charge flows in it."""

from torch import Tensor

from openmm_pqeq.pqeq.minimum.by_bonds import minimize_by_bonds
from openmm_pqeq.pqeq.minimum.newton import MAX_SHELL, Minimum, minimize
from openmm_pqeq.pqeq.minimum.preconditioner import Near, Preconditioner
from openmm_pqeq.pqeq.minimum.problem import Problem


def find_minimum(
    problem: Problem,
    by_bonds: bool,
    tolerance: float,
    start: tuple[Tensor, Tensor] | None = None,
    near: Near | None = None,
    preconditioner: Preconditioner | None = None,
    max_shell: float = MAX_SHELL,
    probe: bool = False,
) -> Minimum:
    """From a guess or cold; arguments as in `newton.minimize`, of which charges by bonds need
    tolerance and start: their energy is convex.

    by_bonds : whether charge flows along bonds, which the problem then has; as a setting, so that
        TorchScript leaves the other way out
    """
    if by_bonds:
        bonds = problem.bonds
        assert bonds is not None
        return minimize_by_bonds(problem, bonds, tolerance, start)
    return minimize(problem, tolerance, start, near, preconditioner, max_shell, probe)
