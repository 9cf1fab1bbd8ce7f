"""Iterations that the host does not watch.

On a GPU every number that the host reads drains the queue of work. Solutions there go on by
themselves: whether one is good enough is tested on the device, after every iteration, and from then
on nothing changes. The host looks after as many iterations as it can tell to be needed,

    n = log(threshold/r)/log(rate),   rate = (r/r₀)^(1/n₀)

with residuals r now and r₀ at the look before, n₀ iterations ago. On a CPU it watches every one.
"""

import math

import torch
from torch import Tensor

MOST_AHEAD = 8
"""Iterations between two looks: what is computed in vain where a solution comes early."""


def iterations_ahead(
    residual: float, before: float, iterations: int, threshold: float, most: int = MOST_AHEAD
) -> int:
    """How many iterations to do before the next look, 1 to `most`; the residual was `before` so many
    `iterations` ago.

    >>> iterations_ahead(1e-3, 1e-1, 1, 1e-7), iterations_ahead(1e-3, 1e-4, 1, 1e-7)
    (2, 1)
    """
    if not 0.0 < threshold < residual < before < float("inf"):
        return 1
    rate = math.log(residual / before) / iterations
    return max(1, min(most, math.ceil(math.log(threshold / residual) / rate - 1e-9)))


def look(left: Tensor, live: Tensor) -> tuple[float, bool]:
    """The residual, and whether the solution is still live: the host waits once."""
    seen = torch.stack([left, live.to(left.dtype)]).cpu()
    return float(seen[0]), bool(seen[1] > 0.0)
